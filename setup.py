"""The C core is the only thing that pyproject.toml cannot say: cffi builds it in API mode."""

from setuptools import setup

setup(cffi_modules=["native/build_ffi.py:ffibuilder"])
