"""certificate.html: one page that needs nothing but itself, drawn from results alone.

`render` is a pure function: equal results give equal bytes. Style and script are inlined; a content security policy
with the script's digest forbids every other script and every request, so even a string that slipped through escaping
could neither run nor call home.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup
from matchmark.reports.plain import visible
from matchmark.reports.records import Results
from matchmark.reports.view import page


def render(results: Results) -> str:
    """The page as text for a UTF-8 file."""
    style, script = _asset("certificate.css"), _asset("certificate.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        _environment()
        .get_template("certificate.html")
        .render(page(results), style=Markup(style), script=Markup(script), script_digest=digest)
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=FunctionLoader(_asset),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _shown(value: object) -> object:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _asset(name: str) -> str:
    return resources.files("matchmark.reports").joinpath(name).read_text(encoding="utf-8")
