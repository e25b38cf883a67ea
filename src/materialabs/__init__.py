"""materialabs discovers materials.

The names here are the stable face of the package; everything is loaded on first use, so that
``import materialabs`` is quick::

    import materialabs as ml

    crystals = ml.read("structures/*.cif")
    hull = ml.Hull(formulas, ml.Energies(values, "formation", ml.Level("PBE")))
    distance = hull.distance(candidates, energies)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from materialabs.crystals.batch import Crystals
    from materialabs.crystals.files import read, write
    from materialabs.discovery.campaign import Campaign, discover
    from materialabs.generation import generate
    from materialabs.hull import Hull
    from materialabs.levels import Energies, Level
    from materialabs.networks.asking import predict
    from materialabs.networks.models import Model, load_model
    from materialabs.networks.train import train
    from materialabs.predictions import Prediction
    from materialabs.store.store import Store

__version__ = "0.1.0"

_HOMES = {
    "Campaign": "materialabs.discovery.campaign",
    "Crystals": "materialabs.crystals.batch",
    "Energies": "materialabs.levels",
    "Hull": "materialabs.hull",
    "Level": "materialabs.levels",
    "Model": "materialabs.networks.models",
    "Prediction": "materialabs.predictions",
    "Store": "materialabs.store.store",
    "discover": "materialabs.discovery.campaign",
    "generate": "materialabs.generation",
    "load_model": "materialabs.networks.models",
    "predict": "materialabs.networks.asking",
    "read": "materialabs.crystals.files",
    "train": "materialabs.networks.train",
    "write": "materialabs.crystals.files",
}

__all__ = [
    "Campaign",
    "Crystals",
    "Energies",
    "Hull",
    "Level",
    "Model",
    "Prediction",
    "Store",
    "__version__",
    "discover",
    "generate",
    "load_model",
    "predict",
    "read",
    "train",
    "write",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'materialabs' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
