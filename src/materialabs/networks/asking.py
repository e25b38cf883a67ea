"""Predict with a model by its name: ``ml.predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from materialabs.crystals.compositions import Compositions
from materialabs.crystals.files import read
from materialabs.errors import FormulaError
from materialabs.networks.models import Model, load_model
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
    asked = load_model(model)
    given = read(crystals) if _names_files(crystals, asked) else crystals
    return asked.predict(given, relaxed=relaxed)


def _names_files(crystals: Any, model: Model) -> bool:
    """Whether a text names files; a model of compositions takes it as a formula if it is one."""
    if isinstance(crystals, str) and model.reads == "compositions":
        try:
            Compositions.parse([crystals])
        except FormulaError:
            return True
        return False
    return isinstance(crystals, (str, Path))
