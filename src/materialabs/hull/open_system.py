"""The hull of a system that exchanges some elements with a reservoir, such as oxygen with air.

Ong et al., Chem. Mater. 20, 1798 (2008): the energy is replaced by the grand potential
E - sum of mu_i N_i over the open elements, and all is counted for one atom of the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.compositions import Compositions
from materialabs.elements import SYMBOLS
from materialabs.errors import InputError
from materialabs.hull.decomposition import Decomposition, atoms_in, ragged_products, term
from materialabs.hull.geometry import (
    ON_BORDER,
    LowerHull,
    columns_of,
    fractions_on,
    lower_hull,
)
from materialabs.hull.intake import Phases, as_compositions, element_among, require_inside
from materialabs.hull.points import Floats, Points, lowest_of_each
from materialabs.hull.references import lowest_references
from materialabs.levels import Energies

if TYPE_CHECKING:
    from materialabs.hull.hull import Hull


@dataclass(frozen=True, eq=False)
class OpenDecomposition(Decomposition):
    """Decompositions that take up open elements or give them off.

    Parameters
    ----------
    taken_up
        float64 [m, o], atoms of each open element taken up for one atom of the composition.
    open_elements
        Symbols of the open elements.
    """

    taken_up: Floats
    open_elements: tuple[str, ...]

    def reactions(self) -> list[str]:
        """Each decomposition as a reaction: ``Li2O2 → Li2O + 0.5 O2``."""
        gases = Compositions.parse(self.open_elements).reduced_formulas()
        whole = atoms_in(self.formulas)[:, None] / atoms_in(gases)[None]
        left, right = self.taken_up * whole, -self.taken_up * whole
        return [
            f"{_side([formula], left[row], gases)} → {_side([mixture], right[row], gases)}"
            for row, (formula, mixture) in enumerate(
                zip(self.formulas, self.mixtures(), strict=True)
            )
        ]


def _side(terms: list[str], coefficients: Floats, gases: list[str]) -> str:
    """One side of a reaction, with the gases that stand on it."""
    added = [
        term(amount, gas)
        for amount, gas in zip(coefficients, gases, strict=True)
        if amount > ON_BORDER
    ]
    return " + ".join([part for part in terms if part] + added)


class GrandPotentialHull:
    """Phase stability under fixed chemical potentials of some elements.

    Entries that consist of open elements alone take no part.

    Parameters
    ----------
    hull
        The hull of the closed system.
    open
        Chemical potential of each open element, eV/atom, on the scale of the hull's energies.
    """

    def __init__(self, hull: Hull, open: Mapping[str, float]) -> None:
        if not open:
            raise InputError("A grand-potential hull needs at least one open element.")
        self.hull = hull
        self.potentials = {symbol: float(value) for symbol, value in open.items()}
        self._open = [element_among(symbol, hull.elements) for symbol in self.potentials]
        if not np.isfinite(list(self.potentials.values())).all():
            raise InputError("A chemical potential is not a number.")
        self._closed = [i for i in range(len(hull.elements)) if i not in self._open]
        if not self._closed:
            raise InputError("A grand-potential hull needs an element that is not open.")
        self.elements = tuple(hull.elements[i] for i in self._closed)
        self._column = columns_of(self.elements)
        self.entries = np.flatnonzero(hull.fractions[:, self._closed].sum(axis=1) > 0)
        """Positions in the closed hull of the entries that take part."""
        compositions = hull.compositions[self.entries]
        self.grand_potentials: Floats = self._grand(compositions, hull.energies[self.entries])
        """Grand potential of each of them, eV for one atom of the other elements."""
        self.references, self.lower, self._entry_of_point = self._build(compositions)

    def _build(self, compositions: Compositions) -> tuple[Floats, LowerHull, NDArray[np.int64]]:
        from materialabs.hull.mark_kernels import marks

        x = self._closed_fractions(compositions)
        references, corners = lowest_references(x, self.grand_potentials)
        energies = self.grand_potentials - x @ references
        codes, _ = marks(self._closed_part(compositions))
        rest = np.flatnonzero((x > 0).sum(axis=1) > 1)
        lowest = rest[lowest_of_each(codes[rest], energies[rest])]
        chosen = np.concatenate([corners, lowest])
        energies[corners] = 0.0
        points = Points(x[chosen], energies[chosen], codes[chosen])
        return references, lower_hull(points), chosen

    def _closed_part(self, compositions: Compositions) -> Compositions:
        kept = np.isin(compositions.elements, self.elements)
        sizes = np.add.reduceat(kept, compositions.offsets[:-1]) if len(compositions) else kept
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        return Compositions(compositions.elements[kept], compositions.amounts[kept], offsets)

    def _closed_fractions(self, compositions: Compositions) -> Floats:
        part = self._closed_part(compositions)
        return fractions_on(part, self._column, len(self.elements))

    def _share(self, compositions: Compositions) -> Floats:
        """Atoms of the other elements in one atom of each composition [m]."""
        x = fractions_on(compositions, self.hull._column, len(self.hull.elements))
        share = x[:, self._closed].sum(axis=1)
        if (share <= 0).any():
            name = compositions[int(np.argmin(share))].reduced_formulas()[0]
            raise InputError(f"{name} consists of open elements alone: nothing is left to judge.")
        return np.asarray(share)

    def _grand(self, compositions: Compositions, energies: Energies) -> Floats:
        x = fractions_on(compositions, self.hull._column, len(self.hull.elements))
        exchanged = x[:, self._open] @ np.array(list(self.potentials.values()))
        return np.asarray((energies.values - exchanged) / self._share(compositions))

    def _inside(self, candidates: Phases) -> Compositions:
        compositions = as_compositions(candidates)
        require_inside(compositions, self.hull.elements)
        return compositions

    @cached_property
    def distances(self) -> Floats:
        """Distance of each entry in ``entries``, eV for one atom of the other elements."""
        compositions = self.hull.compositions[self.entries]
        return np.maximum(self.distance(compositions, self.hull.energies[self.entries]), 0.0)

    @cached_property
    def stable(self) -> NDArray[np.bool_]:
        """True for entries in ``entries`` on this hull, within ``ON_HULL``."""
        from materialabs.hull.hull import ON_HULL

        return np.asarray(self.distances <= ON_HULL)

    @property
    def entries_on_hull(self) -> NDArray[np.int64]:
        """Positions in the closed hull of the entries that are stable here."""
        return self.entries[self.stable]

    def distance(self, candidates: Phases, energies: Energies) -> Floats:
        """Grand potential of each candidate [m] above this hull, eV for one non-open atom."""
        compositions = self._inside(candidates)
        self.hull._comparable(energies, len(compositions))
        grand = self._grand(compositions, energies)
        x = self._closed_fractions(compositions)
        mixtures = self.lower.mixtures(x)
        on_hull = np.einsum("ij,ij->i", mixtures.potentials + self.references, x)
        return np.asarray(grand - on_hull)

    def decompose(self, candidates: Phases) -> OpenDecomposition:
        """The phases that each composition turns into, and what it exchanges on the way."""
        compositions = self._inside(candidates)
        share = self._share(compositions)
        x = self._closed_fractions(compositions)
        found = self.lower.mixtures(x)
        phases = self.entries[self._entry_of_point[found.phases]]
        products, amounts, offsets = ragged_products(phases, found.amounts)
        owner = np.repeat(np.arange(len(compositions)), np.diff(offsets))
        table = self.hull.fractions[products]
        whole = amounts * share[owner] / table[:, self._closed].sum(axis=1)
        x_all = fractions_on(compositions, self.hull._column, len(self.hull.elements))
        formed = np.zeros((len(compositions), len(self._open)))
        np.add.at(formed, owner, whole[:, None] * table[:, self._open])
        energies = np.einsum("ij,ij->i", found.potentials + self.references, x)
        return OpenDecomposition(
            compositions, products, whole, offsets, energies, self.hull.compositions,
            self.hull.ids, formed - x_all[:, self._open], tuple(self.potentials),
        )  # fmt: skip

    def __repr__(self) -> str:
        held = ", ".join(f"{name} at {value:.3f} eV" for name, value in self.potentials.items())
        names = "-".join(sorted(SYMBOLS[number] for number in self.elements))
        return f"GrandPotentialHull({names}, open to {held}; {int(self.stable.sum())} stable)"
