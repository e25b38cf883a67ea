"""The decorator of this room's kernels: machine code, cached on disk, without the interpreter lock.

Arithmetic follows IEEE rules except that sums may be reordered and contracted, which is what lets
a short dot product run in vector registers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

if TYPE_CHECKING:

    def compiled(function: Kernel) -> Kernel:
        """Compile a function on its first call."""

else:
    from numba import njit

    compiled = njit(
        cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"}
    )
