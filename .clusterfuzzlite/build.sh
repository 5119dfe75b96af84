#!/bin/bash -eu
# Builds every fuzz target into $OUT, each with its seeds and options beside it. ClusterFuzzLite sets $SRC, $OUT and
# $SANITIZER, and with them RUSTFLAGS; so cargo-fuzz, which would set flags of its own, is told the sanitizer and no more.
#
# By hand, from the top of the repository:
#   SRC=$(dirname "$PWD") OUT=$PWD/target/fuzzers SANITIZER=address RUSTC_BOOTSTRAP=1 bash .clusterfuzzlite/build.sh
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ -d fuzz ] || cd "$SRC/heaplaw"
mkdir -p "$OUT"

# A sanitizer that cargo-fuzz does not know by that name is none to it: coverage brings its own flags.
case "${SANITIZER:-address}" in
  address | memory | thread | leak) sanitizer=$SANITIZER ;;
  *) sanitizer=none ;;
esac
cargo fuzz build -O --debug-assertions --sanitizer "$sanitizer"

target=${CARGO_BUILD_TARGET:-$(rustc -vV | sed -n 's/^host: //p')}
built=${CARGO_TARGET_DIR:-fuzz/target}/$target/release
for source in fuzz/fuzz_targets/*.rs; do
  name=$(basename "$source" .rs)
  cp "$built/$name" "$OUT/"
  (cd "fuzz/corpus/$name" && python3 -m zipfile -c "$OUT/${name}_seed_corpus.zip" ./*)
  {
    echo "[libfuzzer]"
    case $name in
      text) echo "dict = text.dict" ;;
      # Its two threads may still be ending when leaks are looked for.
      protocol) printf 'dict = text.dict\n[asan]\ndetect_leaks = 0\n' ;;
      steps) echo "max_len = 2404" ;;
    esac
  } > "$OUT/$name.options"
done
cp fuzz/text.dict "$OUT/"
