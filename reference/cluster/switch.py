"""An operator's request that a standby take over: from the admin page to the role `cluster`, and its answer back."""

from __future__ import annotations

import time

from matchmark.native.pipeline import Pipeline
from matchmark.native.pipeline_records import Role
from matchmark.reference.board import Board
from matchmark.reference.operators import CONFLICT, NOT_ALLOWED, NOT_NOW, OK, Answer, Refused, operator_of
from matchmark.reference.tokens import Keys

PATIENCE_S = 12.0
_POLL_S = 0.01
_ENDS = {"switchover-refused": CONFLICT, "switchover-off": CONFLICT, "took-over": OK}


def switch_over(pipeline: Pipeline, board: Board, keys: Keys, token: str) -> Answer:
    """Waits for the end of it."""
    try:
        who = operator_of(keys, token).account
    except Refused as refusal:
        board.alerts.raise_("operator-refused", f"a switchover was asked for by {refusal.who}: {refusal}")
        return Answer(NOT_ALLOWED, {"error": str(refusal)})
    if pipeline.role != Role.STANDBY:
        return Answer(CONFLICT, {"error": "this member is no standby: ask the one that is to take over"})
    board.alerts.raise_("operator", f"{who} asks this member to take over")
    since = time.time_ns()
    board.ask_switchover()
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        for row in board.alerts.newest():
            if row["time_ns"] >= since and row["code"] in _ENDS:
                code = _ENDS[row["code"]]
                return Answer(code, {"done": row["text"]} if code == OK else {"error": row["text"]})
        time.sleep(_POLL_S)
    return Answer(NOT_NOW, {"error": "no answer in time; look at the alerts of GET /status"})
