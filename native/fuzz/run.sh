#!/bin/sh
# Fuzzes the native engine: fuzz/run.sh [SECONDS] [SEED]. Needs clang. Prints the seed; what breaks the engine is kept in
# build/fuzz/ and the command that repeats it is printed. Exit 1 when something was found, 2 when it could not run.
# The corpus in native/fuzz/corpus is read; what is new goes to build/fuzz/corpus. To fold that in:
#   build/fuzz/fuzz_engine -merge=1 native/fuzz/corpus build/fuzz/corpus
set -u
seconds=${1:-60}
seed=${2:-$(date +%s)}
native=$(cd "$(dirname "$0")/.." && pwd)
out=$(dirname "$native")/build/fuzz
cc=${CLANG:-clang}
command -v "$cc" >/dev/null || { echo "fuzz: no $cc on this machine; install clang or set CLANG" >&2; exit 2; }
mkdir -p "$out/corpus"
cd "$native" || exit 2
"$cc" -std=c11 -O1 -g -Wall -Wextra -Werror -fno-omit-frame-pointer \
    -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -Iinclude -I. -Ifuzz \
    -o "$out/fuzz_engine" fuzz/*.c engine*.c book*.c far_tree.c || exit 2
echo "fuzz: seed $seed, $seconds s, repeat with: native/fuzz/run.sh $seconds $seed"
cd "$out" || exit 2
if ./fuzz_engine -seed="$seed" -max_total_time="$seconds" -max_len=2054 -print_final_stats=1 -verbosity=1 \
    -artifact_prefix="$out/" corpus "$native/fuzz/corpus" >"$out/log.txt" 2>&1; then
    grep -E "^stat::(number_of_executed_units|new_units_added|peak_rss_mb)|^Done" "$out/log.txt"
    echo "fuzz: nothing found"
else
    tail -40 "$out/log.txt"
    found=$(find "$out" -maxdepth 1 -newer "$out/fuzz_engine" \( -name 'crash-*' -o -name 'timeout-*' -o -name 'oom-*' -o -name 'leak-*' \))
    if [ -z "$found" ]; then
        echo "fuzz: stopped before its time, nothing found until then; the log is $out/log.txt" >&2
        exit 2
    fi
    echo "fuzz: FOUND a failure; repeat with: $out/fuzz_engine $found" >&2
    exit 1
fi
