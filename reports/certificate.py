"""certificate.json: claims about a run, the digests of its files, and an Ed25519 signature over both.

    {"format": "matchmark-certificate/1", "claims": {...}, "signature": {"algorithm", "key_id", "public_key", "value"}}

Signed are the bytes of the format's name, a newline, and the claims in canonical JSON (document.canonical), so anyone
can check a certificate with a JSON library and an Ed25519 implementation. Digests are SHA-256 in hex.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from matchmark.reports import statement
from matchmark.reports.document import DocumentError, Node, canonical, parse
from matchmark.reports.keys import SigningKey, key_id
from matchmark.reports.records import COVERED, ClauseResult, FileDigest, Results
from matchmark.reports.results import from_json

FORMAT = "matchmark-certificate/1"
NAME = "certificate.json"


def file_digest(folder: Path, name: str) -> FileDigest:
    """Of a file of a run folder, by its name there."""
    path = folder / name
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256")
    return FileDigest(name, digest.hexdigest(), path.stat().st_size)


def clauses_digest(clauses: list[ClauseResult]) -> str:
    """SHA-256 of the canonical list of [id, strength, verdict], sorted by id."""
    return hashlib.sha256(canonical(sorted([c.id, c.level, str(c.verdict)] for c in clauses))).hexdigest()


def claims_of(results: Results, folder: Path) -> dict[str, Any]:
    """What the signature vouches for. Reads the files of the run folder for their digests; `results.signer` is set."""
    present = [file_digest(folder, name) for name in COVERED if (folder / name).is_file()]
    claims = {
        "title": statement.title(results),
        "matchmark": results.matchmark,
        "spec": results.spec,
        "target": asdict(results.target),
        "levels": dict(results.levels),
        "level_reasons": results.level_reasons,
        "verdicts": dict(results.counts()),
        "clauses_sha256": clauses_digest(results.clauses),
        "exploratory": results.exploratory,
        "seed": results.seed,
        "started": results.started,
        "ended": results.ended,
        "invocation": results.invocation,
        "environment": results.environment,
        "waivers": [asdict(waiver) for waiver in results.waivers],
        "assumptions": statement.assumptions(results),
        "not_tested": [asdict(gap) for gap in statement.gaps(results)],
        "files": {digest.name: {"sha256": digest.sha256, "bytes": digest.bytes} for digest in present},
        "signer": asdict(results.signer) if results.signer else None,
    }
    plain: dict[str, Any] = _without_floats(claims)
    return plain


def _without_floats(value: Any) -> Any:
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, dict):
        return {str(key): _without_floats(item) for key, item in value.items()}
    return [_without_floats(item) for item in value] if isinstance(value, list | tuple) else value


def signed_bytes(claims: dict[str, Any]) -> bytes:
    return FORMAT.encode() + b"\n" + canonical(claims)


def sign(claims: dict[str, Any], key: SigningKey) -> dict[str, Any]:
    """The document of certificate.json."""
    value = base64.b64encode(key.private.sign(signed_bytes(claims))).decode()
    signer = key.signer
    signature = {"algorithm": "Ed25519", "key_id": signer.key_id, "public_key": signer.public_key, "value": value}
    return {"format": FORMAT, "claims": claims, "signature": signature}


@dataclass
class Verification:
    """Outcome of a check. It is valid when there are no problems; remarks limit what validity means."""

    claims: dict[str, Any] = field(default_factory=dict)
    public_key: bytes = b""
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    verified: list[str] = field(default_factory=list)
    """Names of the files that are as they were signed."""

    @property
    def valid(self) -> bool:
        return not self.problems


def verify(path: Path, *, trusted: bytes | None = None, need_files: bool = True) -> Verification:
    """Check certificate.json at `path`: form, signature, digests of the files beside it, agreement with results.json.

    `trusted` is the raw public key that the signature has to be of. With `need_files` a covered file that is gone is a
    problem, else a remark. OSError when the certificate itself cannot be read.
    """
    outcome = Verification()
    try:
        document = Node(parse(path.read_bytes(), path.name))
        _check_signature(document, outcome)
        files = [(name, Node(v, f"claims.files.{name}")) for name, v in _files(outcome.claims).items()]
        for name, entry in files:
            _check_file(path.parent, name, entry.text("sha256"), need_files, outcome)
    except DocumentError as error:
        outcome.problems.append(str(error))
        return outcome
    if trusted is not None and trusted != outcome.public_key:
        outcome.problems.append(
            f"signed with key {key_id(outcome.public_key)}, and not with the given public key {key_id(trusted)}"
        )
    if "results.json" in outcome.verified:
        outcome.problems += _contradictions(outcome.claims, path.parent / "results.json")
    uncovered = [name for name in COVERED if (path.parent / name).is_file() and name not in dict(files)]
    outcome.remarks += [f"{name} is not covered by the signature" for name in uncovered]
    return outcome


def _files(claims: dict[str, Any]) -> dict[str, Any]:
    files = Node(claims, "claims").mapping("files", required=True)
    for name in files:
        if name not in COVERED:
            raise DocumentError(f"claims.files: {name!r} is not a file of a run folder ({', '.join(COVERED)})")
    if "results.json" not in files:
        raise DocumentError("claims.files: results.json is missing; a certificate without results certifies nothing")
    return files


def _check_signature(document: Node, outcome: Verification) -> None:
    if (form := document.text("format")) != FORMAT:
        raise document.fail("format", f"expected {FORMAT!r}, got {form!r}; a newer matchmark may know it")
    signature = document.child("signature")
    if (algorithm := signature.text("algorithm")) != "Ed25519":
        raise signature.fail("algorithm", f"expected 'Ed25519', got {algorithm!r}")
    claims = document.mapping("claims", required=True)
    raw, value = _bytes(signature, "public_key", 32), _bytes(signature, "value", 64)
    try:
        Ed25519PublicKey.from_public_bytes(raw).verify(value, signed_bytes(claims))
    except (InvalidSignature, ValueError, TypeError):
        raise DocumentError(
            "signature: does not fit the claims; certificate.json was changed after it was signed"
        ) from None
    outcome.claims, outcome.public_key = claims, raw
    signer = Node(claims.get("signer"), "claims.signer")
    if signer.text("public_key") != signature.text("public_key") or signer.text("key_id") != key_id(raw):
        raise DocumentError("claims.signer: names another key than the one that signed")


def _bytes(node: Node, key: str, length: int) -> bytes:
    try:
        raw = base64.b64decode(node.text(key), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != length:
        raise node.fail(key, f"expected {length} bytes in base64")
    return raw


def _check_file(folder: Path, name: str, sha256: str, needed: bool, outcome: Verification) -> None:
    try:
        actual = file_digest(folder, name).sha256
    except FileNotFoundError:
        (outcome.problems if needed else outcome.remarks).append(f"{name} is not there, so it could not be compared")
    except OSError as error:
        outcome.problems.append(f"{name} cannot be read ({error.strerror}), so it could not be compared")
    else:
        if actual == sha256:
            outcome.verified.append(name)
        else:
            outcome.problems.append(f"{name} was changed after the certificate was signed")


def _contradictions(claims: dict[str, Any], path: Path) -> Iterator[str]:
    """Where the claims say something else than the results that they were made from."""
    try:
        results = from_json(parse(path.read_bytes(), path.name))
    except DocumentError as error:
        yield f"results.json: {error}"
        return
    said = {
        "target": _without_floats(asdict(results.target)),
        "levels": dict(results.levels),
        "clauses_sha256": clauses_digest(results.clauses),
        "exploratory": results.exploratory,
        "seed": results.seed,
    }
    for key, value in said.items():
        if claims.get(key) != value:
            yield f"claims.{key} contradicts results.json"
