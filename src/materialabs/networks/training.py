"""Train a network: one loop for every model of this room.

The loop is deterministic by seed and goes on after being killed exactly where its last checkpoint
stood: the order of the crystals and their distortions are drawn from (seed, epoch, batch), never
from the state of a generator. What is kept is the running average of the weights (Polyak and
Juditsky 1992) at the epoch whose validation error was least.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn

from materialabs.errors import InputError, PhysicsError
from materialabs.networks.learning_tasks import (
    PRECISIONS,
    Epoch,
    Examples,
    Recipe,
    Scaling,
    Task,
)
from materialabs.networks.optimiser import Optimiser
from materialabs.networks.weight_files import read_tensors, write_tensors

WARM_UP = 0.05
"""Share of all steps over which the learning rate rises."""

LAST_RATE = 0.005
"""Learning rate of the last step, relative to the highest; between them it follows a cosine."""

LARGEST_GRADIENT = 1.0
"""Norm that the gradient of a step is cut to."""

SURE_SHARE = 0.985
"""Share of the expected rows of an epoch that are surely there when rows are drawn by chance."""

EVALUATED_AT_ONCE = 256
"""Crystals of a batch when nothing is learned."""


class Training:
    """One training, from its first step or its last checkpoint to its end.

    Parameters
    ----------
    network
        Takes a batch of the examples to values [n, heads]; its weights are those of the seed.
    task, recipe
        What and how.
    folder
        Where the checkpoint lies; without one nothing is kept until the end.
    """

    def __init__(
        self, network: nn.Module, task: Task, recipe: Recipe, folder: Path | None = None
    ) -> None:
        self.task, self.recipe, self.folder = task, recipe, folder
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = network.to(self.device)
        self.scaling = Scaling.of(task.targets[task.train])
        self.targets = self.scaling.scaled(task.targets)
        self.steps_an_epoch = max(1, int(SURE_SHARE * task.rows_an_epoch()) // recipe.batch)
        self.optimiser = Optimiser(self.network, recipe.decay, PRECISIONS[recipe.precision])
        self.average = {name: value.clone() for name, value in network.state_dict().items()}
        self.best = {name: value.clone() for name, value in self.average.items()}
        self.best_error, self.best_epoch = math.inf, -1
        self.step, self.loss_sum = 0, 0.0
        self.saved = time.monotonic()
        self.history: list[Epoch] = []
        self.fingerprint = task.fingerprint(recipe)
        weights = [recipe.weights.get(name, 1.0) for name in task.heads]
        self.weights = torch.tensor(weights, device=self.device)
        if folder is not None and (folder / "state.safetensors").exists():
            self._resume(folder / "state.safetensors")

    def run(self, on_epoch: Callable[[Epoch], None] | None = None) -> dict[str, Tensor]:
        """Train to the end and return the best averaged weights."""
        while not self.finished:
            number, first = divmod(self.step, self.steps_an_epoch)
            order = self.task.order(self.recipe.seed, number)
            begin = time.monotonic()
            for place in range(first, self.steps_an_epoch):
                self._save_when_due()
                size = self.recipe.batch
                self._learn(order[place * size : (place + 1) * size], (number, place))
            seconds = time.monotonic() - begin
            rate = (self.steps_an_epoch - first) * self.recipe.batch / max(seconds, 1e-9)
            self._finish_epoch(number, seconds, rate)
            if on_epoch is not None:
                on_epoch(self.history[-1])
        self.save()
        return self.best

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or the validation error has stopped falling."""
        done = len(self.history)
        return done >= self.recipe.epochs or done - 1 - self.best_epoch >= self.recipe.patience

    def _learn(self, rows: NDArray[np.int64], place: tuple[int, int]) -> None:
        rank, world = _rank_and_world()
        own = rows[rank::world]
        random = np.random.default_rng([self.recipe.seed, *place, rank])
        self.network.train()
        loss = self._loss(own, random) if len(own) else None
        self.optimiser.forget_gradients()
        if loss is not None:
            loss.backward()  # type: ignore[no-untyped-call] # torch tells no type
        _share_gradients(self.network, len(own) / len(rows))
        nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_GRADIENT)
        self.optimiser.step(self.recipe.rate * self._relative_rate())
        self.step += 1
        self.loss_sum += 0.0 if loss is None else float(loss.detach())
        self._follow()

    def _loss(self, rows: NDArray[np.int64], random: np.random.Generator) -> Tensor:
        batch = on_device(self.task.examples.batch(rows, random), self.device)
        mixed = PRECISIONS[self.recipe.precision]
        with torch.autocast(self.device.type, mixed, enabled=mixed != torch.float32):
            values = self.network(batch)
        targets = self.targets[torch.from_numpy(rows)].to(self.device)
        return missing_aware_loss(values.float(), targets, self.weights)

    def _relative_rate(self) -> float:
        total = self.steps_an_epoch * self.recipe.epochs
        warm = max(1.0, WARM_UP * total)
        if self.step < warm:
            return (self.step + 1) / warm
        progress = min(1.0, (self.step - warm) / max(1.0, total - warm))
        return LAST_RATE + (1.0 - LAST_RATE) * 0.5 * (1.0 + math.cos(math.pi * progress))

    @torch.no_grad()
    def _follow(self) -> None:
        """Let the average follow the weights: quickly at first, then by the recipe."""
        kept = min(self.recipe.average, (1 + self.step) / (10 + self.step))
        state = self.network.state_dict()
        names = [name for name, value in state.items() if value.is_floating_point()]
        torch._foreach_lerp_(
            [self.average[name] for name in names], [state[name] for name in names], 1.0 - kept
        )

    def _finish_epoch(self, number: int, seconds: float, rate: float) -> None:
        errors = self.validation_errors()
        mean_loss = self.loss_sum / self.steps_an_epoch
        if not math.isfinite(mean_loss):
            raise PhysicsError(
                "The loss is not a number: lower the learning rate, or look for absurd targets.",
                code="training.diverged",
            )
        self.loss_sum = 0.0
        self.history.append(Epoch(number, mean_loss, errors, seconds, rate))
        weights = dict(zip(self.task.heads, self.weights.tolist(), strict=True))
        judged = [weights[name] * error for name, error in errors.items()]
        error = sum(judged) if judged else mean_loss
        if error < self.best_error:
            self.best_error, self.best_epoch = error, number
            self.best = {name: value.clone() for name, value in self.average.items()}

    def validation_errors(self) -> dict[str, float]:
        """Mean absolute error of each head on the validation rows, by the averaged weights."""
        rows = self.task.validation
        if not len(rows):
            return {}
        current = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.network.load_state_dict(self.average)
        values = evaluate(self.network, self.task.examples, rows, self.device)
        self.network.load_state_dict(current)
        wrong = np.abs(values.double().numpy() - self.targets[torch.from_numpy(rows)].numpy())
        return {
            name: float(np.nanmean(column))
            for name, column in zip(self.task.heads, wrong.T, strict=True)
            if np.isfinite(column).any()
        }

    # -- checkpoints ------------------------------------------------------------------------------

    def _save_when_due(self) -> None:
        if time.monotonic() - self.saved > self.recipe.checkpoint_seconds:
            self.save()

    def save(self) -> None:
        """Write the checkpoint, whole or not at all; only the first of several processes does."""
        self.saved = time.monotonic()
        if self.folder is None or _rank_and_world()[0]:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        tensors |= self.optimiser.tensors()
        document = {
            "fingerprint": self.fingerprint, "step": self.step, "loss_sum": self.loss_sum,
            "best_error": self.best_error, "best_epoch": self.best_epoch,
            "history": [asdict(epoch) for epoch in self.history],
        }  # fmt: skip
        write_tensors(self.folder / "state.safetensors", tensors, {"state": json.dumps(document)})

    def _resume(self, path: Path) -> None:
        tensors, metadata = read_tensors(path)
        document = json.loads(metadata["state"])
        if document["fingerprint"] != self.fingerprint:
            raise InputError(
                f"{path.parent} holds another training (other data, split or recipe): "
                "give another folder, or remove it.",
                code="training.other",
            )
        self.network.load_state_dict(_under("network.", tensors))
        self.average = {n: v.to(self.device) for n, v in _under("average.", tensors).items()}
        self.best = {n: v.to(self.device) for n, v in _under("best.", tensors).items()}
        self.optimiser.restore(tensors, document["step"])
        self.step, self.loss_sum = document["step"], document["loss_sum"]
        self.best_error, self.best_epoch = document["best_error"], document["best_epoch"]
        self.history = [Epoch(**epoch) for epoch in document["history"]]


def missing_aware_loss(values: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Mean absolute error of each head over its known targets, summed by weight."""
    known = torch.isfinite(targets)
    wrong = (values - torch.where(known, targets, values.detach())).abs()
    return ((wrong * known).sum(0) / known.sum(0).clamp(min=1) * weights).sum()


@torch.no_grad()
def evaluate(
    network: nn.Module, examples: Examples, rows: NDArray[np.int64], device: torch.device
) -> Tensor:
    """Scaled values [len(rows), heads] of rows as they are, on the CPU."""
    network.eval()
    parts = [
        network(on_device(examples.exact(rows[start : start + EVALUATED_AT_ONCE]), device)).cpu()
        for start in range(0, len(rows), EVALUATED_AT_ONCE)
    ]
    return torch.cat(parts)


def on_device(batch: Any, device: torch.device) -> Any:
    """The batch with its tensors where the network is."""
    return batch if device.type == "cpu" else batch.to(device)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}


def _rank_and_world() -> tuple[int, int]:
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def _share_gradients(network: nn.Module, share: float) -> None:
    """Sum the gradients of all processes, each weighted by its share of the rows."""
    if _rank_and_world()[1] == 1:
        return
    for parameter in network.parameters():
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        parameter.grad.mul_(share)
        distributed.all_reduce(parameter.grad)
