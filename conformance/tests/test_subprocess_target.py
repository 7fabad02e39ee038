"""The subprocess adapter against processes that behave in every way an engine should not."""

from __future__ import annotations

import sys
import textwrap
import time

import pytest

from matchmark.conformance.messages import Accepted, New, Trade
from matchmark.conformance.targets.base import (
    TargetDied,
    TargetGarbled,
    TargetHung,
    TargetInfo,
    TargetUnavailable,
)
from matchmark.conformance.targets.subprocess import SubprocessTarget

ORDER = New("c1", "A", "S0", "buy", "limit", 100, 10050)
DONE = '{"ev":"done"}'
START_S = 2.0


@pytest.fixture
def process():
    """A started target whose process answers every line by the Python statements given, the first one after a reset if `warm`."""
    targets = []

    def start(body: str, timeout_s: float = 0.5, warm: bool = True) -> SubprocessTarget:
        program = "import sys, time, os\ndef out(*lines):\n    print(*lines, sep='\\n', flush=True)\n"
        program += f"sys.stdin.readline(); out({DONE!r})\n" if warm else ""
        program += "for line in sys.stdin:\n" + textwrap.indent(textwrap.dedent(body), "    ")
        info = TargetInfo("broken", "1", frozenset({"limit"}))
        command = [sys.executable, "-c", program]
        target = SubprocessTarget(info, command, answer_timeout_s=timeout_s, start_timeout_s=START_S)
        targets.append(target)
        if warm:
            target.reset()
        else:
            target.start()
        return target

    yield start
    for target in targets:
        target.close()


def answer(*events: str) -> str:
    return f"out({', '.join(repr(e) for e in (*events, DONE))})"


def test_events_come_in_order_up_to_done(process):
    trade = '{"ev":"trade","sym":"S0","px":10050,"qty":100,"resting":"c0","incoming":"c1"}'
    target = process(answer('{"ev":"accepted","cl":"c1","id":"7"}', trade), timeout_s=5)
    for _ in range(3):
        assert target.submit(ORDER) == [Accepted("c1", "7"), Trade("S0", 10050, 100, "c0", "c1")]


def test_a_process_that_ends_is_reported_with_its_status_and_last_words(process):
    target = process("print('pool is empty', file=sys.stderr); sys.exit(70)", timeout_s=5)
    with pytest.raises(TargetDied, match=r"exit status 70; it said: pool is empty"):
        target.submit(ORDER)


def test_a_process_killed_by_a_signal_is_reported_by_the_signals_name(process):
    with pytest.raises(TargetDied, match="SIGSEGV"):
        process("os.kill(os.getpid(), 11)", timeout_s=5).submit(ORDER)


def test_silence_is_a_hang_after_the_timeout_and_not_before(process):
    target = process("time.sleep(60)")
    began = time.monotonic()
    with pytest.raises(TargetHung, match=r"no answer within 0\.5 s"):
        target.submit(ORDER)
    assert 0.4 < time.monotonic() - began < 5


def test_half_a_line_is_a_hang_that_says_so(process):
    with pytest.raises(TargetHung, match="half a line"):
        process("sys.stdout.write('{\"ev\":'); sys.stdout.flush(); time.sleep(60)").submit(ORDER)


def test_events_without_done_are_a_hang(process):
    with pytest.raises(TargetHung):
        process("""out('{"ev":"accepted","cl":"c1","id":"1"}')""").submit(ORDER)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("hello", "not JSON: 'hello'"),
        ("[1]", "expected a JSON object"),
        ('{"ev":"fill"}', "unknown event 'fill'"),
        ('{"ev":"trade","sym":"S0","px":1.5,"qty":1,"resting":"a","incoming":"b"}', "px must be a whole number"),
        ('{"ev":"trade","sym":"S0","px":1,"qty":true,"resting":"a","incoming":"b"}', "qty must be a whole number"),
        ('{"ev":"cancelled","cl":"c1","leaves":1}', "lacks field 'cum'"),
        ('{"ev":"top","sym":"S0","bid":[1],"ask":null}', "bid must be"),
        ("[" * 100_000, "not JSON"),
        ("\x00\xff", "not JSON"),
    ],
)
def test_what_is_not_in_the_protocol_is_garbled_and_quoted(process, line, complaint):
    with pytest.raises(TargetGarbled) as caught:
        process(f"out({line[:20]!r} * {max(1, len(line) // 20)} if {len(line) > 1000} else {line!r})").submit(ORDER)
    assert complaint in str(caught.value)


def test_a_line_without_end_is_cut_short(process):
    with pytest.raises(TargetGarbled, match="a line without an end"):
        process("while True: sys.stdout.write('x' * 65536)", timeout_s=5).submit(ORDER)


def test_an_answer_given_twice_is_found_at_the_next_command(process):
    target = process(answer() + "\n" + answer(), timeout_s=5)
    assert target.submit(ORDER) == []
    time.sleep(0.1)
    with pytest.raises(TargetGarbled, match="an answer that nothing asked for"):
        target.submit(ORDER)


def test_a_flood_on_stderr_does_not_block_the_answer(process):
    target = process("sys.stderr.write('x' * 1_000_000); sys.stderr.flush(); " + answer(), timeout_s=10)
    assert target.submit(ORDER) == []


def test_reset_starts_a_new_process_after_a_failure(process):
    target = process("sys.exit(1) if 'new' in line else " + answer(), timeout_s=5)
    with pytest.raises(TargetDied):
        target.submit(ORDER)
    target.reset()
    with pytest.raises(TargetDied):
        target.submit(ORDER)


def test_a_program_that_is_not_there_is_unavailable():
    target = SubprocessTarget(TargetInfo("x", "1", frozenset()), ["/no/such/engine"])
    with pytest.raises(TargetUnavailable, match="cannot start '/no/such/engine': No such file"):
        target.start()


def test_a_slow_start_is_not_a_hang_and_a_slow_answer_afterwards_is(process):
    target = process(
        """
        time.sleep(1.0)
        out('{"ev":"done"}')
        """,
        timeout_s=0.3,
        warm=False,
    )
    target.reset()
    with pytest.raises(TargetHung, match=r"within 0.3 s \(answer_timeout_s"):
        target.reset()
    target.start()
    target.reset()


def test_a_process_that_never_says_anything_is_told_to_be_slow_in_starting(process):
    target = process("pass", warm=False)
    with pytest.raises(TargetHung, match=r"within 2 s \(start_timeout_s"):
        target.reset()
