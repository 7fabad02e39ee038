"""What a run found out, as typed values: the shape of results.json, and nothing that computes it.

Times are ISO 8601 with their zone, latencies integer ns.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from matchmark.conformance.verdict import Verdict
from matchmark.reports.verdicts import LevelStatus

STRENGTHS = ("MUST", "SHOULD")
LOAD_RESULTS, LOAD_PAGE = "load/results.json", "load/report.html"
COVERED = ("results.json", "history.jsonl", "junit.xml", "certificate.html", LOAD_RESULTS)
"""The files of a run folder whose digests a certificate carries, those of them that are there."""
WAIVER_STATES = ("in force", "stale", "expired", "unused")


@dataclass(slots=True)
class TargetSummary:
    name: str
    version: str
    capabilities: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Evidence:
    """Why a clause got its verdict. `transcript` holds rows as conformance.history.History.rows gives them."""

    clause: str
    test: str
    message: str
    expected: list[str] = field(default_factory=list)
    actual: list[str] = field(default_factory=list)
    transcript: list[dict[str, Any]] = field(default_factory=list)
    reproduce: str = ""
    seed: int | None = None
    note: str = ""
    index: int | None = None
    """Which exchange of the transcript, from 0, the message is about; None: the last."""


@dataclass(slots=True)
class ClauseResult:
    """One clause and its verdict. `level` is the clause's strength, MUST or SHOULD, as the document format names it."""

    id: str
    level: str
    verdict: Verdict
    reason: str = ""
    tests: list[str] = field(default_factory=list)
    examples: int = 0
    evidence: list[Evidence] = field(default_factory=list)
    mutants: list[str] = field(default_factory=list)
    """Broken engines that this clause's check tells from a sound one."""
    text: str = ""
    why: str = ""
    kind: str = ""
    ruling: str | None = None
    needs: list[str] = field(default_factory=list)
    levels: list[str] = field(default_factory=list)
    """The certification levels that the clause counts for."""
    budget_ns: int | None = None

    @property
    def strength(self) -> str:
        return self.level

    @property
    def diagram(self) -> str:
        return self.id.partition(".")[0]


@dataclass(slots=True)
class LatencyRow:
    """What one stage took, in ns; `budget_ns` is the specification's time for it, where it gives one."""

    stage: str
    count: int
    p50_ns: int
    p99_ns: int
    p999_ns: int
    max_ns: int
    budget_ns: int | None = None


@dataclass(slots=True)
class LoadSummary:
    """A load that was part of the run; LOAD_RESULTS and LOAD_PAGE have all of it."""

    plan: str
    offered_per_s: int
    answered_per_s: int
    orders: int
    """Of the measured part, after the warm-up."""
    latency: list[LatencyRow] = field(default_factory=list)
    """Response first, from the time when an order was due; then the floor, an echo under the same schedule."""
    findings: list[str] = field(default_factory=list)
    """Answers that were wrong, in words; with any, no level is certified by the run."""
    trouble: str = ""
    """Why it ended before its time."""
    judged: str = ""
    warnings: list[str] = field(default_factory=list)
    """What spoils the figures: a late generator, others on the machine."""


@dataclass(slots=True)
class Waiver:
    """A deviation that the target's maker declares, until `expires` (ISO 8601 date)."""

    clause: str
    reason: str
    expires: str
    state: str = "in force"


@dataclass(slots=True)
class DiagramText:
    id: str
    title: str
    summary: str = ""


@dataclass(slots=True)
class RulingText:
    id: str
    where: str
    says: str
    ruling: str


@dataclass(slots=True)
class Signer:
    """The Ed25519 key a certificate is signed with. `origin` is "made here" or "given"."""

    key_id: str
    public_key: str
    """The 32 raw bytes in base64."""
    origin: str


@dataclass(slots=True)
class FileDigest:
    """A file of the run folder; a folder has the digest of its files' names and digests."""

    name: str
    sha256: str
    bytes: int


@dataclass(slots=True)
class Results:
    matchmark: str
    spec: str
    target: TargetSummary
    seed: int
    started: str
    ended: str
    environment: dict[str, Any]
    levels: dict[str, LevelStatus]
    clauses: list[ClauseResult]
    latency: list[LatencyRow] = field(default_factory=list)
    exploratory: bool = False
    level_reasons: dict[str, str] = field(default_factory=dict)
    invocation: str = ""
    notes: list[str] = field(default_factory=list)
    """What a reader must know about how the target was driven, a sentence each."""
    duration_s: float = 0.0
    waivers: list[Waiver] = field(default_factory=list)
    diagrams: list[DiagramText] = field(default_factory=list)
    rulings: list[RulingText] = field(default_factory=list)
    signer: Signer | None = None
    files: list[FileDigest] = field(default_factory=list)
    load: LoadSummary | None = None

    def counts(self) -> Counter[Verdict]:
        return Counter(clause.verdict for clause in self.clauses)
