"""Crystals as columns: batch, files, symmetry, neighbours, fingerprints, prototypes."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from materialabs.crystals.batch import Crystals
    from materialabs.crystals.columns import Columns
    from materialabs.crystals.compositions import Compositions
    from materialabs.crystals.occupancy import Occupancy

_HOMES: Final = {
    "Columns": "materialabs.crystals.columns",
    "Compositions": "materialabs.crystals.compositions",
    "Crystals": "materialabs.crystals.batch",
    "Occupancy": "materialabs.crystals.occupancy",
}

__all__ = ["Columns", "Compositions", "Crystals", "Occupancy"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
