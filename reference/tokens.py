"""Credentials of accounts: JWTs signed with a key of the data directory, made by `matchmark token`, checked at logon.

A token says sub = account, role = trader or operator, aud = iss = "matchmark", iat, exp. HS256 and EdDSA (Ed25519) are
accepted, each with its own key and only with the algorithm that the key is for. Errors never quote a token or a key.
"""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from matchmark.reference.durable_files import make_once

AUDIENCE = "matchmark"
Algorithm = Literal["HS256", "EdDSA"]
Role = Literal["trader", "operator"]
ROLES: tuple[Role, ...] = ("trader", "operator")
SECRET_VARIABLE = "MATCHMARK_JWT_SECRET"
_SECRET_BYTES_MIN = 32  # RFC 7518, 3.2: an HS256 key is at least as long as its hash


class TokenError(ValueError):
    """A token or key that is no good; the message says why and holds neither."""


@dataclass(frozen=True)
class Entitlement:
    """What a verified token allows, and until when (ns since 1970 UTC)."""

    account: str
    role: Role
    expires_ns: int


class Keys:
    """The signing keys of a data directory: made at the first use, readable by their owner only."""

    def __init__(self, directory: Path | str) -> None:
        self._directory = Path(directory)
        self._secret = self._load_secret()
        self._private = self._load_private()

    def issue(self, account: str, ttl_s: int, role: Role = "trader", algorithm: Algorithm = "HS256") -> str:
        """A token of the account that expires in `ttl_s` seconds."""
        if not account or not account.isprintable() or len(account) > 64:
            raise TokenError("an account is 1 to 64 printable characters")
        if not 0 < ttl_s <= 366 * 86400:
            raise TokenError("a token lives for 1 second to 366 days")
        if role not in ROLES:
            raise TokenError(f"a role is one of {', '.join(ROLES)}")
        now = int(time.time())
        claims = {"sub": account, "role": role, "aud": AUDIENCE, "iss": AUDIENCE, "iat": now, "exp": now + ttl_s}
        key: Any = self._secret if algorithm == "HS256" else self._private
        return jwt.encode(claims, key, algorithm=algorithm)

    def verify(self, token: str) -> Entitlement:
        """Signature, expiry, audience, issuer and claims; TokenError when any is wrong."""
        try:
            algorithm = jwt.get_unverified_header(token).get("alg")
            key: bytes | Ed25519PublicKey
            if algorithm == "HS256":
                key = self._secret
            elif algorithm == "EdDSA":
                key = self._private.public_key()
            else:
                raise TokenError("the token's algorithm is not accepted")
            claims = jwt.decode(
                token, key, algorithms=[algorithm], audience=AUDIENCE, issuer=AUDIENCE,
                options={"require": ["sub", "exp", "aud", "iss", "iat"]},
            )  # fmt: skip
        except jwt.InvalidTokenError as error:
            raise TokenError(f"the token was refused: {type(error).__name__}") from None
        account, role = claims["sub"], claims.get("role")
        if not isinstance(account, str) or role not in ROLES:
            raise TokenError("the token was refused: account or role missing")
        return Entitlement(account, role, int(claims["exp"]) * 1_000_000_000)

    def _load_secret(self) -> bytes:
        given = os.environ.get(SECRET_VARIABLE)
        secret = given.encode() if given is not None else self._file("jwt-hs256.key", secrets.token_bytes(48))
        if len(secret) < _SECRET_BYTES_MIN:
            raise TokenError(f"the HS256 key has fewer than {_SECRET_BYTES_MIN} bytes: give a longer {SECRET_VARIABLE}")
        return secret

    def _load_private(self) -> Ed25519PrivateKey:
        fresh = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        try:
            key = serialization.load_pem_private_key(self._file("jwt-ed25519.pem", fresh), None)
        except ValueError:
            raise TokenError(f"{self._directory / 'jwt-ed25519.pem'} is no private key in PEM form") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise TokenError(f"{self._directory / 'jwt-ed25519.pem'} is no Ed25519 key")
        return key

    def _file(self, name: str, fresh: bytes) -> bytes:
        path = self._directory / name
        try:
            return make_once(path, fresh)
        except OSError as error:
            raise TokenError(f"key file {path}: {error.strerror}") from None
