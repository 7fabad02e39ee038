"""Profiles of engines that are reached over FIX: what is read, and what is said of a mistake, with its line."""

from __future__ import annotations

import pytest

from matchmark.conformance.targets.open import from_profile
from matchmark.conformance.targets.profile import Profile, ProfileError, load
from matchmark.conformance.venue import Venue

GOOD = """[target]
name = "venue"
version = "3"
adapter = "fix"
capabilities = ["limit", "market", "ioc", "cancel", "multi_symbol", "accounts", "fix", "jwt", "risk_checks", "balances",
    "audit_log", "async_durability"]

[order_entry]
host = "127.0.0.1"
port = 9878
target_comp_id = "VENUE"
accounts = ["A", "B", "C", "D", "E"]
logon_fields = { 554 = "{token}" }

[order_entry.limits]
symbols = "LIM{n}"
symbol_count = 10
accounts = "POOR{n}"
account_count = 4
max_lots = 1000
collar_bps = 500
reference_price = "100.00"
cash = "100000.00"
position = 100

[instruments]
pattern = "X{n}"
first = 1
count = 2000
tick_size = "0.01"
isolation = "symbol"

[audit_log]
durability = "async"

[hooks]
start = ["engine", "--data", "{folder}", "--port", "{port}"]
token = ["engine", "token", "{account}"]
"""


def loaded(tmp_path, text: str = GOOD) -> Profile:
    path = tmp_path / "target.toml"
    path.write_text(text)
    return load(path, environ={})


def test_the_suites_trade_their_own_symbols_and_the_profile_keeps_the_targets(tmp_path):
    profile = loaded(tmp_path)
    assert profile.info.instruments.symbols == tuple(f"S{n}" for n in range(16))
    assert len(profile.symbols) == 2000
    assert profile.symbols[:2] == ("X1", "X2")


@pytest.mark.parametrize(
    ("old", "new", "line", "complaint"),
    [
        ('"fix", "jwt"', '"jwt"', 5, 'lacks "fix"'),
        ('"accounts",', '"accounts", "top",', 5, "top is not told over FIX"),
        ('accounts = ["A", "B", "C", "D", "E"]\n', "", 8, "lacks accounts"),
        ('["A", "B", "C", "D", "E"]', '["A", "B", "C"]', 12, "has 3; the suites need 5"),
        ('["A", "B", "C", "D", "E"]', '["A", "B", "C", "C", "E"]', 12, "must be different"),
        ("port = 9878", "port = 98780", 10, "from 1 to 65535"),
        ("port = 9878", "prot = 9878", 10, "unknown key, did you mean 'port'?"),
        ("port = 9878", 'port = 9878\nbegin_string = "FIX.4.1"', 11, 'speaks "FIX.4.4"'),
        ("port = 9878", 'port = 9878\nsender_comp_id = "KIT"', 11, "must contain {account}"),
        ("port = 9878", "port = 9878\nheartbeat_s = -1", 11, "from 0 to 3600"),
        ('{ 554 = "{token}" }', '{ Password = "x" }', 13, "must map tags to text"),
        ('token = ["engine", "token", "{account}"]\n', "", 13, "asks for {token}"),
        ('symbols = "LIM{n}"', 'symbols = "LIM"', 16, "must contain {n} once"),
        ("max_lots = 1000\n", "", 15, "lacks max_lots"),
        ("max_lots = 1000", "max_lot = 1000", 20, "unknown key of limits"),
        ('cash = "100000.00"', 'cash = "lots"', 23, "must be a decimal"),
        ("position = 100", "position = 0", 24, "at least 1"),
        ('tick_size = "0.01"', 'tick_size = "0"', 30, "must be a positive decimal"),
        ('isolation = "symbol"', 'isolation = "reset"', 31, "there is no reset"),
        ('durability = "async"', 'durability = "sync"', 34, "must be one of async"),
        ('durability = "async"', 'durability = "fsync"', 5, 'lack "fsync_durability"'),
        ('"{folder}"', '"{directory}"', 37, "unknown placeholder {directory}"),
        ('start = ["engine", "--data", "{folder}", "--port", "{port}"]', "start = []", 37, "list of words"),
    ],
)
def test_what_is_wrong_is_named_with_its_line_and_the_fix(tmp_path, old, new, line, complaint):
    assert old in GOOD
    with pytest.raises(ProfileError) as caught:
        loaded(tmp_path, GOOD.replace(old, new, 1))
    assert complaint in str(caught.value)
    assert f"target.toml:{line}: " in str(caught.value)


def test_without_a_start_hook_the_profile_must_say_where_the_engine_is(tmp_path):
    text = GOOD.replace('host = "127.0.0.1"\n', "").replace("port = 9878\n", "")
    assert loaded(tmp_path, text).tables["order_entry"].get("host") is None
    with pytest.raises(ProfileError, match=r"\[order_entry\]: lacks host"):
        loaded(tmp_path, text.replace('start = ["engine", "--data", "{folder}", "--port", "{port}"]\n', ""))


def test_a_target_that_declares_risk_checks_must_say_its_limits(tmp_path):
    start, end = GOOD.index("[order_entry.limits]"), GOOD.index("[instruments]")
    with pytest.raises(ProfileError, match=r"lacks \[order_entry.limits\]"):
        loaded(tmp_path, GOOD[:start] + GOOD[end:])


def test_the_values_that_ask_for_self_match_prevention_are_the_profiles(tmp_path):
    with_tag = GOOD.replace("[order_entry]\n", "[order_entry]\nsmp_tag = 8000\n")
    assert Venue(loaded(tmp_path)).smp is None
    assert Venue(loaded(tmp_path, with_tag)).smp == (8000, {"cancel_newest": "1", "cancel_oldest": "2"})
    named = with_tag.replace("8000\n", '8000\nsmp_newest = "N"\nsmp_oldest = "O"\n')
    assert Venue(loaded(tmp_path, named)).smp == (8000, {"cancel_newest": "N", "cancel_oldest": "O"})
    with pytest.raises(ProfileError, match="smp_oldest"):
        loaded(tmp_path, with_tag.replace("8000\n", '8000\nsmp_oldest = "1"\n'))


def test_a_version_for_loads_alone_is_refused_by_the_suites(tmp_path):
    profile = loaded(tmp_path, GOOD.replace("port = 9878", 'port = 9878\nbegin_string = "FIX.4.2"'))
    with pytest.raises(ProfileError, match="matchmark load"):
        from_profile(profile)
