"""Train a source: what calculated crystals tell of compositions, in one network of many outputs.

Each formula counts once, with the values of its lowest polymorph; a quantity that was not
calculated for a formula is left out there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from materialabs.crystals.compositions import Compositions
from materialabs.errors import InputError
from materialabs.networks.cards import versions
from materialabs.networks.composition_network import (
    CompositionExamples,
    CompositionNetwork,
    CompositionNetworkShape,
    composition_batch,
)
from materialabs.networks.ensembles import State
from materialabs.networks.learning_tasks import Epoch, Recipe, Scaling, Task
from materialabs.networks.model_files import CARD, SCHEMA, WEIGHTS, write_json, write_weights
from materialabs.networks.splits import formula_hash
from materialabs.networks.training import Training
from materialabs.networks.weight_files import hash_of
from materialabs.transfer.sources import Source

Floats = NDArray[np.float64]

VALIDATION_FROM: Final = 95
"""Formulas that hash to this or above (of 100) decide which epoch is kept and are told of."""

RECIPE: Final = Recipe(epochs=30, batch=256, rate=1e-3, patience=30)
"""How a source is trained: about three minutes of one core for 30,000 formulas."""

FEWEST: Final = 100
"""Formulas; with fewer there is nothing to carry over."""


def train_source(
    name: str,
    compositions: Compositions,
    values: Floats,
    quantities: Sequence[str],
    folder: Path,
    *,
    width: int = 128,
    weights: Mapping[str, float] | None = None,
    recipe: Recipe = RECIPE,
    data: Mapping[str, Any] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Source:
    """Train a network on calculated values and write its folder.

    Parameters
    ----------
    name
        Of the source.
    compositions
        n compositions, each formula once.
    values
        [n, q], NaN where one is not known.
    quantities
        Names of the q quantities.
    folder
        Of the source; training that was stopped goes on from its folder ``work``.
    width
        Features of an element.
    weights
        Of the quantities in the loss; 1 for those not named.
    recipe
        How it is trained.
    data
        What the card tells of the data: name, credit, licence.
    on_epoch
        Called after each epoch.
    """
    hashes = np.array([formula_hash(one) for one in compositions.reduced_formulas()])
    learned, aside = np.flatnonzero(hashes < VALIDATION_FROM), np.flatnonzero(
        hashes >= VALIDATION_FROM
    )  # fmt: skip
    if len(learned) < FEWEST or not len(aside):
        raise InputError(f"A source needs {FEWEST} formulas or more; got {len(learned)}.")
    shape = CompositionNetworkShape(tuple(quantities), width=width)
    examples = CompositionExamples(composition_batch(compositions))
    task = Task(examples, values, shape.heads, learned, aside)
    torch.manual_seed(recipe.seed)
    settings = Recipe(**{**vars(recipe), "weights": dict(weights or {})})
    training = Training(CompositionNetwork(shape), task, settings, folder / "work")
    state = training.run(on_epoch)
    best = training.history[training.best_epoch]
    spread = dict(zip(shape.heads, training.scaling.spread.tolist(), strict=True))
    told = dict(data or {}) | {
        "formulas": len(compositions),
        "known": {one: int(np.isfinite(column).sum())
                  for one, column in zip(quantities, values.T, strict=True)},
    }  # fmt: skip
    errors = {one: error * spread[one] for one, error in best.validation.items()}
    return write_source(folder, name, shape, [state], training.scaling, told, errors)


def write_source(
    folder: Path, name: str, shape: CompositionNetworkShape, states: Sequence[State],
    scaling: Scaling, data: Mapping[str, Any], errors: Mapping[str, float],
) -> Source:  # fmt: skip
    """Write a source's folder: weights, then the card that vouches for them.

    Parameters
    ----------
    folder, name
        Of the source.
    shape, states, scaling
        Of the network.
    data
        What the card tells of the data.
    errors
        Mean absolute error of each quantity on formulas set aside.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(folder, states, scaling)
    write_json(folder / CARD, {
        "schema": SCHEMA,
        "kind": "transfer source",
        "name": name,
        "quantities": list(shape.heads),
        "network": {"shape": shape.document(), "members": len(states)},
        "data": dict(data),
        "split": f"MD5 of the reduced formula below {VALIDATION_FROM} learned, the rest set aside",
        "errors": dict(errors),
        "versions": versions(),
        "files": {WEIGHTS: hash_of(folder / WEIGHTS)},
    })  # fmt: skip
    return Source.load(folder)
