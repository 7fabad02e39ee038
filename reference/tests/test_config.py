"""Where the settings of `matchmark serve` come from, and what it says about mistakes in them."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from matchmark.native.pipeline_records import Durability, Wait
from matchmark.reference.config import ServeConfig, load
from matchmark.reference.config_text import ConfigError


def read(tmp_path: Path, text: str, environment: dict[str, str] | None = None, **flags: Any) -> ServeConfig:
    path = tmp_path / "serve.toml"
    path.write_text(text)
    return load({"config": path, **flags}, environment or {})


def test_it_works_with_no_file_at_all() -> None:
    config = load({}, {})
    assert len(config.symbols) == 16 and len(config.accounts) == 16
    assert (config.durability, config.wait, config.data_dir) == (Durability.ASYNC, Wait.AUTO, Path("data"))


def test_a_flag_goes_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    text = '[serve]\nfix_port = 1\ndurability = "fsync"\nwait = "sleep"\n'
    env = {"MATCHMARK_SERVE_FIX_PORT": "2", "MATCHMARK_SERVE_WAIT": "spin"}
    config = read(tmp_path, text, env, fix_port="3")
    assert (config.fix_port, config.wait, config.durability) == (3, Wait.SPIN, Durability.FSYNC)


def test_the_data_directory_of_other_commands_counts_unless_serve_has_one_of_its_own() -> None:
    shared = {"MATCHMARK_DATA_DIR": "/shared"}
    assert load({}, shared).data_dir == Path("/shared")
    assert load({}, {**shared, "MATCHMARK_SERVE_DATA_DIR": "/own"}).data_dir == Path("/own")


def test_a_pattern_makes_many_symbols_and_many_symbols_have_small_windows(tmp_path: Path) -> None:
    config = read(tmp_path, '[[symbols]]\npattern = "X{n}"\ncount = 3000\ntick = 0.05\nreference = "12.35"\n')
    assert [config.symbols[n].name for n in (0, 2999)] == ["X1", "X3000"]
    assert config.symbols[7].tick == Decimal("0.05") and config.symbols[7].reference == Decimal("12.35")
    assert config.engine.symbols == 3000 and config.engine.window_ticks == 64


def test_accounts_hold_cash_beyond_64_bits_and_positions_everywhere(tmp_path: Path) -> None:
    config = read(tmp_path, '[[accounts]]\nname = "A"\ncash = 1e27\npositions = {SYM1 = 5}\nposition_each = 7\n')
    (account,) = config.accounts
    assert account.cash == Decimal(10) ** 27 and account.positions == {"SYM1": 5} and account.position_each == 7


def test_a_position_may_be_of_all_symbols_of_a_pattern(tmp_path: Path) -> None:
    symbols = '[[symbols]]\npattern = "A{n}"\ncount = 3\n[[symbols]]\nname = "B"\n'
    config = read(tmp_path, symbols + '[[accounts]]\nname = "X"\npositions = { A2 = 7, "A{n}" = 5 }\n')
    assert config.accounts[0].positions == {"A1": 5, "A2": 7, "A3": 5}


def test_lists_may_be_in_files_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text('[[symbols]]\nname = "ONE"\n')
    (tmp_path / "a.toml").write_text('[[accounts]]\nname = "A"\n')
    config = load({"symbols": tmp_path / "s.toml", "accounts": tmp_path / "a.toml"}, {})
    assert [s.name for s in config.symbols] == ["ONE"] and [a.name for a in config.accounts] == ["A"]


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("[serve]\n\nfix_port = 70000\n", 3, "fix_port is 70000; write 0 (any free port) to 65535"),
        ('[serve]\ndurability = "maybe"\n', 2, "write one of async, fsync"),
        ("[engine]\npopulate = 1\n", 2, "populate is 1; write true or false"),
        ("[serve]\nport = 1\n", 2, "unknown key 'port'; known are"),
        ("[server]\nfix_port = 1\n", 1, "unknown key 'server'"),
        ('[[symbols]]\nname = "A"\n[[symbols]]\nname = "A"\n', 4, "'A' is there twice"),
        ('[[symbols]]\nname = "A"\ntick = "0.001"\n', 3, "positive number of at most 2 decimals"),
        ('[[symbols]]\nname = "A"\nmax_lots = 2147483648\n', 3, "whole number from 1 to 2147483647"),
        ('[[symbols]]\npattern = "A"\ncount = 2\n', 2, "must hold {n} once"),
        ("[[symbols]]\ntick = 1\n", 1, "either `name`, or `pattern`"),
        ('[[symbols]]\nname = "A B"\n', 2, "no space"),
        ('[[symbols]]\nname = "A"\n[[symbols]]\nname = "B"\ndigits = 3\n', 1, "the same `digits`"),
        ('[[accounts]]\nname = "A"\ncash = -1\n', 3, "write 0 to 1e27"),
        ('[[accounts]]\nname = "A"\npositions = {NONE = 1}\n', 3, "symbols that are listed"),
        ("[engine]\nmax_orders = true\n", 2, "whole number"),
        ("[gateway]\nclock_skew_s = -1\n", 2, "a number that is not negative"),
        ('[gateway]\ncomp_id = ""\n', 2, "write text in quotes"),
        ("[symbols]\nname = 1\n", 1, "two brackets"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_what_to_write(tmp_path: Path, text: str, line: int, says: str) -> None:
    with pytest.raises(ConfigError) as wrong:
        read(tmp_path, text)
    assert f"serve.toml, line {line}: " in str(wrong.value) and says in str(wrong.value)


def test_text_that_is_not_toml_and_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"this is not TOML: .*line 2"):
        read(tmp_path, "[serve]\nfix_port =\n")
    with pytest.raises(ConfigError, match=r"none\.toml: No such file"):
        load({"config": tmp_path / "none.toml"}, {})
    with pytest.raises(ConfigError, match="MATCHMARK_SERVE_WAIT: wait is 'often'"):
        load({}, {"MATCHMARK_SERVE_WAIT": "often"})
