"""The registry of wire mutants, how they become targets, and what a shim needs."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from matchmark.conformance import runner
from matchmark.conformance.clauses import load
from matchmark.conformance.commands.selftest import chosen_wires
from matchmark.conformance.selftest.campaign import BALANCES, Plan, suite_files, target_of
from matchmark.conformance.selftest.shims import compiled, compiler
from matchmark.conformance.selftest.wire_audit import Shimmed, end_of
from matchmark.conformance.selftest.wire_balance import Balances
from matchmark.conformance.selftest.wire_declare import PREFIX, BrokenWire, Start, wire_mutant
from matchmark.conformance.selftest.wire_mutants import BALANCE_CLAUSES, SOUND_WIRES, WIRES
from matchmark.conformance.selftest.wire_port import BrokenPort
from matchmark.conformance.selftest.wire_target import SYMBOLS, wire_class, wire_profile
from matchmark.conformance.targets.open import UnknownTarget, open_target, redactor_for
from matchmark.reference.tokens import Keys


def test_there_are_enough_wire_mutants_and_each_tells_its_story() -> None:
    assert len(WIRES) >= 30
    assert len({wire.story for wire in WIRES.values()}) == len(WIRES)
    assert len({wire.wire for wire in WIRES.values()}) == len(WIRES)
    for name, wire in WIRES.items():
        assert name == wire.name and name.startswith(PREFIX)
        assert wire.story.endswith(".") and 20 < len(wire.story) <= 130, f"{name}: {wire.story!r}"
        assert wire.story.count(". ") == 0, f"{name}: one sentence will do"


def test_each_breaks_clauses_that_are_judged_over_the_wire() -> None:
    register = load()
    for wire in WIRES.values():
        assert wire.breaks and len(set(wire.breaks)) == len(wire.breaks)
        for clause in wire.breaks:
            assert {"order-entry", "market-data", "durability", "safety", "availability", "wire"} & set(
                register[clause].levels
            ), f"{wire.name}: {clause}"


def test_a_name_cannot_be_taken_twice() -> None:
    name = next(iter(WIRES)).removeprefix(PREFIX)
    with pytest.raises(ValueError, match="two wire mutants called"):
        wire_mutant(name, breaks=("D01.X24",), story="It hides another one.")(BrokenWire)


def test_an_unknown_wire_mutant_is_refused_with_the_names_that_are_near() -> None:
    with pytest.raises(UnknownTarget, match="did you mean wire-fill-never-sent"):
        open_target("mutant:wire-fill-never-send")


@pytest.mark.parametrize("name", [*WIRES, *SOUND_WIRES])
def test_a_wire_is_the_built_in_profile_started_otherwise(name: str) -> None:
    profile = wire_profile(name)
    assert profile.info.name == f"mutant:{name}"
    hooks = profile.tables["hooks"]
    broken = ("wire_dpdk_start",) if issubclass(wire_class(name), BrokenPort) else ("start", "lab_start")
    assert all(name in hooks[hook] for hook in broken) and len(profile.symbols) == SYMBOLS
    mode = WIRES[name].profile if name in WIRES else "exchange"
    assert profile.tables["audit_log"]["durability"] == ("fsync" if mode.endswith("fsync") else "async")
    assert redactor_for(f"mutant:{name}").text("35=D") == "35=D"


def test_sound_wires_are_targets_as_well() -> None:
    assert [target_of(name) for name in SOUND_WIRES] == [f"mutant:{name}" for name in SOUND_WIRES]
    assert BALANCES in SOUND_WIRES and target_of("exchange") == "exchange"
    assert {wire.breaks[0] for wire in WIRES.values() if issubclass(wire.wire, Balances)} <= BALANCE_CLAUSES


def test_a_run_is_counted_for_each_wire() -> None:
    plan = Plan((), (), (), 1, 20, 5, 2, wires=tuple(WIRES), sound_wires=("wire-sound",))
    assert plan.runs == len(WIRES) + 1


def test_one_wire_mutant_a_clause_is_chosen_by_the_seed() -> None:
    every = chosen_wires("all", 1)
    assert set(every) <= set(WIRES) and chosen_wires("none", 1) == ()
    chosen = [chosen_wires("clauses", seed) for seed in range(40)]
    clauses = {WIRES[name].breaks[0] for name in every}
    assert all(sorted(WIRES[name].breaks[0] for name in names) == sorted(clauses) for names in chosen)
    assert {name for names in chosen for name in names} == set(every)


def test_the_files_that_are_read_for_a_clause_have_all_its_checks() -> None:
    marked: dict[str, set[str]] = {}
    for path in runner.suites_folder().glob("test_*.py"):
        module = import_module(f"{runner.SUITES}.{path.stem}")
        for check in (value for name, value in vars(module).items() if name.startswith("test_")):
            for clause in (c for mark in check.pytestmark if mark.name == "clause" for c in mark.args):
                marked.setdefault(clause, set()).add(str(path))
    assert len(marked) > 100
    for clause, paths in marked.items():
        assert paths <= set(suite_files((clause,))), clause
    assert suite_files(()) == ()


def test_the_last_flag_of_a_start_holds() -> None:
    start = Start(["matchmark", "serve", "--data-dir", "a", "--config=x"])
    assert start.flag("--config") == "x" and start.flag("--fix-port") is None
    start.set_flag("--data-dir", "b")
    assert start.data == Path("b")


def test_the_token_hook_makes_tokens_that_the_exchange_takes(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys")
    command = [sys.executable, "-m", "matchmark.conformance.selftest.wire_token", str(tmp_path), "ACC1", "60", "trader"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert keys.verify(said).account == "ACC1"


# --- shims ---

BATCHES = """
import ctypes, os, sys

class Part(ctypes.Structure):
    _fields_ = [("base", ctypes.c_char_p), ("length", ctypes.c_size_t)]

log = os.open(sys.argv[1], os.O_RDWR)
for n in (1, 3, 5):
    two = (Part * 2)(*(Part(b"%d" % k * 272, 272) for k in (n, n + 1)))
    assert ctypes.CDLL(None).pwritev(log, two, 2, ctypes.c_long((n - 1) * 272)) == 544
"""
"""Three batches of two records each, as the audit writer writes them (Python's own pwritev is another function)."""


@pytest.mark.skipif(compiler() is None, reason="there is no C compiler on this machine")
def test_the_audit_shim_compiles_and_leaves_other_files_alone(tmp_path: Path) -> None:
    library = compiled(tmp_path)
    script = "import os; f = os.open('plain', os.O_RDWR | os.O_CREAT); os.pwritev(f, [b'x' * 544], 0); os.fdatasync(f)"
    for name in sorted(wire.wire.mode for wire in WIRES.values() if issubclass(wire.wire, Shimmed)):
        env = {"LD_PRELOAD": str(library), "MATCHMARK_SHIM": name}
        subprocess.run([sys.executable, "-S", "-E", "-c", script], cwd=tmp_path, env=env, check=True)
        assert (tmp_path / "plain").read_bytes() == b"x" * 544


@pytest.mark.skipif(compiler() is None, reason="there is no C compiler on this machine")
@pytest.mark.parametrize(
    ("mode", "wanted"),
    [
        ("", "123456"),
        ("hole", "1234\0\0"),
        ("lose_last", "12345\0"),
        ("twice", "123466"),
        ("swap", "123465"),
        ("late", "1234\0\0"),
    ],
)
def test_the_audit_shim_spoils_the_third_batch_of_a_log(tmp_path: Path, mode: str, wanted: str) -> None:
    log = tmp_path / "audit-00000000000000000001.log"
    log.write_bytes(bytes(6 * 272))
    env = {"LD_PRELOAD": str(compiled(tmp_path)), "MATCHMARK_SHIM": mode}
    subprocess.run([sys.executable, "-S", "-E", "-c", BATCHES, str(log)], env=env, check=True)
    data = log.read_bytes()
    assert "".join(chr(data[n * 272]) for n in range(6)) == wanted


def test_the_end_of_a_log_is_where_its_records_stop_being_sound(tmp_path: Path) -> None:
    path = tmp_path / "audit-00000000000000000001.log"
    path.write_bytes(bytes(4096 + 3 * 272))
    assert end_of(path) == (4096, False)
    path.write_bytes(bytes(4096) + b"torn" + bytes(3 * 272 - 4))
    assert end_of(path) == (4096, True)
    path.write_bytes(bytes(4096 + 2 * 272) + b"torn")
    assert end_of(path) == (4096, True)
