"""What a network learns, and how: examples, targets, the parts of a table, and the recipe."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from materialabs.errors import InputError

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""Number formats that products may be taken in; weights are always float32."""

RULES = 3
"""Number of the rules of training and of the networks: under others, a checkpoint would lead
elsewhere. It rises with what a network of the same shape computes."""


class Examples(Protocol):
    """What a network learns from: rows that can be made into batches."""

    def __len__(self) -> int:
        """Rows."""
        ...

    def batch(self, rows: NDArray[np.int64], random: np.random.Generator) -> Any:
        """A batch to learn from, which may be distorted."""
        ...

    def exact(self, rows: NDArray[np.int64]) -> Any:
        """The same rows as they are."""
        ...


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Parameters
    ----------
    epochs
        Times that every row is seen.
    batch
        Rows of a step.
    rate, decay
        Highest learning rate, and weight decay relative to it.
    average
        How much of the running average of the weights stays at each step.
    patience
        Epochs without a better validation error after which training ends.
    weights
        Weight of each head in the loss; 1 for those not named.
    seed
        Decides the first weights, the order and the distortions.
    precision
        ``"float32"``, or ``"bfloat16"`` for products in half the memory.
    checkpoint_seconds
        Time between two checkpoints.
    """

    epochs: int = 40
    batch: int = 64
    rate: float = 2e-3
    decay: float = 0.01
    average: float = 0.999
    patience: int = 15
    weights: dict[str, float] = field(default_factory=dict)
    seed: int = 0
    precision: str = "float32"
    checkpoint_seconds: float = 120.0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1:
            raise InputError("Training needs at least one epoch and one row in a batch.")
        if self.precision not in PRECISIONS:
            raise InputError(f"The precision is one of {', '.join(PRECISIONS)}.")


@dataclass
class Task:
    """What one network learns: examples, targets, and which rows may be used for what.

    Parameters
    ----------
    examples
        The inputs.
    targets
        float64 [n, heads]; NaN where a value is missing.
    heads
        Name of each column of ``targets``.
    train, validation
        Rows to learn from, and rows that decide when to stop.
    costs
        [n], what a row costs to learn from; an epoch shows rows above ``affordable`` less often.
    affordable
        Cost above which a row is shown with probability ``affordable / cost``.
    """

    examples: Examples
    targets: NDArray[np.float64]
    heads: tuple[str, ...]
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    costs: NDArray[np.float64] | None = None
    affordable: float = math.inf

    def __post_init__(self) -> None:
        if np.isinf(self.targets).any():
            raise InputError("Targets are finite numbers, or missing: remove infinite values.")
        if np.intersect1d(self.train, self.validation).size:
            raise InputError("Rows to learn from and rows to validate on must not overlap.")
        known = np.isfinite(self.targets[self.train]).sum(axis=0)
        for name, count in zip(self.heads, known, strict=True):
            if count < 2:
                raise InputError(f"{name!r} has {count} values to learn from: at least 2 needed.")

    def order(self, seed: int, epoch: int) -> NDArray[np.int64]:
        """The rows of one epoch, in the order in which they are learned from."""
        random = np.random.default_rng([seed, epoch])
        rows = random.permutation(self.train)
        if self.costs is None:
            return rows
        chance = self.affordable / np.maximum(self.costs[rows], 1e-12)
        shown: NDArray[np.int64] = rows[random.random(len(rows)) < chance]
        return shown

    def rows_an_epoch(self) -> float:
        """How many rows an epoch shows on average."""
        if self.costs is None:
            return float(len(self.train))
        chance = self.affordable / np.maximum(self.costs[self.train], 1e-12)
        return float(np.minimum(chance, 1.0).sum())

    def fingerprint(self, recipe: Recipe) -> str:
        """Hash of everything that decides the outcome, so that no other training is resumed."""
        digest = hashlib.sha256(json.dumps(
            asdict(recipe) | {"checkpoint_seconds": 0, "heads": self.heads, "rules": RULES},
            sort_keys=True,
        ).encode())  # fmt: skip
        for array in (self.targets, self.train, self.validation):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Epoch:
    """What one epoch reached: the loss of each head and the validation error, both scaled."""

    number: int
    loss: float
    validation: dict[str, float]
    seconds: float
    rows_per_second: float


@dataclass
class Scaling:
    """Mean and spread of each head over the rows that are learned from."""

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]

    @classmethod
    def of(cls, targets: NDArray[np.float64]) -> Scaling:
        """Scaling of known values; a constant head has spread 1."""
        spread = np.nanstd(targets, axis=0)
        return cls(np.nanmean(targets, axis=0), np.where(spread > 0, spread, 1.0))

    def scaled(self, targets: NDArray[np.float64]) -> Tensor:
        """Targets with mean 0 and spread 1, NaN kept."""
        return torch.from_numpy(((targets - self.mean) / self.spread).astype(np.float32))

    def restored(self, values: Tensor) -> NDArray[np.float64]:
        """Values in their own units."""
        return np.asarray(values.double().cpu().numpy() * self.spread + self.mean)
