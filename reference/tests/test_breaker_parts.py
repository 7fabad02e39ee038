"""What the breaker stands on: its clock, its configuration, what an operator may say."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from matchmark.native.pipeline import now_ns
from matchmark.reference.breaker import SECOND_NS, Rules
from matchmark.reference.clock import Clock
from matchmark.reference.config import load
from matchmark.reference.config_text import ConfigError
from matchmark.reference.operators import Answer, Refused, Request, operator_of
from matchmark.reference.tokens import Keys

S = SECOND_NS
SYMBOLS = '[[symbols]]\npattern = "A{n}"\ncount = 3\n[[symbols]]\nname = "B"\n'


def configured(tmp_path: Path, breaker: str, **flags: object) -> object:
    path = tmp_path / "serve.toml"
    path.write_text(f"{SYMBOLS}[breaker]\n{breaker}\n")
    return load({"config": path, **flags}, {}).breaker


# --- clock ---


def test_a_clock_without_a_file_is_the_machines() -> None:
    clock = Clock()
    clock.refresh()
    assert abs(clock.monotonic_ns() - now_ns()) < S and abs(clock.wall_ns() - time.time_ns()) < S
    assert clock.ahead(time.time_ns()) == (0, 0)


def test_a_trade_has_the_time_of_when_it_was_made(tmp_path: Path) -> None:
    path = tmp_path / "clock"
    path.write_text(f"{100 * S} {60 * S} 0\n{200 * S} {180 * S} {-5 * S}\n")
    clock = Clock(path)
    clock.refresh()
    assert [clock.ahead(at * S) for at in (99, 100, 199, 200, 10**6)] == [
        (0, 0), (60 * S, 0), (60 * S, 0), (180 * S, -5 * S), (180 * S, -5 * S),
    ]  # fmt: skip
    assert clock.monotonic_ns() - now_ns() > 179 * S


def test_what_is_added_to_the_file_is_read(tmp_path: Path) -> None:
    clock = Clock(tmp_path / "clock")
    clock.refresh()
    assert clock.ahead(2 * S) == (0, 0), "the file need not be there"
    (tmp_path / "clock").write_text(f"{S} {S} {S}\n")
    clock.refresh()
    assert clock.ahead(2 * S) == (S, S)


# --- configuration ---


def test_nothing_is_watched_that_is_not_named(tmp_path: Path) -> None:
    settings = load({}, {}).breaker
    assert settings.symbols == () and settings.rules == Rules() and settings.over_rate == "reject"
    assert configured(tmp_path, 'symbols = ["B", "A{n}"]').symbols == (3, 0, 1, 2)  # type: ignore[attr-defined]
    assert configured(tmp_path, 'symbols = ["*"]').symbols == (0, 1, 2, 3)  # type: ignore[attr-defined]


def test_rules_are_as_they_are_written(tmp_path: Path) -> None:
    settings = configured(
        tmp_path, "window_s = 60\ninterval_s = 0.5\nwarn_percent = 2.25\nhalt_percent = 4\nrate_per_s = 7"
    )
    assert settings.rules == Rules(60 * S, S // 2, 225, 400)  # type: ignore[attr-defined]
    assert settings.rate_per_s == 7  # type: ignore[attr-defined]


def test_a_flag_goes_before_the_file(tmp_path: Path) -> None:
    assert configured(tmp_path, 'over_rate = "reject"', over_rate="defer").over_rate == "defer"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("breaker", "words"),
    [
        ('symbols = ["C"]', "'C' is neither a symbol nor a pattern"),
        ('symbols = "B"', "symbols is a list"),
        ("warn_percent = 11", "0 < warn_percent <= halt_percent"),
        ("warn_percent = 0", "0 < warn_percent <= halt_percent"),
        ("warn_percent = 5.001", "at most two decimals"),
        ("window_s = 0.5", "interval_s <= window_s"),
        ('over_rate = "drop"', "write one of reject, defer"),
        ("rate_per_s = -1", "rate_per_s"),
        ("rate = 5", "rate"),
    ],
)
def test_slips_are_named(tmp_path: Path, breaker: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        configured(tmp_path, breaker)


# --- operators ---


def test_a_request_is_what_was_said_and_nothing_else() -> None:
    request = Request("halt", "S", "why", "t")
    assert Request.of(request.line()) == request
    assert Request.of(b"{}") == Request()
    for line in (b"[]", b'{"symbol": 5}', b"nonsense", b""):
        with pytest.raises(ValueError):
            Request.of(line)
    assert Answer(200, {"a": 1}).line() == b'{"code": 200, "body": {"a": 1}}\n'


def test_only_an_operators_token_of_ours_is_an_operators(tmp_path: Path) -> None:
    keys, others = Keys(tmp_path / "keys"), Keys(tmp_path / "others")
    for algorithm in ("HS256", "EdDSA"):
        assert operator_of(keys, keys.issue("OPS", 60, "operator", algorithm)).account == "OPS"  # type: ignore[arg-type]
    for token, why, who in (
        (keys.issue("ACC1", 60), "not an operator's token", "ACC1"),
        (others.issue("OPS", 60, "operator"), "invalid token", "unknown"),
        ("", "no token", "unknown"),
        ("a.b.c", "invalid token", "unknown"),
        ("\u00fc", "invalid token", "unknown"),
    ):
        with pytest.raises(Refused, match=why) as refused:
            operator_of(keys, token)
        assert refused.value.who == who
