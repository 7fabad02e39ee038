"""Shared libraries as targets: right ones through both interfaces, and every way in which one can be unfit."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest

from matchmark.conformance.checks.differential import differential
from matchmark.conformance.clauses.vocabulary import MATCHING_CAPABILITIES
from matchmark.conformance.messages import (
    Accepted,
    Cancel,
    Cancelled,
    CancelRejected,
    New,
    Rejected,
    Replace,
    Replaced,
    Trade,
)
from matchmark.conformance.random_flow import FlowMaker, history_of
from matchmark.conformance.targets import so_matchmark
from matchmark.conformance.targets.base import (
    Instruments,
    TargetDied,
    TargetGarbled,
    TargetHung,
    TargetInfo,
    TargetUnavailable,
)
from matchmark.conformance.targets.so import SoTarget

ROOT = Path(__file__).resolve().parents[2]
ENGINES = Path(__file__).resolve().parent / "so_engines"
HARNESS = TargetInfo("harness", "1", frozenset(["limit", "ioc", "cancel", "replace", "top"]), Instruments(("S0",)))
NATIVE = TargetInfo("native", "1", frozenset(MATCHING_CAPABILITIES), Instruments(("S0", "S1", "S2")))
BARE = TargetInfo("bare", "1", HARNESS.capabilities - {"top"}, HARNESS.instruments)
TWO = TargetInfo("two", "1", frozenset(["limit", "cancel"]), Instruments(("S0",)))


def order(cl: str, side: str = "buy", qty: int = 10, px: int = 100, tif: str = "day") -> New:
    return New(cl, "A", "S0", side, "limit", qty, px, tif)


@pytest.fixture(scope="session")
def libraries(tmp_path_factory):
    """Compiles an engine of so_engines with the macros given, once for each."""
    folder = tmp_path_factory.mktemp("so")

    def build(source: str, *macros: str) -> Path:
        path = folder / ("-".join([source, *macros]).replace("=", "_").replace('"', "").replace(" ", "_") + ".so")
        if not path.exists():
            flags = ["-std=c11", "-O1", "-Wall", "-Werror", "-fPIC", "-shared", f"-I{ROOT / 'native' / 'include'}"]
            flags += [f"-D{macro}" for macro in macros]
            subprocess.run(["cc", *flags, str(ENGINES / f"{source}.c"), "-o", str(path), "-pthread"], check=True)
        return path

    return build


@pytest.fixture(scope="session")
def own():
    """The folder of our own libraries, built."""
    subprocess.run(["make", "-s", "-C", str(ROOT / "native" / "so")], check=True)
    return ROOT / "build" / "lib"


@pytest.fixture
def started():
    targets = []

    def start(library: Path, abi: str, info: TargetInfo, timeout_s: float = 20, start_s: float = 60) -> SoTarget:
        target = SoTarget(info, library, abi, timeout_s, start_s)
        targets.append(target)
        target.start()
        return target

    yield start
    for target in targets:
        target.close()


def agrees_with_the_model(target: SoTarget, flows: int = 40) -> None:
    for seed in range(flows):
        target.reset()
        history = history_of(target.submit, FlowMaker(random.Random(seed), target.info.capabilities).flow(150))
        assert differential(history, target.info) == []


# --- right engines ----------------------------------------------------------------------------------------------------


def test_the_native_library_agrees_with_the_model_in_everything(own, started):
    agrees_with_the_model(started(own / "libmatchmark_native.so", "matchmark", NATIVE))


def test_the_harness_library_agrees_with_the_model_over_its_own_transport(own, started):
    agrees_with_the_model(started(own / "libmatchmark_harness.so", "harness", HARNESS))


def test_the_harness_library_agrees_with_the_model_over_our_transport(own, started, monkeypatch):
    monkeypatch.setenv("MATCHMARK_HARNESS_TRANSPORT", "driver")
    agrees_with_the_model(started(own / "libmatchmark_harness.so", "harness", HARNESS))


@pytest.mark.parametrize("how", [(), ("THREADED",), ("OWN_TRANSPORT",), ("CHATTY",), ("PREBUILD",)], ids=str)
def test_an_engine_nobody_here_tuned_agrees_with_the_model(libraries, started, how):
    agrees_with_the_model(started(libraries("naive_harness", *how), "harness", HARNESS), flows=6)


def test_an_answer_longer_than_the_engines_own_queue_arrives_whole(libraries, started):
    target = started(libraries("naive_harness", "OWN_TRANSPORT"), "harness", HARNESS)
    for n in range(50):
        target.submit(order(f"r{n}", "sell", 1))
    trades = [e for e in target.submit(order("sweep", "buy", 50)) if isinstance(e, Trade)]
    assert [t.resting for t in trades] == [f"r{n}" for n in range(50)]


def test_leaves_and_cum_follow_the_trades_through_fills_and_replaces(libraries, started):
    target = started(libraries("naive_harness"), "harness", BARE)
    target.submit(order("a", qty=10))
    target.submit(order("b", "sell", 4))
    assert target.submit(Replace("c", "a", "A", "S0", None, 12)) == [Replaced("c", "a", 100, 8, 4)]
    assert target.submit(Cancel("x", "a", "A", "S0")) == [CancelRejected("x")]
    assert target.submit(Cancel("y", "c", "A", "S0")) == [Cancelled("c", 8, 4)]
    assert target.submit(order("d", qty=7, tif="ioc")) == [Accepted("d"), Cancelled("d", 7, 0)]


def test_requests_about_unknown_and_ended_orders_are_the_engines_to_refuse(libraries, started):
    target = started(libraries("naive_harness"), "harness", HARNESS)
    target.submit(order("a"))
    target.submit(Cancel("x", "a", "A", "S0"))
    for command in (Cancel("y", "a", "A", "S0"), Cancel("y", "ghost", "A", "S0"), Replace("y", "ghost", "A", "S0", 5)):
        (refusal,) = target.submit(command)
        assert isinstance(refusal, CancelRejected)
        assert refusal.reason == "the engine knows no such resting order"


def test_what_the_harness_interface_cannot_carry_is_refused_before_the_engine(libraries, started):
    target = started(libraries("naive_harness"), "harness", HARNESS)
    target.submit(order("a", px=5))
    bad = [order("a"), order("b", qty=0), order("b", qty=2**31), order("b", px=0), order("b", px=2**53)]
    bad += [New("b", "A", "NOPE", "buy", "limit", 1, 1), New("b", "A", "S0", "buy", "market", 1)]
    for command in bad:
        assert target.submit(command) == [Rejected(command.cl)]


def test_header_and_adapter_are_of_one_version():
    header = (ROOT / "native" / "include" / "matchmark" / "target_abi.h").read_text()
    assert f"#define MMT_ABI_VERSION {so_matchmark.ABI_VERSION}\n" in header


# --- engines that fail ------------------------------------------------------------------------------------------------


def test_a_wrong_priority_is_found(libraries, started):
    target = started(libraries("naive_harness", "LAST_FIRST"), "harness", HARNESS)
    for cl in ("first", "second"):
        target.submit(order(cl, "sell"))
    (trade,) = [e for e in target.submit(order("in")) if isinstance(e, Trade)]
    assert trade.resting == "second"  # what the engine does is what the kit sees


def test_a_crash_is_the_targets_death_with_the_signals_name_and_a_reset_starts_anew(libraries, started):
    target = started(libraries("naive_harness", "SEGV_ON_ORDER=3"), "harness", HARNESS)
    for _ in range(2):
        target.reset()
        target.submit(order("a"))
        target.submit(order("b"))
        with pytest.raises(TargetDied, match=r"naive_harness.*\.so: it ended: killed by SIGSEGV"):
            target.submit(order("c"))


def test_a_hang_is_a_hang(libraries, started):
    target = started(libraries("naive_harness", "HANG_ON_ORDER=1"), "harness", HARNESS, timeout_s=0.5)
    with pytest.raises(TargetHung, match=r"no answer within 0\.5 s"):
        target.submit(order("a"))


def test_a_report_for_another_message_is_garbled(libraries, started):
    target = started(libraries("naive_harness", "LATE_REPORT"), "harness", HARNESS)
    for command in (order("a"), order("b"), Cancel("x", "b", "A", "S0")):
        target.submit(command)
    with pytest.raises(TargetGarbled, match="report of type 2 for message 2, when message 3 was sent"):
        target.submit(order("c"))


@pytest.mark.parametrize(
    ("macro", "text"),
    [("ODD_EVENT=42", "unknown event 'kind 42'"), ("ODD_EVENT=0", "unknown event 'kind 0'")],
)
def test_an_event_of_no_kind_is_garbled(libraries, started, macro, text):
    target = started(libraries("broken_target", macro), "matchmark", TWO)
    with pytest.raises(TargetGarbled, match=text):
        target.submit(order("a"))


def test_a_number_that_names_no_order_is_passed_on_as_such(libraries, started):
    target = started(libraries("broken_target", "ODD_NAME"), "matchmark", TWO)
    assert target.submit(order("a")) == [Accepted("#77")]


# --- libraries that cannot be used ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("macros", "text"),
    [
        (["VERSION=9"], r"built for version 9 of the interface, this kit speaks version 1 .*; compile it with"),
        (["NO_RESET"], r"its mmt_target has no reset \(NULL\)"),
        (["CREATE_FAILS"], "create made no engine for 1 symbols; it says: no licence"),
        (["CREATE_DIES"], "while it was loaded and an engine made: .*killed by SIGABRT"),
        (['CAPABILITIES="limit"'], "declares cancel, which the library does not claim"),
        (['CAPABILITIES="limit cancel top"'], "the library claims top, which .* does not declare"),
    ],
)
def test_a_library_that_is_unfit_says_why(libraries, started, macros, text):
    with pytest.raises(TargetUnavailable, match=text):
        started(libraries("broken_target", *macros), "matchmark", TWO)


def test_a_library_that_hangs_when_loaded_is_unavailable(libraries, started):
    with pytest.raises(TargetUnavailable, match=r"while it was loaded and an engine made: no answer within 0\.7 s"):
        started(libraries("broken_target", "CREATE_HANGS"), "matchmark", TWO, timeout_s=0.2, start_s=0.7)


def test_a_missing_symbol_is_named(libraries, started):
    with pytest.raises(TargetUnavailable, match="does not export engine_on_modify"):
        started(libraries("naive_harness", "NO_MODIFY"), "harness", HARNESS)
    with pytest.raises(TargetUnavailable, match=r'does not export matchmark_target; .* set .so. abi = "harness"'):
        started(libraries("naive_harness"), "matchmark", TWO)


def test_a_missing_file_and_an_unknown_interface_are_told(started, tmp_path):
    with pytest.raises(TargetUnavailable, match="no such file; build the library, or mend"):
        started(tmp_path / "none.so", "matchmark", TWO)
    with pytest.raises(TargetUnavailable, match="abi is 'dll'; it must be one of matchmark, harness"):
        started(tmp_path / "none.so", "dll", TWO)


def test_a_file_for_another_machine_or_none_is_told(libraries, started, tmp_path):
    elf = bytearray(libraries("broken_target").read_bytes())
    elf[18:20] = b"\x28\x00"  # e_machine: ARM
    (tmp_path / "arm.so").write_bytes(elf)
    (tmp_path / "text.so").write_text("not a library\n")
    for name in ("arm.so", "text.so"):
        text = f"cannot be loaded: .*{name}.*shared library for {os.uname().machine}"
        with pytest.raises(TargetUnavailable, match=text):
            started(tmp_path / name, "matchmark", TWO)


def test_a_profile_that_asks_the_harness_interface_for_more_is_told(libraries, started):
    library = libraries("naive_harness")
    with pytest.raises(TargetUnavailable, match="declares market, which the harness's interface cannot carry"):
        started(library, "harness", TargetInfo("h", "1", HARNESS.capabilities | {"market"}, HARNESS.instruments))
    with pytest.raises(TargetUnavailable, match=r"has 16 symbols, .* one book; write symbols = \['S0'\]"):
        started(library, "harness", TargetInfo("h", "1", HARNESS.capabilities))
