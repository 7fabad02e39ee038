"""Target profiles: what is right loads, what is wrong is an error with the line and the fix."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from matchmark.conformance import services
from matchmark.conformance.commands.init import profile_text
from matchmark.conformance.hooks import Instance
from matchmark.conformance.targets.base import PRICE_MAX_TICKS, TargetUnavailable
from matchmark.conformance.targets.open import UnknownTarget, open_target
from matchmark.conformance.targets.profile import Profile, ProfileError, load

GOOD = """\
[target]
name = "engine"
version = "1.2"
adapter = "subprocess"
capabilities = ["limit", "market", "ioc", "cancel"]

[subprocess]
command = ["./engine", "--fast"]

[instruments]
symbols = ["AAPL", "MSFT"]
price_max_ticks = 1_000_000

[timing]
answer_timeout_s = 2.5
"""


def loaded(tmp_path: Path, text: str, *overrides: str, **environ: str) -> Profile:
    path = tmp_path / "target.toml"
    path.write_text(text)
    return load(path, overrides, environ)


def test_a_good_profile_says_all_that_it_says(tmp_path):
    profile = loaded(tmp_path, GOOD)
    assert profile.info.name == "engine"
    assert profile.info.version == "1.2"
    assert profile.info.capabilities == {"limit", "market", "ioc", "cancel"}
    assert profile.info.instruments.symbols == ("AAPL", "MSFT")
    assert profile.info.instruments.price_max_ticks == 1_000_000
    assert profile.answer_timeout_s == 2.5
    assert profile.tables["subprocess"]["command"] == ["./engine", "--fast"]


def test_instruments_default_to_sixteen_symbols_and_the_largest_numbers(tmp_path):
    text = GOOD[: GOOD.index("[instruments]")]
    instruments = loaded(tmp_path, text).info.instruments
    assert len(instruments.symbols) == 16
    assert instruments.price_max_ticks == PRICE_MAX_TICKS


def test_a_pattern_makes_symbols(tmp_path):
    text = GOOD.replace('symbols = ["AAPL", "MSFT"]', 'pattern = "X{n}.T"\ncount = 3')
    assert loaded(tmp_path, text).info.instruments.symbols == ("X0.T", "X1.T", "X2.T")


@pytest.mark.parametrize(
    ("old", "new", "line", "complaint"),
    [
        ('name = "engine"\n', "", 1, "lacks name"),
        ('name = "engine"', "name = 7", 2, "must be a string, not 7"),
        ('name = "engine"', 'nmae = "engine"', 2, "unknown key, did you mean 'name'?"),
        ('version = "1.2"', 'version = ""', 3, "must not be empty"),
        ('adapter = "subprocess"', 'adapter = "subproces"', 4, "did you mean 'subprocess'?"),
        ('adapter = "subprocess"', 'adapter = "so"', 4, "needs a table [so]"),
        ('adapter = "subprocess"', 'adapter = "fix"', 4, "needs a table [order_entry]"),
        ('"market"', '"markets"', 5, "unknown capability 'markets', did you mean 'market'?"),
        ('["limit", "market", "ioc", "cancel"]', "[]", 5, "is empty"),
        ("[subprocess]", "[subproces]", 7, "unknown table, did you mean 'subprocess'?"),
        ('command = ["./engine", "--fast"]', 'command = "./engine"', 8, "must be a list"),
        ('command = ["./engine", "--fast"]', 'command = ["${ENGINE_HOME}/engine"]', 8, "${ENGINE_HOME} is not set"),
        ('"MSFT"', '"AAPL"', 11, "must be different"),
        ("1_000_000", "-5", 12, "from 1000 to"),
        ("1_000_000", "true", 12, "must be a whole number"),
        ("answer_timeout_s = 2.5", "answer_timeout_s = 0", 15, "between 0.01 and 3600"),
        ('version = "1.2"', 'version = "1.2"\nspec = "9"', 4, 'certifies against "1.0"'),
    ],
)
def test_what_is_wrong_is_named_with_its_line_and_the_fix(tmp_path, old, new, line, complaint):
    assert old in GOOD
    with pytest.raises(ProfileError) as caught:
        loaded(tmp_path, GOOD.replace(old, new, 1))
    assert f"target.toml:{line}: " in str(caught.value)
    assert complaint in str(caught.value)


def test_text_that_is_not_toml_is_an_error_with_its_line(tmp_path):
    with pytest.raises(ProfileError, match=r"not valid TOML: .*line 1"):
        loaded(tmp_path, "[target\n")


@pytest.mark.parametrize("content", [b"\xff\xfe", b""])
def test_an_unreadable_or_empty_file_is_an_error(tmp_path, content):
    path = tmp_path / "target.toml"
    path.write_bytes(content)
    with pytest.raises(ProfileError):
        load(path, environ={})


def test_the_environment_overrides_the_file_and_the_flag_overrides_both(tmp_path):
    environ = {"MATCHMARK_TIMING_ANSWER_TIMEOUT_S": "7", "MATCHMARK_TARGET_NAME": "from the environment"}
    profile = loaded(tmp_path, GOOD, "timing.answer_timeout_s=9", **environ)
    assert profile.answer_timeout_s == 9
    assert profile.info.name == "from the environment"


@pytest.mark.parametrize("override", ["timing", "timing.nope=1", "nope.key=1", "timing.answer_timeout_s=soon"])
def test_an_override_that_names_nothing_is_an_error(tmp_path, override):
    with pytest.raises(ProfileError, match="--set"):
        loaded(tmp_path, GOOD, override)


def test_strings_take_values_from_the_environment(tmp_path):
    profile = loaded(tmp_path, GOOD.replace("./engine", "${HOME_OF_IT}/engine"), HOME_OF_IT="/opt")
    assert profile.tables["subprocess"]["command"][0] == "/opt/engine"


@pytest.mark.parametrize("adapter", ["subprocess", "so", "python", "fix"])
def test_what_init_writes_loads_as_it_is(tmp_path, adapter):
    profile = loaded(tmp_path, profile_text(adapter))
    assert profile.info.capabilities == {"limit", "market", "ioc", "cancel"} | ({"fix"} if adapter == "fix" else set())


@pytest.mark.parametrize("adapter", ["subprocess", "so"])
def test_every_commented_line_of_init_is_valid_when_uncommented(tmp_path, adapter):
    lines = []
    for line in profile_text(adapter).splitlines():
        commented = re.match(r"\s*# (\"|(?!pattern|count|first)\w+ = )", line)
        lines.append(line.replace("# ", "", 1) if commented else line)
    profile = loaded(tmp_path, "\n".join(lines))
    assert "smp_cancel_oldest" in profile.info.capabilities
    assert profile.info.instruments.symbols == ("AAPL", "MSFT")


@pytest.mark.parametrize("count", [-1, 10])
def test_services_that_cannot_be_are_refused(tmp_path, count):
    with pytest.raises(ProfileError, match=r"\[services\] kafka: must be from 0 to 9"):
        loaded(tmp_path, f"{profile_text('fix')}\n[services]\nkafka = {count}\n")


def test_brokers_that_are_named_are_used_and_not_the_kits_to_kill(monkeypatch):
    monkeypatch.setenv(services.KAFKA, "10.0.0.1:9092")
    monkeypatch.delenv(services.KAFKA_FOLDER, raising=False)
    made = services.Services({"kafka": 3})
    made.up()
    made.down()
    assert os.environ[services.KAFKA] == "10.0.0.1:9092"
    with pytest.raises(TargetUnavailable, match="not the kit's to kill"):
        services.own_brokers()


def test_an_instance_has_one_word_whenever_it_is_started(tmp_path):
    words = [Instance({}, {"folder": f"/data/{n}"}, tmp_path)._name() for n in (1, 2, 1)]
    assert words[0] == words[2] != words[1]


def test_an_unknown_target_word_says_what_is_expected(tmp_path):
    with pytest.raises(
        UnknownTarget,
        match="expected model, native, exchange, exchange-fsync, exchange-full, exchange-dpdk or the path of a profile",
    ):
        open_target("natve")
    with pytest.raises(UnknownTarget, match="matchmark init"):
        open_target(str(tmp_path / "none.toml"))
