"""The composition network: predictions from a formula alone, by attention among its elements.

A composition is a set of elements with atomic fractions. Each element starts as its learned name,
its place in the periodic table and its fraction; then elements attend to one another, and what an
element hears of another is weighted by that one's fraction (Goodall and Lee, Nat. Commun. 11,
6280, 2020; Wang et al., npj Comput. Mater. 7, 77, 2021). Nothing depends on the order of the
elements, on the size of the formula unit, or on what else is in the batch.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from materialabs.crystals.compositions import Compositions
from materialabs.crystals.descriptors import padded
from materialabs.errors import InputError
from materialabs.networks.element_features import element_features

NAME_SPREAD = 0.3
"""Standard deviation of the names of the elements before training."""

SMALLEST_FRACTION = 1e-6
"""Atomic fractions below this look alike: about one dopant atom in a million."""

FREQUENCIES = 8
"""Sines and cosines of a fraction, each of twice the frequency of the one before."""

STEEPEST_SCORE = 5.0
"""Scores of the readout stay between minus and plus this."""


@dataclass(frozen=True)
class CompositionNetworkShape:
    """The size of a network.

    Parameters
    ----------
    heads
        Names of what it predicts for each composition. For an uncertainty of its own, name a head
        for it, which the loss reads as the logarithm of the variance.
    width
        Features of an element.
    layers
        Rounds of attention.
    views
        Attention patterns side by side; a divisor of the width.
    dropout
        Share of an update's features that training leaves out at random.
    """

    heads: tuple[str, ...]
    width: int = 128
    layers: int = 3
    views: int = 4
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.width % self.views:
            raise InputError(
                f"A width of {self.width} cannot be shared by {self.views} views: "
                "choose a multiple."
            )

    def document(self) -> dict[str, Any]:
        """The shape as JSON values."""
        return asdict(self) | {"heads": list(self.heads)}


@dataclass(frozen=True)
class CompositionBatch:
    """Compositions as rectangles of elements; unused places are element 0 with fraction 0.

    Parameters
    ----------
    numbers
        int64 [n, k], atomic numbers.
    fractions
        float32 [n, k], atomic fractions; each row sums to one.
    """

    numbers: Tensor
    fractions: Tensor

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, rows: ArrayLike) -> CompositionBatch:
        """The chosen compositions, in this order, without columns that none of them uses."""
        chosen = torch.as_tensor(np.asarray(rows, dtype=np.int64), device=self.numbers.device)
        fractions = self.fractions.index_select(0, chosen)
        used = int((fractions > 0).sum(1).max()) if len(chosen) else 1
        numbers = self.numbers.index_select(0, chosen)
        return CompositionBatch(numbers[:, :used], fractions[:, :used])

    def to(self, device: torch.device | str) -> CompositionBatch:
        """The batch on a device."""
        return CompositionBatch(self.numbers.to(device), self.fractions.to(device))


def composition_batch(compositions: Compositions) -> CompositionBatch:
    """Lay compositions out for the network.

    Parameters
    ----------
    compositions
        n compositions, each with at least one element.
    """
    if np.any(np.diff(compositions.offsets) == 0):
        raise InputError("A composition without elements cannot be predicted.")
    numbers, fractions = padded(compositions)
    return CompositionBatch(
        torch.from_numpy(numbers), torch.from_numpy(fractions.astype(np.float32))
    )


@dataclass(frozen=True)
class CompositionExamples:
    """Compositions to train on, as :class:`materialabs.networks.training.Training` takes them."""

    compositions: CompositionBatch

    def __len__(self) -> int:
        return len(self.compositions)

    def batch(self, rows: NDArray[np.int64], random: np.random.Generator) -> CompositionBatch:
        """A batch to learn from; a composition has nothing to distort."""
        return self.exact(rows)

    def exact(self, rows: NDArray[np.int64]) -> CompositionBatch:
        """The chosen rows."""
        return self.compositions.take(rows)


class CompositionNetwork(nn.Module):
    """Predicts one value for each head from compositions.

    Examples
    --------
    >>> shape = CompositionNetworkShape(("energy",))
    >>> network = CompositionNetwork(shape)
    >>> network(composition_batch(Compositions.parse(["Fe2O3", "GaN"]))).shape
    torch.Size([2, 1])
    """

    element_features: Tensor

    def __init__(self, shape: CompositionNetworkShape) -> None:
        super().__init__()
        self.shape = shape
        features = torch.from_numpy(np.array(element_features()))
        self.register_buffer("element_features", features, persistent=False)
        self.names = nn.Embedding(len(features), shape.width)
        nn.init.normal_(self.names.weight, std=NAME_SPREAD)
        self.tables = nn.Linear(features.shape[1], shape.width)
        self.fractions = Fractions(shape.width)
        self.layers = nn.ModuleList(AttentionLayer(shape) for _ in range(shape.layers))
        self.readout = Readout(shape.width, len(shape.heads))

    def forward(self, batch: CompositionBatch, told: Tensor | None = None) -> Tensor:
        """Values of the heads [n, heads], in the units that training scaled them to.

        Parameters
        ----------
        batch
            n compositions.
        told
            [n, width], what every element of a composition is told before the first round, such
            as the conditions of a measurement.
        """
        element = (
            self.names(batch.numbers)
            + self.tables(self.element_features[batch.numbers])
            + self.fractions(batch.fractions)
        )
        if told is not None:
            element = element + told[:, None]
        log_fractions = torch.log(batch.fractions)
        for layer in self.layers:
            element = layer(element, log_fractions)
        values: Tensor = self.readout(element, batch.fractions)
        return values


class Fractions(nn.Module):
    """Features of an atomic fraction, on a linear and on a logarithmic scale."""

    scales: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        scales = math.pi * 2.0 ** torch.arange(FREQUENCIES)
        self.register_buffer("scales", scales, persistent=False)
        self.mix = nn.Sequential(
            nn.Linear(2 * FREQUENCIES + 2, width), nn.SiLU(), nn.Linear(width, width)
        )

    def forward(self, fractions: Tensor) -> Tensor:
        """Features [n, k, width] of fractions [n, k]."""
        waves = fractions[..., None] * self.scales
        logarithm = torch.log10(fractions.clamp(min=SMALLEST_FRACTION))
        features = [waves.sin(), waves.cos(), fractions[..., None], logarithm[..., None]]
        mixed: Tensor = self.mix(torch.cat(features, -1))
        return mixed


class AttentionLayer(nn.Module):
    """One round: every element attends to all, in proportion to their fractions."""

    def __init__(self, shape: CompositionNetworkShape) -> None:
        super().__init__()
        width = shape.width
        self.views = shape.views
        self.norm = nn.LayerNorm(width)
        self.ask = nn.Linear(width, 3 * width)
        self.answer = nn.Linear(width, width)
        self.update = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            nn.SiLU(),
            nn.Linear(2 * width, width),
        )
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, element: Tensor, log_fractions: Tensor) -> Tensor:
        """Elements [n, k, width] after the round; unused places have a log fraction of -inf."""
        count, places, width = element.shape
        asked = self.ask(self.norm(element)).view(count, places, 3, self.views, width // self.views)
        query, key, value = asked.permute(2, 0, 3, 1, 4)
        heard = nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=log_fractions[:, None, None, :].to(query.dtype)
        )
        heard = heard.transpose(1, 2).reshape(count, places, width)
        element = element + self.dropout(self.answer(heard))
        refreshed: Tensor = element + self.dropout(self.update(element))
        return refreshed


class Readout(nn.Module):
    """Reads the heads: a mean over atoms, and one in which elements have weights of their own."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.atom = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, heads))
        self.attended = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, heads))
        self.score = nn.Linear(width, heads)

    def forward(self, element: Tensor, fractions: Tensor) -> Tensor:
        """Values [n, heads] of elements [n, k, width] with fractions [n, k]."""
        seen = self.norm(element)
        share = fractions[..., None]
        score = STEEPEST_SCORE * torch.tanh(self.score(seen) / STEEPEST_SCORE)
        weight = share * torch.exp(score)
        attended = (weight * self.attended(seen)).sum(1) / weight.sum(1)
        mean = (share * self.atom(seen)).sum(1)
        values: Tensor = mean + attended
        return values
