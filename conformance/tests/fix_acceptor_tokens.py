"""The tokens of the scripted acceptor, and the ways in which it may be deceived."""

from __future__ import annotations

from collections.abc import Callable

import jwt

SECRET = "a secret of at least thirty-two bytes, for tests"


def verified(token: str | None, is_wrong: Callable[[str], bool]) -> tuple[str, float]:
    """Account and expiry of a token; no account when it is no good."""
    if token is None and is_wrong("no token will do"):
        return "A2", 0.0
    good = not is_wrong("any signature will do")
    checks = {
        "verify_signature": good,
        "verify_exp": not is_wrong("an expired token will do"),
        "verify_aud": not is_wrong("any audience will do"),
    }
    try:
        claims = jwt.decode(token or "", SECRET, algorithms=["HS256"], audience="matchmark", options=checks)
    except jwt.InvalidTokenError:
        if not is_wrong("tokens without an algorithm will do"):
            return "", 0.0
        try:
            head = jwt.get_unverified_header(token or "")
            claims = jwt.decode(token or "", options={"verify_signature": False})
        except jwt.InvalidTokenError:
            return "", 0.0
        if head.get("alg") != "none":
            return "", 0.0
    return str(claims["sub"]), float(claims["exp"])
