"""Which clause the counterparty breaks by what the kit's FIX client found wrong with its messages."""

from __future__ import annotations

from collections.abc import Iterable

from matchmark.conformance.fix.message import FixFault, Rule
from matchmark.conformance.verdict import Streams, fix_violation

UNREADABLE = "D01.X24"
"""What cannot be read as FIX is a report missed, and its number with it."""

CLAUSE_OF = {
    Rule.GARBLED: UNREADABLE,
    Rule.FIELD: UNREADABLE,
    Rule.HEADER: UNREADABLE,
    Rule.TIME: UNREADABLE,
    Rule.GAP: "D01.X24",
    Rule.LOW: "D01.X24",
    Rule.RESET: "D01.X24",
    Rule.COMP_ID: "D01.X32",
    Rule.POSS_DUP: "D01.X30",
    Rule.RESENT: "D01.X30",
    Rule.HEARTBEAT: "D01.X29",
}

DEMANDED = {
    Rule.GARBLED: "a message with the BodyLength and CheckSum of its bytes, 8, 9 and 35 first",
    Rule.FIELD: "tag=value, each with a value",
    Rule.HEADER: "49, 56, 34 and 52 once each, and all of the header before the body",
    Rule.TIME: "a UTC time as YYYYMMDD-HH:MM:SS with or without a fraction",
    Rule.GAP: "the number after the last one",
    Rule.LOW: "the number after the last one, or PossDupFlag=Y",
    Rule.RESET: "NewSeqNo above the expected number",
    Rule.COMP_ID: "the CompIDs of this session, the exchange's as sender",
    Rule.POSS_DUP: "OrigSendingTime with PossDupFlag=Y, and not after SendingTime",
    Rule.RESENT: "the same content as the first time",
    Rule.HEARTBEAT: "TestReqID only of a TestRequest that was sent",
}


def judge_faults(faults: Iterable[FixFault], streams: Streams) -> None:
    """Raises the violation of the first fault, if there is one."""
    for fault in faults:
        fix_violation(
            CLAUSE_OF[fault.rule],
            f"the exchange sent what no sound FIX counterparty sends: {fault.rule}",
            [DEMANDED[fault.rule]],
            [str(fault)],
            streams,
        )
