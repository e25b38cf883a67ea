"""CGCNN as a peer: its published layer, through torch_geometric's ``CGConv``.

As published (Xie and Grossman, Phys. Rev. Lett. 120, 145301, 2018): 12 nearest neighbours within
8 angstrom, 41 Gaussians of the distance, 92 numbers for an element, 64 features, 3 layers, mean
over atoms, one hidden layer of 128. Training fits the time it is given: Adam, the rate rising
and falling once with the time used, the mean absolute error as loss. It saves itself each minute
and goes on where it was stopped. A GPU is used where torch sees one.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch_geometric.nn import CGConv

from materialabs.crystals.batch import Crystals
from materialabs.crystals.compositions import ragged_rows
from materialabs.crystals.neighbours import nearest

NEIGHBOURS = 12
LONGEST = 8.0
GAUSSIANS = 41
WIDTH, LAYERS, HIDDEN = 64, 3, 128
BATCH = 128
RATE = 4e-3
WARM_SHARE = 0.1
SAVE_EACH_S = 60.0
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def clock() -> float:
    """Seconds of this process's core, or on a GPU of the wall."""
    return time.perf_counter() if DEVICE == "cuda" else time.process_time()


@cache
def element_table() -> NDArray[np.float32]:
    """CGCNN's 92 numbers by atomic number [119, 92]; zeros beyond fermium."""
    document = json.loads((Path(__file__).parent / "cgcnn_elements.json").read_text())
    table = np.zeros((119, document["length"]), dtype=np.float32)
    for number, places in document["ones"].items():
        table[int(number), places] = 1.0
    return table


@dataclass(frozen=True)
class Graphs:
    """Graphs of many crystals, ragged: atoms, and the edges of each crystal."""

    numbers: NDArray[np.uint8]
    atom_offsets: NDArray[np.int64]
    first: NDArray[np.int32]
    second: NDArray[np.int32]
    distance: NDArray[np.float32]
    edge_offsets: NDArray[np.int64]

    def batch(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
        """Elements, edges [2, E] from neighbour to centre, distances, owners, crystals."""
        atoms, atom_offsets = ragged_rows(self.atom_offsets, rows)
        edges, edge_offsets = ragged_rows(self.edge_offsets, rows)
        shift = np.repeat(atom_offsets[:-1] - self.atom_offsets[rows], np.diff(edge_offsets))
        index = np.stack([self.second[edges] + shift, self.first[edges] + shift])
        owner = np.repeat(np.arange(len(rows)), np.diff(atom_offsets))
        parts = (self.numbers[atoms].astype(np.int64), index, self.distance[edges], owner)
        tensors = [torch.from_numpy(np.ascontiguousarray(part)).to(DEVICE) for part in parts]
        return tensors[0], tensors[1], tensors[2], tensors[3], len(rows)


def graphs_of(crystals: Crystals) -> Graphs:
    """The 12 nearest neighbours of every atom, those beyond 8 angstrom left out."""
    parts = []
    for part in crystals.chunks(4_000):
        found = nearest(part, NEIGHBOURS)
        near = found.distance <= LONGEST
        owner = np.repeat(np.arange(len(part)), np.diff(found.offsets))[near]
        counts = np.bincount(owner, minlength=len(part))
        parts.append((found.first[near], found.second[near], found.distance[near], counts))
    sizes = np.array([len(part) for part in crystals.chunks(4_000)])
    starts = crystals.offsets[np.concatenate([[0], np.cumsum(sizes)])[:-1]]
    first, second = (
        np.concatenate([part[k] + start for part, start in zip(parts, starts, strict=True)])
        for k in (0, 1)
    )
    return Graphs(
        crystals.numbers,
        crystals.offsets,
        first.astype(np.int32),
        second.astype(np.int32),
        np.concatenate([part[2] for part in parts]).astype(np.float32),
        np.concatenate([[0], np.cumsum(np.concatenate([part[3] for part in parts]))]),
    )


class Network(nn.Module):
    """CGCNN for one value of a crystal."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("elements", torch.from_numpy(element_table()), persistent=False)
        self.register_buffer("centres", torch.linspace(0.0, LONGEST, GAUSSIANS), persistent=False)
        self.embedding = nn.Linear(self.elements.shape[1], WIDTH)
        self.layers = nn.ModuleList(
            CGConv(WIDTH, dim=GAUSSIANS, batch_norm=True) for _ in range(LAYERS)
        )
        self.hidden = nn.Linear(WIDTH, HIDDEN)
        self.last = nn.Linear(HIDDEN, 1)

    def forward(self, graphs: tuple[Tensor, Tensor, Tensor, Tensor, int]) -> Tensor:
        """Values [n] of a batch, in spreads of the training targets."""
        numbers, edges, distance, owner, count = graphs
        step = LONGEST / (GAUSSIANS - 1)
        length = torch.exp(-(((distance[:, None] - self.centres) / step) ** 2))
        atom = self.embedding(self.elements[numbers])
        for layer in self.layers:
            atom = nn.functional.softplus(layer(atom, edges, length))
        total = atom.new_zeros(count, WIDTH).index_add(0, owner, atom)
        mean = total / torch.bincount(owner, minlength=count)[:, None]
        softplus = nn.functional.softplus
        return self.last(softplus(self.hidden(softplus(mean)))).squeeze(1)


@dataclass
class Training:
    """A network, its optimiser, and how much of its time it has used."""

    network: Network
    optimiser: torch.optim.Adam
    used_s: float
    steps: int

    @classmethod
    def begun(cls, path: Path, seed: int) -> Training:
        """Start, or go on from what was saved."""
        torch.manual_seed(seed)
        network = Network().to(DEVICE)
        optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
        if not path.exists():
            return cls(network, optimiser, 0.0, 0)
        saved: dict[str, Any] = torch.load(path, weights_only=True, map_location=DEVICE)
        network.load_state_dict(saved["network"])
        optimiser.load_state_dict(saved["optimiser"])
        return cls(network, optimiser, saved["used_s"], saved["steps"])

    def save(self, path: Path) -> None:
        """Write all that is needed to go on."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".part")
        document = {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "used_s": self.used_s,
            "steps": self.steps,
        }
        torch.save(document, temporary)
        temporary.replace(path)


def rate_at(share: float) -> float:
    """Learning rate after a share of the time: up in a straight line, down as a cosine."""
    if share < WARM_SHARE:
        return RATE * max(share / WARM_SHARE, 0.02)
    return RATE * 0.5 * (1.0 + float(np.cos(np.pi * (share - WARM_SHARE) / (1.0 - WARM_SHARE))))


def train(
    graphs: Graphs,
    targets: NDArray[np.float64],
    seconds: float,
    seed: int,
    path: Path,
    *,
    classes: bool,
) -> Training:
    """Fit targets, or 0/1 classes, in the time given; returns with the time used up."""
    scaled = torch.from_numpy(np.asarray(targets, dtype=np.float32)).to(DEVICE)
    if not classes:
        scaled = (scaled - scaled.mean()) / scaled.std()
    loss_of = nn.BCEWithLogitsLoss() if classes else nn.L1Loss()
    state = Training.begun(path, seed)
    per_epoch = max(len(targets) // BATCH, 1)
    saved = time.perf_counter()
    state.network.train()
    while state.used_s < seconds:
        epoch, turn = divmod(state.steps, per_epoch)
        order = np.random.default_rng([seed, epoch]).permutation(len(targets))
        for rows in np.array_split(order, per_epoch)[turn:]:
            started = clock()
            for group in state.optimiser.param_groups:
                group["lr"] = rate_at(min(state.used_s / seconds, 1.0))
            state.optimiser.zero_grad()
            loss_of(state.network(graphs.batch(rows)), scaled[torch.from_numpy(rows)]).backward()
            state.optimiser.step()
            state.used_s += clock() - started
            state.steps += 1
            if time.perf_counter() - saved > SAVE_EACH_S:
                state.save(path)
                saved = time.perf_counter()
            if state.used_s >= seconds:
                break
    state.save(path)
    return state


@torch.no_grad()
def predict(state: Training, graphs: Graphs) -> NDArray[np.float64]:
    """Values of all crystals, in spreads of the training targets."""
    state.network.eval()
    count = len(graphs.atom_offsets) - 1
    parts = [
        state.network(graphs.batch(np.arange(start, min(start + BATCH, count))))
        for start in range(0, count, BATCH)
    ]
    return torch.cat(parts).double().cpu().numpy()
