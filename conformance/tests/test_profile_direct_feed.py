"""The [direct_feed] table of a profile: its defaults, and what is wrong with its values."""

from __future__ import annotations

from pathlib import Path

import pytest

from matchmark.conformance.packets.receiver import Receiver
from matchmark.conformance.targets.open import PROFILES
from matchmark.conformance.targets.profile import ProfileError, load
from matchmark.conformance.targets.profile_direct_feed import direct_feed_of

from .test_profile_market_data import written

DECLARED = '"fix", "direct_feed"'


def test_the_exchange_s_own() -> None:
    rules = direct_feed_of(load(PROFILES["exchange"]).tables["direct_feed"])
    assert rules.url is None and rules.receiver is Receiver and rules.roles == ("market_data", "writer")
    assert direct_feed_of({}).roles == ("market_data",)


@pytest.mark.parametrize(
    ("table", "error"),
    [
        ("", r"direct_feed needs a table \[direct_feed\] with a url"),
        ('[direct_feed]\nroles = ["a"]', "lacks url"),
        ('[direct_feed]\nurl = "udp://x"\nreceiver = "x"', 'must be "package.module:Class"'),
        ('[direct_feed]\nurl = "udp://x"\nroles = [1]', "must be names of roles"),
        ('[direct_feed]\nuri = "udp://x"', "unknown key, did you mean 'url'"),
    ],
)
def test_what_is_wrong_is_said_with_its_fix(tmp_path: Path, table: str, error: str) -> None:
    with pytest.raises(ProfileError, match=error):
        load(written(tmp_path, table, DECLARED))


def test_a_receiver_that_is_not_there_is_not_taken_for_another(tmp_path: Path) -> None:
    profile = load(written(tmp_path, '[direct_feed]\nurl = "udp://x"\nreceiver = "no.such:Thing"', DECLARED))
    with pytest.raises(ImportError):
        direct_feed_of(profile.tables["direct_feed"])
