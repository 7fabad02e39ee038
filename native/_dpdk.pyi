# Built from the C sources by build_dpdk.py where DPDK is installed; what it declares is in native/include/matchmark/dpdk.h.
from typing import Any

ffi: Any
lib: Any
