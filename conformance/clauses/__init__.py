"""The clause register: every demand the kit knows of, one TOML file a diagram, and the rulings beside them."""

from matchmark.conformance.clauses.agreement import disagreements
from matchmark.conformance.clauses.register import Arrow, Clause, Diagram, Register, UnknownClause, load, parse_diagram
from matchmark.conformance.clauses.rulings import RULINGS, Ruling, parse_rulings
from matchmark.conformance.clauses.schema import RegisterError
from matchmark.conformance.clauses.text import ns_text
from matchmark.conformance.clauses.vocabulary import (
    CAPABILITIES,
    CORE_CAPABILITIES,
    KIND_TITLES,
    KINDS,
    LEVELS,
    MATCHING_CAPABILITIES,
    STRENGTHS,
)

__all__ = [
    "CAPABILITIES",
    "CORE_CAPABILITIES",
    "KINDS",
    "KIND_TITLES",
    "LEVELS",
    "MATCHING_CAPABILITIES",
    "RULINGS",
    "STRENGTHS",
    "Arrow",
    "Clause",
    "Diagram",
    "Register",
    "RegisterError",
    "Ruling",
    "UnknownClause",
    "disagreements",
    "load",
    "ns_text",
    "parse_diagram",
    "parse_rulings",
]
