"""The pytest plugin: runs the suites against a target and says of every test which clauses it judged, and how.

    pytest --pyargs matchmark.conformance.suites --target native

Fixtures for suites: `engine` (a Driver on the target, reset), `examples` (counts property examples) and
`property_settings` (hypothesis settings of the run). Markers: `clause(*ids)` and `needs(*capabilities)`. A marker that names
what the register does not know stops collection.

A target that dies, hangs or talks nonsense never reaches hypothesis as a failing example, which would be shrunk by
hanging again and again: the test is stopped, the failure replayed on a fresh start, and judged by whether it came back.
"""

from __future__ import annotations

import gc
import json
import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import IO, Any, NoReturn

import hypothesis
import pytest

from matchmark.conformance import evidence
from matchmark.conformance.collection import clauses_of, label, needs_of, select
from matchmark.conformance.confirm import confirm
from matchmark.conformance.control import ControlFailed, positive_control
from matchmark.conformance.driver import Driver
from matchmark.conformance.history import History
from matchmark.conformance.services import Services
from matchmark.conformance.targets.base import Target, TargetDied, TargetError, TargetGarbled, TargetHung
from matchmark.conformance.timing import Measured, stage_rows
from matchmark.conformance.venue import NotOffered, Venue
from matchmark.conformance.verdict import ClauseViolation, Verdict, violations_in, wire_log
from matchmark.reports import allure
from matchmark.reports.records import Evidence

pytest_plugins = ("matchmark.conformance.lab_fixtures", "matchmark.conformance.wire_fixtures")

EXAMPLES_DEFAULT = 1000
EXAMPLES_JUDGED_MIN = 100
"""A property test that found one clause broken stops early; for its other clauses it counts from so many examples on."""
GARBAGE_BEFORE_COLLECTION = 50_000
"""Objects; Python's 700 costs a property test about a tenth of its time."""
FAILURES_MAX = 5
"""After the target died or hung in so many tests the rest are not run: each would wait for the time-out again."""
CERTIFICATION = pytest.StashKey["Certification"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("matchmark", "certification of matching engines")
    group.addoption("--target", help="model, native, exchange, or the path of a target profile (FILE.toml)")
    group.addoption("--target-set", action="append", default=[], metavar="T.K=V", help="override a key of the profile")
    group.addoption("--clause", action="append", default=[], metavar="ID", help="only the checks of this clause")
    group.addoption(
        "--level", action="append", default=[], metavar="L", help="only the checks of clauses of this level"
    )
    group.addoption("--examples", type=int, default=EXAMPLES_DEFAULT, help="examples a property (default 1000)")
    group.addoption("--until", metavar="ID", help="end the run when this clause is found broken")
    group.addoption("--generated-only", action="store_true", help="only the checks whose examples depend on the seed")
    group.addoption("--shard", metavar="I/N", help="only part I (from 0) of the tests dealt out to N runs")
    group.addoption("--no-shrink", action="store_true", help="do not look for the shortest transcript of a failure")
    group.addoption("--history", metavar="FILE", help="write every message both ways to FILE (JSON lines)")
    group.addoption("--events-fd", type=int, help="write progress and verdicts to this descriptor (JSON lines)")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "clause(*ids): the clauses of the register that this test judges")
    config.addinivalue_line("markers", "needs(*capabilities): what the target must declare for this test to apply")


def pytest_report_header(config: pytest.Config) -> list[str]:
    if CERTIFICATION not in config.stash and config.getoption("--target"):
        config.stash[CERTIFICATION] = Certification(config)
    if CERTIFICATION not in config.stash:
        return []
    info = config.stash[CERTIFICATION].target.info
    return [
        f"matchmark: target {info.name} {info.version}, seed {config.getoption('--hypothesis-seed', None)}, "
        f"{config.getoption('--examples')} examples a property",
        f"matchmark: declared {' '.join(sorted(info.capabilities))}",
    ]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    certifying = [item for item in items if item.get_closest_marker("clause")]
    if not certifying:
        return
    select(config, items, certifying)
    if config.getoption("--target") is None:
        raise pytest.UsageError("these suites judge a target: give --target model, native or FILE.toml")
    if CERTIFICATION not in config.stash:
        config.stash[CERTIFICATION] = Certification(config)
    if config.getoption("--alluredir", None):
        label(certifying)
    config.stash[CERTIFICATION].emit(
        "collected", tests={item.nodeid: sorted(clauses_of(item)) for item in items if item in certifying}
    )


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Iterator[Driver]:
    """A Driver on the target with empty books; what is said through it is evidence."""
    run = request.config.stash[CERTIFICATION]
    run.require_control()
    run.require(request.node)
    nodeid = request.node.nodeid

    def on_example(history: History) -> None:
        run.record(nodeid, history)

    def on_failure(driver: Driver, error: TargetError) -> NoReturn:
        run.target_failed(request.node, driver.history, error)
        pytest.skip(f"the target failed: {error}")

    driver = Driver(run.target, on_failure, on_example)
    driver.reset()
    yield driver
    driver.end_example()


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """What came on any session and nobody asked for belongs to the test that has just been run."""
    result = yield
    driver = pyfuncitem.funcargs.get("engine")
    if isinstance(driver, Driver):
        driver.settle()
    return result


@pytest.fixture
def venue(request: pytest.FixtureRequest) -> Iterator[Venue]:
    """The running target behind FIX: its sessions, tokens, fresh symbols; what is said on it is the test's evidence."""
    run = request.config.stash[CERTIFICATION]
    found = getattr(run.target, "venue", None)
    if not isinstance(found, Venue):
        run.not_applicable(request.node, "the target is not reached over FIX")
    run.require_control()
    run.require(request.node)
    if not found.started:
        run.target.start()
    found.begin_test()
    yield found
    history = History(wire=wire_log({**found.streams(), **found.feed_streams()}))
    found.begin_test()
    run.record(request.node.nodeid, history)


class Examples:
    """How many examples a property test has tried; the certificate says it."""

    def __init__(self, run: Certification, nodeid: str) -> None:
        self.count = 0
        self._run, self._nodeid = run, nodeid

    def add(self, n: int = 1) -> None:
        self.count += n
        if self.count % 50 == 0:
            self._run.emit("examples", test=self._nodeid, count=self.count)


EXAMPLES = pytest.StashKey[Examples]()


@pytest.fixture
def examples(request: pytest.FixtureRequest) -> Examples:
    counter = Examples(request.config.stash[CERTIFICATION], request.node.nodeid)
    request.node.stash[EXAMPLES] = counter
    return counter


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Measured:
    return request.config.stash[CERTIFICATION].measured


@pytest.fixture
def property_settings(request: pytest.FixtureRequest) -> hypothesis.settings:
    """Settings for this run's property tests: nothing is timed, nothing kept between runs, every bug reported."""
    phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
    if not request.config.getoption("--no-shrink"):
        phases.append(hypothesis.Phase.shrink)
    return hypothesis.settings(
        max_examples=request.config.getoption("--examples"),
        deadline=None,
        database=None,
        phases=phases,
        report_multiple_bugs=True,
        print_blob=False,
        suppress_health_check=list(hypothesis.HealthCheck),
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    run = item.config.stash.get(CERTIFICATION, None)
    if run is not None and item.get_closest_marker("clause"):
        run.judge(item, call, report)
    return report


def pytest_runtest_logstart(nodeid: str, location: tuple[str, int | None, str]) -> None:
    if _current is not None:
        _current.emit("start", test=nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if CERTIFICATION in session.config.stash:
        session.config.stash[CERTIFICATION].close()


_current: Certification | None = None
"""The run of this process; pytest_runtest_logstart is given no config to find it by."""


class Certification:
    """One target, one run of pytest: starts the target, takes the positive control, turns outcomes into verdicts."""

    def __init__(self, config: pytest.Config) -> None:
        global _current
        from matchmark.conformance.targets.open import UnknownTarget, open_target, redactor_for
        from matchmark.conformance.targets.profile import ProfileError

        self._redactor = redactor_for(str(config.getoption("--target")))
        fd = config.getoption("--events-fd")
        if fd is not None:  # a child of the runner, which ends it with SIGTERM: the target must end with it
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            gc.freeze()  # what is loaded by now stays: no collection needs to walk it again
            gc.set_threshold(GARBAGE_BEFORE_COLLECTION)
        self._out: IO[str] | None = None if fd is None else os.fdopen(fd, "w", buffering=1)
        path = config.getoption("--history")
        self._history: IO[str] | None = None
        if path:
            self._history = Path(path).open("a", encoding="utf-8", buffering=1 << 20)  # noqa: SIM115 (close() does)
        self._allure = bool(config.getoption("--alluredir", None))
        self._shrink = not config.getoption("--no-shrink")
        self._until, self._found = config.getoption("--until"), False
        self._controlled = False
        self._notes: dict[str, tuple[Verdict, str]] = {}
        self._example = 0
        self._answers_ns: list[int] = []
        self.measured = Measured()
        self.failures = 0
        try:
            self.target: Target = open_target(config.getoption("--target"), config.getoption("--target-set"))
        except (UnknownTarget, ProfileError) as error:
            raise pytest.UsageError(str(error)) from None
        except TargetError as error:
            self.emit("control", ok=False, message=str(error))
            pytest.exit(f"BLOCKED: {error}", returncode=3)
        venue = getattr(self.target, "venue", None)
        tables = venue.profile.tables if isinstance(venue, Venue) else {}
        self._services = Services(tables.get("services", {}))
        info = self.target.info
        self.emit(
            "target",
            name=info.name,
            version=info.version,
            capabilities=sorted(info.capabilities),
            notes=list(info.notes),
            symbols=len(info.instruments.symbols),
            grade=getattr(self.target, "grade", "none"),
        )
        _current = self

    def emit(self, kind: str, **values: Any) -> None:
        self._found = self._found or (kind == "violation" and values["clause"] == self._until)
        if self._out is None:
            return
        try:
            self._out.write(self._clean(json.dumps({"kind": kind, **values})) + "\n")
        except BrokenPipeError:
            self._out = None  # the runner was stopped and listens no more; the target is to be closed all the same

    def require_control(self) -> None:
        """The first test pays for it; when it fails there is no second."""
        if self._controlled:
            return
        self._controlled = True
        driver = Driver(self.target)
        try:
            self._services.up()
            self.target.start()
            positive_control(driver)
        except ClauseViolation:
            self.emit(
                "control", ok=True
            )  # they understand each other: what it found is the engine's fault, and is judged
            raise
        except (TargetError, ControlFailed) as error:
            self.emit("control", ok=False, message=str(error), transcript=driver.history.rows())
            self._services.down()
            pytest.exit(f"BLOCKED: the positive control failed: {error}", returncode=3)
        self.emit("control", ok=True)

    def require(self, item: pytest.Item) -> None:
        """Skips the test when it is about what the target does not declare, or when the target failed too often."""
        missing = needs_of(item) - self.target.info.capabilities
        if missing:
            self.not_applicable(item, f"the target does not declare {', '.join(sorted(missing))}")
        if self.failures >= FAILURES_MAX:
            self.note(item, Verdict.INCONCLUSIVE, f"not run: the target failed in {FAILURES_MAX} tests before")
            pytest.skip("the target failed too often")

    def not_applicable(self, item: pytest.Item, reason: str) -> NoReturn:
        self.note(item, Verdict.NOT_APPLICABLE, reason)
        pytest.skip(f"not applicable: {reason}")

    def record(self, nodeid: str, history: History) -> None:
        self._example += 1
        self._answers_ns += [x.done_ns - x.sent_ns for x in history]
        if self._history is not None:
            for line in history.json_lines(test=nodeid, example=self._example):
                self._history.write(self._clean(line) + "\n")

    def _clean(self, line: str) -> str:
        """The line without secrets. Taken apart only where there is one: a run has a hundred thousand lines."""
        if self._redactor.text(line) == line:
            return line
        return json.dumps(self._redactor.value(json.loads(line)), separators=(",", ":"))

    def note(self, item: pytest.Item, verdict: Verdict, reason: str) -> None:
        self._notes[item.nodeid] = (verdict, reason)

    def target_failed(self, item: pytest.Item, history: History, error: TargetError) -> None:
        """Judge a death, a hang or nonsense: again on a fresh start, it is the engine's; else it is a doubt."""
        self.failures += 1
        again = confirm(self.target, history, error, reduce=self._shrink)
        self.target.close()
        if again is None:
            self.note(item, Verdict.INCONCLUSIVE, f"the target failed once and not again on the same commands: {error}")
            return
        self.note(item, Verdict.INCONCLUSIVE, f"not judged, because the target failed: {error}")
        if isinstance(error, (TargetDied, TargetHung)):
            self.emit("violation", test=item.nodeid, **evidence.of_failure(again, str(error)))
        elif isinstance(error, TargetGarbled):
            self._notes[item.nodeid] = (
                Verdict.INCONCLUSIVE,
                f"the target does not keep to the adapter protocol: {error}",
            )

    def judge(self, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
        """One report a test: of its call, or of the phase that kept it from being called."""
        if report.when != "call" and report.outcome == "passed":
            return
        verdict, reason = Verdict.PASS, ""
        violations = []
        if report.outcome == "passed":
            verdict, reason = self._notes.get(item.nodeid, (verdict, reason))  # what it measured, or assumed
        elif report.outcome == "skipped":
            verdict, reason = self._notes.get(item.nodeid, (Verdict.INCONCLUSIVE, f"skipped: {report.longrepr}"))
        elif call.excinfo is not None and isinstance(call.excinfo.value, NotOffered):
            verdict, reason = Verdict.NOT_APPLICABLE, str(call.excinfo.value)
        elif report.outcome == "failed" and call.excinfo is not None:
            violations = violations_in(call.excinfo.value)
            if not violations:
                verdict, reason = Verdict.INCONCLUSIVE, f"the check itself failed: {call.excinfo.exconly()[:500]}"
                # Who drives the examples may put an error of its own before ours: of a target that failed, its failure stands.
                noted = self._notes.get(item.nodeid)
                reason = noted[1] if noted and noted[0] is Verdict.INCONCLUSIVE else reason
        counter = item.stash.get(EXAMPLES, None)
        count = counter.count if counter else 1
        for violation in violations:
            said = evidence.of_violation(violation)
            self.emit("violation", test=item.nodeid, **said)
            if self._allure:
                allure.attach(Evidence(test=item.nodeid, **said))
        if violations and counter is not None and count < EXAMPLES_JUDGED_MIN:
            verdict = Verdict.INCONCLUSIVE
            reason = f"its property test stopped after {count} examples, when it found another clause broken"
        elif violations and counter is None:
            broken = ", ".join(sorted({v.finding.clause for v in violations}))
            verdict, reason = Verdict.INCONCLUSIVE, f"its test ended when it found {broken} broken"
        self.emit(
            "test",
            test=item.nodeid,
            clauses=sorted(clauses_of(item)),
            verdict=verdict,
            reason=reason,
            examples=count,
            property=counter is not None,
            duration_s=round(report.duration, 3),
        )
        if self._found:
            item.session.shouldstop = f"{self._until} is broken"

    def _stages(self) -> list[dict[str, Any]]:
        """Not worth a verdict: where they cannot be read, there are none."""
        try:
            return stage_rows(self.target)
        except (OSError, ValueError, TargetError) as error:
            self.emit("stages_unread", message=str(error))
            return []

    def close(self) -> None:
        for row in (*self._stages(), *self.measured.rows()):
            self.emit("latency", **row)
        self.target.close()
        self._services.down()
        self.emit("latency", **evidence.latency(self._answers_ns))
        if self._history is not None:
            self._history.close()
        self.emit("end")
