"""One thread for the matrix products of NumPy and SciPy, while small ones are computed.

A product of 128 by 64 by 64 takes some millionths of a second; OpenBLAS hands it to all cores all
the same, and on busy cores its threads wait for each other sixty times as long.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

MAPPED: Final = Path("/proc/self/maps")
"""Where Linux lists the libraries that this process has loaded."""

PACKAGES: Final = ("numpy", "scipy")
NAMES: Final = tuple(
    f"{prefix}{{}}_num_threads{suffix}"
    for prefix in ("scipy_openblas_", "openblas_")
    for suffix in ("64_", "", "_64")
)
"""What OpenBLAS's builds call their functions; ``{}`` is ``get`` or ``set``."""


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let matrix products use one thread inside the block, in the whole process."""
    before = [(read(), write) for read, write in _controls()]
    for _, write in before:
        write(1)
    try:
        yield
    finally:
        for count, write in before:
            write(count)


@lru_cache(maxsize=1)
def _controls() -> tuple[tuple[Callable[[], int], Callable[[int], object]], ...]:
    """Functions that read and write the number of threads of each OpenBLAS in this process."""
    import numpy.linalg
    import scipy.linalg

    assert numpy.linalg and scipy.linalg  # loaded, so that their libraries are
    found = []
    for path in sorted(_libraries()):
        try:
            library = ctypes.CDLL(path)
        except OSError:
            continue
        for name in NAMES:
            if hasattr(library, name.format("set")):
                found.append((getattr(library, name.format("get")),
                              getattr(library, name.format("set"))))  # fmt: skip
                break
    return tuple(found)


def _libraries() -> set[str]:
    """Files of OpenBLAS: those that are loaded, or those that came with NumPy and SciPy."""
    if MAPPED.exists():
        lines = MAPPED.read_text().splitlines()
        places = [line.split(maxsplit=5)[-1] for line in lines if "openblas" in line]
        return {place for place in places if place.startswith("/")}
    files: set[str] = set()
    for package in PACKAGES:
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            home = Path(spec.origin).parent
            for folder in (home / ".dylibs", home.parent / f"{package}.libs"):
                files |= {str(file) for file in folder.glob("*openblas*")}
    return files
