"""Ed25519 keys: where the signing key comes from, and how a public key is named.

The key is the file given with --signing-key, else the one that MATCHMARK_SIGNING_KEY names, else one of our own in the
user's configuration directory, made on first use and readable by its owner only.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from matchmark.reports.records import Signer
from matchmark.reports.statement import GIVEN, MADE_HERE

VARIABLE = "MATCHMARK_SIGNING_KEY"
HOW_TO_MAKE = "make one with: openssl genpkey -algorithm ed25519 -out FILE"


class KeyFileError(Exception):
    """A key file cannot be used. The text names the file, what is wrong with it and what to do."""


@dataclass(frozen=True)
class SigningKey:
    private: Ed25519PrivateKey
    path: Path
    origin: str
    new: bool = False
    """It was made just now."""

    @property
    def signer(self) -> Signer:
        raw = raw_public(self.private.public_key())
        return Signer(key_id(raw), base64.b64encode(raw).decode(), self.origin)


def signing_key(given: Path | None = None, environ: Mapping[str, str] = os.environ) -> SigningKey:
    """The key to sign with. KeyFileError when a file that was asked for does not hold one, or none can be made."""
    if given is None and environ.get(VARIABLE):
        given = Path(environ[VARIABLE])
    if given is not None:
        return SigningKey(_read_private(given), given, GIVEN)
    path = own_key_path(environ)
    made = _make(path) if not path.exists() else False
    return SigningKey(_read_private(path), path, MADE_HERE, made)


def own_key_path(environ: Mapping[str, str] = os.environ) -> Path:
    base = environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME") or Path.home(), ".config")
    return Path(base, "matchmark", "signing-key.pem")


def _make(path: Path) -> bool:
    """Put a new key at `path`, unless another process does so first. True if it is ours."""
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(pem)
        try:
            os.link(draft, path)  # Never over an existing key, and never half a key.
        except FileExistsError:
            return False
        finally:
            draft.unlink()
    except OSError as error:
        raise KeyFileError(
            f"{path}: cannot make a signing key ({error.strerror}); give one with --signing-key, {HOW_TO_MAKE}"
        ) from None
    return True


def _read_private(path: Path) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(_read(path), password=None)
    except TypeError:
        raise KeyFileError(f"{path}: encrypted; matchmark takes an Ed25519 key without a passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        raise KeyFileError(f"{path}: not a private key in PEM form; {HOW_TO_MAKE}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"{path}: not an Ed25519 key; {HOW_TO_MAKE}")
    return key


def read_public(path: Path) -> bytes:
    """The raw 32 bytes of a public key file: PEM, or base64 as certificate.json has it. KeyFileError otherwise."""
    text = _read(path)
    if b"PRIVATE KEY" in text:
        raise KeyFileError(f"{path}: this is a private key; to verify, use its public half: openssl pkey -pubout")
    if b"-----BEGIN" not in text:
        return _decode(path, text)
    try:
        key = serialization.load_pem_public_key(text)
    except (ValueError, UnsupportedAlgorithm):
        raise KeyFileError(f"{path}: not a public key in PEM form") from None
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFileError(f"{path}: not an Ed25519 public key")
    return raw_public(key)


def _decode(path: Path, text: bytes) -> bytes:
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        raw = b""
    if len(raw) != 32:
        raise KeyFileError(f"{path}: not a public key: expected PEM, or 32 bytes in base64")
    return raw


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise KeyFileError(f"{path}: cannot read the key file ({error.strerror})") from None


def raw_public(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def key_id(raw: bytes) -> str:
    """A name short enough to read out: the first 8 bytes of the key's SHA-256 in groups of four hex digits."""
    digits = hashlib.sha256(raw).hexdigest()[:16]
    return "-".join(digits[i : i + 4] for i in range(0, 16, 4))


def own_public_key(environ: Mapping[str, str] = os.environ) -> bytes | None:
    """The raw public half of the key that matchmark made for this user; None when it has made none."""
    path = own_key_path(environ)
    try:
        return raw_public(_read_private(path).public_key())
    except KeyFileError:
        return None
