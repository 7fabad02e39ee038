"""The kit's own FIX 4.4: messages as bytes, a client of one session, orders as fields.

It knows no exchange: nothing here imports native or reference.
"""

from matchmark.conformance.fix.business import Instrument
from matchmark.conformance.fix.client import (
    ConnectionEnded,
    Endpoint,
    FixClient,
    LogonRefused,
    NoAnswer,
)
from matchmark.conformance.fix.numbers import Numbers
from matchmark.conformance.fix.wire import Field, FixError, FixFault, FixMessage, Line, Reader, Rule, encode, utc

__all__ = [
    "ConnectionEnded",
    "Endpoint",
    "Field",
    "FixClient",
    "FixError",
    "FixFault",
    "FixMessage",
    "Instrument",
    "Line",
    "LogonRefused",
    "NoAnswer",
    "Numbers",
    "Reader",
    "Rule",
    "encode",
    "utc",
]
