"""The runner and the plugin, on small suites of their own: what a test does becomes the right verdict."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

from matchmark.conformance.certification import results_of
from matchmark.conformance.runner import Request, Run, UsageError, run
from matchmark.conformance.verdict import Verdict

HEAD = """
import os, signal, time
import pytest
from matchmark.conformance.checks.finding import Finding
from matchmark.conformance.verdict import violation_type

def broken(engine, clause, message="it is broken"):
    return violation_type(clause)(Finding(clause, 0, message, ("this",), ("that",)), engine.history)
"""

ENGINE = """
import json, os, sys, time
dead = set()
for line in sys.stdin:
    m = json.loads(line)
    out = []
    if m["op"] == "new":
        {quirk}
        out.append({{"ev": "accepted", "cl": m["cl"], "id": m["cl"]}})
        rest = book.get(m["sym"])
        if rest and rest["side"] != m["side"]:
            trade = {{"ev": "trade", "sym": m["sym"], "px": rest["px"], "qty": 10}}
            out.append({{**trade, "resting": rest["cl"], "incoming": m["cl"]}})
            del book[m["sym"]]
        else:
            book[m["sym"]] = m
    elif m["op"] == "cancel":
        out.append({{"ev": "cancelled", "cl": m["orig"], "leaves": 10, "cum": 0}})
    elif m["op"] == "reset":
        book = {{}}
    out.append({{"ev": "done"}})
    print("\\n".join(map(json.dumps, out)), flush=True)
"""


@pytest.fixture
def suite(tmp_path):
    """Runs a suite of one file, given as source, against a target."""

    def run_suite(source: str, target: str = "model", **more) -> Run:
        path = tmp_path / "test_small.py"
        path.write_text(HEAD + textwrap.dedent(source))
        return run(Request(target, 1, 150, tests=(str(path),), **more))

    return run_suite


@pytest.fixture
def engine_profile(tmp_path):
    """The profile of a small engine that does `quirk` (Python statements) at each new order."""

    def write(quirk: str, capabilities: str = '"limit", "cancel"') -> str:
        (tmp_path / "engine.py").write_text(ENGINE.format(quirk=quirk))
        path = tmp_path / "target.toml"
        path.write_text(
            f'[target]\nname = "small"\nversion = "1"\nadapter = "subprocess"\ncapabilities = [{capabilities}]\n'
            f'[subprocess]\ncommand = ["{sys.executable}", "engine.py"]\n'
            "[timing]\nanswer_timeout_s = 0.5\nstart_timeout_s = 5\n[instruments]\ncount = 2\npattern = 'S{n}'\n"
        )
        return str(path)

    return write


def verdicts(outcome: Run) -> dict[str, Verdict]:
    from datetime import UTC, datetime

    results = results_of(outcome, Request("x", 1, 150), ["matching"], datetime.now(UTC), invocation="test")
    return {c.id: c.verdict for c in results.clauses if c.tests}


def test_a_test_that_passes_is_a_pass_with_its_examples_counted(suite):
    outcome = suite("""
        @pytest.mark.clause("D01.6")
        def test_rests(engine, examples):
            for _ in range(7):
                engine.reset()
                assert engine.buy(10, 500).events
                examples.add(1)
    """)
    assert outcome.control_ok
    assert [(t.verdict, t.examples) for t in outcome.tests] == [(Verdict.PASS, 7)]
    assert verdicts(outcome) == {"D01.6": Verdict.PASS}


def test_a_violation_fails_its_own_clause_and_leaves_the_others_of_the_test_open(suite):
    outcome = suite("""
        @pytest.mark.clause("D01.6", "D01.8")
        def test_rests(engine):
            engine.buy(10, 500)
            raise broken(engine, "D01.8")
    """)
    assert verdicts(outcome) == {"D01.6": Verdict.INCONCLUSIVE, "D01.8": Verdict.FAIL}
    (violation,) = outcome.violations
    assert (violation.message, violation.expected, violation.actual) == ("it is broken", ["this"], ["that"])
    assert violation.transcript[0]["command"]["op"] == "new"


def test_two_violations_in_a_group_fail_two_clauses(suite):
    outcome = suite("""
        @pytest.mark.clause("D01.6")
        def test_rests(engine):
            engine.buy(10, 500)
            raise ExceptionGroup("two", [broken(engine, "D01.6"), ExceptionGroup("in", [broken(engine, "D02.4")])])
    """)
    assert verdicts(outcome) == {"D01.6": Verdict.FAIL, "D02.4": Verdict.FAIL}


@pytest.mark.parametrize("statement", ["raise KeyError('a bug of the kit')", "assert 1 == 2", "pytest.skip('no time')"])
def test_an_error_or_a_skip_of_the_check_itself_is_inconclusive_and_never_a_pass(suite, statement):
    outcome = suite(f"""
        @pytest.mark.clause("D01.6")
        def test_rests(engine):
            {statement}
    """)
    assert verdicts(outcome) == {"D01.6": Verdict.INCONCLUSIVE}


def test_a_failure_in_the_setup_of_a_test_is_inconclusive(suite):
    outcome = suite("""
        @pytest.fixture
        def bad(engine):
            raise RuntimeError("setup")

        @pytest.mark.clause("D01.6")
        def test_rests(bad):
            pass
    """)
    assert verdicts(outcome) == {"D01.6": Verdict.INCONCLUSIVE}


def test_what_needs_an_undeclared_capability_is_not_applicable(suite, engine_profile):
    outcome = suite(
        """
        @pytest.mark.clause("D02.4")
        @pytest.mark.needs("market")
        def test_market(engine):
            raise AssertionError("must not run")

        @pytest.mark.clause("D01.6")
        def test_rests(engine):
            engine.buy(10, 500)
        """,
        engine_profile("pass"),
    )
    assert verdicts(outcome) == {"D02.4": Verdict.NOT_APPLICABLE, "D01.6": Verdict.PASS}


RESTS = """
    @pytest.mark.clause("D01.6")
    def test_rests(engine):
        for n in range(5):
            engine.buy(10, 400 + n)
            engine.sell(10, 700, sym=engine.symbol(1))
"""


@pytest.mark.parametrize(
    ("quirk", "word"),
    [
        ("os._exit(9) if m.get('px') == 403 else None", "exit status 9"),
        ("os.kill(os.getpid(), 11) if m.get('px') == 403 else None", "SIGSEGV"),
        ("time.sleep(60) if m.get('px') == 403 else None", "no answer within"),
    ],
)
def test_a_death_or_a_hang_that_comes_back_fails_the_clause_of_answers_by_its_shortest_transcript(
    suite, engine_profile, quirk, word
):
    outcome = suite(RESTS, engine_profile(quirk))
    assert verdicts(outcome) == {"D01.6": Verdict.INCONCLUSIVE, "D01.X8": Verdict.FAIL}
    (violation,) = outcome.violations
    assert word in violation.message
    assert [line["command"]["px"] for line in violation.transcript] == [403]
    assert word in violation.transcript[0]["failure"]


def test_a_death_that_does_not_come_back_is_a_doubt(suite, engine_profile, tmp_path):
    flag = str(tmp_path / "once")
    once = f"(open({flag!r}, 'x'), os._exit(9)) if m.get('px') == 403 and not os.path.exists({flag!r}) else None"
    outcome = suite(RESTS, engine_profile(once))
    assert verdicts(outcome) == {"D01.6": Verdict.INCONCLUSIVE}
    assert outcome.violations == []
    assert "not again" in outcome.tests[0].reason


def test_garbage_is_inconclusive_and_says_who_is_at_fault(suite, engine_profile):
    outcome = suite(RESTS, engine_profile("print('debug') if m.get('px') == 403 else None"))
    assert verdicts(outcome) == {"D01.6": Verdict.INCONCLUSIVE}
    assert "adapter protocol" in outcome.tests[0].reason


@pytest.mark.parametrize(
    ("quirk", "capabilities", "complaint"),
    [
        ("os._exit(3)", '"limit", "cancel"', "exit status 3"),
        ("continue", '"limit", "cancel"', "no answer"),
        ("book.clear()", '"limit", "cancel"', "no trade that names them both"),
        ("pass", '"limit", "cancel", "mass_cancel"', "declares mass_cancel"),
        ("pass", '"limit", "cancel", "top"', "declares top"),
        (
            "out.append({'ev': 'top', 'sym': m['sym'], 'bid': None, 'ask': None})",
            '"limit", "cancel"',
            "does not declare the capability top",
        ),
    ],
)
def test_a_target_that_fails_the_positive_control_blocks_everything(
    suite, engine_profile, quirk, capabilities, complaint
):
    outcome = suite(RESTS, engine_profile(quirk, capabilities))
    assert outcome.blocked
    assert complaint in outcome.control_message
    assert verdicts(outcome) == {"D01.6": Verdict.BLOCKED}


def test_an_engine_that_kills_the_process_it_is_loaded_in_is_charged_and_the_rest_still_runs(suite):
    outcome = suite("""
        @pytest.mark.clause("D01.6")
        def test_a(engine):
            os.kill(os.getpid(), signal.SIGSEGV)

        @pytest.mark.clause("D01.8")
        def test_b(engine):
            engine.buy(10, 500)
    """)
    assert verdicts(outcome) == {"D01.6": Verdict.INCONCLUSIVE, "D01.8": Verdict.PASS, "D01.X8": Verdict.FAIL}
    assert "SIGSEGV" in outcome.violations[0].message


def test_a_hang_between_the_draws_of_an_example_is_the_target_s_and_no_fault_of_the_check(
    suite, engine_profile, tmp_path
):
    """Hypothesis takes an example that ends before another with the same beginning went on for one that draws at random."""
    once = f"os.path.exists({str(tmp_path / 'hung')!r})"
    hang = f"open({str(tmp_path / 'hung')!r}, 'w').close(); time.sleep(60)"
    profile = engine_profile(f"exec({hang!r}) if m.get('px') == 402 and not {once} else None")
    outcome = suite(
        """
        import hypothesis
        from hypothesis import strategies as st

        @pytest.mark.clause("D01.6")
        def test_rests(engine, property_settings):
            done = [0]

            @hypothesis.settings(property_settings)
            @hypothesis.given(st.data())
            def drawn(data):
                engine.reset()
                done[0] += 1
                data.draw(st.just(0) | st.just(1))
                engine.buy(10, 402 if done[0] == 50 else 500)
                data.draw(st.integers(0, 100))

            drawn()
        """,
        profile,
    )
    (test,) = outcome.tests
    assert test.verdict is Verdict.INCONCLUSIVE and "failed once and not again" in test.reason
    assert "no answer within" in test.reason


def test_what_a_check_noted_before_it_failed_makes_no_pass_of_it(suite):
    outcome = suite("""
        from matchmark.conformance.plugin import CERTIFICATION
        from matchmark.conformance.verdict import Verdict

        @pytest.mark.clause("D01.6")
        def test_rests(engine, request):
            request.config.stash[CERTIFICATION].note(request.node, Verdict.PASS, "assuming that its battery holds")
            raise KeyError("a bug of the kit")
    """)
    (test,) = outcome.tests
    assert test.verdict is Verdict.INCONCLUSIVE and "the check itself failed: KeyError" in test.reason


def test_after_five_hangs_the_rest_is_not_run_and_says_so(suite, engine_profile):
    source = "".join(
        f'@pytest.mark.clause("D01.6")\ndef test_{n}(engine):\n    engine.buy(10, 403)\n' for n in range(7)
    )
    outcome = suite(source, engine_profile("os._exit(9) if m.get('px') == 403 else None"))
    assert [t.reason.startswith("not run") for t in outcome.tests] == [False] * 5 + [True] * 2
    assert verdicts(outcome)["D01.6"] is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("marker", "complaint"),
    [
        ('@pytest.mark.clause("D04.77")', "no clause 'D04.77'"),
        ('@pytest.mark.clause("D01.6")\n@pytest.mark.needs("markets")', "unknown capabilities: markets"),
    ],
)
def test_a_marker_that_names_what_does_not_exist_stops_collection(suite, marker, complaint):
    with pytest.raises(UsageError, match=complaint):
        suite(f"{marker}\ndef test_x(engine):\n    pass\n")


@pytest.mark.parametrize("target", ["nonsense", "/no/such/target.toml"])
def test_a_target_that_cannot_be_opened_is_a_usage_error(suite, target):
    with pytest.raises(UsageError, match="--target"):
        suite('@pytest.mark.clause("D01.6")\ndef test_x(engine):\n    pass\n', target)


def test_only_the_asked_clauses_are_run(suite):
    outcome = suite(
        """
        @pytest.mark.clause("D01.6")
        def test_a(engine):
            pass

        @pytest.mark.clause("D01.8")
        def test_b(engine):
            pass
        """,
        clauses=("D01.8",),
    )
    assert [t.clauses for t in outcome.tests] == [["D01.8"]]


def test_the_run_folder_gets_history_junit_and_allure_files(suite, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    suite(RESTS, out=out)
    lines = (out / "history.jsonl").read_text().splitlines()
    assert len(lines) == 10
    assert '"sent_ns"' in lines[0]
    assert "test_rests" in (out / "junit.xml").read_text()
    assert list((out / "allure-results").glob("*-result.json"))


def test_what_a_child_leaves_behind_goes_with_its_run(suite, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    outcome = suite(
        """
        import subprocess, sys, tempfile
        from pathlib import Path
        from matchmark.conformance.hooks import memory_folder

        @pytest.mark.clause("D01.1")
        def test_it(engine):
            left = [tempfile.mkdtemp(), str(memory_folder("left-", Path(tempfile.gettempdir())))]
            script = "import os, sys, time\\nwhile True: os.makedirs(sys.argv[1], exist_ok=True); time.sleep(.001)"
            child = subprocess.Popen([sys.executable, "-c", script, left[0] + "/again"], start_new_session=True)
            Path(os.environ["TMPDIR"], "..", "left").write_text("\\n".join([*left, str(child.pid)]))
        """
    )
    assert outcome.tests[0].verdict is Verdict.PASS
    *folders, pid = (tmp_path / "left").read_text().split()
    assert [folder for folder in folders if Path(folder).exists()] == []
    assert len({Path(folder).parent for folder in folders}) == 2
    assert [Path(folder).parent for folder in folders if Path(folder).parent.exists()] == []
    line = Path(f"/proc/{pid}/cmdline")
    assert not line.exists() or not line.read_bytes()  # gone, or dead and not buried yet
