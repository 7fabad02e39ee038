"""The clause register: every demand the kit knows of, one TOML file a diagram, and the rulings beside them."""

from matchmark.conformance.clauses.register import Arrow, Clause, Diagram, Register, UnknownClause, load, parse_diagram
from matchmark.conformance.clauses.rulings import RULINGS, Ruling, parse_rulings
from matchmark.conformance.clauses.schema import RegisterError
from matchmark.conformance.clauses.vocabulary import (
    CAPABILITIES,
    CORE_CAPABILITIES,
    KIND_TITLES,
    KINDS,
    LEVELS,
    STRENGTHS,
)

__all__ = [
    "CAPABILITIES",
    "CORE_CAPABILITIES",
    "KINDS",
    "KIND_TITLES",
    "LEVELS",
    "RULINGS",
    "STRENGTHS",
    "Arrow",
    "Clause",
    "Diagram",
    "Register",
    "RegisterError",
    "Ruling",
    "UnknownClause",
    "load",
    "parse_diagram",
    "parse_rulings",
]
