"""Trains the members of an ensemble one after another; what was stopped goes on where it stood."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from materialabs.crystals.batch import Crystals
from materialabs.networks.assembling import Members
from materialabs.networks.bond_network import BondNetwork, BondNetworkShape
from materialabs.networks.composition_network import (
    CompositionExamples,
    CompositionNetwork,
    CompositionNetworkShape,
    composition_batch,
)
from materialabs.networks.heads import Head, columns_of, places_of
from materialabs.networks.learning_tasks import PRECISIONS, Epoch, Recipe, Task
from materialabs.networks.preparing import Prepared
from materialabs.networks.starting import Start, StartedTask
from materialabs.networks.training import (
    Training,
    evaluate,
    missing_aware_loss,
    on_device,
)
from materialabs.networks.training_data import TrainingData

Rows = NDArray[np.int64]
Shape = BondNetworkShape | CompositionNetworkShape

AFFORDABLE_BONDS: Final = 150.0
"""Bonds above which a crystal is shown less often, in proportion."""

STEPS: Final = 4_000
"""Steps that a table of :data:`STEPS_ROWS` rows is learned in."""

STEPS_ROWS: Final = 1_000
"""Rows; the number of steps grows with the cube root of the rows."""

LARGEST_BATCH, SMALLEST_BATCH = 64, 8
"""Rows of a step; small tables take smaller steps, at least :data:`STEPS_AN_EPOCH` an epoch."""

STEPS_AN_EPOCH: Final = 16

MOST_EPOCHS, FEWEST_EPOCHS = 200, 20
"""Times that every row is seen, whatever the size of the table."""

PATIENT_SHARE: Final = 0.3
"""Share of all epochs without a better validation error after which training ends."""

LARGE_TABLE: Final = 5_000
"""Training rows from which the networks are wide."""

WIDE, NARROW = 128, 64
"""Features of a site in networks for large and for small tables."""


@dataclass(frozen=True)
class Watch:
    """What is told while training goes on, and whether to stop.

    Parameters
    ----------
    step
        Called after each step with the member and the rows of the step.
    epoch
        Called after each epoch with the member and what was reached.
    stopping
        Asked after each step; when true, a checkpoint is written and training is interrupted.
    """

    step: Callable[[int, int], None] = lambda member, rows: None
    epoch: Callable[[int, Epoch], None] = lambda member, reached: None
    stopping: Callable[[], bool] = lambda: False


def usual_recipe(rows: int, *, epochs: int | None = None, precision: str = "float32") -> Recipe:
    """A recipe that suits a number of training rows.

    Parameters
    ----------
    rows
        Training rows.
    epochs
        Times that every row is seen, where it is known better.
    precision
        Of products.
    """
    batch = int(np.clip(rows // STEPS_AN_EPOCH, SMALLEST_BATCH, LARGEST_BATCH))
    steps = STEPS * (max(rows, 1) / STEPS_ROWS) ** (1 / 3)
    usual = int(np.clip(round(steps * batch / max(rows, 1)), FEWEST_EPOCHS, MOST_EPOCHS))
    number = usual if epochs is None else epochs
    return Recipe(
        epochs=number,
        batch=batch,
        decay=0.05,
        patience=max(10, int(PATIENT_SHARE * number)),
        precision=precision,
    )


def usual_shape(data: TrainingData) -> Shape:
    """A network that suits a table: of crystals or compositions, wide for large tables."""
    width = WIDE if len(data.parts.train) >= LARGE_TABLE else NARROW
    if isinstance(data.inputs, Crystals):
        return BondNetworkShape(columns_of(data.heads), width)
    return CompositionNetworkShape(columns_of(data.heads), width)


def task_of(data: TrainingData, prepared: Prepared | None, start: Start | None = None) -> Task:
    """What each member learns, and what it begins with."""
    task = _task_from_nothing(data, prepared)
    return task if start is None else StartedTask.of(task, start)


def _task_from_nothing(data: TrainingData, prepared: Prepared | None) -> Task:
    columns = columns_of(data.heads)
    if prepared is None:
        examples = CompositionExamples(composition_batch(data.compositions))
        return Task(examples, data.targets, columns, data.parts.train, data.parts.validation)
    bonds = np.diff(prepared.relaxed.bond_offsets).astype(float)
    return Task(
        prepared.examples, data.targets, columns, data.parts.train, data.parts.validation,
        bonds, AFFORDABLE_BONDS,
    )  # fmt: skip


def new_network(shape: Shape, seed: int, start: Start | None = None) -> nn.Module:
    """A network with the first weights of a seed; other random numbers are left alone."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = BondNetwork(shape) if isinstance(shape, BondNetworkShape) else (
            CompositionNetwork(shape)
        )  # fmt: skip
    if start is not None:
        start.begin(network, seed)
    return network


def member_training(
    data: TrainingData, task: Task, shape: Shape, recipe: Recipe, folder: Path, watch: Watch,
    start: Start | None = None,
) -> Training:  # fmt: skip
    """The training of one member, whose seed the recipe holds, ready to run or to go on."""
    network = new_network(shape, recipe.seed, start)
    if any(head.classes for head in data.heads):
        return ClassTraining(network, task, recipe, folder, watch, data.heads)
    return WatchedTraining(network, task, recipe, folder, watch)


def train_members(
    data: TrainingData,
    prepared: Prepared | None,
    shape: Shape,
    recipes: Sequence[Recipe],
    folder: Path,
    watch: Watch | None = None,
    start: Start | None = None,
) -> Members:
    """Train every member, or read those that are done.

    Parameters
    ----------
    data, prepared
        What is learned from.
    shape
        Of every network.
    recipes
        One for each member; their seeds differ.
    folder
        Keeps one folder for each member, ``member-SEED``.
    watch
        What is told meanwhile.
    start
        The model that the networks begin with; without one they begin at random.
    """
    task, states, histories = task_of(data, prepared, start), [], []
    for recipe in recipes:
        place = folder / f"member-{recipe.seed}"
        training = member_training(data, task, shape, recipe, place, watch or Watch(), start)
        states.append({name: value.cpu() for name, value in training.run().items()})
        histories.append([asdict(epoch) for epoch in training.history])
        scaling = training.scaling
    documents = [asdict(recipe) for recipe in recipes]
    begun = None if start is None else start.to_dict()
    return Members(shape, states, scaling, documents, histories, begun)


class WatchedTraining(Training):
    """A training that tells of each step, and stops between two steps when it is asked to."""

    def __init__(
        self, network: nn.Module, task: Task, recipe: Recipe, folder: Path, watch: Watch
    ) -> None:
        self.watch = watch
        super().__init__(network, task, recipe, folder)

    def _learn(self, rows: Rows, place: tuple[int, int]) -> None:
        super()._learn(rows, place)
        self.watch.step(self.recipe.seed, len(rows))
        # A checkpoint between the last step of an epoch and its end would lose the epoch.
        if self.step % self.steps_an_epoch and self.watch.stopping():
            self.save()
            raise KeyboardInterrupt

    def _finish_epoch(self, number: int, seconds: float, rate: float) -> None:
        super()._finish_epoch(number, seconds, rate)
        self.watch.epoch(self.recipe.seed, self.history[-1])
        if self.watch.stopping():
            self.save()
            raise KeyboardInterrupt


class ClassTraining(WatchedTraining):
    """A training in which some heads tell classes, learned by cross-entropy.

    Parameters
    ----------
    heads
        The heads, in the order of the columns of the targets.
    """

    def __init__(
        self, network: nn.Module, task: Task, recipe: Recipe, folder: Path, watch: Watch,
        heads: tuple[Head, ...],
    ) -> None:  # fmt: skip
        super().__init__(network, task, recipe, folder, watch)
        places = places_of(heads)
        self.groups = [places[head.name] for head in heads if head.classes]
        for place in self.groups:  # 0 and 1 stay what they are
            self.scaling.mean[place], self.scaling.spread[place] = 0.0, 1.0
        self.targets = self.scaling.scaled(task.targets)
        numbers = [places[head.name].start for head in heads if not head.classes]
        self.numbers = torch.tensor(numbers, dtype=torch.int64)

    def _loss(self, rows: Rows, random: np.random.Generator) -> Tensor:
        batch = on_device(self.task.examples.batch(rows, random), self.device)
        mixed = PRECISIONS[self.recipe.precision]
        with torch.autocast(self.device.type, mixed, enabled=mixed != torch.float32):
            values = self.network(batch)
        targets = self.targets[torch.from_numpy(rows)].to(self.device)
        return self._summed(values.float(), targets)

    def _summed(self, values: Tensor, targets: Tensor) -> Tensor:
        own = self.numbers.to(values.device)
        loss = missing_aware_loss(values[:, own], targets[:, own], self.weights[own])
        for place in self.groups:
            loss = loss + self.weights[place.start] * cross_entropy(
                values[:, place], targets[:, place]
            )
        return loss

    def validation_errors(self) -> dict[str, float]:
        """Error of each head on the validation rows: absolute, or the cross-entropy of classes."""
        rows = self.task.validation
        errors = super().validation_errors()
        if not len(rows):
            return errors
        current = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.network.load_state_dict(self.average)
        values = evaluate(self.network, self.task.examples, rows, self.device)
        self.network.load_state_dict(current)
        targets = self.targets[torch.from_numpy(rows)]
        for place in self.groups:
            for name in self.task.heads[place]:
                errors.pop(name, None)
            found = cross_entropy(values[:, place].float(), targets[:, place])
            errors[self.task.heads[place.start]] = float(found)
        return errors


def cross_entropy(scores: Tensor, truth: Tensor) -> Tensor:
    """Mean over the known rows of -ln(probability of the true class); scores and truth [n, k]."""
    known = torch.isfinite(truth).all(1)
    logs = torch.log_softmax(scores, 1) * torch.nan_to_num(truth)
    return -(logs.sum(1) * known).sum() / known.sum().clamp(min=1)
