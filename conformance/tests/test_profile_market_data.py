"""The [market_data] table of a profile: its defaults, and what is wrong with its values."""

from __future__ import annotations

from pathlib import Path

import pytest

from matchmark.conformance.market_data.decoder import MatchmarkDecoder
from matchmark.conformance.targets.base import TargetUnavailable
from matchmark.conformance.targets.open import PROFILES
from matchmark.conformance.targets.profile import Profile, ProfileError, load
from matchmark.conformance.targets.profile_market_data import market_data_of
from matchmark.conformance.venue import decoder_beside

DECODER = """
class Mine:
    def __init__(self, level):
        self.level = level
"""


def written(folder: Path, table: str, capabilities: str = '"fix", "market_data"') -> Path:
    path = folder / "target.toml"
    path.write_text(
        f"""
[target]
name = "mine"
version = "1"
adapter = "fix"
capabilities = ["limit", "market", "ioc", "cancel", {capabilities}]
[order_entry]
host = "127.0.0.1"
port = 1
target_comp_id = "X"
accounts = ["A", "B", "C", "D", "E"]
[audit_log]
durability = "async"
{table}
""",
        encoding="utf-8",
    )
    return path


def test_the_exchange_s_own() -> None:
    rules = market_data_of(load(PROFILES["exchange"]).tables["market_data"])
    assert rules.url is None and rules.window_ns == 10_000_000 and rules.clients == 200
    assert isinstance(rules.decoder(), MatchmarkDecoder) and rules.roles == ("market_data",)


@pytest.mark.parametrize(
    ("table", "error"),
    [
        ("", r"market_data needs a table \[market_data\]"),
        ('[market_data]\ntoken = "t"', "lacks url"),
        ('[market_data]\nurl = "http://x/"\ntoken = "t"', "must begin with ws://"),
        ('[market_data]\nurl = "ws://x/"', "lacks token"),
        ('[market_data]\nurl = "ws://x/"\ntoken = "t"\ndecoder = "x"', 'must be "package.module:Class"'),
        ('[market_data]\nurl = "ws://x/"\ntoken = "t"\nclients = 0', "clients: must be from 1"),
        ('[market_data]\nurl = "ws://x/"\ntoken = "t"\nwindow_ms = 0', "window_ms: must be above 0"),
        ('[market_data]\nurl = "ws://x/"\ntoken = "t"\nslow_s = 0', "slow_s: must be from"),
        ('[market_data]\nurl = "ws://x/"\ntokn = "t"', "unknown key, did you mean 'token'"),
    ],
)
def test_what_is_wrong_is_said_with_its_fix(tmp_path: Path, table: str, error: str) -> None:
    with pytest.raises(ProfileError, match=error):
        load(written(tmp_path, table))


def test_a_decoder_beside_the_profile_is_found(tmp_path: Path) -> None:
    (tmp_path / "decoder_of_mine.py").write_text(DECODER, encoding="utf-8")
    table = '[market_data]\nurl = "ws://x/"\nanonymous = true\ndecoder = "{}"\noptions = {{ level = 2 }}'

    def rules(decoder: str) -> object:
        profile: Profile = load(written(tmp_path, table.format(decoder)))
        return decoder_beside(profile, profile.tables["market_data"]).decoder()

    assert rules("decoder_of_mine:Mine").level == 2  # type: ignore[attr-defined]
    with pytest.raises(TargetUnavailable, match=r"\[market_data\] decoder decoder_of_mine:Other"):
        rules("decoder_of_mine:Other")
