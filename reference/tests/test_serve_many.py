"""2,000 sessions at once: all logged on, each trades once with its partner, each gets its own answers and nothing else."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .crowd import Crowd, Member, all_of
from .serving import SMALL, Serve

Make = Callable[..., Serve]

SESSIONS = 2000
CONFIG = (
    SMALL.replace("max_connections = 64", "max_connections = 2300")
    .replace("max_sessions = 256", "max_sessions = 4096")
    .replace("store_capacity = 65536", "store_capacity = 1024")
    .replace("store_journal_bytes = 65536", "store_journal_bytes = 4096")
    + f"""
[[symbols]]
pattern = "S{{n}}"
count = {SESSIONS // 2}
[[accounts]]
pattern = "T{{n}}"
count = {SESSIONS}
cash = 10000000
position_each = 10000
"""
)


@pytest.fixture(autouse=True)
def descriptors() -> Iterator[None]:
    """As many as this user may have: the clients are all in this process."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def logged_on(x: Serve, n: int) -> Crowd:
    crowd = Crowd(x.ready["fix"]["port"])
    for number in range(1, n + 1):
        member = Member(f"T{number}-1", x.token(f"T{number}"))
        crowd.join(member, member.logon())
    assert crowd.drive(all_of(crowd.members, lambda m: m.logged_on)), sum(m.logged_on for m in crowd.members)
    return crowd


def terms(number: int) -> tuple[str, int, str]:
    """Symbol, lots and price of a pair: another for each."""
    return f"S{number}", number, f"{100 + number % 50}.{number % 100:02d}"


def essence(report: dict[int, str]) -> tuple[Any, ...]:
    return tuple(report.get(tag) for tag in (150, 39, 11, 1, 55, 54, 38, 44, 32, 31, 14, 151))


def expected(number: int, side: int) -> list[tuple[Any, ...]]:
    symbol, lots, price = terms(number)
    account = number if side == 1 else number + SESSIONS // 2
    who = (f"o{account}", f"T{account}", symbol, str(side), str(lots), price)
    return [
        ("0", "0", *who, None, None, "0", str(lots)),
        ("F", "2", *who, str(lots), price, str(lots), "0"),
    ]


def test_two_thousand_sessions_trade_at_once_and_each_gets_its_own_answers(serving: Make) -> None:
    x = serving(CONFIG)
    gateway = x.start()["pids"]["gateway"]
    crowd = logged_on(x, SESSIONS)
    try:
        at_rest = resident_mb(gateway)
        for side, half in ((1, crowd.members[: SESSIONS // 2]), (2, crowd.members[SESSIONS // 2 :])):
            for number, member in enumerate(half, 1):
                symbol, lots, price = terms(number)
                crowd.send(member, member.order(f"o{member.sender[1:-2]}", symbol, side, lots, price))
            assert crowd.drive(all_of(half, lambda m: bool(m.said) or m.cut))
        assert crowd.drive(all_of(crowd.members, lambda m: len(m.said) >= 2 or m.cut))
        crowd.drive(lambda: False, 0.3)  # nothing more comes
        for side, half in ((1, crowd.members[: SESSIONS // 2]), (2, crowd.members[SESSIONS // 2 :])):
            for number, member in enumerate(half, 1):
                assert [essence(report) for report in member.said] == expected(number, side), member.sender
        status = x.status()
        assert status["counters"]["logons"] == SESSIONS and status["counters"]["orders"] == SESSIONS
        assert set(status["restarts"].values()) == {0}
        # A session's connection takes 17 kB, its store and its output what was used of them.
        assert resident_mb(gateway) - at_rest < 100 and at_rest < 400, (at_rest, resident_mb(gateway))
    finally:
        crowd.close()
    assert x.stop() == 0
