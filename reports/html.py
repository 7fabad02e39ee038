"""certificate.html: one page that needs nothing but itself, drawn from results alone.

`render` is a pure function: equal results give equal bytes. Style and script are inlined; a content security policy
with the script's digest forbids every other script and every request, so even a string that slipped through escaping
could neither run nor call home.
"""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup
from matchmark.reports.records import Results
from matchmark.reports.view import page

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
"""Characters that do not show, or that reorder what shows: a name must not be able to look like another one."""


def render(results: Results) -> str:
    """The page as text for a UTF-8 file."""
    style, script = _asset("certificate.css"), _asset("certificate.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        _environment()
        .get_template("certificate.html")
        .render(page(results), style=Markup(style), script=Markup(script), script_digest=digest)
    )


def visible(value: Any) -> Any:
    """Text with hidden characters spelled out, as in <U+202E>. Other values pass."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return _HIDDEN.sub(lambda found: f"<U+{ord(found[0]):04X}>", unicodedata.normalize("NFC", value))


@cache
def _environment() -> Environment:
    return Environment(
        loader=FunctionLoader(_asset),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _asset(name: str) -> str:
    return resources.files("matchmark.reports").joinpath(name).read_text(encoding="utf-8")
