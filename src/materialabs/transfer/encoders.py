"""CroMEL's structure encoders as published: graph convolutions on clusters of 4 angstrom.

A crystal is a graph of its atoms and of their neighbours within the cut-off. The released code adds
neighbours outside the cell as nodes of their own, which hear nobody and count in the mean; in the
periodic crystal a neighbour and its images are one node. :class:`ClusterGraphs` builds either.

The convolutions are those of CGCNN (T. Xie and J. C. Grossman 2018) and of message-passing networks
with an edge network (J. Gilmer et al. 2017), in plain torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from materialabs.crystals.batch import Crystals
from materialabs.crystals.neighbours import neighbours
from materialabs.errors import InputError
from materialabs.networks.element_features import element_features
from materialabs.transfer.cromel import WIDTH

Floats = NDArray[np.float64]

CUTOFF: Final = 4.0
"""Angstrom; neighbours farther away are none."""

NEAREST: Final = 1.0
"""Angstrom; centre of the first Gaussian over distances, the last is at the cut-off."""

GAUSSIANS: Final = 64
"""Gaussians over distances."""

BREADTH: Final = 0.5
"""Angstrom; breadth of a Gaussian, exp(-(d - centre)^2 / breadth^2)."""

CONVOLUTIONS: Final = 2
"""Convolutions of an encoder."""

KINDS: Final = ("cgcnn", "mpnn")
"""Convolutions that may be taken."""


@dataclass(frozen=True)
class ClusterBatch:
    """Some graphs as tensors; nodes count through the batch.

    Parameters
    ----------
    nodes
        [N, d], numbers of the elements.
    owner
        [N], the crystal of each node.
    source, target
        [E], each edge tells its target of its source; sorted by target.
    distance
        [E], angstrom.
    crystals
        How many there are.
    """

    nodes: Tensor
    owner: Tensor
    source: Tensor
    target: Tensor
    distance: Tensor
    crystals: int


class ClusterGraphs:
    """Graphs of crystals that give batches by row, for :class:`SourceTraining`.

    Parameters
    ----------
    crystals
        n crystals.
    images
        Whether neighbours outside the cell are nodes of their own, as in the released code, or the
        nodes of the atoms that they are images of.
    table
        [119, d], numbers of each element; those of the networks by default.
    cutoff
        Angstrom.
    """

    def __init__(
        self,
        crystals: Crystals,
        *,
        images: bool = False,
        table: NDArray[np.float32] | None = None,
        cutoff: float = CUTOFF,
    ) -> None:
        found = neighbours(crystals, cutoff)
        owner = np.repeat(np.arange(len(crystals)), crystals.counts)
        self.numbers = crystals.numbers.astype(np.int64)
        self.source, self.target = found.second.astype(np.int64), found.first.astype(np.int64)
        self.distance = found.distance.astype(np.float32)
        edge_owner = owner[self.target]
        if images:
            outside = np.flatnonzero((found.image != 0).any(axis=1))
            named = np.column_stack([self.source[outside], found.image[outside]])
            copies, place = np.unique(named, axis=0, return_inverse=True)
            self.source[outside] = len(self.numbers) + place.ravel()
            self.numbers = np.concatenate([self.numbers, self.numbers[copies[:, 0]]])
            owner = np.concatenate([owner, owner[copies[:, 0]]])
        self.nodes = _offsets(owner, len(crystals))
        self.edges = _offsets(edge_owner, len(crystals))
        self.table = element_features() if table is None else table

    def __len__(self) -> int:
        return len(self.nodes)

    def __getitem__(self, rows: Tensor | Sequence[int]) -> ClusterBatch:
        """The graphs of some rows, as one batch."""
        chosen = [int(row) for row in rows]
        nodes = [self.nodes[row] for row in chosen]
        edges = [self.edges[row] for row in chosen]
        place = np.full(len(self.numbers), -1, dtype=np.int64)
        sources, targets, first = [], [], 0
        for own, some in zip(nodes, edges, strict=True):
            place[own] = np.arange(first, first + len(own))
            sources.append(place[self.source[some]])
            targets.append(place[self.target[some]])
            first += len(own)
        together = np.concatenate(nodes)
        counts = np.array([len(own) for own in nodes])
        return ClusterBatch(
            torch.from_numpy(self.table[self.numbers[together]]),
            torch.from_numpy(np.repeat(np.arange(len(chosen)), counts)),
            torch.from_numpy(np.concatenate(sources)),
            torch.from_numpy(np.concatenate(targets)),
            torch.from_numpy(self.distance[np.concatenate(edges)]),
            len(chosen),
        )


def _offsets(owner: NDArray[np.int64], count: int) -> list[NDArray[np.int64]]:
    """Positions of what belongs to each of so many owners."""
    order = np.argsort(owner, kind="stable")
    return np.split(order, np.searchsorted(owner[order], np.arange(1, count)))


class ClusterEncoder(nn.Module):
    """Embeddings of length one from the graphs of crystals.

    A linear layer, two convolutions, each with PReLU, the mean over the nodes at length one, and a
    linear layer at length one again.

    Parameters
    ----------
    kind
        ``"cgcnn"`` or ``"mpnn"``.
    inputs
        Numbers of an element.
    width
        Features of a node and of an embedding.
    """

    centres: Tensor

    def __init__(self, kind: str, inputs: int, width: int = WIDTH) -> None:
        super().__init__()
        if kind not in KINDS:
            raise InputError(f"Encoders are {' or '.join(KINDS)}: {kind!r}?")
        layer = GatedConvolution if kind == "cgcnn" else EdgeNetworkConvolution
        self.register_buffer("centres", torch.linspace(NEAREST, CUTOFF, GAUSSIANS))
        self.first = nn.Sequential(nn.Linear(inputs, width), nn.PReLU())
        self.layers = nn.ModuleList(layer(width, GAUSSIANS) for _ in range(CONVOLUTIONS))
        self.bends = nn.ModuleList(nn.PReLU() for _ in range(CONVOLUTIONS))
        self.last = nn.Linear(width, width)

    def forward(self, batch: ClusterBatch) -> Tensor:
        """Embeddings [n, width]."""
        edges = torch.exp(-(((batch.distance[:, None] - self.centres) / BREADTH) ** 2))
        nodes = self.first(batch.nodes)
        for layer, bend in zip(self.layers, self.bends, strict=True):
            nodes = bend(layer(nodes, edges, batch))
        sums = nodes.new_zeros(batch.crystals, nodes.shape[1]).index_add(0, batch.owner, nodes)
        counts = torch.bincount(batch.owner, minlength=batch.crystals)[:, None]
        inner = nn.functional.normalize(sums / counts, dim=1)
        return nn.functional.normalize(self.last(inner), dim=1)


class GatedConvolution(nn.Module):
    """CGCNN's: each node adds what its neighbours tell, gated by both ends and the distance."""

    def __init__(self, width: int, edge_width: int) -> None:
        super().__init__()
        self.gate = nn.Linear(2 * width + edge_width, width)
        self.core = nn.Linear(2 * width + edge_width, width)

    def forward(self, nodes: Tensor, edges: Tensor, batch: ClusterBatch) -> Tensor:
        """Nodes [N, width] after the convolution."""
        both = torch.cat([nodes[batch.target], nodes[batch.source], edges], dim=1)
        told = torch.sigmoid(self.gate(both)) * nn.functional.softplus(self.core(both))
        return nodes.index_add(0, batch.target, told)


class EdgeNetworkConvolution(nn.Module):
    """Of message-passing networks: each edge makes a matrix that its source is multiplied by."""

    def __init__(self, width: int, edge_width: int) -> None:
        super().__init__()
        self.own = nn.Linear(width, width)
        self.edge = nn.Sequential(
            nn.Linear(edge_width, width), nn.PReLU(), nn.Linear(width, width * width)
        )

    def forward(self, nodes: Tensor, edges: Tensor, batch: ClusterBatch) -> Tensor:
        """Nodes [N, width] after the convolution.

        An edge's matrix is linear in its hidden numbers: what a node hears is summed as an outer
        product of these with the sources first, so that no matrix is written for an edge.
        """
        count, width = nodes.shape
        hidden, heard = self.edge[1](self.edge[0](edges)), nodes[batch.source]
        degrees = torch.bincount(batch.target, minlength=count)
        starts = degrees.cumsum(0) - degrees
        slot = torch.arange(len(batch.target)) - starts[batch.target]
        room = (count, int(degrees.max()) if len(slot) else 0, width)
        place = (batch.target, slot)
        met = torch.einsum(
            "ndi,ndh->nih",
            nodes.new_zeros(room).index_put(place, heard),
            nodes.new_zeros(room).index_put(place, hidden),
        )
        last: Any = self.edge[2]
        matrices = last.weight.view(width, width, width)  # source, result, hidden
        told = torch.einsum("nih,ioh->no", met, matrices)
        sums = torch.zeros_like(nodes).index_add(0, batch.target, heard)
        result: Tensor = self.own(nodes) + told + sums @ last.bias.view(width, width)
        return result
