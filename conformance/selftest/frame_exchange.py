"""`matchmark` with another library in the place of the poll-mode carrier: the one that MATCHMARK_BROKEN_CARRIER names.

MATCHMARK_BROKEN_CARRIER=FILE python -m matchmark.conformance.selftest.frame_exchange serve ...
"""

from __future__ import annotations

import importlib.util
import os
import sys

NAME = "matchmark.native._dpdk"
VARIABLE = "MATCHMARK_BROKEN_CARRIER"


def load(path: str) -> None:
    """From now on whoever imports the carrier gets this one. ImportError."""
    spec = importlib.util.spec_from_file_location(NAME, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no extension module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    load(os.environ[VARIABLE])
    from matchmark.conformance.cli import main

    sys.exit(main())
