"""Members of an ensemble, asked together: each batch is laid out once and shown to all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from materialabs.crystals.compositions import Compositions
from materialabs.errors import InputError
from materialabs.networks.bond_network import BondBatch, BondNetwork, BondNetworkShape, pooled
from materialabs.networks.composition_network import (
    CompositionBatch,
    CompositionNetwork,
    CompositionNetworkShape,
    composition_batch,
)
from materialabs.networks.graphs import BondGraphs
from materialabs.networks.learning_tasks import PRECISIONS, Scaling

Floats = NDArray[np.float64]
State = dict[str, Tensor]

BONDS_AT_ONCE: Final = {"float32": 3_000, "bfloat16": 12_000}
"""Bonds of a batch on a processor by precision; its arrays then stay in the cache."""

BONDS_AT_ONCE_ON_A_GPU: Final = 1_000_000
"""Bonds of a batch on a GPU, about 4 GB."""

COMPOSITIONS_AT_ONCE: Final = 1_024
"""Compositions of a batch."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What the members of an ensemble say.

    Parameters
    ----------
    values
        float64 [m, n, columns], in the units of the targets.
    features
        float32 [n, d], pooled features of the first member, which tell how far a crystal is from
        those learned from.
    """

    values: Floats
    features: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Asked:
    """Rows of a table, what the members say of them, and what they are.

    Parameters
    ----------
    answers
        Of the members.
    compositions, volumes
        Of the n cells, cubic angstrom.
    rows
        [n], their places in the table.
    """

    answers: Answers
    compositions: Compositions
    volumes: Floats
    rows: NDArray[np.int64]


class Ensemble(Protocol):
    """Members that are asked together."""

    def __len__(self) -> int:
        """Members."""
        ...

    def answers(self, inputs: Any, relaxed: float = 1.0) -> Answers:
        """What every member says of every input."""
        ...


class BondEnsemble:
    """Graph networks of one shape.

    Parameters
    ----------
    shape
        Of every network.
    states
        Weights of each member.
    scaling
        What takes the networks' numbers to the units of the targets.
    precision
        Of products: ``"float32"``, or ``"bfloat16"``, which is quicker on some machines and no
        longer gives the same answer for a crystal that is written differently.
    """

    def __init__(
        self,
        shape: BondNetworkShape,
        states: Sequence[State],
        scaling: Scaling,
        *,
        precision: str = "float32",
    ) -> None:
        self.shape, self.scaling, self.precision = shape, scaling, precision
        self.device = chosen_device()
        self.networks = [_loaded(BondNetwork(shape), state, self.device) for state in states]

    def __len__(self) -> int:
        return len(self.networks)

    def with_precision(self, precision: str) -> BondEnsemble:
        """The same networks with products in another precision."""
        if precision not in PRECISIONS:
            raise InputError(f"The precision is {' or '.join(PRECISIONS)}, not {precision!r}.")
        other = copy(self)
        other.precision = precision
        return other

    def answers(self, inputs: BondGraphs, relaxed: float = 1.0) -> Answers:
        """Values and features of graphs; ``relaxed`` is 1 for final geometries, 0 for others."""
        columns = len(self.shape.heads)
        values = np.empty((len(self), len(inputs), columns))
        features = np.empty((len(inputs), self.shape.width), np.float32)
        on_cpu = self.device.type == "cpu"
        most = BONDS_AT_ONCE[self.precision] if on_cpu else BONDS_AT_ONCE_ON_A_GPU
        for start, stop in batches_by_size(inputs.bond_offsets, most):
            batch = BondBatch.of(inputs.take(np.arange(start, stop)), relaxed)
            found, seen = self._asked(batch.to(self.device))
            values[:, start:stop] = self.scaling.restored(found)
            features[start:stop] = seen.cpu().numpy()
        return Answers(values, features)

    @torch.inference_mode()
    def _asked(self, batch: BondBatch) -> tuple[Tensor, Tensor]:
        """Scaled values [m, n, columns] and pooled features [n, d] of one batch."""
        mixed = PRECISIONS[self.precision]
        values, features = [], None
        with torch.autocast(self.device.type, mixed, enabled=mixed != torch.float32):
            for network in self.networks:
                site = network.sites(batch)
                values.append(network.readout(site, batch).float())
                if features is None:
                    weighted = network.readout.norm(site) * batch.share[:, None]
                    features = pooled(weighted, batch.site_owner, len(batch.spacing))
        assert features is not None
        return torch.stack(values), features.float()


class CompositionEnsemble:
    """Composition networks of one shape; parameters as in :class:`BondEnsemble`."""

    def __init__(
        self, shape: CompositionNetworkShape, states: Sequence[State], scaling: Scaling
    ) -> None:
        self.shape, self.scaling = shape, scaling
        self.device = chosen_device()
        self.networks = [_loaded(CompositionNetwork(shape), state, self.device) for state in states]

    def __len__(self) -> int:
        return len(self.networks)

    def answers(self, inputs: Compositions, relaxed: float = 1.0) -> Answers:
        """Values and features of compositions; geometry plays no part."""
        values = np.empty((len(self), len(inputs), len(self.shape.heads)))
        features = np.empty((len(inputs), self.shape.width), np.float32)
        for start in range(0, len(inputs), COMPOSITIONS_AT_ONCE):
            part = slice(start, min(start + COMPOSITIONS_AT_ONCE, len(inputs)))
            found, seen = self._asked(composition_batch(inputs[part]).to(self.device))
            values[:, part] = self.scaling.restored(found)
            features[part] = seen.cpu().numpy()
        return Answers(values, features)

    @torch.inference_mode()
    def _asked(self, batch: CompositionBatch) -> tuple[Tensor, Tensor]:
        """Scaled values [m, n, columns] and mean features [n, d] of one batch."""
        seen: list[Tensor] = []
        first = self.networks[0].readout
        hook = first.norm.register_forward_hook(lambda _, __, elements: seen.append(elements))
        try:
            values = torch.stack([network(batch) for network in self.networks])
        finally:
            hook.remove()
        return values, (seen[0] * batch.fractions[..., None]).sum(1)


def chosen_device() -> torch.device:
    """A GPU where torch sees one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def batches_by_size(offsets: NDArray[np.int64], most: int) -> Iterator[tuple[int, int]]:
    """Cut rows into runs of at most ``most`` elements in total, each of one row at least.

    Parameters
    ----------
    offsets
        int64 [n+1]; row i owns the elements ``offsets[i]:offsets[i+1]``.
    most
        Elements of a run.
    """
    start, count = 0, len(offsets) - 1
    while start < count:
        stop = int(np.searchsorted(offsets, offsets[start] + most, side="right")) - 1
        stop = min(max(stop, start + 1), count)
        yield start, stop
        start = stop


def _loaded(network: Any, state: State, device: torch.device) -> Any:
    network.load_state_dict(state)
    return network.to(device).eval()
