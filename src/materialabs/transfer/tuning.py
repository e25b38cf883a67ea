"""Composition networks that go on learning, with measured values: fine-tuning.

A network begins as that of a source, which has learned a calculated quantity, or from nothing; all
of its weights then learn. Of the source's readout, too, everything stays that fits: measured gaps
begin as calculated ones. Measuring conditions are told to every element before the first round.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, cos, pi
from threading import Lock
from typing import Any, Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from materialabs.crystals.compositions import Compositions
from materialabs.networks.composition_network import (
    CompositionBatch,
    CompositionNetwork,
    CompositionNetworkShape,
    composition_batch,
)
from materialabs.networks.learning_tasks import Scaling

Floats = NDArray[np.float64]

STEPS: Final = 700
"""Of learning, about: fewer leave small tables half learned, more forget what the source knew."""

MOST_EPOCHS: Final = 60
"""Times that a table of a few rows is seen, in fewer steps."""

SMALLEST_BATCH, LARGEST_BATCH = 32, 128
"""Rows of a step."""

BATCHES: Final = 40
"""Steps at least in which a batch larger than the smallest sees a table once."""

RATE, DECAY, WARM_UP = 1e-3, 0.01, 0.05
"""Highest learning rate, weight decay relative to it, and the share of steps that lead up to it."""

STEEPEST: Final = 1.0
"""Norm to which gradients are cut."""

AT_ONCE: Final = 512
"""Compositions that are predicted together."""

SEEDING: Final = Lock()
"""Weights are drawn from torch's one random generator, also where several networks learn."""


class ConditionedNetwork(nn.Module):
    """A composition network that is told measuring conditions.

    Parameters
    ----------
    shape
        Of the composition network.
    conditions
        How many there are.
    """

    def __init__(self, shape: CompositionNetworkShape, conditions: int) -> None:
        super().__init__()
        self.composition = CompositionNetwork(shape)
        self.conditions: nn.Sequential | None = None
        if conditions:
            last = nn.Linear(shape.width, shape.width)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            self.conditions = nn.Sequential(nn.Linear(conditions, shape.width), nn.SiLU(), last)

    def begin_as(self, start: CompositionNetwork) -> None:
        """Take over all weights of a network of the same width that have a place here."""
        mine, given = self.composition.state_dict(), start.state_dict()
        self.composition.load_state_dict(
            {
                name: given[name] if name in given and given[name].shape == value.shape else value
                for name, value in mine.items()
            }
        )

    def forward(self, batch: CompositionBatch, conditions: Tensor) -> Tensor:
        """Scaled values, or scores of classes, [n, k]."""
        told = None if self.conditions is None else self.conditions(conditions)
        values: Tensor = self.composition(batch, told)
        return values


@dataclass(frozen=True, eq=False)
class Tuned:
    """A network that has learned measured values.

    Parameters
    ----------
    network
        With weights that half precision holds exactly.
    targets, conditions
        Centres and spreads, of the rows that were learned from.
    """

    network: ConditionedNetwork
    targets: Scaling
    conditions: Scaling

    @torch.inference_mode()
    def answers(self, compositions: Compositions, conditions: Floats) -> Floats:
        """Values [n, 1], or probabilities of classes [n, k]."""
        batch, given = composition_batch(compositions), self.conditions.scaled(conditions)
        rows = np.arange(len(compositions))
        parts = [
            self.network(batch.take(some), given[some])
            for some in np.split(rows, range(AT_ONCE, len(rows), AT_ONCE))
        ]
        values = torch.cat(parts)
        if are_classes(self.targets.mean):
            return np.asarray(values.double().softmax(dim=1).numpy())
        return self.targets.restored(values)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Named arrays, for a file."""
        shape = self.network.composition.shape
        weights = {
            f"weight.{name}": value.half().numpy()
            for name, value in self.network.state_dict().items()
        }
        return weights | {
            "shape": np.array([shape.width, shape.layers, shape.views], dtype=np.int64),
            "targets": np.stack([self.targets.mean, self.targets.spread]),
            "conditions": np.stack([self.conditions.mean, self.conditions.spread]),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """What :meth:`to_arrays` gave, ready to answer."""
        targets, conditions = Scaling(*arrays["targets"]), Scaling(*arrays["conditions"])
        width, layers, views = (int(one) for one in arrays["shape"])
        shape = CompositionNetworkShape(heads_of(targets.mean), width, layers, views)
        network = ConditionedNetwork(shape, len(conditions.mean))
        network.load_state_dict(
            {
                name.removeprefix("weight."): torch.from_numpy(np.array(value)).float()
                for name, value in arrays.items() if name.startswith("weight.")
            }
        )  # fmt: skip
        return cls(network.eval(), targets, conditions)


def tune(
    compositions: Compositions,
    conditions: Floats,
    targets: Floats,
    start: CompositionNetwork | None,
    seed: int,
) -> Tuned:
    """Let a copy of a network learn measured values.

    Parameters
    ----------
    compositions
        n compositions.
    conditions
        [n, c] that each was measured at.
    targets
        [n, 1] values, or [n, k] ones and zeros that tell classes apart.
    start
        What it begins as; it is not changed. Without one it begins from nothing.
    seed
        The same seed learns the same.
    """
    given = start.shape if start is not None else CompositionNetworkShape(())
    shape = CompositionNetworkShape(heads_of(targets[0]), given.width, given.layers, given.views)
    scale, told = Scaling.of(targets), Scaling.of(conditions)
    with SEEDING, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ConditionedNetwork(shape, conditions.shape[1])
    if start is not None:
        network.begin_as(start)
    wanted = torch.from_numpy(targets).float() if are_classes(targets[0]) else scale.scaled(targets)
    _learn(network, composition_batch(compositions), told.scaled(conditions), wanted, seed)
    for value in network.state_dict().values():
        value.copy_(value.half())
    return Tuned(network.eval(), scale, told)


def heads_of(target: Floats) -> tuple[str, ...]:
    """Names of the outputs for the target of a row [k]."""
    return tuple(f"output {number}" for number in range(len(target)))


def are_classes(target: Floats) -> bool:
    """Whether the target of a row [k] tells classes apart."""
    return len(target) > 1


def schedule(rows: int) -> tuple[int, int]:
    """Epochs, and rows of a batch, for a table."""
    batch = SMALLEST_BATCH
    while batch < LARGEST_BATCH and 2 * batch * BATCHES <= rows:
        batch *= 2
    return min(max(1, round(STEPS / ceil(rows / batch))), MOST_EPOCHS), batch


def _learn(
    network: ConditionedNetwork, batch: CompositionBatch, conditions: Tensor, wanted: Tensor,
    seed: int,
) -> None:  # fmt: skip
    """Move the weights down the gradient of absolute errors, or of cross-entropy."""
    random = np.random.default_rng(seed)
    epochs, size = schedule(len(batch))
    steps = epochs * ceil(len(batch) / size)
    elements = (batch.fractions > 0).sum(dim=1).numpy()
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=DECAY, fused=True)
    network.train()
    for step, rows in enumerate(
        rows for _ in range(epochs) for rows in alike(elements, size, random)
    ):
        for group in optimiser.param_groups:
            group["lr"] = RATE * pace(step / steps)
        values = network(batch.take(rows), conditions[rows])
        if wanted.shape[1] > 1:
            loss = nn.functional.cross_entropy(values, wanted[rows])
        else:
            loss = nn.functional.l1_loss(values, wanted[rows])
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(network.parameters(), STEEPEST)
        optimiser.step()


def alike(
    elements: NDArray[np.int64], size: int, random: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Batches of rows that see every row once, each of about as many elements: little is padded.

    Parameters
    ----------
    elements
        Number of elements of each of n rows.
    size
        Rows of a batch.
    random
        Draws which rows of as many elements come together, and the order of the batches.
    """
    order = random.permutation(len(elements))
    order = order[np.argsort(elements[order], kind="stable")]
    batches = np.split(order, range(size, len(order), size))
    return [batches[place] for place in random.permutation(len(batches))]


def pace(done: float) -> float:
    """Learning rate, relative to the highest, after this share of all steps."""
    return min(1.0, done / WARM_UP + 1e-3) * 0.5 * (1.0 + cos(pi * done))
