"""Tokens that must not be let in: what can be made of a good one by somebody who has no key."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

Json = dict[str, Any]
YEAR_S = 366 * 86_400


def claims_of(token: str) -> Json:
    return dict(json.loads(_decoded(token.split(".")[1])))


def expiry_s(token: str) -> float:
    """The exp claim, seconds since 1970."""
    return float(claims_of(token)["exp"])


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _coded(data: bytes | Mapping[str, Any]) -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _hs256(head: Json, claims: Json, key: bytes) -> str:
    said = f"{_coded({**head, 'alg': 'HS256', 'typ': 'JWT'})}.{_coded(claims)}"
    return f"{said}.{_coded(hmac.new(key, said.encode(), hashlib.sha256).digest())}"


def _eddsa(head: Json, claims: Json, key: Ed25519PrivateKey) -> str:
    said = f"{_coded({**head, 'alg': 'EdDSA', 'typ': 'JWT'})}.{_coded(claims)}"
    return f"{said}.{_coded(key.sign(said.encode()))}"


def _unsigned(token: str, algorithm: str) -> str:
    return f"{_coded({'alg': algorithm, 'typ': 'JWT'})}.{token.split('.')[1]}."


def _old_signature(token: str, **claims: Any) -> str:
    """Other claims under the signature of the good token."""
    head, _, signature = token.split(".")
    return f"{head}.{_coded({**claims_of(token), **claims})}.{signature}"


def _other_algorithm(token: str) -> str:
    """The good token, its header naming the other algorithm."""
    head, body, signature = token.split(".")
    said = json.loads(_decoded(head))
    said["alg"] = "HS256" if said["alg"] != "HS256" else "EdDSA"
    return f"{_coded(said)}.{body}.{signature}"


def _flipped(token: str) -> str:
    """One bit of the signature is another."""
    head, body, signature = token.split(".")
    raw = bytearray(_decoded(signature))
    raw[len(raw) // 2] ^= 1
    return f"{head}.{body}.{_coded(bytes(raw))}"


def _own_key_in_header(token: str) -> str:
    """Signed with a key that the token itself brings along."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return _eddsa({"jwk": {"kty": "OKP", "crv": "Ed25519", "x": _coded(public)}}, claims_of(token), key)


FORGERIES: dict[str, Callable[[str], str]] = {
    "another-secret": lambda t: _hs256({}, claims_of(t), b"guessed by somebody who was not told it, at length"),
    "another-key-pair": lambda t: _eddsa({}, claims_of(t), Ed25519PrivateKey.generate()),
    "empty-secret": lambda t: _hs256({}, claims_of(t), b""),
    "key-from-nowhere": lambda t: _hs256({"kid": "../../../../../../dev/null"}, claims_of(t), b""),
    "key-in-header": _own_key_in_header,
    "alg-none": lambda t: _unsigned(t, "none"),
    "alg-None": lambda t: _unsigned(t, "None"),
    "alg-other": _other_algorithm,
    "signature-flipped": _flipped,
    "signature-empty": lambda t: t[: t.rindex(".") + 1],
    "no-signature": lambda t: t[: t.rindex(".")],
    "longer-life": lambda t: _old_signature(t, exp=int(expiry_s(t)) + YEAR_S),
    "another-audience": lambda t: _old_signature(t, aud="elsewhere"),
    "another-role": lambda t: _old_signature(t, role="operator"),
    "no-token-at-all": lambda t: "letmein",
    "dots": lambda t: "..",
}
"""From a good token to one that must be refused."""
