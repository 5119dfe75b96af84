# Puts each answer of a heap beside the operation that it answers, as the files in conformance/programs/answers do:
#
#     ./adapter < STORY.heap | awk -f answers.awk STORY.heap - | diff answers/STORY.answers -
#
# Objects are called a, b, c by their births, weak pointers 1, 2, 3 as they turn up; the rest of what a heap may do as it
# likes is left out. Nothing is said where more than one answer is right.

function name(number,   letters) { # 1 is a, 26 is z, 27 is aa
    for (; number > 0; number = int((number - 1) / 26)) letters = sprintf("%c", 97 + (number - 1) % 26) letters
    return letters
}

function show(op, said) {
    if (said == "") print op
    else printf "%-24s # %s\n", op, said
}

BEGIN { print "# heaplaw answers 1" }

{ sub(/\r$/, "") }

NR == FNR { # the story
    sub(/[ \t]*(#.*)?$/, "")
    if ($0 != "") ops[++count] = $0
    next
}

{ # the answers
    op = ops[++at]
    split(op, word, " ")
    sub(/[ \t]*;.*$/, "")
    split($0, answer, " ")
    said = $0
    if (word[2] == "alloc") births++
    if (answer[1] == "at") {
        objects[answer[2] ""] = name(births)
        said = "at " name(births) " " answer[4]
    } else if (answer[1] == "ref") {
        said = "ref " ((answer[2] "") in objects ? objects[answer[2] ""] : "?")
    } else if (answer[1] == "weak") {
        if (!((answer[2] "") in weaks)) weaks[answer[2] ""] = ++identities
        said = "weak " weaks[answer[2] ""]
    } else if (answer[1] == "stats") {
        said = "stats " answer[2]
    }
    if (word[1] == "env" && word[2] == "fail") failing = word[3] + 0
    if (word[1] == "gc" && word[2] != "full" && !(word[2] == "stats" && last == "gc full")) said = ""
    if (word[2] == "alloc" && failing > 0) said = ""
    last = op
    show(op, said)
}

END { while (at < count) show(ops[++at], "no answer") }
