"""The clause register: what it holds, how it is looked up, and how a faulty file is refused."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from matchmark.conformance.catalogue import checks_by_clause
from matchmark.conformance.clauses import (
    CAPABILITIES,
    CORE_CAPABILITIES,
    KINDS,
    LEVELS,
    MATCHING_CAPABILITIES,
    RULINGS,
    Register,
    RegisterError,
    UnknownClause,
    disagreements,
    load,
    ns_text,
    parse_diagram,
    parse_rulings,
)
from matchmark.conformance.clauses.register import DIAGRAMS, sort_key

# Numbered steps of the specification's twelve diagrams.
STEPS = dict(zip(DIAGRAMS, (10, 10, 10, 10, 12, 10, 10, 8, 10, 8, 12, 8), strict=True))

# What level `matching` consists of. Certificates are compared over time, so a change here is a change of the level.
MATCHING = {
    "D01": "5 6 8 9 X1 X2 X3 X4 X5 X6 X7 X8 X9 X10 X11 X12",
    "D02": "3 4 5 6 8 9 N1 X1 X2 X3 X4 X5 X10 X11",
    "D03": "1 2 3 4 5 6 7 8 9 X1 X2 X3 X5 X10",
    "D04": "2 3 4 5 6 8 9 E1 X1 X2 X3 X4 X5 X10 X11 X12 X13 X14 X15",
    "D07": "1 2 3 4 5 6 7 8 9 X1 X2 X3 X5",
    "D08": "1 2 3 4 5 6 7 8 N1 X1 X2 X5",
}

REGISTER = load()


def clause_ids(diagram_to_numbers: dict[str, str]) -> list[str]:
    return [f"{diagram}.{number}" for diagram, numbers in diagram_to_numbers.items() for number in numbers.split()]


# -- what the register holds --


def test_every_numbered_step_of_the_specification_is_there() -> None:
    steps = Counter(clause.diagram for clause in REGISTER if clause.kind == "step")
    assert steps == STEPS
    assert steps.total() == 118
    expected = [f"{diagram}.{number}" for diagram, count in STEPS.items() for number in range(1, count + 1)]
    assert [clause.id for clause in REGISTER if clause.kind == "step"] == expected


def test_ids_are_unique_well_formed_and_in_order() -> None:
    ids = [clause.id for clause in REGISTER]
    assert len(ids) == len(set(ids)) == len(REGISTER)
    assert all(re.fullmatch(r"D(0[1-9]|1[0-2])\.[PNEAX]?[1-9][0-9]*", clause_id) for clause_id in ids)
    assert ids == sorted(ids, key=sort_key)
    assert all(clause.id.startswith(clause.diagram + ".") for clause in REGISTER)
    letters = {kind: letter for letter, kind in KINDS.items()}
    assert all(clause.id.split(".")[1].startswith(letters[clause.kind]) for clause in REGISTER)


def test_level_matching_consists_of_exactly_these_clauses_and_none_is_untested() -> None:
    matching = REGISTER.for_level("matching")
    assert [clause.id for clause in matching] == clause_ids(MATCHING)
    assert [clause.id for clause in matching if clause.untested is not None] == []
    assert {need for clause in matching for need in clause.needs} == set(MATCHING_CAPABILITIES)


def test_a_clause_that_no_check_reaches_says_what_one_would_need() -> None:
    checked = checks_by_clause()
    assert [c.id for c in REGISTER if c.id not in checked and c.untested is None] == []


def test_whatever_ends_an_order_or_moves_money_is_a_must_and_latency_is_a_should() -> None:
    for clause in REGISTER:
        judged_by_time = clause.untested is not None and "judged only by a timing grade" in clause.untested
        if "matching" in clause.levels or clause.kind in ("edge", "property"):
            assert clause.strength == "MUST" or judged_by_time, clause.id
        if judged_by_time:
            assert clause.strength == "SHOULD", clause.id


def test_every_ruling_touches_a_clause() -> None:
    assert list(RULINGS) == [f"R{number}" for number in range(1, 18)]
    assert set(RULINGS) == {clause.ruling for clause in REGISTER} - {None}


@pytest.mark.parametrize(
    ("clause_id", "ruling"),
    [
        ("D03.4", "R1"), ("D03.7", "R1"), ("D07.8", "R2"), ("D06.X3", "R3"), ("D06.X1", "R4"), ("D05.X2", "R5"),
        ("D05.7", "R6"), ("D05.4", "R7"), ("D10.8", "R8"), ("D09.6", "R9"), ("D09.7", "R10"), ("D12.8", "R11"),
        ("D02.P1", "R12"), ("D04.E1", "R13"), ("D03.10", "R14"), ("D02.X2", "R15"), ("D04.X10", "R16"),
        ("D09.9", "R17"),
    ],
)  # fmt: skip
def test_the_clause_that_a_ruling_was_made_for_names_it(clause_id: str, ruling: str) -> None:
    assert REGISTER[clause_id].ruling == ruling


def test_every_word_of_the_vocabulary_is_used() -> None:
    assert {level for clause in REGISTER for level in clause.levels} == set(LEVELS)
    assert {need for clause in REGISTER for need in clause.needs} == set(CAPABILITIES)
    assert set(CORE_CAPABILITIES) < set(MATCHING_CAPABILITIES) < set(CAPABILITIES)


def test_texts_say_one_thing_each_and_no_two_clauses_say_the_same() -> None:
    assert all(clause.text.endswith(".") and len(clause.text) < 260 for clause in REGISTER)
    assert all(clause.why.startswith("The intent is ") and clause.why.endswith(".") for clause in REGISTER)
    assert [
        text for text, times in Counter(c.text for c in REGISTER if "model book" not in c.text).items() if times > 1
    ] == []


def test_budgets_within_a_diagram_never_go_back_from_step_to_step() -> None:
    # The direct feed is a second path from the same time zero; diagram 6 ends with the outage, which is over before
    # the last client is back.
    apart = {"D09.10", "D06.10"}
    for diagram in DIAGRAMS:
        steps = [c for c in REGISTER.for_diagram(diagram) if c.kind == "step" and c.id not in apart]
        budgets = [step.budget_ns for step in steps if step.budget_ns is not None]
        assert budgets == sorted(budgets)


@pytest.mark.parametrize(
    ("clause_id", "budget_ns"),
    [
        ("D01.8", 60_000),
        ("D04.8", 40_000),
        ("D09.10", 10_000),
        ("D12.7", 5_500),
        ("D06.10", 6_000_000_000),
        ("D01.X1", None),
    ],
)
def test_budgets_are_the_times_of_the_specification(clause_id: str, budget_ns: int | None) -> None:
    assert REGISTER[clause_id].budget_ns == budget_ns


def test_each_step_is_drawn_once_and_every_lane_is_used() -> None:
    for diagram in REGISTER.diagrams():
        steps = [clause.id for clause in REGISTER.for_diagram(diagram.id) if clause.kind == "step"]
        assert [arrow.clause for arrow in diagram.arrows] == steps
        assert {end for arrow in diagram.arrows for end in (arrow.source, arrow.target)} == set(diagram.lanes)
        # Mermaid ends a line at a semicolon and starts an entity at a hash.
        assert not any(mark in arrow.label for arrow in diagram.arrows for mark in ";#")


# -- looking clauses up --


def test_an_unknown_id_is_answered_with_near_ones() -> None:
    with pytest.raises(UnknownClause, match=r"no clause 'd4\.7' in the register; did you mean D04\.7\?"):
        REGISTER["d4.7"]
    with pytest.raises(UnknownClause) as caught:
        REGISTER["D04.E11"]
    assert "D04.E1" in caught.value.suggestions
    with pytest.raises(UnknownClause, match=r"no clause 'nonsense' in the register \(`matchmark clauses`"):
        REGISTER["nonsense"]
    assert "D04.7" in REGISTER
    assert "D04.99" not in REGISTER


def test_an_unknown_level_is_refused_with_the_levels_there_are() -> None:
    with pytest.raises(
        RegisterError, match=r"no certification level 'mathcing'; did you mean 'matching'\? \(levels: .*wire"
    ):
        REGISTER.for_level("mathcing")


# -- schema errors --

HEAD = '[diagram]\nid = "D01"\ntitle = "T"\nsummary = "S"\nclock = "C"\nlanes = ["a", "b"]\n'
STEP = (
    '[[clause]]\nid = "D01.1"\narrow = ["a", "b", "go"]\nstrength = "MUST"\ntext = "Text."\n'
    'why = "The intent is good."\nlevels = ["matching"]\nneeds = ["limit"]\n'
)
PROPERTY = STEP.replace('"D01.1"', '"D01.X1"').replace('arrow = ["a", "b", "go"]\n', "")


def test_a_sound_file_is_read() -> None:
    diagram, (step, prop) = parse_diagram(HEAD + STEP + PROPERTY, "D01")
    assert (diagram.title, diagram.lanes, len(diagram.arrows)) == ("T", ("a", "b"), 1)
    assert (step.kind, step.needs, step.budget_ns, step.untested) == ("step", ("limit",), None, None)
    assert prop.kind == "property"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + STEP.replace('"MUST"', '"WILL"'), "D01.1: strength must be MUST or SHOULD, not 'WILL'"),
        (HEAD + STEP.replace("strength", "stength"), "D01.1: key 'strength' is missing; add strength = \"...\""),
        (HEAD + STEP + 'untestd = "x"\n', "D01.1: unknown key 'untestd'; did you mean 'untested'?"),
        (HEAD + STEP + 'level = ["wire"]\n', "D01.1: unknown key 'level'; did you mean 'levels'?"),
        (
            HEAD + STEP.replace('"limit"', '"limt"'),
            "D01.1: needs has 'limt', which is not in the vocabulary; did you mean 'limit'?",
        ),
        (
            HEAD + STEP.replace('["limit"]', '["limit", "limit"]'),
            "D01.1: needs names something twice: limit, limit; name it once",
        ),
        (HEAD + STEP.replace('["limit"]', '"limit"'), "D01.1: needs must be a list of strings, not 'limit'"),
        (HEAD + STEP.replace('["limit"]', "[1]"), "D01.1: needs must be a list of strings, not [1]"),
        (HEAD + STEP.replace('"matching"', '"matchin"'), "D01.1: levels has 'matchin', which is not in the vocabulary"),
        (
            HEAD + STEP.replace('levels = ["matching"]\n', ""),
            "D01.1: levels is missing or empty; name at least one of matching",
        ),
        (HEAD + STEP.replace("The intent is", "Our aim is"), "D01.1: why must begin 'The intent is '"),
        (
            HEAD + STEP.replace('"Text."', '"  "'),
            "D01.1: text must be one line of text without leading or trailing blanks",
        ),
        (HEAD + STEP.replace('"Text."', '"two\\nlines"'), "D01.1: text must be one line of text"),
        (HEAD + STEP.replace('"Text."', "7"), "D01.1: text must be a string, not 7"),
        (HEAD + STEP + "budget_ns = -1\n", "D01.1: budget_ns must be 0 or more, not -1"),
        (HEAD + STEP + "budget_ns = 1.5\n", "D01.1: budget_ns must be an integer, not 1.5"),
        (HEAD + STEP + "budget_ns = true\n", "D01.1: budget_ns must be an integer, not True"),
        (HEAD + STEP + 'ruling = "R99"\n', "D01.1: ruling 'R99' is not in rulings.toml"),
        (
            HEAD + STEP.replace("D01.1", "D02.1"),
            "D02.1: id must be D01. and a step number, or P, N, E, A or X and a number",
        ),
        (HEAD + STEP.replace("D01.1", "D01.Q1"), "D01.Q1: id must be D01. and a step number"),
        (HEAD + STEP.replace("D01.1", "D01.01"), "D01.01: id must be D01. and a step number"),
        (HEAD + STEP.replace('id = "D01.1"\n', ""), "clause 1: key 'id' is missing"),
        (
            HEAD + STEP.replace('"b", "go"', '"z", "go"'),
            'D01.1: arrow must be ["from", "to", "a few words"] with both ends among',
        ),
        (HEAD + STEP.replace('arrow = ["a", "b", "go"]\n', ""), "D01.1: arrow must be"),
        (HEAD + PROPERTY + 'arrow = ["a", "b", "go"]\n', "D01.X1: arrow belongs to numbered steps only; remove it"),
        (HEAD + STEP + STEP, "D01.1 is there 2 times; give each clause its own id"),
        (HEAD + PROPERTY + STEP, "D01.1 stands after D01.X1; sort steps, P, N, E, A, X, each by number"),
        (HEAD + STEP.replace("D01.1", "D01.2"), "D01.2 stands where step 1 belongs; steps have no gaps"),
        (HEAD.replace('"D01"', '"D03"') + STEP, "[diagram]: id is 'D03'; this file is for 'D01'"),
        (HEAD.replace("clock", "clok") + STEP, "[diagram]: key 'clock' is missing"),
        (HEAD + 'colour = "red"\n' + STEP, "[diagram]: unknown key 'colour'; remove it"),
        (HEAD, "must hold one [diagram] table and [[clause]] tables, found diagram"),
        ("", "must hold one [diagram] table and [[clause]] tables, found nothing"),
        ("clause = 1\n" + HEAD, "must hold one [diagram] table and [[clause]] tables"),
        ("clause = [1]\n" + HEAD, "clause 1: must be a table, not int"),
        (HEAD + "x = = 1\n", "not valid TOML: "),
    ],
)
def test_a_faulty_file_is_refused_by_file_clause_key_and_fix(text: str, message: str) -> None:
    with pytest.raises(RegisterError) as caught:
        parse_diagram(text, "D01")
    assert str(caught.value).startswith("conformance/clauses/d01.toml: ")
    assert message in str(caught.value)


@pytest.mark.parametrize("value", ["1", "1.5", "true", "1979-05-27", "[]", "[[]]", "{}", "[{}]", '""', '"x"', '["x"]'])
@pytest.mark.parametrize("line", (HEAD + STEP).splitlines())
def test_no_value_of_any_key_is_more_than_a_register_error(line: str, value: str) -> None:
    key = line.partition(" ")[0]
    text = (HEAD + STEP).replace(line, f"{key} = {value}")
    message = None
    try:
        parse_diagram(text, "D01")
    except RegisterError as error:
        message = str(error)
    assert message is None or message.startswith("conformance/clauses/d01.toml: ")


RULING = '[[ruling]]\nid = "R1"\nwhere = "w"\nsays = "s"\nruling = "r"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (RULING.replace("R1", "R2"), "R2 stands where R1 belongs; number rulings R1, R2, ... in order"),
        (RULING.replace("R1", "one"), "one: id must be R and a number, such as R5"),
        (RULING.replace("says", "say"), "R1: key 'says' is missing"),
        (RULING + "because = 1\n", "R1: unknown key 'because'; remove it"),
        ("x = 1\n" + RULING, "must hold [[ruling]] tables and nothing else, found x, ruling"),
        ("", "must hold [[ruling]] tables and nothing else, found nothing"),
    ],
)
def test_a_faulty_rulings_file_is_refused(text: str, message: str) -> None:
    with pytest.raises(RegisterError) as caught:
        parse_rulings(text)
    assert str(caught.value).startswith("conformance/clauses/rulings.toml: ")
    assert message in str(caught.value)


# -- the register against the code that has checks --


def checks_for(register: Register) -> dict[str, list[str]]:
    """A catalogue that agrees with the register: one check for each clause that has no reason to have none."""
    return {clause.id: [f"check_{clause.id}"] for clause in register if clause.untested is None}


def test_register_and_checks_that_agree() -> None:
    assert disagreements(REGISTER, checks_for(REGISTER)) == []


def test_a_clause_with_a_check_must_not_be_listed_as_untested() -> None:
    found = disagreements(REGISTER, checks_for(REGISTER) | {"D10.X9": ["check_standby"]})
    assert found == ["D10.X9 is checked by check_standby; remove its key `untested`"]


def test_a_clause_with_neither_check_nor_reason_is_found() -> None:
    checks = checks_for(REGISTER)
    del checks["D01.X2"]
    checks["D01.X1"] = []
    assert [line.split()[0] for line in disagreements(REGISTER, checks)] == ["D01.X1", "D01.X2"]


def test_a_check_of_an_unknown_clause_is_found() -> None:
    found = disagreements(REGISTER, checks_for(REGISTER) | {"D4.E1": ["check_cancel"]})
    assert len(found) == 1
    assert found[0].startswith("check_cancel: no clause 'D4.E1' in the register; did you mean D04.E1?")


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (1_000, "1 µs"),
        (5_500, "5.5 µs"),
        (1_000_000, "1 ms"),
        (1_090_000_000, "1.09 s"),
        (60_000_000_000, "60 s"),
    ],
)
def test_times_are_printed_exactly_in_their_largest_unit(ns: int, text: str) -> None:
    assert ns_text(ns) == text
