#!/bin/sh
# Fuzzes a parser of outside bytes: fuzz/run.sh [engine|fix|audit|direct|frame] [SECONDS] [SEED]. Needs
# clang, and for frames what the poll-mode carrier needs. Prints the seed; what breaks it
# is kept in build/fuzz/TARGET and the command that repeats it is printed. Exit 1 when something was found, 2 when it could not
# run. The corpus in native/fuzz/corpus_TARGET is read; what is new goes to build/fuzz/TARGET/corpus. To fold that in:
#   build/fuzz/TARGET/fuzz_TARGET -merge=1 native/fuzz/corpus_TARGET build/fuzz/TARGET/corpus
set -u
what=${1:-engine}
seconds=${2:-60}
seed=${3:-$(date +%s)}
flags="" libs=""
native=$(cd "$(dirname "$0")/.." && pwd)
out=$(dirname "$native")/build/fuzz/$what
cc=${CLANG:-clang}
book="book.c book_check.c far_tree.c"
engine="engine.c engine_orders.c engine_requests.c engine_trading.c engine_query.c $book"
fix="fix_tables_44.c fix_dictionary.c fix_codec.c fix_shape.c fix_values.c fix_check.c fix_write.c fix_report.c fix_session.c fix_session_out.c fix_store.c crc32c.c"
case $what in
engine) sources="fuzz/fuzz_engine.c fuzz/naive_engine.c $engine" length=2054 ;;
fix) sources="fuzz/fuzz_fix.c $fix" length=2048 ;;
audit) sources="fuzz/fuzz_audit.c crc32c.c audit_file.c audit_recover.c shm.c $engine" length=512 ;;
direct) sources="fuzz/fuzz_direct.c direct_feed_message.c direct_feed_packet.c" length=4096 ;;
frame)
    sources="fuzz/fuzz_frame.c fuzz/fuzz_frame_port.c gateway_dpdk.c lwip_netif.c $fix" length=2048
    pkg-config --exists libdpdk lwip || { echo "fuzz: frames need DPDK and lwIP (docs/dpdk.md)" >&2; exit 2; }
    # Their headers are not ours to warn about; the sanitizer has no use for the vectors that they ask for.
    flags=$(pkg-config --cflags libdpdk lwip | sed 's/-I/-isystem /g') libs=$(pkg-config --libs libdpdk lwip) ;;
*) echo "fuzz: no target $what; one of engine, fix, audit, direct, frame" >&2; exit 2 ;;
esac
command -v "$cc" >/dev/null || { echo "fuzz: no $cc on this machine; install clang or set CLANG" >&2; exit 2; }
mkdir -p "$out/corpus" "$native/fuzz/corpus_$what"
cd "$native" || exit 2
# shellcheck disable=SC2086  # lists of files
"$cc" -std=c11 -D_GNU_SOURCE -O1 -g -Wall -Wextra -Wno-macro-redefined -Werror -fno-omit-frame-pointer \
    -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -Iinclude -I. -Ifuzz \
    $flags -o "$out/fuzz_$what" $sources $libs || exit 2
echo "fuzz: $what, seed $seed, $seconds s, repeat with: native/fuzz/run.sh $what $seconds $seed"
cd "$out" || exit 2
export FUZZ_FILES="/dev/shm/matchmark-fuzz-$$"
trap 'rm -rf "$FUZZ_FILES"' EXIT
trap 'exit 2' HUP INT TERM
if ./fuzz_$what -seed="$seed" -max_total_time="$seconds" -max_len=$length -print_final_stats=1 -verbosity=1 \
    -artifact_prefix="$out/" corpus "$native/fuzz/corpus_$what" >"$out/log.txt" 2>&1; then
    grep -E "^stat::(number_of_executed_units|new_units_added|peak_rss_mb)|^Done" "$out/log.txt"
    echo "fuzz: nothing found"
else
    tail -40 "$out/log.txt"
    found=$(find "$out" -maxdepth 1 -newer "$out/fuzz_$what" \( -name 'crash-*' -o -name 'timeout-*' -o -name 'oom-*' -o -name 'leak-*' \))
    if [ -z "$found" ]; then
        echo "fuzz: stopped before its time, nothing found until then; the log is $out/log.txt" >&2
        exit 2
    fi
    echo "fuzz: FOUND a failure; repeat with: $out/fuzz_$what $found" >&2
    exit 1
fi
