"""Phase stability: the lower convex hull of formation energies over composition."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from materialabs.hull.decomposition import Decomposition
    from materialabs.hull.hull import Hull
    from materialabs.hull.open_system import GrandPotentialHull
    from materialabs.hull.patches import HullPatches, judge

_HOMES: Final = {
    "Decomposition": "materialabs.hull.decomposition",
    "GrandPotentialHull": "materialabs.hull.open_system",
    "Hull": "materialabs.hull.hull",
    "HullPatches": "materialabs.hull.patches",
    "judge": "materialabs.hull.patches",
}

__all__ = ["Decomposition", "GrandPotentialHull", "Hull", "HullPatches", "judge"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
