"""Networks: graph and composition models that know how sure they are."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from materialabs.networks.cascade import Cascade
    from materialabs.networks.conformance import check_model
    from materialabs.networks.level import LevelMap
    from materialabs.networks.models import Model, load_model
    from materialabs.networks.splits import Split

_HOMES: Final = {
    "Cascade": "materialabs.networks.cascade",
    "LevelMap": "materialabs.networks.level",
    "Model": "materialabs.networks.models",
    "Split": "materialabs.networks.splits",
    "check_model": "materialabs.networks.conformance",
    "load_model": "materialabs.networks.models",
}

__all__ = [
    "Cascade",
    "LevelMap",
    "Model",
    "Split",
    "check_model",
    "load_model",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
