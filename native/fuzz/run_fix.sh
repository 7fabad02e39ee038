#!/usr/bin/env bash
# libFuzzer with ASan and UBSan on bytes -> FIX session, from the kept corpus. run_fix.sh [SECONDS]; new inputs go to build/fuzz_fix.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
out=../build/fuzz_fix
mkdir -p "$out/corpus"
codec="fix_tables_44.c fix_dictionary.c fix_codec.c fix_values.c fix_check.c fix_write.c fix_session.c fix_session_out.c fix_store.c"
# shellcheck disable=SC2086  # a list of files
clang -std=c11 -g -O1 -Wall -Wextra -Werror -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
    -Iinclude -I. fuzz/fuzz_fix.c $codec -o "$out/fuzz_fix"
"$out/fuzz_fix" -max_total_time="$seconds" -max_len=2048 -artifact_prefix="$out/" "$out/corpus" fuzz/corpus_fix
