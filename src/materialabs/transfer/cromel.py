"""CroMEL: a composition network that learns to speak as a structure network does.

A structure encoder f learns a calculated property; a generator g, which sees the composition only,
is drawn to the distribution of f's embeddings by the Wasserstein distance that a critic measures
(G. S. Na, npj Comput. Mater., 2025; I. Gulrajani et al., NeurIPS 2017). A target network then goes
on from a copy of g and learns measured values from compositions.

The losses of a batch, with z_s = f(structure), z_c = g(composition), C the critic:

    prediction   sum of (y - w z_s)^2, for f and w
    critic       -mean C(z_s) + mean C(z_c) + 10 mean (|grad C| - 1)^2
    generator    -mean C(z_c), at every fifth batch

Where the released code differs from the equations, or the equations from usual practice, there is
a named option; :data:`RELEASED` holds what that code does.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from materialabs.crystals.compositions import Compositions
from materialabs.crystals.descriptors import padded
from materialabs.errors import InputError
from materialabs.networks.element_features import element_features

Floats = NDArray[np.float64]

WIDTH: Final = 64
"""Features of an embedding."""

PENALTY: Final = 10.0
"""Weight of the gradient penalty (Gulrajani et al. 2017)."""

GENERATOR_EVERY: Final = 5
"""Batches from one step of the generator to the next."""

PREDICTION_RATE, PREDICTION_DECAY = 5e-4, 1e-6
"""Adam's learning rate and weight decay for encoder and head."""

ADVERSARIAL_RATE: Final = 1e-4
"""RMSprop's learning rate for critic and generator."""

TARGET_RATE, TARGET_DECAY = 5e-4, 5e-6
"""Adam's learning rate and weight decay for the target network."""

PLACES: Final = ("generated", "between")
"""Where the gradient penalty may be taken."""

GRADIENTS: Final = ("each", "mean")
"""Whose gradient the penalty holds at one."""


@dataclass(frozen=True)
class Variant:
    """What of CroMEL is taken how.

    Parameters
    ----------
    penalty_at
        ``"generated"``: at g's embeddings, as the method says; ``"between"``: at random points
        between the embeddings of both, as Wasserstein networks usually do.
    gradient_of
        ``"each"``: the critic's slope at each point is held at one; ``"mean"``: that of its mean
        over the batch, which lets slopes grow with the size of the batch.
    noisy_predictions
        Whether predictions draw g's noise, or take its mean.
    """

    penalty_at: str = "generated"
    gradient_of: str = "each"
    noisy_predictions: bool = False

    def __post_init__(self) -> None:
        if self.penalty_at not in PLACES or self.gradient_of not in GRADIENTS:
            raise InputError(
                f"The penalty is at {' or '.join(PLACES)}, of the gradient of "
                f"{' or '.join(GRADIENTS)}."
            )


RELEASED: Final = Variant(gradient_of="mean", noisy_predictions=True)
"""The released code. It also hands one generator to all folds, so that from the second on it has
seen the rows it is judged on; that is left out here."""


class Generator(nn.Module):
    """Embeddings from composition vectors: a mean, and noise of a learned width about it."""

    def __init__(self, inputs: int, width: int = WIDTH) -> None:
        super().__init__()
        self.width = width
        self.mean = nn.Sequential(
            nn.Linear(inputs, width), nn.PReLU(), nn.Linear(width, width), nn.PReLU()
        )
        self.spread = nn.Sequential(nn.Linear(width, width), nn.Softplus())

    def forward(self, vectors: Tensor, noise: Tensor | None = None) -> Tensor:
        """Embeddings [n, width]; ``noise`` [n, width] is standard normal, none gives the mean."""
        mean: Tensor = self.mean(vectors)
        return mean if noise is None else mean + noise * self.spread(mean)


class Rowed(Protocol):
    """What an encoder reads, given by rows: a tensor, or graphs that make a batch."""

    def __getitem__(self, rows: Tensor, /) -> Any:
        """The rows, as the encoder takes them."""
        ...


class FeatureEncoder(nn.Module):
    """A structure encoder on features that a graph network has of each crystal already."""

    def __init__(self, inputs: int, width: int = WIDTH) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(inputs, width), nn.PReLU(), nn.Linear(width, width), nn.PReLU()
        )
        self.last = nn.Linear(width, width)

    def forward(self, features: Tensor) -> Tensor:
        """Embeddings [n, width] of length one."""
        inner = nn.functional.normalize(self.body(features), dim=1)
        return nn.functional.normalize(self.last(inner), dim=1)


class Critic(nn.Module):
    """Tells embeddings of structures from those of compositions by a number."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(width, width), nn.PReLU(), nn.Linear(width, 1))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Numbers [n]."""
        told: Tensor = self.body(embeddings)
        return told[:, 0]


def prediction_loss(predicted: Tensor, truth: Tensor) -> Tensor:
    """Sum of squared errors over the batch."""
    return torch.sum((truth - predicted) ** 2)


def critic_loss(
    critic: Callable[[Tensor], Tensor], of_structures: Tensor, of_compositions: Tensor,
    variant: Variant, share: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """What the critic lowers: minus the distance it sees, plus the gradient penalty.

    Parameters
    ----------
    critic
        Takes embeddings [n, d] to numbers [n].
    of_structures, of_compositions
        [n, d], embeddings.
    variant
        Where the penalty is taken, and of what.
    share
        [n, 1], for ``penalty_at="between"``: how far each point lies towards the structures.
    """
    real, made = of_structures.detach(), of_compositions.detach()
    points = made
    if variant.penalty_at == "between":
        along = torch.rand(len(made), 1) if share is None else share
        points = along * real + (1.0 - along) * made
    gap = critic(made).mean() - critic(real).mean()
    return gap + PENALTY * gradient_penalty(critic, points, variant)


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], points: Tensor, variant: Variant
) -> Tensor:
    """Mean of (|slope| - 1)^2 over points [n, d]."""
    at = points.detach().requires_grad_(True)
    told = critic(at)
    total = told.sum() if variant.gradient_of == "each" else told.mean()
    (slope,) = torch.autograd.grad(total, at, create_graph=True)
    return torch.mean((torch.linalg.vector_norm(slope, dim=1) - 1.0) ** 2)


def generator_loss(critic: Callable[[Tensor], Tensor], of_compositions: Tensor) -> Tensor:
    """What the generator lowers: minus the critic's mean over its embeddings."""
    return -critic(of_compositions).mean()


@dataclass
class SourceTraining:
    """Training of encoder, head, critic and generator on calculated crystals.

    Parameters
    ----------
    encoder
        Takes a batch of n rows (features, or graphs) to embeddings [n, width].
    vectors
        Columns of the composition vectors.
    width
        Features of an embedding.
    variant
        What is taken how.
    seed
        Decides weights, order and noise.
    """

    encoder: nn.Module
    vectors: int
    width: int = WIDTH
    variant: Variant = field(default_factory=Variant)
    seed: int = 0

    def __post_init__(self) -> None:
        torch.manual_seed(self.seed)
        self.head = nn.Linear(self.width, 1)
        self.critic, self.generator = Critic(self.width), Generator(self.vectors, self.width)
        learned = [*self.encoder.parameters(), *self.head.parameters()]
        self.predicting = torch.optim.Adam(
            learned, lr=PREDICTION_RATE, weight_decay=PREDICTION_DECAY
        )
        self.judging = torch.optim.RMSprop(self.critic.parameters(), lr=ADVERSARIAL_RATE)
        self.making = torch.optim.RMSprop(self.generator.parameters(), lr=ADVERSARIAL_RATE)
        self.noise = torch.Generator().manual_seed(self.seed)
        self.batches = 0

    def run(
        self, features: Rowed, vectors: Tensor, targets: Tensor, *, epochs: int, batch: int = 64
    ) -> list[dict[str, float]]:
        """Train on n crystals and return the mean losses of each epoch.

        Parameters
        ----------
        features, vectors, targets
            What the encoder takes, by row (features [n, d], or the graphs of
            :mod:`materialabs.transfer.encoders`), composition vectors [n, v], the property [n].
        epochs, batch
            Times that all are seen, and rows of a step.
        """
        history = []
        for epoch in range(epochs):
            order = np.random.default_rng([self.seed, epoch]).permutation(len(targets))
            sums: dict[str, list[float]] = {}
            for start in range(0, len(order), batch):
                rows = torch.from_numpy(order[start : start + batch])
                found = self.step(features[rows], vectors[rows], targets[rows])
                for name, loss in found.items():
                    sums.setdefault(name, []).append(loss)
            history.append({name: float(np.mean(losses)) for name, losses in sums.items()})
        return history

    def step(self, features: Any, vectors: Tensor, targets: Tensor) -> dict[str, float]:
        """One batch: critic, now and then the generator, then encoder and head."""
        self.batches += 1
        with torch.no_grad():
            of_structures, of_compositions = self.encoder(features), self._made(vectors)
        judged = critic_loss(self.critic, of_structures, of_compositions, self.variant)
        losses = {"critic": _stepped(self.judging, judged)}
        if self.batches % GENERATOR_EVERY == 0:
            made = generator_loss(self.critic, self._made(vectors))
            losses["generator"] = _stepped(self.making, made)
        predicted = self.head(self.encoder(features))[:, 0]
        losses["prediction"] = _stepped(self.predicting, prediction_loss(predicted, targets))
        return losses

    def _made(self, vectors: Tensor) -> Tensor:
        noise = torch.randn(len(vectors), self.width, generator=self.noise)
        made: Tensor = self.generator(vectors, noise)
        return made


class TargetNetwork(nn.Module):
    """Measured values from compositions: a copy of a pretrained generator, and two layers."""

    def __init__(self, generator: Generator, outputs: int = 1) -> None:
        super().__init__()
        self.generator = deepcopy(generator)
        width = self.width = generator.width
        self.first, self.last = nn.Linear(width, width), nn.Linear(width, outputs)

    def forward(self, vectors: Tensor, noise: Tensor | None = None) -> Tensor:
        """Values [n, outputs]."""
        inner = nn.functional.leaky_relu(self.first(self.generator(vectors, noise)))
        told: Tensor = self.last(inner)
        return told


def train_target(
    generator: Generator, vectors: Tensor, targets: Tensor, *, epochs: int = 1000,
    batch: int = 32, seed: int = 0,
) -> TargetNetwork:  # fmt: skip
    """Train a target network from a copy of a generator, which stays as it is.

    Parameters
    ----------
    generator
        Pretrained, or fresh for no transfer.
    vectors, targets
        Composition vectors [n, v] and measured values [n, k].
    epochs, batch, seed
        Times that all are seen, rows of a step, what decides weights, order and noise.
    """
    torch.manual_seed(seed)
    network = TargetNetwork(generator, targets.shape[1])
    noise = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(network.parameters(), lr=TARGET_RATE, weight_decay=TARGET_DECAY)
    for epoch in range(epochs):
        order = np.random.default_rng([seed, epoch]).permutation(len(targets))
        for start in range(0, len(order), batch):
            rows = torch.from_numpy(order[start : start + batch])
            drawn = torch.randn(len(rows), network.width, generator=noise)
            loss = (network(vectors[rows], drawn) - targets[rows]).abs().mean()
            _stepped(optimiser, loss)
    return network.eval()


@torch.no_grad()
def predict_target(
    network: TargetNetwork, vectors: Tensor, variant: Variant, *, seed: int = 0
) -> Floats:
    """Predicted values [n, k] of composition vectors [n, v]."""
    noise = None
    if variant.noisy_predictions:
        drawn = torch.Generator().manual_seed(seed)
        noise = torch.randn(len(vectors), network.width, generator=drawn)
    return np.asarray(network(vectors, noise).double().numpy())


def composition_vectors(
    compositions: Compositions, table: NDArray[np.float32] | None = None
) -> Tensor:
    """Mean weighted by fractions, minimum and maximum over the elements [n, 3 d], float32.

    Parameters
    ----------
    compositions
        n compositions.
    table
        [119, d], numbers of each element; those of the networks by default.
    """
    rows = element_features() if table is None else table
    numbers, fractions = padded(compositions)
    values, used = rows[numbers], (fractions > 0)[:, :, None]
    mean = np.einsum("nk,nkd->nd", fractions, values)
    least = np.where(used, values, np.inf).min(axis=1)
    most = np.where(used, values, -np.inf).max(axis=1)
    return torch.from_numpy(np.concatenate([mean, least, most], axis=1).astype(np.float32))


def transferability(generator: Generator, vectors: Tensor, targets: Floats) -> float:
    """How well a source suits a target: 1/RMSE of ridge regression on its frozen embeddings.

    Parameters
    ----------
    generator
        Of the source.
    vectors, targets
        Composition vectors [n, v] and values [n] of the target's training rows.
    """
    with torch.no_grad():
        embedded = generator(vectors).double().numpy()
    return ridge_score(embedded, targets)


RIDGE: Final = 1.0
"""Strength of the regression behind the score."""


def ridge_score(embedded: Floats, targets: Floats) -> float:
    """1/RMSE on the rows that ridge regression, with an offset, has learned from."""
    centred = embedded - embedded.mean(axis=0)
    wanted = targets - targets.mean()
    pull = centred.T @ centred + RIDGE * np.eye(centred.shape[1])
    left = wanted - centred @ np.linalg.solve(pull, centred.T @ wanted)
    return float(1.0 / max(np.sqrt(np.mean(left**2)), np.finfo(float).tiny))


def _stepped(optimiser: torch.optim.Optimizer, loss: Tensor) -> float:
    """Take one step down a loss and return it."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return float(loss.detach())
