"""`[hooks] token` of the wire mutants: as `matchmark token`, without what takes a third of a second to import.

    python -m matchmark.conformance.selftest.wire_token FOLDER ACCOUNT TTL ROLE

A self-test starts an exchange for each mutant and asks it for several tokens each.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sys
import time
from pathlib import Path


def part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def main(folder: str, account: str, ttl: str, role: str) -> None:
    key, now = Path(folder, "keys", "jwt-hs256.key").read_bytes(), int(time.time())
    claims = {"sub": account, "role": role, "aud": "matchmark", "iss": "matchmark", "iat": now, "exp": now + int(ttl)}
    signed = ".".join(part(json.dumps(x).encode()) for x in ({"alg": "HS256", "typ": "JWT"}, claims))
    print(f"{signed}.{part(hmac.digest(key, signed.encode(), hashlib.sha256))}")


if __name__ == "__main__":
    main(*sys.argv[1:])
