"""What the corpus covers of the heap core: branches and lines, file by file.

Reads what `llvm-cov export` says of a run of the example `replay`, on standard input; README.md here has the commands.
A branch is one outcome of a condition. One that stands in generic code counts as taken if any instance took it, which is
not how `llvm-cov report` counts. The core is what a
collected heap runs. Of another matter are whole files (`OTHERS`): what serves blocks that are freed by hand, sequential
allocators, the faces, the kit's adapter, the heap's own checker; and functions of the files that are left (`ELSEWHERE`).

Two kinds of branches are left out, since a heap that is right never takes them: what an assertion does when it fails, and the
mistakes on purpose (`wrong(Twin::...)`), which only shuttle's tests switch on.

    python3 fuzz/coverage.py [--missed] [--least PERCENT]
"""

import argparse
import collections
import json
import pathlib
import re
import sys

SOURCE = pathlib.Path(__file__).resolve().parent.parent / "optimized" / "src"

OTHERS = """adapter arithmetic c cache fit foreign global harden large malloc models parked raw refusals span_cache twin typed
verify""".split()

ELSEWHERE = {
    # Blocks that are freed by hand.
    "central.rs": ["allocate", "free"],
    "memory.rs": ["refill", "allocate", "small_span", "reclaim", "free", "free_all", "trim"],
    "arena.rs": ["reserve_up_to"],
    "os.rs": ["address_limit"],
    # Run by the compiler.
    "class.rs": ["fine_table", "derive", "lookup"],
    # Asked by the checker alone.
    "page.rs": ["verify"],
    "slots.rs": ["is_sound"],
    "span.rs": ["flag", "slot_at", "adds_up", "is_as_made"],
    "special.rs": ["is_sound"],
}

NEVER = re.compile(r"\b(debug_)?assert(_eq|_ne)?!|\bwrong\(Twin::")


def is_core(path):
    return path.relative_to(SOURCE).parts[0].removesuffix(".rs") not in OTHERS and "tests" not in path.stem


def function_of(text, line):
    """The function that a line stands in: the nearest one before it that is indented less."""
    indent = lambda row: len(row) - len(row.lstrip())
    for row in reversed(text[:line]):
        found = re.match(r"\s*(pub(\(\w+\))? )?(const )?(unsafe )?fn (\w+)", row)
        if found and indent(row) < indent(text[line - 1]):
            return found[5]
    return None


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--missed", action="store_true", help="list what is never taken")
    arguments.add_argument("--least", type=float, default=0, help="fail if fewer per cent of all branches are taken")
    arguments = arguments.parse_args()
    files = json.load(sys.stdin)["data"][0]["files"]
    total = [0] * 4
    for file in sorted(files, key=lambda file: file["filename"]):
        path = pathlib.Path(file["filename"])
        if not path.is_relative_to(SOURCE) or not is_core(path):
            continue
        name = str(path.relative_to(SOURCE))
        text = path.read_text().splitlines()
        taken = collections.Counter()
        for line, column, _, end, true, false, *_ in file["branches"]:
            if NEVER.search(text[line - 1]) or function_of(text, line) in ELSEWHERE.get(name, []):
                continue
            taken[line, column, end, True] += true
            taken[line, column, end, False] += false
        missed = [at for at, count in sorted(taken.items()) if count == 0]
        lines = file["summary"]["lines"]
        counts = [len(taken) - len(missed), len(taken), lines["covered"], lines["count"]]
        total = [sum(pair) for pair in zip(total, counts)]
        show(name, *counts)
        for line, column, _, outcome in missed if arguments.missed else []:
            print(f"    {line}:{column} is never {str(outcome).lower():<6} {text[line - 1].strip()}")
    show("all", *total)
    return 0 if total[1] and 100 * total[0] / total[1] >= arguments.least else 1


def show(name, taken, branches, covered, lines):
    share = lambda part, whole: f"{100 * part / whole:5.1f} % of {whole:>4}" if whole else " " * 15
    print(f"{name:<20} branches {share(taken, branches)}   lines {share(covered, lines)}")


sys.exit(main())
