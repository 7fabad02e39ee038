"""The page: a pure function of results, whole by itself, honest, and safe whatever an engine calls itself."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser

import pytest

from matchmark.conformance.verdict import Verdict
from matchmark.reports.document import parse, readable
from matchmark.reports.html import render
from matchmark.reports.plain import visible
from matchmark.reports.records import ClauseResult, Evidence, Results
from matchmark.reports.results import from_json, to_json
from matchmark.reports.verdicts import LevelStatus

Sample = Callable[[str], Results]
KINDS = ["pass", "fail", "inconclusive", "hostile"]
VOID = {"meta", "link", "br", "img", "input", "path", "circle", "rect", "hr"}


class Page(HTMLParser):
    """Tags, attributes and text of a page; the page is well-formed if `open` is empty at the end."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []
        self.text = ""
        self.script = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.script += data
        elif not self.open or self.open[-1] != "style":
            self.text += data

    def values(self, attribute: str) -> list[str]:
        return [value for _, name, value in self.attributes if name == attribute]


@pytest.fixture(scope="module", params=KINDS)
def page(request: pytest.FixtureRequest, sample: Sample) -> Page:
    return Page(render(sample(request.param)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_comes_from_the_document_alone(sample: Sample, kind: str) -> None:
    results = sample(kind)
    again = from_json(parse(readable(to_json(results)), "results.json"))
    assert render(again) == render(results)


def test_every_tag_is_closed(page: Page) -> None:
    assert page.open == []


def test_nothing_is_fetched_and_only_our_script_may_run(page: Page) -> None:
    assert page.tags["script"] == 1
    assert not {"img", "link", "iframe", "object", "embed", "form", "base"} & set(page.tags)
    assert not [name for _, name, _ in page.attributes if name.startswith("on") or name in ("src", "srcset", "action")]
    (policy,) = [value for value in page.values("content") if "default-src" in value]
    digest = base64.b64encode(hashlib.sha256(page.script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_links_stay_on_the_page_or_in_the_folder(page: Page) -> None:
    allowed = {"results.json", "certificate.json", "history.jsonl", "junit.xml", "load/report.html"}
    assert {href for href in page.values("href") if not href.startswith("#")} <= allowed


def test_ids_are_unique_and_links_on_the_page_arrive(sample: Sample) -> None:
    for kind in ("pass", "fail", "inconclusive"):
        page = Page(render(sample(kind)))
        ids = Counter(page.values("id"))
        assert [name for name, times in ids.items() if times > 1] == []
        assert {href[1:] for href in page.values("href") if href.startswith("#")} <= set(ids)


def test_styles_reach_for_nothing_outside(sample: Sample) -> None:
    style = re.search(r"<style>(.*?)</style>", render(sample("pass")), re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]


def test_hostile_text_is_shown_as_text(sample: Sample, samples: object) -> None:
    source = render(sample("hostile"))
    assert visible(getattr(samples, "HOSTILE")) in Page(source).text  # noqa: B009
    assert "<U+202E>" in Page(source).text
    source.encode("utf-8")


def test_every_clause_with_its_text_and_verdict_is_there(sample: Sample) -> None:
    results = sample("fail")
    page = Page(render(results))
    titles = page.values("title")
    for clause in results.clauses:
        assert clause.text in page.text
        assert any(title.startswith(f"{clause.id} ") for title in titles)


def test_a_report_is_called_certificate_only_if_something_is_certified(sample: Sample) -> None:
    assert "Certificate of conformance" in render(sample("pass"))
    for kind in ("fail", "inconclusive"):
        assert "Certificate of conformance" not in render(sample(kind))
    exploratory = sample("inconclusive")
    exploratory.exploratory = True
    assert "Exploratory run" in render(exploratory)


def test_a_finding_shows_what_is_needed_to_check_it(sample: Sample) -> None:
    results = sample("fail")
    text = Page(render(results)).text
    for clause in results.clauses:
        for evidence in clause.evidence:
            for part in (evidence.message, evidence.reproduce, evidence.test, *evidence.expected, *evidence.actual):
                assert part in text


def test_a_load_is_shown_where_there_was_one_and_wrong_answers_before_its_figures(sample: Sample) -> None:
    pages = [Page(render(sample(kind))) for kind in ("pass", "fail", "inconclusive")]
    assert ["#load" in page.values("href") for page in pages] == [True, True, False]
    right, wrong = pages[0].text, pages[1].text
    assert "10,005 answered" in right and "every answer right" in right and "1.20 ms" in right
    assert "this run certifies nothing" in wrong and "worse than the limit" in wrong
    assert "every answer right" not in wrong


def test_missing_latency_is_said_and_not_drawn(sample: Sample) -> None:
    page = Page(render(sample("inconclusive")))
    assert page.tags["path"] < 5
    assert "No latency was measured in this run" in page.text


def test_every_untested_clause_is_listed_with_its_reason(sample: Sample) -> None:
    results = sample("pass")
    text = Page(render(results)).text
    section = text[text.index("Not tested, and why") :]
    for clause in results.clauses:
        if clause.verdict in (Verdict.UNTESTED, Verdict.NOT_APPLICABLE):
            assert clause.id in section
            assert clause.reason in section


def test_the_verdict_does_not_need_colour(sample: Sample) -> None:
    source = render(sample("fail"))
    assert re.search(r'class="cell fail [^>]*>\s*<span class="sign"[^>]*>✕</span>E1<span class="unseen"> fail', source)


def test_forty_failures_stay_a_page(sample: Sample) -> None:
    results = sample("fail")
    example = next(c for c in results.clauses if c.evidence).evidence[0]
    for n, clause in enumerate(results.clauses[:40]):
        long = [dict(example.transcript[0], sent_ns=i) for i in range(500)]
        clause.verdict, clause.tests = Verdict.FAIL, ["t"]
        clause.evidence = [Evidence(clause.id, "t", f"finding {n}", ["a"], ["b"], long, "matchmark certify", n)]
    source = render(results)
    assert len(source) < 3_000_000
    assert source.count('<details class="log" open>') == 3
    assert "464 exchanges left out here" in source


def test_results_without_register_words_still_make_a_page(sample: Sample) -> None:
    bare = sample("inconclusive")
    bare.diagrams, bare.rulings, bare.signer, bare.files, bare.levels = [], [], None, [], {}
    bare.level_reasons = {}
    bare.clauses = [ClauseResult("odd", "MUST", Verdict.PASS, tests=["t"])]
    assert "odd" in Page(render(bare)).text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x00b", "a<U+0000>b"),
        ("\x1b[31m", "<U+001B>[31m"),
        ("x\u202ey", "x<U+202E>y"),
        ("tab\tline\n", "tab\tline\n"),
    ],
)
def test_hidden_characters_are_spelled_out(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_level_that_nothing_failed_does_not_look_failed(sample: Sample) -> None:
    assert '<svg class="seal open"' in render(sample("inconclusive"))
    assert '<svg class="seal not-certified"' in render(sample("fail"))
    assert '<svg class="seal certified"' in render(sample("pass"))


def test_each_level_is_told_once(sample: Sample) -> None:
    text = Page(render(sample("pass"))).text
    assert "Not assessed: order-entry, market-data, durability, safety, availability, wire. Not asked for." in text
    assert "Not assessed: matching" not in text
    nothing_judged = sample("inconclusive")
    nothing_judged.levels = dict.fromkeys(nothing_judged.levels, LevelStatus.NOT_ASSESSED)
    text = Page(render(nothing_judged)).text
    assert re.search(r"matching\s+Not assessed", text)
    assert "Not assessed: order-entry," in text
