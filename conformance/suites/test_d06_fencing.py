"""Diagrams 6 and 11: a primary that is not dead but was replaced, one whose engine hangs, and storage that cannot say who may be
primary. Never do two acknowledge."""

from __future__ import annotations

import contextlib
import time

import pytest

from matchmark.conformance.checks.audit_ledger import Breach
from matchmark.conformance.fix.client import FixClient
from matchmark.conformance.fix.message import FixError
from matchmark.conformance.hooks import HookFailed, waited
from matchmark.conformance.lab_fixtures import judge, violate
from matchmark.conformance.lab_load import Load
from matchmark.conformance.pair_lab import PairLab
from matchmark.conformance.plugin import CERTIFICATION
from matchmark.conformance.suites._availability import answers, heard, judged_log, settled, taken_over
from matchmark.conformance.suites._durability import Desk
from matchmark.conformance.verdict import Verdict

pytestmark = pytest.mark.needs("standby", "audit_log")

WAKES_S = 1.0
"""So long a primary that was replaced has to say something."""
NOBODY_S = 4.0
"""So many times the timeout nobody may become primary."""


@pytest.mark.clause("D06.X1", "D06.X7", "D11.7", "D06.X2")
@pytest.mark.needs("fix")
def test_a_primary_that_wakes_up_replaced_does_nothing(pair: PairLab) -> None:
    """It stands still for longer than its lease, with an order in its ear; another is primary when it goes on."""
    zombie, other = Desk(pair, pair.accounts[3], "zombie."), Desk(pair, pair.accounts[4])
    rest = other.order("sell", 2, 0)
    pair.quiet()
    with pair.paused("a"):
        paused = time.monotonic()
        written = pair.read_log("a").records.tobytes()
        since = len(zombie.client.stream)
        late = zombie.order("buy", 1, 0, wait=False)
        taken_over(pair, "b", "D11.5", "the primary stood still")
        if time.monotonic() - paused < 0.9 * pair.heartbeat_s:
            violate(pair, Breach("D11.7", "another was primary before the old one's right to acknowledge had run out"))
        new = Desk(pair, pair.accounts[5], "new.")
        new.order("buy", 1, 0)
        time.sleep(0.2)
    old = zombie.client
    heard(old, WAKES_S)
    if said := answers(old, since):
        text = "a primary that had been replaced woke up and answered an order"
        violate(pair, Breach("D06.X1", text, (), tuple(said[:3]), frozenset((late,))))
    if pair.read_log("a").records.tobytes() != written:
        violate(pair, Breach("D06.X1", "a primary that had been replaced woke up and wrote records to its log"))
    old.close()
    pair.kill("a")
    zombie.connect_again()
    settled(pair, (zombie, new, other))
    pair.quiet()
    pair.end()
    _, _, breaches = judged_log(pair, "the primary stood still and was replaced")
    judge(pair, breaches)
    if not pair.ledger.entries[rest].fills:
        violate(
            pair, Breach("D11.12", "an order of before the failover did not trade after it", about=frozenset((rest,)))
        )


@pytest.mark.clause("D06.X7", "D11.7")
def test_a_primary_cut_off_from_standby_and_storage_stops_in_time(pair: PairLab) -> None:
    """What keeps its lease and speaks to the standby stands still; its engine and its gateway do not, and orders come in."""
    role = "cluster" if "cluster" in pair.status().get("pids", {}) else ""
    with Load(pair, pair.accounts[:2], "cut-") as load:
        load.wait_sent(40)
        with pair.paused("a", role):
            taken_over(pair, "b", "D11.5", "the primary was cut off")
            new = Desk(pair, pair.accounts[5], "new.")
            cl = new.order("buy", 1, -3)
            first_ns = pair.ledger.entries[cl].acknowledged_ns
            time.sleep(pair.heartbeat_s)
        load.wait_sent(20)
        load.stop()
        load.settle()
    port = pair.members["a"].ready["fix"]["port"]
    for _, client in pair.clients:
        late = [
            str(line.message) for line in client.stream
            if client.endpoint.port == port and not line.sent and line.message.type in "89"
            and line.message.at_ns > first_ns
        ]  # fmt: skip
        if late:
            text = "a primary that was cut off acknowledged orders after another had taken over"
            violate(pair, Breach("D06.X7", text, (), tuple(late[:3])))
    pair.quiet()
    pair.kill("a")
    pair.end()
    judge(pair, judged_log(pair, "the primary was cut off")[2])


@pytest.mark.clause("D11.4", "D11.5")
def test_an_engine_that_hangs_is_not_alive(pair: PairLab) -> None:
    """Its other processes go on. In idle times nobody takes over: there the engine goes round its loop as well."""
    time.sleep(4 * pair.heartbeat_s)
    if pair.role("b") == "primary":
        violate(pair, Breach("D11.4", "the exchange had nothing to do, and the standby took over"))
    desk = Desk(pair, pair.accounts[3])
    rest = desk.order("sell", 1, 0)
    with pair.paused("a", "engine"):
        taken_over(pair, "b", "D11.4", "the primary's engine hung")
        after = Desk(pair, pair.accounts[4], "after.")
        after.order("buy", 1, 0)
        pair.kill("a")
    desk.connect_again()
    settled(pair, (desk, after))
    pair.end()
    judge(pair, judged_log(pair, "the primary's engine hung")[2])
    if not pair.ledger.entries[rest].fills:
        violate(
            pair, Breach("D11.12", "an order of before the failover did not trade after it", about=frozenset((rest,)))
        )


@pytest.mark.clause("D11.X4", "D06.N2", "D06.X7", "D06.3")
@pytest.mark.needs("fix")
def test_a_standby_that_stood_still_stays_one_and_answers_nobody(pair: PairLab) -> None:
    desk = Desk(pair, pair.accounts[3])
    desk.order("buy", 1, -3)
    _answers_nobody(pair, "b", "D11.X4")
    with pair.paused("b"):
        time.sleep(4 * pair.heartbeat_s)
    time.sleep(2 * pair.heartbeat_s)
    if pair.role("b") == "primary" or pair.role("a") != "primary":
        violate(pair, Breach("D06.3", "a standby that had stood still took over from a primary that was alive"))
    desk.order("buy", 1, -3)
    with contextlib.suppress(HookFailed):
        pair.kill("a")
        _answers_nobody(pair, "b", "D06.N2")
    taken_over(pair, "b", "D11.5")


def _answers_nobody(pair: PairLab, name: str, clause: str) -> None:
    """Whoever logs on at a standby gets no session from it, and no order."""
    client = FixClient(pair.endpoint_of(name), pair.sender(pair.accounts[7]), pair.token(pair.accounts[7]))
    try:
        with contextlib.suppress(FixError, OSError):
            client.logon(timeout_s=0.5 * pair.heartbeat_s)
            if pair.role(name) != "primary":
                text = f"the standby {name} took a logon, and is not primary"
                violate(pair, Breach(clause, text, (), tuple(str(line.message) for line in client.stream)))
    finally:
        client.close()


@pytest.mark.clause("D06.X10")
@pytest.mark.parametrize("what", ["missing", "damaged", "too low"])
def test_without_a_sound_epoch_nobody_becomes_primary(pair: PairLab, what: str, request: pytest.FixtureRequest) -> None:
    old = {path: path.read_bytes() for path in pair.epoch_files()}
    if not old:
        reason = "the profile does not name the files that say who is primary: add [cluster] epoch_files"
        request.config.stash[CERTIFICATION].note(request.node, Verdict.INCONCLUSIVE, reason)
        pytest.skip(reason)
    desk = Desk(pair, pair.accounts[3])
    desk.order("buy", 1, -3)
    if what == "too low":
        pair.kill("a")
        taken_over(pair, "b")
        pair.start_member("a", standby=True)
        pair.quiet()
    primary, standby = pair.primary, pair.standby
    pids = pair.paused(primary), pair.paused(standby)
    with pids[0], pids[1]:
        for path in pair.epoch_files():
            if what == "missing":
                path.unlink()
            elif what == "damaged":
                path.write_bytes(bytes(255 - byte for byte in path.read_bytes()))
            else:
                path.unlink()
        if what == "too low":
            for path, content in old.items():
                path.write_bytes(content)
        pair.kill(primary)
    wall_ns = time.time_ns() - int(pair.heartbeat_s * 1e9)
    if waited(lambda: pair.role(standby) == "primary", NOBODY_S * pair.heartbeat_s, 0.02):
        violate(pair, Breach("D06.X10", f"the stored epoch was {what}, and the standby became primary"))
    reasons = [row for row in pair.alerts(standby) if int(row.get("time_ns", 0)) >= wall_ns]
    if not any("epoch" in f"{row.get('code')} {row.get('text')}" for row in reasons):
        text = f"the stored epoch was {what}, nobody became primary, and no alert says why"
        violate(pair, Breach("D06.X10", text, ("an alert that names the epoch",), tuple(map(str, reasons[-3:]))))
    pair.kill(standby)
    try:
        pair.start_member(primary)
    except HookFailed as refused:
        if "epoch" not in str(refused):
            violate(pair, Breach("D06.X10", f"it does not start, and does not say that it is the epoch: {refused}"))
    else:
        if pair.role(primary) == "primary":
            violate(pair, Breach("D06.X10", f"the stored epoch was {what}, and a member started as primary"))
