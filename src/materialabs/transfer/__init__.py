"""Transfer: measured properties from compositions, with what calculated crystals know."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from materialabs.transfer.explaining import Explanation, explain
    from materialabs.transfer.fitting import fit
    from materialabs.transfer.models import TransferModel, load
    from materialabs.transfer.screening import screen
    from materialabs.transfer.sources import Source

_HOMES: Final = {
    "Explanation": "materialabs.transfer.explaining",
    "Source": "materialabs.transfer.sources",
    "TransferModel": "materialabs.transfer.models",
    "explain": "materialabs.transfer.explaining",
    "fit": "materialabs.transfer.fitting",
    "load": "materialabs.transfer.models",
    "screen": "materialabs.transfer.screening",
}

__all__ = [
    "Explanation",
    "Source",
    "TransferModel",
    "explain",
    "fit",
    "load",
    "screen",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
