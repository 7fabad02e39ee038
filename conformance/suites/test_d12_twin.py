"""Diagram 12, the same over either carrier: what is asked over frames, however it is cut, is answered and logged as what is
asked over the kernel's sockets of an instance that is carried by the kernel. Each carrier of the target's in turn is held
against that yardstick."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest

from matchmark.conformance.fix.business import cancel
from matchmark.conformance.fix.client import FixClient
from matchmark.conformance.fix.message import SOH, Field, FixError, FixMessage
from matchmark.conformance.messages import Reset
from matchmark.conformance.packets.plan import Plan, cut
from matchmark.conformance.random_flow import FlowMaker
from matchmark.conformance.suites._sessions import PRICE_TICKS, order
from matchmark.conformance.suites._tokens import FORGERIES, expiry_s
from matchmark.conformance.suites._wire import ANSWERED_S, WireStage, message
from matchmark.conformance.suites._wire_twin import RUN, WireTarget, demand_same, differ, segmentation, story, told
from matchmark.conformance.targets.base import TargetDied, TargetHung
from matchmark.conformance.wire_fixtures import MakeWire
from matchmark.conformance.wire_venue import WireVenue

pytestmark = pytest.mark.needs("fix", "raw_frames")

COMMANDS = 150
FENCE_S = 5.0
SEGMENTS = [pytest.param([1 << 16], id="whole"), pytest.param([61, 7], id="cut")]
Answers = list[tuple[str, list[str]]]


@pytest.mark.clause("D12.X1")
@pytest.mark.needs("audit_log")
@pytest.mark.parametrize("seed", ["first", "second"])
def test_the_same_commands_give_the_same_reports_and_the_same_log(make_wire: MakeWire, carrier: str, seed: str) -> None:
    """Some hundred commands of three accounts, good and bad; over frames each is cut, doubled or swapped as the seed says."""
    yardstick = make_wire("kernel", run=RUN, start=False)
    flow = FlowMaker(random.Random(seed), yardstick.profile.info.capabilities).flow(COMMANDS)
    flow = [command for command in flow if not isinstance(command, Reset)]
    with yardstick.ordinary():
        target = WireTarget(yardstick)
        target.start()
        wanted = [target.said(command) for command in flow]
        wanted_log = _log(yardstick)
    subject = make_wire(carrier, run=RUN, start=False, background=True)
    target = WireTarget(subject)
    target.start()
    subject.plans = segmentation(seed)
    for number, command in enumerate(flow):
        try:
            said = target.said(command)
        except (TargetDied, TargetHung) as error:
            said = [str(error)]
        if said != wanted[number]:
            differ("D12.X1", f"command {number + 1} is answered otherwise: {command}", wanted[number], said, subject)
    demand_same("D12.X1", "a command in the audit log, with its events", wanted_log, _log(subject), subject)


def _log(venue: WireVenue) -> list[dict[str, Any]]:
    """All that was logged, behind an order of the kit's own that ends it."""
    client = venue.session(venue.accounts[4 % len(venue.accounts)], 9)
    cl = venue.new_cl()
    client.send("D", order(venue, venue.fresh_symbol(), cl, "buy", 1, PRICE_TICKS))
    client.expect(lambda m: m.type == "8" and m.get(11) == cl, ANSWERED_S)
    return [story(step) for step in venue.logged(cl)]


# --- messages ---


@pytest.mark.clause("D12.5")
@pytest.mark.parametrize("sizes", SEGMENTS)
def test_each_message_good_or_bad_is_answered_as_on_the_other_carrier(
    make_wire: MakeWire, carrier: str, sizes: list[int]
) -> None:
    """Each on a session of its own, over the yardstick and over frames."""
    _compare(make_wire, carrier, "D12.5", sizes, _say_all)


Shape = Callable[[bytes, FixClient], bytes]


def _resealed(raw: bytes, old: bytes, new: bytes) -> bytes:
    """With one field changed, BodyLength and CheckSum made right again."""
    head, _, rest = raw.partition(b"\x0135=")
    body = (b"35=" + rest).rpartition(b"10=")[0].replace(old, new, 1)
    front = head.partition(b"\x019=")[0] + b"\x019=" + str(len(body)).encode() + SOH + body
    return front + f"10={sum(front) & 255:03d}".encode() + SOH


def _field(tag: int, value: str | None) -> Shape:
    def change(raw: bytes, client: FixClient) -> bytes:
        at = raw.index(f"\x01{tag}=".encode()) + 1
        old = raw[at : raw.index(SOH, at) + 1]
        return _resealed(raw, old, b"" if value is None else f"{tag}={value}\x01".encode())

    return change


def _more(text: bytes) -> Shape:
    return lambda raw, client: _resealed(raw, b"\x0159=", SOH + text + b"\x0159=")


SHAPES: dict[str, Shape] = {
    "as it should be": lambda raw, client: raw,
    "a wrong CheckSum": lambda raw, client: raw[:-4] + f"{(int(raw[-4:-1]) + 1) % 256:03d}".encode() + SOH,
    "a CheckSum of two digits": lambda raw, client: raw[:-4] + b"07" + SOH,
    "a BodyLength one too long": lambda raw, client: _length(raw, 1),
    "a BodyLength one too short": lambda raw, client: _length(raw, -1),
    "BodyLength not second": lambda raw, client: raw.replace(b"\x019=", b"\x0149=X\x019=", 1),
    "noise before it": lambda raw, client: b"noise\x01" + raw,
    "a FIX version that is another": lambda raw, client: _resealed(
        raw.replace(b"FIX.4.4", b"FIX.4.2"), b"35=D", b"35=D"
    ),
    "no MsgSeqNum": _field(34, None),
    "another SenderCompID": _field(49, "SOMEBODY"),
    "no SendingTime": _field(52, None),
    "an old SendingTime": _field(52, "20010101-00:00:00.000"),
    "no Symbol": _field(55, None),
    "an unknown Symbol": _field(55, "NOSUCHSYMBOL"),
    "no Side": _field(54, None),
    "a Side of no order": _field(54, "9"),
    "a quantity of nought": _field(38, "0"),
    "a negative quantity": _field(38, "-5"),
    "a quantity that is no number": _field(38, "ten"),
    "a price with too many decimals": _field(44, "100.00000001"),
    "a negative price": _field(44, "-1.00"),
    "a time in force that is not offered": _field(59, "6"),
    "immediate or cancel": _field(59, "3"),
    "a tag twice": _more(b"54=1"),
    "an empty field": _more(b"58="),
    "a tag of nought": _more(b"0=1"),
    "a tag that is no number": _more(b"ab=1"),
    "a tag of its own": _more(b"20001=hello"),
    "a long text": _more(b"58=" + b"x" * 900),
    "a longer text than a segment": _more(b"58=" + b"y" * 3000),
    "data with a delimiter in it": _more(b"354=7\x01355=a\x01b=c\x01d"),
    "an unknown MsgType": _field(35, "U9"),
}


def _length(raw: bytes, by: int) -> bytes:
    at = raw.index(b"\x019=") + 3
    end = raw.index(SOH, at)
    front = raw[:at] + str(int(raw[at:end]) + by).encode() + raw[end : raw.rindex(b"10=")]
    return front + f"10={sum(front) & 255:03d}".encode() + SOH


def _say_all(s: WireStage, plan: Callable[[int], Plan] | None) -> Answers:
    return [(name, _say(s, shape, plan)) for name, shape in SHAPES.items()]


def _say(s: WireStage, shape: Shape, plan: Callable[[int], Plan] | None) -> list[str]:
    """What one message is answered, up to the answer to a request behind it that changes nothing, or to the end of the
    connection."""
    client = s.peer()
    raw = message(client, "D", order(s.venue, s.on, s.venue.new_cl(), "buy", 3, PRICE_TICKS))
    s.deliver(client, shape(raw, client), plan)
    fence = _fence(s, client)
    heard: list[FixMessage] = []
    with suppress(FixError):
        while True:
            m = client.expect(lambda _: True, FENCE_S)
            if m.get(11) == fence.get(11) or (m.type in "3j" and m.get(45) == fence.get(34)):
                break
            if m.type in "01":
                continue
            heard.append(m)
            if m.type == "2":  # the message used up no number, or nobody could read which
                client.send("4", [(123, "Y"), (36, str(client.next_out))], seq=int(m.need(7)), poss_dup=True)
                fence = _fence(s, client)
            if m.type == "5":
                client.send("5", ())
                client.wait_closed(FENCE_S)
    ended = [] if client.connected else ["closed"]
    client.close()
    return told(heard) + ended


def _fence(s: WireStage, client: FixClient) -> FixMessage:
    """A cancel of what never was."""
    return client.send("F", cancel(s.on, s.venue.new_cl(), "ghost", "buy"))


# --- checks ---


@pytest.mark.clause("D12.6")
@pytest.mark.needs("jwt", "risk_checks")
@pytest.mark.parametrize("sizes", SEGMENTS)
def test_tokens_and_limits_are_checked_on_each_connection_as_on_the_other_carrier(
    make_wire: MakeWire, carrier: str, sizes: list[int]
) -> None:
    """Forged, expired and foreign tokens; size and collar at the limit and beyond; an account without the money. Beside each
    refusal another connection trades."""
    _compare(make_wire, carrier, "D12.6", sizes, _check_all)


def _check_all(s: WireStage, plan: Callable[[int], Plan] | None) -> Answers:
    beside = s.peer(account=s.venue.accounts[2])
    found: Answers = []
    for name, said in [*_tokens(s), *_limits(s, plan), *_purse(s, plan)]:
        found.append((name, said))
        s.exchange(beside, 1, plan)
    return found


def _tokens(s: WireStage) -> Answers:
    good = s.venue.token_of(s.account)
    tokens = {name: forge(good) for name, forge in FORGERIES.items()}
    tokens["of-another-account"] = s.venue.token_of(s.venue.accounts[0])
    found: Answers = []
    owner = s.peer()
    owner.logout()
    for name, token in tokens.items():
        sender = owner.sender_comp_id if name == "of-another-account" else None
        client = s.stranger(sender=sender, token=token)
        said = s.log_on_and(client, order(s.venue, s.on, s.venue.new_cl(), "buy", 1, PRICE_TICKS))
        found.append((f"token {name}", [*told(said), "closed"]))
    short = s.venue.token(s.account, ttl_s=1)
    found.append(("token expired", [*told(_expired(s, short)), "closed"]))
    return found


def _expired(s: WireStage, token: str) -> list[FixMessage]:
    while time.time() < expiry_s(token) + 1:
        time.sleep(0.05)
    return s.log_on_and(s.stranger(token=token), order(s.venue, s.on, s.venue.new_cl(), "buy", 1, PRICE_TICKS))


def _limits(s: WireStage, plan: Callable[[int], Plan] | None) -> Answers:
    limits = s.venue.limits
    if limits is None or limits.max_lots is None or limits.reference_price is None or limits.collar_bps is None:
        return []
    on = limits.fresh_symbol()
    mid = int(limits.reference_price / on.tick_size)
    reach = mid * limits.collar_bps // 10_000
    orders = [
        ("as many lots as may be", limits.max_lots, mid - 5),
        ("one lot too many", limits.max_lots + 1, mid - 5),
        ("ten times too many", limits.max_lots * 10, mid - 5),
        ("a price within the collar", 1, mid - reach + 2),
        ("a price below the collar", 1, mid - reach - 2),
        ("a price above the collar", 1, mid + reach + 2),
    ]
    client = s.peer()
    return [
        (name, _one(s, client, order(s.venue, on, s.venue.new_cl(), "buy", lots, px), plan))
        for name, lots, px in orders
    ]


def _purse(s: WireStage, plan: Callable[[int], Plan] | None) -> Answers:
    limits = s.venue.limits
    if "balances" not in s.venue.profile.info.capabilities or limits is None or limits.cash is None:
        return []
    on, account = limits.fresh_symbol(), limits.fresh_account()
    mid = int((limits.reference_price or 100) / on.tick_size)
    lots = min(limits.max_lots or 1, int(limits.cash / (mid * on.tick_size * on.lot_size)) // 2 + 1)
    client = s.peer(account=account)
    found = []
    for n in range(4):  # the money is enough for less than two of them
        found.append(
            (
                f"order {n + 1} of {lots} lots",
                _one(s, client, order(s.venue, on, s.venue.new_cl(), "buy", lots, mid), plan),
            )
        )
    return found


def _one(s: WireStage, client: FixClient, fields: Sequence[Field], plan: Callable[[int], Plan] | None) -> list[str]:
    """What an order is answered first."""
    s.deliver(client, message(client, "D", fields), plan)
    cl = dict(fields)[11]
    return told([client.expect(lambda m: m.type in "8j3" and m.get(11, cl) == cl, ANSWERED_S)])


# --- the queue ---


@pytest.mark.clause("D12.7")
def test_every_order_of_a_flood_is_in_the_queue_once_in_the_order_of_its_connection(
    make_wire: MakeWire, carrier: str
) -> None:
    """Six thousand orders of three sessions as fast as TCP takes them, more than rings commonly hold: where the queue is
    full they wait."""
    wire = make_wire(carrier)
    with WireStage(wire, "D12.7", "a flood of orders") as s:
        clients = [s.peer(account=wire.accounts[n]) for n in range(3)]
        batches = [s.tickets(2000) for _ in clients]
        streams = [s.write(client, tickets) for client, tickets in zip(clients, batches, strict=True)]
        for at in range(0, max(map(len, streams)), 14_600):
            for client, stream in zip(clients, streams, strict=True):
                if part := stream[at : at + 14_600]:
                    wire.raw(client).send(part, wait=False, timeout_s=ANSWERED_S)
        for client, tickets in zip(clients, batches, strict=True):
            s.acknowledged(client, tickets, within_s=3 * ANSWERED_S)
            s.quiet(client)
        s.once_in_order(*batches)


# --- both ---

Scene = Callable[[WireStage, Callable[[int], Plan] | None], Answers]


def _compare(make_wire: MakeWire, carrier: str, clause: str, sizes: list[int], scene: Scene) -> None:
    """The yardstick's answers, and those over frames in segments of these sizes."""
    yardstick = make_wire("kernel", run=RUN)
    with yardstick.ordinary(), WireStage(yardstick, clause, "the yardstick") as s:
        wanted = scene(s, None)
    yardstick.close()
    subject = make_wire(carrier, run=RUN)
    with WireStage(subject, clause, "messages over frames") as s:
        got = scene(s, lambda length: cut(length, sizes))
    for (name, on_yardstick), (_, over_frames) in zip(wanted, got, strict=True):
        if on_yardstick != over_frames:
            differ(clause, f"{name}: the answer is not that of the other carrier", on_yardstick, over_frames, subject)
