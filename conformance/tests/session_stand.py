"""The scripted acceptor with a venue on it, for a check to be called with."""

from __future__ import annotations

import time
from typing import Any

import jwt
import pytest

from matchmark.conformance.fix import Endpoint
from matchmark.conformance.suites import test_fix_session_hostile, test_fix_session_order
from matchmark.conformance.verdict import violations_in

from .fix_acceptor import NAME, Acceptor
from .fix_acceptor_tokens import SECRET
from .session_calls import Call
from .session_venue import LocalVenue

SYMBOLS = [f"S{n}" for n in range(1000)]


def token(said: dict[str, Any]) -> str:
    now = time.time()
    claims = {"sub": said["account"], "role": said["role"], "aud": "matchmark", "exp": now + said["ttl_s"]}
    return jwt.encode({**claims, **{k: v for k, v in said.items() if k == "aud"}}, SECRET, algorithm="HS256")


class Stand:
    """An acceptor and a venue on it."""

    def __init__(self, *faults: str) -> None:
        self.acceptor = Acceptor(*faults)
        endpoint = Endpoint("127.0.0.1", self.acceptor.port, target_comp_id=NAME, logon_fields={554: "${TOKEN}"})
        self.venue = LocalVenue(endpoint, ["A1", "A2", "A3"], SYMBOLS, token)

    def broken_by(self, call: Call) -> list[str]:
        """The clauses that the check finds broken."""
        try:
            call.check(venue=self.venue, **call.arguments)
        except Exception as error:
            found = violations_in(error)
            if not found:
                raise
            return [v.finding.clause for v in found]
        finally:
            self.venue.end_of_test()
        return []

    def close(self) -> None:
        self.venue.close()
        self.acceptor.close()


def smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    """The acceptor is slow, and its buffers and queues are small."""
    monkeypatch.setattr(test_fix_session_hostile, "ORDERS", 100)
    monkeypatch.setattr(test_fix_session_hostile, "RESENDS", 60)
    monkeypatch.setattr(test_fix_session_order, "BURST", 300)
    monkeypatch.setattr(test_fix_session_order, "PAIRS", 20)
