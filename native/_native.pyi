# Built from the C sources by build_ffi.py; what it declares is in native/include/matchmark/.
from typing import Any

ffi: Any
lib: Any
