"""The C parts are the only thing that pyproject.toml cannot say: cffi builds them in API mode, DPDK's where it is installed."""

import runpy

from setuptools import setup

dpdk = runpy.run_path("native/build_dpdk.py")["is_wanted"]()
setup(cffi_modules=["native/build_ffi.py:ffibuilder", *["native/build_dpdk.py:ffibuilder"] * dpdk])
