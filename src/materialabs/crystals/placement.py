"""Placing atoms on given sites so that each kind is spread as evenly as the sites allow."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

SMEARING: Final = 0.35
"""Width s of a smeared atom over the mean distance of sites."""

SMALLEST_WEIGHT: Final = 1e-5
"""Waves with exp(-(G s)^2) below this are left out."""

CLASH: Final = 1e3
"""Cost of two atoms in contact, far above any spread cost."""

GAIN: Final = 1e-9
"""An exchange has to lower the cost by more than this."""

VACANCY: Final = 0
"""Stands for an empty site among atomic numbers."""

Array = NDArray[np.float64]
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Sites:
    """Sites to be filled, and what it costs to have two of a kind on two of them.

    Parameters
    ----------
    repulsion
        [n, n], cost of like occupants on two sites; smeared electrostatics over the mean
        distance of sites, without unit.
    contacts
        [n, n], 1 where both sites cannot hold an atom together.
    blocked
        [n], number of atoms outside these sites that an atom here would touch.
    block
        [n], occupants change places only inside a block.
    """

    repulsion: Array
    contacts: Array
    blocked: Array
    block: Whole

    @classmethod
    def in_crystal(
        cls,
        lattice: Array,
        frac: Array,
        chosen: Whole,
        block: Whole,
        reach: Array,
        pbc: NDArray[np.bool_],
    ) -> Self:
        """Take some sites of a crystal.

        Parameters
        ----------
        lattice, frac
            [3, 3] in angstrom and [N, 3], all sites of the crystal.
        chosen, block
            [n], the sites to be filled and the block of each.
        reach
            [N], angstrom; sites nearer than the sum of their reaches are in contact.
        pbc
            [3], periodic or not along each vector.
        """
        touching = _touching(lattice, frac, chosen, reach, pbc)
        fixed = np.ones(len(frac), bool)
        fixed[chosen] = False
        return cls(
            smeared_repulsion(lattice, frac[chosen], len(frac)),
            touching[:, chosen],
            touching[:, fixed].sum(axis=1),
            block,
        )


def smeared_repulsion(lattice: Array, frac: Array, sites: int) -> Array:
    """Electrostatic energy of like smeared charges between sites [n, n].

    Sum over G of 4 pi exp(-(G s)^2) cos(G.r) / (V G^2), the reciprocal part of P. P. Ewald, Ann.
    Phys. 369, 253 (1921), in units of the mean distance of the cell's ``sites``; s is
    :data:`SMEARING` of that distance.
    """
    volume = abs(float(np.linalg.det(lattice)))
    spacing = (volume / sites) ** (1 / 3)
    width = SMEARING * spacing
    largest = np.sqrt(-np.log(SMALLEST_WEIGHT)) / width
    bounds = np.ceil(largest * np.linalg.norm(lattice, axis=1) / (2 * np.pi)).astype(int)
    ranges = [np.arange(-bound, bound + 1) for bound in bounds]
    indices = np.stack(np.meshgrid(*ranges, indexing="ij"), -1).reshape(-1, 3)
    indices = indices[len(indices) // 2 + 1 :]  # one of each pair +G, -G
    squared = ((2 * np.pi * indices @ np.linalg.inv(lattice).T) ** 2).sum(axis=1)
    near = squared <= largest**2
    indices, squared = indices[near], squared[near]
    weight = 8 * np.pi * spacing / volume * np.exp(-squared * width**2) / squared
    phase = 2 * np.pi * frac @ indices.T
    cosine, sine = np.cos(phase), np.sin(phase)
    return np.asarray((cosine * weight) @ cosine.T + (sine * weight) @ sine.T)


def _touching(
    lattice: Array, frac: Array, chosen: Whole, reach: Array, pbc: NDArray[np.bool_]
) -> Array:
    """1 where a chosen site and another site are in contact [n, N]."""
    heights = 1 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    images = np.where(pbc, np.ceil(2 * reach.max() / heights), 0).astype(int)
    apart = frac[chosen, None] - frac[None]
    apart -= np.where(pbc, np.rint(apart), 0.0)
    limit = reach[chosen, None] + reach[None]
    touching = np.zeros(limit.shape)
    for step in itertools.product(*(range(-most, most + 1) for most in images)):
        distance = np.linalg.norm((apart + np.array(step)) @ lattice, axis=-1)
        touching[distance < limit] = 1.0
    touching[np.arange(len(chosen)), chosen] = 0.0
    return touching


def cost(sites: Sites, occupants: Whole) -> float:
    """Spread cost of an arrangement [n] of atomic numbers, contacts included."""
    waves = _deviations(sites, occupants, np.unique(occupants))
    filled = (occupants != VACANCY).astype(float)
    touches = 0.5 * filled @ sites.contacts @ filled + sites.blocked @ filled
    return float(0.5 * np.sum((waves @ sites.repulsion) * waves) + CLASH * touches)


def improved(sites: Sites, occupants: Whole) -> tuple[Whole, float]:
    """Exchange the two occupants that lower the cost most, until no exchange does.

    Parameters
    ----------
    sites
        Where atoms may sit.
    occupants
        [n], atomic numbers to begin with, 0 for a vacancy.

    Returns
    -------
    occupants, cost
        The arrangement reached and its cost.
    """
    kinds, species = np.unique(occupants, return_inverse=True)
    field = _deviations(sites, occupants, kinds) @ sites.repulsion
    filled = (occupants != VACANCY).astype(float)
    touches = sites.contacts @ filled + sites.blocked
    self_term = np.diag(sites.repulsion)
    pair = self_term[:, None] + self_term[None] - 2 * sites.repulsion
    together = sites.block[:, None] == sites.block[None]
    while True:
        own = field[species]
        moved = own - np.diag(own)[:, None]
        change = moved + moved.T + pair
        leaves = filled[:, None] - filled[None]
        change += CLASH * (
            leaves * (touches[None] - touches[:, None]) - np.abs(leaves) * sites.contacts
        )
        change[~together | (species[:, None] == species[None])] = np.inf
        i, j = np.unravel_index(int(np.argmin(change)), change.shape)
        if not change[i, j] < -GAIN:
            return kinds[species], cost(sites, kinds[species])
        difference = sites.repulsion[j] - sites.repulsion[i]
        field[species[i]] += difference
        field[species[j]] -= difference
        touches += (filled[i] - filled[j]) * (sites.contacts[j] - sites.contacts[i])
        species[[i, j]] = species[[j, i]]
        filled[[i, j]] = filled[[j, i]]


def _deviations(sites: Sites, occupants: Whole, kinds: Whole) -> Array:
    """Presence of each kind on each site less its share of the site's block [kinds, n]."""
    present = (occupants[None] == kinds[:, None]).astype(float)
    size = np.bincount(sites.block)
    share = np.array([np.bincount(sites.block, row) / np.maximum(size, 1) for row in present])
    return np.asarray(present - share[:, sites.block])
