"""The native engine as a target: names become numbers on the way in, numbers become names on the way out.

Values that do not fit the C struct are passed as the nearest that do, which are out of the engine's range as well: what
to refuse is the engine's decision, not the adapter's.
"""

from __future__ import annotations

from importlib.metadata import version

import numpy as np

from matchmark.conformance.clauses.vocabulary import MATCHING_CAPABILITIES
from matchmark.conformance.messages import (
    Accepted,
    Cancel,
    Cancelled,
    CancelRejected,
    Command,
    Event,
    MassCancel,
    MassCancelled,
    New,
    Rejected,
    Replace,
    Replaced,
    Status,
    StatusReport,
    Top,
    Trade,
)
from matchmark.conformance.targets.base import Instruments, Target, TargetInfo
