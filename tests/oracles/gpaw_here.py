"""Where the tests find GPAW: the interpreter that runs them, or the one that GPAW_PYTHON names."""

from __future__ import annotations

import importlib.util
import os
import sys

import pytest


def gpaw_python() -> str:
    """An interpreter with GPAW; the test is skipped with one line where there is none."""
    named = os.environ.get("GPAW_PYTHON")
    if named:
        return named
    if importlib.util.find_spec("gpaw") is None:
        pytest.skip("no GPAW here: pip install materialabs[dft], or set GPAW_PYTHON")
    return sys.executable
