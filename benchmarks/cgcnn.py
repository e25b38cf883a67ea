"""CGCNN as a peer: its published layer, with the weights of torch_geometric's ``CGConv``.

As published (Xie and Grossman, Phys. Rev. Lett. 120, 145301, 2018): 12 nearest neighbours within
8 angstrom, 41 Gaussians of the distance, 92 numbers for an element, 64 features, 3 layers, mean
over atoms, one hidden layer of 128. Two things make it fast and leave its values as they are:
equal atoms and equal bonds of a crystal are computed once and counted as often as they occur (so
that the last shell of neighbours is kept whole), and the product with a bond's two ends is taken
once for each atom.

Training fits the time it is given: Adam, the rate rising and falling once with the time used, the
mean absolute error or the cross-entropy as loss. Several columns share one network; each is read
from the weights that were best for it on a twentieth of the training compounds. It saves itself
each minute and goes on where it was stopped. A GPU is used where torch sees one.
"""

from __future__ import annotations

import hashlib
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
from materialabs.networks.graphs import BondGraphs, bond_graphs

NEIGHBOURS = 12
LONGEST = 8.0
GAUSSIANS = 41
WIDTH, LAYERS, HIDDEN = 64, 3, 128
BATCH = 128
RATE = 3e-3
WARM_SHARE = 0.05
MOMENTUM = 0.1
"""Share of a batch in the running mean and variance, as usual."""
SAVE_EACH_S = 60.0
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

Weights = dict[str, Tensor]


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
class Batch:
    """Distinct atoms and bonds of some crystals, and how often each occurs."""

    numbers: Tensor
    share: Tensor
    atoms: Tensor
    owner: Tensor
    centre: Tensor
    neighbour: Tensor
    distance: Tensor
    count: Tensor
    crystals: int


@dataclass(frozen=True)
class Graphs:
    """Distinct atoms and bonds of many crystals, and the number of atoms of each crystal."""

    bonds: BondGraphs
    counts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.counts)

    def batch(self, rows: NDArray[np.int64]) -> Batch:
        """Some crystals; bonds longer than the longest count nothing."""
        part = self.bonds.take(rows)
        sites = np.diff(part.site_offsets)
        shift = np.repeat(part.site_offsets[:-1], np.diff(part.bond_offsets))
        arrays = (
            part.numbers.astype(np.int64),
            part.share,
            part.share * np.repeat(self.counts[rows], sites).astype(np.float32),
            np.repeat(np.arange(len(rows)), sites),
            part.origin + shift,
            part.target + shift,
            part.length,
            part.count * (part.length <= LONGEST),
        )
        return Batch(
            *(torch.from_numpy(np.ascontiguousarray(array)).to(DEVICE) for array in arrays),
            len(rows),
        )


def graphs_of(crystals: Crystals, folder: Path) -> Graphs:
    """Build the graphs, or map those that an earlier run kept in the folder."""
    digest = hashlib.sha256()
    for array in (crystals.lattice, crystals.frac, crystals.numbers, crystals.offsets):
        digest.update(np.ascontiguousarray(array))
    place = folder / f"graphs-{NEIGHBOURS}-{digest.hexdigest()[:16]}"
    if not place.exists():
        folder.mkdir(parents=True, exist_ok=True)
        bond_graphs(crystals, neighbours=NEIGHBOURS).save(place)
    return Graphs(BondGraphs.load(place), np.asarray(crystals.counts))


class Gate(torch.autograd.Function):
    """Sigmoid of the first half of the columns times softplus of the second, by rows' weights."""

    @staticmethod
    def forward(context: Any, mixed: Tensor, weight: Tensor) -> Tensor:
        """Gated values [E, d] of mixed ones [E, 2 d]."""
        half = mixed.shape[1] // 2
        gate = torch.sigmoid(mixed[:, :half])
        core = -nn.functional.logsigmoid(-mixed[:, half:])
        context.save_for_backward(gate, core, torch.sigmoid(mixed[:, half:]), weight)
        return gate * core * weight

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Of the mixed values."""
        gate, core, slope, weight = context.saved_tensors
        passed = gradients[0] * weight * gate
        return torch.cat([passed * (1.0 - gate) * core, passed * slope], 1), None


class Norm(nn.Module):
    """Batch normalisation in which a row counts as often as its atom occurs."""

    mean: Tensor
    variance: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(WIDTH)), nn.Parameter(torch.zeros(WIDTH))
        self.register_buffer("mean", torch.zeros(WIDTH))
        self.register_buffer("variance", torch.ones(WIDTH))

    def forward(self, values: Tensor, atoms: Tensor) -> Tensor:
        """Normalised values [S, WIDTH]."""
        mean, variance = self.mean, self.variance
        if self.training:
            share = atoms / atoms.sum()
            mean = share @ values
            variance = share @ (values - mean) ** 2
            self.mean.lerp_(mean.detach(), MOMENTUM)
            self.variance.lerp_(variance.detach(), MOMENTUM)
        return (values - mean) * (self.weight / torch.sqrt(variance + 1e-5)) + self.bias


class Layer(nn.Module):
    """One round of messages: what ``CGConv`` computes, from its own weights."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = CGConv(WIDTH, dim=GAUSSIANS)
        self.norm = Norm()

    def forward(self, atom: Tensor, gaussians: Tensor, batch: Batch) -> Tensor:
        """The atoms [S, WIDTH] after the round."""
        return atom + self.norm(self.heard(atom, gaussians, batch), batch.atoms)

    def heard(self, atom: Tensor, gaussians: Tensor, batch: Batch) -> Tensor:
        """Sums of the messages to each atom."""
        first, second = self.convolution.lin_f, self.convolution.lin_s
        own, other, bond = torch.cat([first.weight, second.weight]).split(
            [WIDTH, WIDTH, GAUSSIANS], 1
        )
        centre = nn.functional.linear(atom, own, torch.cat([first.bias, second.bias]))
        mixed = (
            nn.functional.linear(gaussians, bond)
            + centre.index_select(0, batch.centre)
            + nn.functional.linear(atom, other).index_select(0, batch.neighbour)
        )
        message: Any = Gate.apply(mixed, batch.count[:, None])
        return torch.zeros_like(atom).index_add(0, batch.centre, message)


class Network(nn.Module):
    """CGCNN for some values of a crystal."""

    elements: Tensor
    centres: Tensor

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.register_buffer("elements", torch.from_numpy(element_table()), persistent=False)
        self.register_buffer("centres", torch.linspace(0.0, LONGEST, GAUSSIANS), persistent=False)
        self.embedding = nn.Linear(self.elements.shape[1], WIDTH)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.hidden = nn.Linear(WIDTH, HIDDEN)
        self.last = nn.Linear(HIDDEN, columns)

    def forward(self, batch: Batch) -> Tensor:
        """Values [n, columns], in spreads of the training targets."""
        softplus = nn.functional.softplus
        step = LONGEST / (GAUSSIANS - 1)
        gaussians = torch.exp(-(((batch.distance[:, None] - self.centres) / step) ** 2))
        atom = self.embedding(self.elements[batch.numbers])
        for layer in self.layers:
            atom = softplus(layer(atom, gaussians, batch))
        weighted = atom * batch.share[:, None]
        mean = atom.new_zeros(batch.crystals, WIDTH).index_add(0, batch.owner, weighted)
        return self.last(softplus(self.hidden(softplus(mean))))


@dataclass(frozen=True)
class Goal:
    """Targets [n, columns], NaN where unknown; which columns are 0/1 classes; rows set aside."""

    targets: NDArray[np.float64]
    classes: tuple[bool, ...]
    validation: NDArray[np.int64]

    @property
    def train(self) -> NDArray[np.int64]:
        """Rows to learn from."""
        return np.setdiff1d(np.arange(len(self.targets)), self.validation)

    @property
    def scaling(self) -> NDArray[np.float64]:
        """Mean and spread of each column [2, columns]; those of a class are 0 and 1."""
        known = self.targets[self.train]
        mean, spread = np.nanmean(known, axis=0), np.nanstd(known, axis=0)
        flags = np.array(self.classes)
        return np.stack([np.where(flags, 0.0, mean), np.where(flags, 1.0, spread)])

    def scaled(self) -> Tensor:
        """Targets in spreads from their mean."""
        mean, spread = self.scaling
        return torch.from_numpy(((self.targets - mean) / spread).astype(np.float32)).to(DEVICE)

    def losses(self, values: Tensor, targets: Tensor) -> Tensor:
        """Loss of each column, over the rows where it is known [columns]."""
        known = torch.isfinite(targets)
        filled = torch.where(known, targets, 0.0)
        flags = torch.tensor(self.classes, device=values.device)
        entropy = nn.functional.binary_cross_entropy_with_logits(values, filled, reduction="none")
        wrong = torch.where(flags, entropy, (values - filled).abs()) * known
        return wrong.sum(0) / known.sum(0).clamp(min=1)


@dataclass
class Training:
    """A network, its optimiser, the best weights for each column, and the time used."""

    network: Network
    optimiser: torch.optim.Adam
    used_s: float
    steps: int
    best: list[Weights]
    errors: list[float]

    @classmethod
    def begun(cls, path: Path, columns: int, seed: int) -> Training:
        """Start, or go on from what was saved."""
        torch.manual_seed(seed)
        network = Network(columns).to(DEVICE)
        optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
        if not path.exists():
            return cls(network, optimiser, 0.0, 0, [{}] * columns, [float("inf")] * columns)
        saved: dict[str, Any] = torch.load(path, weights_only=True, map_location=DEVICE)
        network.load_state_dict(saved["network"])
        optimiser.load_state_dict(saved["optimiser"])
        rest = (saved[name] for name in ("used_s", "steps", "best", "errors"))
        return cls(network, optimiser, *rest)

    def save(self, path: Path) -> None:
        """Write all that is needed to go on."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".part")
        document = {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "used_s": self.used_s,
            "steps": self.steps,
            "best": self.best,
            "errors": self.errors,
        }
        torch.save(document, temporary)
        temporary.replace(path)

    def step(self, batch: Batch, goal: Goal, targets: Tensor, share: float) -> None:
        """Learn from one batch, after a share of the time."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate_at(share)
        self.optimiser.zero_grad()
        goal.losses(self.network(batch), targets).sum().backward()
        self.optimiser.step()
        self.steps += 1

    def judge(self, graphs: Graphs, goal: Goal) -> None:
        """Keep the weights for the columns that they are best for on the rows set aside."""
        values = evaluated(self.network, graphs, goal.validation)
        found = goal.losses(values, goal.scaled()[torch.from_numpy(goal.validation)]).tolist()
        print(f"    {self.used_s:.0f} s: {[round(error, 4) for error in found]}", flush=True)
        now = {name: value.clone() for name, value in self.network.state_dict().items()}
        for place, error in enumerate(found):
            if error < self.errors[place]:
                self.errors[place], self.best[place] = error, now
        self.network.train()


def rate_at(share: float) -> float:
    """Learning rate after a share of the time: up in a straight line, down as a cosine."""
    if share < WARM_SHARE:
        return RATE * max(share / WARM_SHARE, 0.02)
    return RATE * 0.5 * (1.0 + float(np.cos(np.pi * (share - WARM_SHARE) / (1.0 - WARM_SHARE))))


def train(graphs: Graphs, goal: Goal, seconds: float, seed: int, path: Path) -> Training:
    """Fit all columns in the time given; returns with the time used up."""
    targets, rows = goal.scaled(), goal.train
    state = Training.begun(path, targets.shape[1], seed)
    per_epoch = max(len(rows) // BATCH, 1)
    saved = time.perf_counter()
    state.network.train()
    while state.used_s < seconds:
        epoch, turn = divmod(state.steps, per_epoch)
        order = np.random.default_rng([seed, epoch]).permutation(rows)
        for part in np.array_split(order, per_epoch)[turn:]:
            started = clock()
            chosen = targets[torch.from_numpy(part)]
            state.step(graphs.batch(part), goal, chosen, min(state.used_s / seconds, 1.0))
            if state.steps % per_epoch == 0:
                state.judge(graphs, goal)
            state.used_s += clock() - started
            if time.perf_counter() - saved > SAVE_EACH_S:
                state.save(path)
                saved = time.perf_counter()
            if state.used_s >= seconds:
                break
    state.judge(graphs, goal)
    state.save(path)
    return state


@torch.no_grad()
def evaluated(network: Network, graphs: Graphs, rows: NDArray[np.int64]) -> Tensor:
    """Values [len(rows), columns] of some crystals, in spreads of the training targets."""
    network.eval()
    parts = [network(graphs.batch(rows[k : k + BATCH])) for k in range(0, len(rows), BATCH)]
    return torch.cat(parts)


def predict(state: Training, graphs: Graphs, goal: Goal) -> NDArray[np.float64]:
    """Values [n, columns] of all crystals, each column by the weights best for it."""
    columns = []
    for place, weights in enumerate(state.best):
        state.network.load_state_dict(weights)
        found = evaluated(state.network, graphs, np.arange(len(graphs)))
        columns.append(found[:, place].double().cpu().numpy())
    mean, spread = goal.scaling
    return np.stack(columns, axis=1) * spread + mean
