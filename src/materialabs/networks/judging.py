"""A finished model judged, once, on the rows that were kept for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.networks import cards
from materialabs.networks.heads import places_of
from materialabs.networks.models import Model
from materialabs.networks.preparing import Prepared
from materialabs.networks.training_data import TrainingData

Rows = NDArray[np.int64]


@dataclass(eq=False)
class Assembled:
    """A finished model, and what it said of the test side.

    Parameters
    ----------
    model
        Read back from its folder.
    predictions
        By geometry and head, of the test rows.
    rows
        By geometry, the row of the table that each prediction is of.
    """

    model: Model
    predictions: dict[tuple[str, str], Any] = field(default_factory=dict)
    rows: dict[str, Rows] = field(default_factory=dict)


def judged(model: Model, data: TrainingData, prepared: Prepared | None) -> Assembled:
    """Predictions of the test rows, relaxed by the very call that users make."""
    made, rows = Assembled(model), data.parts.test
    inputs: Any = data.inputs[rows]
    names = tuple(data.names[row] for row in rows.tolist())
    made.rows["relaxed"] = rows
    for name, told in model.predict_heads(inputs).items():
        made.predictions["relaxed", name] = told.replace(ids=names)
    if prepared is None or not isinstance(data.inputs, Crystals):
        return made
    copies = prepared.copies["test"]
    if len(copies):
        made.rows["unrelaxed"] = copies.original
        names = tuple(data.names[row] for row in copies.original.tolist())
        told_of = model.predict_graphs(
            copies.graphs, data.compositions[copies.original], relaxed=False
        )
        for name, told in told_of.items():
            made.predictions["unrelaxed", name] = told.replace(ids=names)
    return made


def metrics(made: Assembled, data: TrainingData) -> dict[str, Any]:
    """The figures of a card, by geometry and head."""
    places, heads = places_of(data.heads), {head.name: head for head in data.heads}
    found: dict[str, Any] = {geometry: {} for geometry in made.rows}
    for (geometry, name), told in made.predictions.items():
        rows = made.rows[geometry]
        truth, cells = data.targets[rows, places[name]], data.compositions[rows]
        head = heads[name]
        if head.classes:
            found[geometry][name] = cards.class_figures(told, truth, data.formulas[rows].tolist())
            continue
        found[geometry][name] = cards.number_figures(told, truth[:, 0], cells)
        if head.logarithm:
            found[geometry][name] |= cards.unit_figures(told, truth[:, 0], cells, head.unit)
    return found
