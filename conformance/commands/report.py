"""`matchmark report`: is this certificate what was signed, and what does it say?"""

from __future__ import annotations

import argparse
import sys
import webbrowser
from pathlib import Path

from matchmark.reports.certificate import NAME as CERTIFICATE
from matchmark.reports.certificate import Verification, verify
from matchmark.reports.document import DocumentError, parse
from matchmark.reports.html import render
from matchmark.reports.keys import KeyFileError, key_id, own_public_key, read_public
from matchmark.reports.plain import visible
from matchmark.reports.records import Results
from matchmark.reports.results import from_json
from matchmark.reports.statement import MADE_HERE
from matchmark.reports.summary import print_summary
from rich.console import Console
from rich.text import Text

NAME = "report"
HELP = "check the signature of a certificate and show what it says"

VALID, CHANGED, USAGE, NOTHING = 0, 1, 2, 3


class _Stop(Exception):
    """End with this exit code and message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="DIR|certificate.json", type=Path, help="the run folder, or its certificate")
    parser.add_argument(
        "--public-key", metavar="FILE", type=Path, help="the key it must be signed with (PEM or base64)"
    )
    parser.add_argument(
        "--html",
        metavar="FILE",
        nargs="?",
        type=Path,
        const=Path(),
        help="draw the page again from results.json, to FILE or to certificate.html, instead of checking it",
    )
    parser.add_argument("--open", action="store_true", help="open the page in a browser")


def run(args: argparse.Namespace) -> int:
    """0: signature and every digest fit; 1: something was changed; 2: usage; 3: there is nothing to verify."""
    try:
        if args.html is not None:
            page = _redraw(args.path, args.html)
        else:
            page = args.path / "certificate.html" if args.path.is_dir() else args.path.parent / "certificate.html"
            _verify(args.path, args.public_key)
        if args.open:
            _open(page)
    except _Stop as stop:
        print(f"matchmark report: {visible(str(stop))}", file=sys.stderr)
        return stop.code
    except KeyFileError as error:
        print(f"matchmark report: {error}", file=sys.stderr)
        return USAGE
    return VALID


def _verify(path: Path, public_key: Path | None) -> None:
    """Print what was found; _Stop unless everything fits."""
    if not path.exists():
        raise _Stop(USAGE, f"{path}: no such file or folder")
    certificate = path / CERTIFICATE if path.is_dir() else path
    if not certificate.is_file():
        raise _Stop(NOTHING, f"{path} holds no {CERTIFICATE}; `matchmark certify --out {path} ...` writes one")
    trusted = read_public(public_key) if public_key else None
    try:
        outcome = verify(certificate, trusted=trusted, need_files=path.is_dir())
    except OSError as error:
        raise _Stop(USAGE, f"{certificate}: cannot be read ({error.strerror})") from None
    console = Console(highlight=False, emoji=False)
    if "results.json" in outcome.verified and outcome.valid:
        print_summary(console, _results(certificate.parent / "results.json"))
        console.print()
    _tell(console, outcome, trusted is not None)
    if not outcome.valid:
        raise _Stop(CHANGED, f"{certificate} does not verify; trust none of what it says")


def _tell(console: Console, outcome: Verification, trusted: bool) -> None:
    lines = [("changed or wrong", "bold red", problem) for problem in outcome.problems]
    if outcome.valid:
        lines = [("signature", "green", f"valid, {_whose(outcome, trusted)}")]
        if outcome.verified:
            lines.append(("unchanged", "green", ", ".join(outcome.verified)))
    lines += [("note", "yellow", remark) for remark in outcome.remarks]
    for label, style, text in lines:
        console.print(Text.assemble((label, style), "  ", visible(text)))


def _whose(outcome: Verification, trusted: bool) -> str:
    name = f"key {key_id(outcome.public_key)}"
    if trusted:
        return f"by the given public key ({name})"
    if own_public_key() == outcome.public_key:
        return f"by this user's own {name}"
    if outcome.claims["signer"].get("origin") == MADE_HERE:
        return (
            f"by {name}, which matchmark made on the signer's machine: nothing was changed since. Who signed it is "
            "known only if you know the key: get it from the signer and give it with --public-key"
        )
    return (
        f"by {name}, which the signer brought: nothing was changed since. To know who signed, get the key from the "
        "signer and give it with --public-key"
    )


def _redraw(path: Path, out: Path) -> Path:
    """The page drawn from results.json. A page that is signed is replaced only by its equal."""
    folder = path if path.is_dir() else path.parent
    if not (folder / "results.json").is_file():
        raise _Stop(NOTHING if path.exists() else USAGE, f"{folder} holds no results.json to draw from")
    page = render(_results(folder / "results.json")).encode("utf-8")
    target = folder / "certificate.html" if out == Path() else out
    signed = (
        target.parent.resolve() == folder.resolve()
        and target.name == "certificate.html"
        and (folder / CERTIFICATE).exists()
    )
    try:
        if signed and (not target.exists() or target.read_bytes() != page):
            raise _Stop(
                CHANGED,
                f"{target}: what would be drawn differs from the page that is there and signed, so the signature would "
                "no longer fit; draw it into a file of its own: --html FILE",
            )
        if not signed:
            target.write_bytes(page)
    except OSError as error:
        raise _Stop(USAGE, f"{target}: cannot be written ({error.strerror})") from None
    print(f"{target}{': as signed, left as it is' if signed else ''}")
    return target


def _results(path: Path) -> Results:
    try:
        return from_json(parse(path.read_bytes(), path.name))
    except OSError as error:
        raise _Stop(USAGE, f"{path}: cannot be read ({error.strerror})") from None
    except DocumentError as error:
        raise _Stop(CHANGED, f"{path}: {error}") from None


def _open(page: Path) -> None:
    if not page.is_file():
        raise _Stop(NOTHING, f"{page} is not there to open; --html draws it")
    if not webbrowser.open(page.resolve().as_uri()):
        print(f"no browser could be started; open {page.resolve()} by hand", file=sys.stderr)
