"""The capacity model against the simulation and the real conflator; wrong formulas are found; the page is fresh."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest

from matchmark.native.pipeline_records import AUDIT_RECORD, EVENT_RECORD, RECORD_LAST, RecordKind
from matchmark.native.records import EventKind
from matchmark.reference.capacity.__main__ import main
from matchmark.reference.capacity.inputs import Inputs
from matchmark.reference.capacity.measure import measured
from matchmark.reference.capacity.model import Job, Layout, Model
from matchmark.reference.capacity.simulation import Outcome, simulated
from matchmark.reference.market_data.conflate import DEPTH, Conflator

PAGE = Path(__file__).parents[2] / "docs" / "capacity.md"
LOAD, FRAMES, DELAY, WAIT = 0.05, 0.05, 0.15, 0.15
"""How far model and simulation may differ; a wait, from between the least and the most that the model says."""
CASES: dict[str, tuple[Layout, int, int, Inputs]] = {
    "tree": ("tree", 4_000, 10, Inputs()),
    "built": ("built", 4_000, 2, replace(Inputs(), updates_per_s=20_000)),
    "few updates": ("built", 20_000, 1, replace(Inputs(), updates_per_s=5_000, trade_share=0.3)),
}


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    found = {}
    for name, (layout, clients, wanted, of) in CASES.items():
        m = Model(of, clients, wanted, layout)
        found[name] = simulated(
            of, clients, wanted, layout, m.size(), m.broker_cores(),
            seconds=0.1 if layout == "tree" else 0.2, seeds=range(1, 4), servers=2 if layout == "tree" else 6,
        )  # fmt: skip
    return found


def differences(kind: type[Model], outcomes: dict[str, Outcome]) -> list[str]:
    """What of the model is outside the bounds. The size is the right model's: a wrong one is asked about the same tree."""
    out = []
    for name, (layout, clients, wanted, of) in CASES.items():
        seen, size, cores = (
            outcomes[name],
            Model(of, clients, wanted, layout).size(),
            Model(of, 1, 1, layout).broker_cores(),
        )
        m = kind(of, clients, wanted, layout)
        m.broker_cores = lambda cores=cores: cores  # type: ignore[method-assign, misc]
        for ours, theirs in zip(m.stages(size), seen.stages, strict=True):
            if abs(theirs.load / ours.load - 1) > LOAD:
                out.append(f"{name}: load of {ours.name}: {ours.load:.3f}, simulated {theirs.load:.3f}")
            if not (1 - WAIT) * ours.least_wait_s <= theirs.wait_s <= (1 + WAIT) * ours.wait_s:
                said = f"{ours.least_wait_s:.2g} to {ours.wait_s:.2g} s"
                out.append(f"{name}: wait of {ours.name}: {said}, simulated {theirs.wait_s:.2g} s")
        for what, ours_, theirs_, bound in (
            ("frames of a book", m.book_frames(), seen.book_frames_per_s, FRAMES),
            ("frames", m.frames(), seen.frames_per_s, FRAMES),
            ("a trade's time", m.trade_delay_s(size), fmean(seen.trade_delays_s), DELAY),
        ):
            if abs(theirs_ / ours_ - 1) > bound:
                out.append(f"{name}: {what}: {ours_:.4g}, simulated {theirs_:.4g}")
    return out


def test_the_model_is_within_its_bounds_of_the_simulation(outcomes: dict[str, Outcome]) -> None:
    for outcome in outcomes.values():
        print([f"{s.name} {s.load:.3f} {s.wait_s * 1e6:.1f} us" for s in outcome.stages])
    assert not differences(Model, outcomes)


class ForgetsTheLine(Model):
    def wait_s(self, jobs: list[Job], least: bool = False) -> float:
        return super().wait_s(jobs, least) * (1 - self.load(jobs))


class TakesWorkForRandom(Model):
    """M/M/1: twice the wait of jobs that are all alike."""

    def wait_s(self, jobs: list[Job], least: bool = False) -> float:
        return 2 * super().wait_s(jobs, least)


class ForgetsReplicas(Model):
    def broker_jobs(self, brokers: int, readers: int = 1) -> list[Job]:
        return [replace(job, per_s=job.per_s / 2) for job in super().broker_jobs(brokers, readers)]


class ConflatesTrades(Model):
    def trade_frames(self) -> float:
        return 0.0


class SendsAllToAll(Model):
    def subscribers(self, servers: int) -> tuple[float, float]:
        return self.clients / servers, 0.0


class WaitsForTheNextWindow(Model):
    """As if each window began with its first change: x + 1 for each frame."""

    def conflation(self) -> float:
        return 1 + self.of.updates_per_s / self.of.symbols * self.of.window_s


class SpreadsWhatIsRandom(Model):
    """As if trades, too, came at regular times."""

    def wait_s(self, jobs: list[Job], least: bool = False) -> float:
        return super().wait_s([replace(job, regular=True) for job in jobs], least=True)


class PassesOnOnce(Model):
    """As if one send reached all servers."""

    def service_jobs(self, services: int, servers: int) -> list[Job]:
        return super().service_jobs(services, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        ForgetsTheLine,
        TakesWorkForRandom,
        ForgetsReplicas,
        ConflatesTrades,
        SendsAllToAll,
        WaitsForTheNextWindow,
        SpreadsWhatIsRandom,
        PassesOnOnce,
    ],
)
def test_a_wrong_formula_is_found(wrong: type[Model], outcomes: dict[str, Outcome]) -> None:
    assert differences(wrong, outcomes)


@pytest.mark.parametrize("in_a_window", [0.3, 1.0, 3.0, 10.0])
def test_the_conflation_of_the_model_is_that_of_the_real_conflator(in_a_window: float) -> None:
    of = replace(Inputs(), symbols=1, updates_per_s=in_a_window / 0.010, trade_share=0.0)
    conflator, rng, frames, count = Conflator(1, 10_000_000), random.Random(1), 0, 4_000
    conflator.want(0, DEPTH)
    record = np.zeros(1, dtype=AUDIT_RECORD)
    r = record.view(EVENT_RECORD)
    r["kind"], r["flags"], r["body"]["kind"], r["body"]["quantity_lots"] = (
        RecordKind.EVENT,
        RECORD_LAST,
        EventKind.ACCEPTED,
        1,
    )
    now_ns = 0
    for n in range(1, count + 1):
        now_ns += round(rng.expovariate(of.updates_per_s) * 1e9)
        while (due := conflator.next_due_ns) is not None and due <= now_ns:
            frames += len(conflator.due(due))
        r["sequence"] = r["body"]["order_id"] = r["body"]["price_ticks"] = n
        frames += len(conflator.take(record, now_ns))
    assert count / frames == pytest.approx(Model(of, 1, 1, "tree").conflation(), rel=0.05)


def test_windows_in_step_make_the_line_longer(outcomes: dict[str, Outcome]) -> None:
    layout, clients, wanted, of = CASES["tree"]
    m = Model(of, clients, wanted, layout)
    found = simulated(
        of, clients, wanted, layout, m.size(), m.broker_cores(), seconds=0.05, seeds=range(1, 3), together=True
    )
    assert found.stages[-1].wait_s > 1.5 * outcomes["tree"].stages[-1].wait_s, "the page says so"


def test_the_same_seed_is_the_same_run() -> None:
    layout, clients, wanted, of = CASES["built"]
    size = Model(of, clients, wanted, layout).size()
    runs = [simulated(of, clients, wanted, layout, size, 3, seconds=0.02, seeds=range(7, 8)) for _ in range(2)]
    assert runs[0] == runs[1]


def test_sizes_hold_the_load_that_was_allowed() -> None:
    for layout, clients, wanted, of in CASES.values():
        m = Model(of, clients, wanted, layout)
        n = m.size().servers
        assert m.load(m.server_jobs(n)) <= of.load_at_most
        fewer = n - 1
        assert fewer * of.clients_per_server < clients or m.load(m.server_jobs(fewer)) > of.load_at_most
    too_fast = Model(replace(Inputs(), updates_per_s=1e6), 1, 1, "built")
    assert too_fast.size().servers == 0 and math.isinf(too_fast.wait_s(too_fast.server_jobs(1)))


def test_costs_are_measured_on_this_machine() -> None:
    found = measured(Inputs(), rounds=40)
    assert 0 < found["book_s"] < found["encode_s"] < 0.01 and 0 < found["trade_encode_s"] < 0.01
    assert found["trade_bytes"] == Inputs().trade_bytes and abs(found["frame_bytes"] - Inputs().frame_bytes) < 10


def test_the_page_has_the_tables_of_the_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", str(PAGE)]) == 0
    old = tmp_path / "capacity.md"
    old.write_text("<!-- capacity: rates -->\n| updates of a symbol | 999 /s |\n<!-- end -->\n", encoding="utf-8")
    assert main(["--check", str(old)]) == 1 and "is old: python -m" in capsys.readouterr().err
    assert main(["--write", str(old)]) == 0 == main(["--check", str(old)])


@pytest.mark.parametrize("flags", [["--symbols", "0"], ["--updates-per-s", "-1"], ["--load-at-most", "x"]])
def test_an_input_that_cannot_be_is_refused(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(flags)
    assert ended.value.code == 2 and flags[0].lstrip("-").replace("-", "_").split("_")[0] in capsys.readouterr().err
