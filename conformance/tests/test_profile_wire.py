"""The [wire] table of a profile and its hooks: defaults, which carriers there are, and what is wrong with values."""

from __future__ import annotations

from pathlib import Path

import pytest

from matchmark.conformance.targets.open import PROFILES
from matchmark.conformance.targets.profile import ProfileError, load
from matchmark.conformance.targets.profile_wire import COUNTERS, OF_MATCHMARK, wire_of

from .test_profile_market_data import written

GIVEN = '[wire]\ninterface = "eth1"\naddresses = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]\n'
HOOKS = '[hooks]\nwire_start = ["x", "{namespace}", "{address}", "{port}", "{wait}"]\n'


def test_the_exchange_has_both_carriers_on_cables_of_the_kits() -> None:
    profile = load(PROFILES["exchange"])
    rules = wire_of(profile.tables)
    assert rules.carriers == ("kernel", "dpdk") and rules.interface is None and rules.counters == OF_MATCHMARK
    assert set(OF_MATCHMARK) == set(COUNTERS) and OF_MATCHMARK["rx_bad"] == "port.rx_bad"
    assert {"raw_frames", "dpdk"} <= profile.info.capabilities
    assert not {"raw_frames", "dpdk"} & load(PROFILES["exchange-fsync"]).info.capabilities


def test_a_network_that_is_there_has_one_carrier(tmp_path: Path) -> None:
    rules = wire_of(load(written(tmp_path, GIVEN + 'mac = "02:00:00:00:00:0a"', '"fix", "raw_frames"')).tables)
    assert rules.carriers == ("kernel",) and rules.mac == "02:00:00:00:00:0a" and len(rules.addresses) == 4
    polled = load(written(tmp_path, GIVEN + "poll_mode = true", '"fix", "raw_frames", "dpdk"'))
    assert wire_of(polled.tables).carriers == ("dpdk",)
    hooked = load(written(tmp_path, HOOKS, '"fix", "raw_frames"'))
    assert wire_of(hooked.tables).carriers == ("kernel",)


@pytest.mark.parametrize(
    ("table", "capabilities", "error"),
    [
        ("", '"fix", "raw_frames"', r"raw_frames needs \[hooks\] wire_start"),
        (HOOKS, '"fix", "dpdk"', "dpdk needs raw_frames"),
        (HOOKS, '"fix", "raw_frames", "dpdk"', r"dpdk needs \[hooks\] wire_dpdk_start"),
        (GIVEN, '"fix", "raw_frames", "dpdk"', "with poll_mode = true"),
        ('[wire]\nmac = "02:00:00:00:00:01"', '"fix"', "goes with interface"),
        ('[wire]\naddress = "here"', '"fix"', "must be IPv4"),
        ('[wire]\ninterface = "eth1"', '"fix"', "at least 4 different ones"),
        (GIVEN + 'mac = "02-00"', '"fix"', "must be such as"),
        ("[wire]\nport = 0", '"fix"', "from 1 to 65535"),
        ("[wire]\nrest_s = 0.0", '"fix"', "from 0.1 to 600"),
        ('[wire]\ncounters = { frames = "a" }', '"fix"', "must map some of rx_frames"),
        ('[wire]\nnetwork = "x"', '"fix"', "unknown key"),
        ('[hooks]\nwire_start = ["{shared}"]', '"fix"', r"unknown placeholder \{shared\}"),
    ],
)
def test_what_is_wrong_is_said_with_its_fix(tmp_path: Path, table: str, capabilities: str, error: str) -> None:
    with pytest.raises(ProfileError, match=error):
        load(written(tmp_path, table, capabilities))
