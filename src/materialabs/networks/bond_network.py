"""The graph network: messages along distinct bonds, read out per atom.

Each bond carries features of its length; each site those of its element. A layer adds to every
site the messages of its bonds, gated by what stands at both ends, and refreshes the bonds. The
product with a bond's two ends is split into one product for each site (Gilmer et al. 2017; the
gate is that of Xie and Grossman 2018), so that the cost of a bond is small.

Matter is near-sighted: what stands far beyond the first shells hardly counts, and an empty channel
costs next to nothing. Lengths are therefore told relative to the sum of both ends' covalent radii,
messages fade with that measure (half at 2.25, nothing from 3: atoms of closed shells hear nothing
of one another at usual distances), and nothing tells a site how dense a relaxed crystal is as a
whole (of an unrelaxed one, the density is part of the guess, and told). Networks that see lengths
relative to the mean spacing of atoms instead take open frameworks for unstable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from materialabs.elements import COVALENT_RADIUS
from materialabs.errors import InputError
from materialabs.networks.element_features import element_features
from materialabs.networks.graphs import BondGraphs

LENGTHS = 32
"""Gaussians over the length of a bond."""

SHORTEST, LONGEST = 0.7, 8.0
"""Angstrom; centres of the first and last Gaussian over lengths."""

RATIOS = 24
"""Gaussians over the relative length of a bond."""

SPACING_MEASURE, RADII_MEASURE = "spacing", "radii"

RANGES = {SPACING_MEASURE: (0.4, 2.2), RADII_MEASURE: (0.6, 3.0)}
"""Centres of the first and last Gaussian over relative lengths."""

NEAR, FAR = 1.5, 3.0
"""Lengths relative to the sum of covalent radii up to which a neighbour counts fully, and from
which it does not count. Bonds lie near 1, second shells of metals near 1.2 to 1.4, those of ionic
and covalent crystals near 2. Other limits need another measure: weights belong to them."""

USUAL_RADIUS = 1.5
"""Angstrom; of elements without a covalent radius."""

SPACING = 2.5
"""Angstrom; a usual atomic spacing, where the feature of the spacing is 0."""


@dataclass(frozen=True)
class BondNetworkShape:
    """The size of a network.

    Parameters
    ----------
    heads
        Names of what it predicts for each crystal.
    width, bond_width
        Features of a site, of a bond.
    layers
        Rounds of messages.
    neighbours
        Nearest neighbours of an atom that make its bonds.
    measure
        What relative lengths are relative to: ``"radii"`` of both ends, with messages that fade, or
        the mean ``"spacing"`` of atoms, as in networks of before.
    """

    heads: tuple[str, ...]
    width: int = 128
    bond_width: int = 48
    layers: int = 4
    neighbours: int = 16
    measure: str = RADII_MEASURE

    def __post_init__(self) -> None:
        if self.measure not in RANGES:
            raise InputError(f"Lengths are relative to {' or '.join(RANGES)}: {self.measure!r}?")

    def document(self) -> dict[str, Any]:
        """The shape as JSON values."""
        return asdict(self) | {"heads": list(self.heads)}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Read what :meth:`document` gave; older ones do not say what lengths are relative to."""
        told = {"measure": SPACING_MEASURE} | dict(document)
        return cls(**told | {"heads": tuple(told["heads"])})


@dataclass(frozen=True)
class BondBatch:
    """Some graphs as tensors; sites and bonds count through the batch."""

    numbers: Tensor
    share: Tensor
    site_owner: Tensor
    origin: Tensor
    target: Tensor
    length: Tensor
    count: Tensor
    spacing: Tensor
    relaxed: Tensor

    @classmethod
    def of(cls, graphs: BondGraphs, relaxed: Any) -> BondBatch:
        """Build the tensors; ``relaxed`` says of each crystal whether its geometry is final."""
        sites = np.diff(graphs.site_offsets)
        bonds = np.diff(graphs.bond_offsets)
        shift = np.repeat(graphs.site_offsets[:-1] - graphs.site_offsets[0], bonds)
        spacing = np.asarray(graphs.spacing, dtype=np.float32)
        length = np.array(graphs.length, dtype=np.float32)
        flags = np.broadcast_to(np.asarray(relaxed, dtype=np.float32), spacing.shape)
        owner = np.repeat(np.arange(len(graphs)), sites)
        return cls(
            torch.from_numpy(graphs.numbers.astype(np.int64)),
            torch.from_numpy(np.array(graphs.share)),
            torch.from_numpy(owner),
            torch.from_numpy(graphs.origin + shift),
            torch.from_numpy(graphs.target + shift),
            torch.from_numpy(length),
            torch.from_numpy(np.array(graphs.count)),
            torch.from_numpy(spacing.copy()),
            torch.from_numpy(flags.copy()),
        )  # fmt: skip

    def to(self, device: torch.device) -> BondBatch:
        """The batch with its tensors on a device."""
        return BondBatch(*(getattr(self, field.name).to(device) for field in fields(self)))


class BondNetwork(nn.Module):
    """Predicts one value for each head from graphs of distinct bonds."""

    element_features: Tensor
    radii: Tensor

    def __init__(self, shape: BondNetworkShape) -> None:
        super().__init__()
        self.shape = shape
        width, narrow = shape.width, shape.bond_width
        features = torch.from_numpy(np.array(element_features()))
        self.register_buffer("element_features", features, persistent=False)
        radii = np.nan_to_num(np.asarray(COVALENT_RADIUS, dtype=np.float32), nan=USUAL_RADIUS)
        self.register_buffer("radii", torch.from_numpy(radii), persistent=False)
        self.names = nn.Embedding(len(features), width)
        nn.init.normal_(self.names.weight, std=0.3)
        self.tables = nn.Linear(features.shape[1], width)
        self.near_sighted = shape.measure == RADII_MEASURE
        self.state = nn.Linear(2, width, bias=False)
        self.lengths = Gaussians(SHORTEST, LONGEST, LENGTHS)
        self.ratios = Gaussians(*RANGES[shape.measure], RATIOS)
        self.bonds = nn.Sequential(
            nn.Linear(LENGTHS + RATIOS, narrow), nn.SiLU(), nn.Linear(narrow, narrow)
        )
        self.layers = nn.ModuleList(
            BondLayer(width, narrow, shape.neighbours) for _ in range(shape.layers)
        )
        self.readout = Readout(width, len(shape.heads))

    def forward(self, batch: BondBatch) -> Tensor:
        """Values of the heads [n, heads], in the units that training scaled them to."""
        values: Tensor = self.readout(self.sites(batch), batch)
        return values

    def sites(self, batch: BondBatch) -> Tensor:
        """Features of the sites after the last layer [S, width]."""
        ratio = self.relative(batch)
        bond = self.bonds(torch.cat([self.lengths(batch.length), self.ratios(ratio)], 1))
        weight = batch.count.to(bond.dtype)
        density = torch.log(batch.spacing / SPACING)
        if self.near_sighted:
            weight = weight * faded(ratio).to(bond.dtype)
            density = density * (1.0 - batch.relaxed)
        state = torch.stack([batch.relaxed, density], 1)
        site: Tensor = (
            self.names(batch.numbers)
            + self.tables(self.element_features[batch.numbers])
            + self.state(state).index_select(0, batch.site_owner)
        )
        for layer in self.layers:
            site, bond = layer(site, bond, weight, batch)
        return site

    def relative(self, batch: BondBatch) -> Tensor:
        """Lengths of the bonds relative to the radii of their ends, or to the mean spacing [B]."""
        if not self.near_sighted:
            owner = batch.site_owner.index_select(0, batch.origin)
            return batch.length / batch.spacing.index_select(0, owner)
        radius = self.radii[batch.numbers]
        return batch.length / (
            radius.index_select(0, batch.origin) + radius.index_select(0, batch.target)
        )


def faded(ratio: Tensor) -> Tensor:
    """How much a neighbour at a relative length counts: 1 up close, 0 afar, smooth between."""
    left = ((FAR - ratio) / (FAR - NEAR)).clamp(0.0, 1.0)
    return left * left * (3.0 - 2.0 * left)


class Gaussians(nn.Module):
    """Gaussians at equal steps, each as wide as a step."""

    centres: Tensor

    def __init__(self, first: float, last: float, count: int) -> None:
        super().__init__()
        self.register_buffer("centres", torch.linspace(first, last, count), persistent=False)
        self.width = (last - first) / (count - 1)

    def forward(self, values: Tensor) -> Tensor:
        """Features [n, count] of values [n]."""
        return torch.exp(-0.5 * ((values[:, None] - self.centres) / self.width) ** 2)


class BondLayer(nn.Module):
    """One round of messages: bonds hear their sites, then sites hear their bonds."""

    def __init__(self, width: int, bond_width: int, neighbours: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.ends = nn.Linear(width, 2 * bond_width + width, bias=False)
        self.own = nn.Linear(bond_width, bond_width)
        self.refresh = nn.Linear(bond_width, bond_width)
        self.filter = nn.Linear(bond_width, width, bias=False)
        self.update = nn.Sequential(
            nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
        )
        self.bond_width = bond_width
        self.per_neighbour = 1.0 / neighbours**0.5

    def forward(
        self, site: Tensor, bond: Tensor, weight: Tensor, batch: BondBatch
    ) -> tuple[Tensor, Tensor]:
        """The sites [S, width] and bonds [B, bond_width] after the round.

        ``weight`` [B] is how often a bond occurs, and how much its neighbour counts.
        """
        ends = self.ends(self.norm(site))
        narrow = self.bond_width
        mixed = (
            self.own(bond)
            + ends[:, :narrow].index_select(0, batch.origin)
            + ends[:, narrow : 2 * narrow].index_select(0, batch.target)
        )
        bond = bond + self.refresh(nn.functional.silu(mixed))
        filters = self.filter(bond * weight[:, None])
        message = filters * ends[:, 2 * narrow :].index_select(0, batch.target)
        heard = torch.zeros_like(site).index_add(0, batch.origin, message.to(site.dtype))
        return site + self.update(heard * self.per_neighbour), bond


class Readout(nn.Module):
    """Reads the heads from the sites: a mean over atoms, and one weighted by attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.site = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, heads))
        self.score = nn.Linear(width, heads)
        self.attended = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, heads))

    def forward(self, site: Tensor, batch: BondBatch) -> Tensor:
        """Values [n, heads]."""
        seen = self.norm(site)
        count = len(batch.spacing)
        mean = pooled(self.site(seen) * batch.share[:, None], batch.site_owner, count)
        weight = torch.exp(5.0 * torch.tanh(self.score(seen) / 5.0)) * batch.share[:, None]
        attended = self.attended(seen) * weight
        total = pooled(weight, batch.site_owner, count)
        return mean + pooled(attended, batch.site_owner, count) / total


def pooled(values: Tensor, owner: Tensor, count: int) -> Tensor:
    """Sums over the sites of each crystal [n, d] of values [S, d]."""
    return values.new_zeros(count, values.shape[1]).index_add(0, owner, values)
