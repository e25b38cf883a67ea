"""Predict with a model by its name: ``ml.predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from materialabs.crystals.files import read
from materialabs.networks.models import load_model
from materialabs.predictions import Prediction


def predict(crystals: Any, model: str | Path = "energy", *, relaxed: bool = True) -> Prediction:
    """Predict a quantity of crystals, with calibrated intervals.

    Parameters
    ----------
    crystals
        Crystals, pymatgen structures, ASE atoms, or a file name or pattern; formulas where the
        model reads compositions.
    model
        A model that comes with the package, or the folder of your own.
    relaxed
        Whether the geometries are final; candidates that are not are judged for what they would
        relax to.
    """
    given = read(crystals) if isinstance(crystals, (str, Path)) else crystals
    return load_model(model).predict(given, relaxed=relaxed)
