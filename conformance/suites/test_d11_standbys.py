"""Diagram 11: standbys that come late, come back, compete, are lost, fall behind, or have a log that is not the primary's."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from matchmark.conformance.checks import audit_format as f
from matchmark.conformance.checks.audit_ledger import Breach
from matchmark.conformance.checks.audit_replay import replay
from matchmark.conformance.hooks import HookFailed, waited
from matchmark.conformance.lab_fixtures import MakePair, judge, violate
from matchmark.conformance.lab_load import Load
from matchmark.conformance.pair_lab import PairLab
from matchmark.conformance.suites._availability import alerted, judged_log, same_log, settled
from matchmark.conformance.suites._durability import Desk, read_steps

pytestmark = pytest.mark.needs("standby", "audit_log")

BETWEEN = 60
COMES_BACK_S = 30.0
LAG_S = 0.4


@pytest.mark.clause("D11.X1", "D11.X6", "D06.4", "D11.N1", "D11.X2")
@pytest.mark.needs("fix")
def test_late_standbys_catch_up_and_one_of_two_takes_over(make_pair: MakePair) -> None:
    pair = make_pair("a", "b", "c")
    pair.start_member("a")
    with Load(pair, pair.accounts[:3], "late-", burst=20) as load:
        load.wait_sent(3 * BETWEEN)
        for name in ("b", "c"):
            try:
                pair.start_member(name, standby=True)
            except HookFailed as error:
                violate(pair, Breach("D11.X1", f"standby {name} cannot join a primary that trades: {error}"))
        load.wait_sent(BETWEEN)
        dead, replaced = "a", False
        for _ in range(2):
            if replaced:
                _follow_again(pair, dead)
            epoch = pair.epoch()
            pair.kill(dead)
            left = [name for name in pair.members if pair.runs(name)]
            if not left:
                said = {
                    name: pair.members[name].instance.last_words() for name in pair.members if name not in ("a", dead)
                }
                text = "a standby of two ended by itself when the other took over"
                violate(pair, Breach("D11.X6", text, ("it follows the new primary",), tuple(map(str, said.items()))))
            dead = _one_of(pair, left)
            replaced = pair.epoch() > epoch + 1
            load.wait_sent(BETWEEN)
            waited(lambda: all(client.connected for client in load.clients.values()), COMES_BACK_S, 0.02)
            if cut := [account for account, client in load.clients.items() if not client.connected]:
                violate(
                    pair,
                    Breach("D11.N1", f"sessions of {', '.join(cut)} keep trying and are left without a connection"),
                )
        load.stop()
        load.settle()
    pair.end()
    judge(pair, judged_log(pair, "two primaries were killed, one after the other")[2])


def _follow_again(pair: PairLab, primary: str) -> None:
    """On a busy machine one took over, was not heard in time and was replaced in its turn: such a one has to end."""
    for name in pair.members:
        if name not in ("a", primary) and not pair.runs(name):
            pair.start_member(name, standby=True)


def _one_of(pair: PairLab, names: list[str]) -> str:
    """Exactly one becomes primary: its name."""
    if not waited(lambda: any(pair.role(name) == "primary" for name in names), COMES_BACK_S, 0.01):
        said = tuple(f"{name}{pair.members[name].instance.last_words()}" for name in names)
        violate(pair, Breach("D11.X6", f"none of {' and '.join(names)} became primary", ("one",), said))
    time.sleep(3 * pair.heartbeat_s)
    primaries = [name for name in names if pair.role(name) == "primary"]
    if len(primaries) != 1:
        violate(
            pair, Breach("D11.X6", f"{len(primaries)} of {', '.join(names)} are primary", ("one",), tuple(primaries))
        )
    pair.primary = primaries[0]
    return primaries[0]


@pytest.mark.clause("D11.X6", "D06.7", "D06.2")
def test_both_come_back_at_once_and_one_is_primary(pair: PairLab) -> None:
    """The standby was killed first, and lacks what the primary acknowledged since: it must not win."""
    desk = Desk(pair, pair.accounts[3])
    rest = [desk.order("sell", 2, 0), desk.order("sell", 3, 0)]
    pair.kill("b")
    alone = desk.order("sell", 4, 1)
    pair.kill("a")
    pair.launch_member("b", standby=True)
    pair.launch_member("a")
    waited(lambda: sum(pair.said_ready(name) for name in ("a", "b")) == 2, COMES_BACK_S, 0.02)
    _one_of(pair, ["a", "b"])
    desk.connect_again()
    after = Desk(pair, pair.accounts[4], "after.")
    sweep = after.order("buy", 9, 1)
    settled(pair, (desk, after))
    pair.members[pair.primary].wait_logged({sweep})
    pair.quiet()
    pair.end()
    _, logged, breaches = judged_log(pair, "both members were killed and came back at once")
    judge(pair, breaches)
    if alone not in {step.cl for step in logged}:
        text = "the member became primary that lacked an acknowledged order"
        violate(pair, Breach("D11.X6", text, (alone, *rest), (), frozenset((alone,))))
    same_log(pair, "D11.X6", "a", "b", whole=False)


@pytest.mark.clause("D11.X5", "D11.1", "D11.2", "D06.1")
def test_a_primary_without_its_standby_does_as_the_mode_says(pair: PairLab) -> None:
    """The standby stands still, is lost, and comes back; how far it is behind is told."""
    desk = Desk(pair, pair.accounts[3])
    desk.order("buy", 1, -3)
    pair.quiet()
    if not pair.status().get("replication", {}).get("connected"):
        violate(pair, Breach("D11.2", "a standby follows, and the status page does not show it", (), (_shown(pair),)))
    wall_ns = time.time_ns()
    with pair.paused("b"):
        if pair.durability != "replicated":
            began = time.monotonic()
            desk.order("buy", 1, -3)
            if pair.durability == "async" and time.monotonic() - began > 1.5 * pair.heartbeat_s:
                violate(pair, Breach("D11.1", "in mode async acknowledgements waited for a standby that stood still"))
            shown = int(pair.status().get("replication", {}).get("standby_sequence", 0))
            if shown >= int(pair.status().get("sequence", 0)):
                text = "the standby stood still, and is shown to have all records"
                violate(pair, Breach("D11.2", text, (), (_shown(pair),)))
        if not alerted(pair, "a", wall_ns, ("standby", "lag", "behind")):
            violate(
                pair, Breach("D11.2", "the standby fell behind for seconds, and no alert says so", (), (_shown(pair),))
            )
    # What was said of its being behind is not said of its loss.
    if waited(lambda: bool(pair.status().get("replication", {}).get("connected")), COMES_BACK_S, 0.05) and pair.quiet():
        wall_ns = time.time_ns()
    pair.kill("b")
    for n in range(40):
        desk.order("buy" if n % 2 else "sell", 1, 0)
    if not alerted(pair, "a", wall_ns, ("standby",)):
        violate(pair, Breach("D11.X5", "the standby was lost, and no alert says so"))
    pair.start_member("b", standby=True)
    desk.order("buy", 1, -3)
    pair.quiet()
    pair.end()
    _, logged, breaches = judged_log(pair, "the standby was killed")
    judge(pair, breaches)
    if (difference := replay(logged)) is not None:
        text = f"with a standby the primary decides otherwise than alone: {difference.text}"
        violate(pair, Breach("D11.1", text, difference.expected, difference.logged))
    same_log(pair, "D06.1")


def _shown(pair: PairLab) -> str:
    return str(pair.status().get("replication"))


@pytest.mark.clause("D06.X9", "D11.3")
@pytest.mark.parametrize("how", ["damaged", "diverged"])
def test_a_standby_with_another_log_is_not_promoted_and_says_where(pair: PairLab, how: str) -> None:
    desk = Desk(pair, pair.accounts[3])
    for n in range(30):
        desk.order("buy" if n % 2 else "sell", 1, 0)
    pair.quiet()
    log_dir = pair.members["b"].log_dir
    pair.kill("b", wipe=True)
    place = _damage(log_dir) if how == "damaged" else _diverge(log_dir)
    pair.launch_member("b", standby=True)
    waited(lambda: not pair.runs("b") or _says(pair, place), COMES_BACK_S, 0.05)
    if not _says(pair, place):
        words = pair.members["b"].instance.last_words()
        text = f"the standby's log is {how} at record {place}, and it does not say so{words}"
        violate(pair, Breach("D11.3" if how == "diverged" else "D06.X9", text, (f"record {place}",)))
    pair.kill("a")
    if pair.runs("b") and waited(lambda: (pair.said_ready("b") or True) and _serves(pair), 5 * pair.heartbeat_s, 0.05):
        violate(pair, Breach("D06.X9", f"a standby whose log was {how} was promoted"))
    pair.kill("b")
    pair.start_member("a")
    desk.connect_again()
    desk.order("buy", 1, -3)


def _serves(pair: PairLab) -> bool:
    return pair.role("b") == "primary"


def _says(pair: PairLab, place: int) -> bool:
    """In its words, or its primary's, with the number of the record."""
    said = pair.members["b"].instance.err.read_text(errors="replace") + pair.members["a"].instance.err.read_text(
        errors="replace"
    )
    return f"record {place}" in said


def _last_file(log_dir: Path) -> Path:
    return sorted(path for path in log_dir.iterdir() if f.NAME.fullmatch(path.name))[-1]


def _rows(path: Path) -> tuple[bytearray, np.ndarray[tuple[int, int], np.dtype[np.uint8]], int]:
    """The file's bytes, its records as rows, and the number of the first of them."""
    content = bytearray(path.read_bytes())
    count = (len(content) - f.HEADER_BYTES) // f.RECORD_BYTES
    rows = np.frombuffer(bytes(content), np.uint8, count * f.RECORD_BYTES, f.HEADER_BYTES).reshape(count, -1)
    used = rows[: int(rows.any(axis=1).sum())]
    return content, used, int(used[:, :8].copy().view("<u8")[0, 0])


def _damage(log_dir: Path) -> int:
    """A byte of a record in the middle is another; the number of that record."""
    path = _last_file(log_dir)
    content, used, first = _rows(path)
    at = len(used) // 2
    content[f.HEADER_BYTES + at * f.RECORD_BYTES + 100] ^= 0xFF
    path.write_bytes(content)
    return first + at


def _diverge(log_dir: Path) -> int:
    """From a command in the middle on it is another history, sound in itself; the number of that record."""
    path = _last_file(log_dir)
    content, used, first = _rows(path)
    records = used.view(f.RECORD)[:, 0]
    at = int(np.flatnonzero((records["kind"] == f.Kind.COMMAND) & (np.arange(len(records)) >= len(records) // 2))[0])
    changed = used.copy()
    changed.view(f.RECORD)[at, 0]["received_ns"] += 1
    changed.view(f.RECORD)[at, 0]["time_ns"] += 1
    before = int(records["running_hash"][at - 1])
    changed[at:] = f.seal(changed[at:], before)
    begin = f.HEADER_BYTES
    content[begin : begin + changed.size] = changed.tobytes()
    path.write_bytes(content)
    return first + at


@pytest.mark.clause("D06.A3")
@pytest.mark.needs("restart")
def test_without_a_standby_a_restart_is_where_the_log_ends(pair: PairLab) -> None:
    """Killed with its standby and started alone: book, ClOrdIDs and sessions are those of the last record."""
    desk, other = Desk(pair, pair.accounts[3]), Desk(pair, pair.accounts[4])
    queue = [desk.order("sell", 3, 0), other.order("sell", 4, 0)]
    gone = desk.order("sell", 9, -1)
    desk.cancel(gone, "sell")
    for name in ("b", "a"):
        pair.kill(name, wipe=pair.durability == "fsync")
    shutil.rmtree(pair.members["b"].folder)
    try:
        pair.start_member("a")
    except HookFailed as error:
        violate(pair, Breach("D06.A3", f"it was killed, has its log and does not start: {error}"))
    after = Desk(pair, pair.accounts[5], "after.")
    sweep = after.order("buy", 7, 0)
    for again in (desk, other):
        again.connect_again()
    desk.order("sell", 1, 5, cl=queue[0], wait=False)
    settled(pair, (desk, other, after))
    pair.members["a"].wait_logged({sweep})
    time.sleep(0.2)
    pair.end()
    _, logged, breaches = judged_log(pair, "everything was killed and started again without a standby")
    judge(pair, breaches)
    step = next(s for s in logged if s.cl == sweep)
    met = [(e.other, e.quantity) for e in step.events if e.other]
    if met != [(queue[0], 3), (queue[1], 4)]:
        text = "after a cold start the book is another"
        violate(pair, Breach("D06.A3", text, tuple(queue), tuple(map(str, met)), frozenset((sweep, *queue))))
    if sum(s.accepted for s in read_steps(pair)[1] if s.cl == queue[0]) > 1:
        violate(pair, Breach("D06.A3", f"after a cold start {queue[0]} could be used again", about=frozenset(queue)))
