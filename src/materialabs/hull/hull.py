"""Phase stability: the convex hull of a chemical system at one level of theory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.compositions import Compositions
from materialabs.elements import SYMBOLS
from materialabs.hull.decomposition import Decomposition, ragged_products
from materialabs.hull.geometry import (
    MOST_ELEMENTS,
    Facets,
    LowerHull,
    Mixtures,
    columns_of,
    fractions_on,
    lower_hull,
)
from materialabs.hull.intake import (
    Phases,
    as_compositions,
    names_of,
    require_energies,
    require_inside,
    system_name,
)
from materialabs.hull.points import Floats, Indices, Points, lowest_of_each
from materialabs.hull.references import complete, lowest_references
from materialabs.levels import Energies, Level

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from materialabs.hull.open_system import GrandPotentialHull
    from materialabs.hull.patches import HullPatches
    from materialabs.hull.potentials import Equilibrium

ON_HULL = 5e-5
"""eV/atom; a phase this close to the hull counts as stable (Merchant et al., Nature 624, 2023)."""


class Hull:
    """The lower convex hull of energy over composition, for any number of elements.

    Of more than 24 elements no facets are listed: each chemical system answers for itself.

    Parameters
    ----------
    formulas
        Entries: formulas, ``Compositions`` or ``Crystals``.
    energies
        Their energies in eV/atom, all of one kind and at one level. From total energies every
        element of the system needs an entry; from formation energies the elements are zero and
        are added where they are missing.
    ids
        Names of the entries; by default the crystals' ids, or positions.
    allow_emulated
        Admit energies of a potential that emulates this level to the questions asked of the hull.
    """

    def __init__(
        self,
        formulas: Phases,
        energies: Energies,
        *,
        ids: Sequence[str] | None = None,
        allow_emulated: bool = False,
    ) -> None:
        compositions = as_compositions(formulas)
        energies = require_energies(energies, len(compositions))
        names = names_of(formulas, ids, len(compositions))
        self.compositions, self.energies, self.ids = complete(compositions, energies, names)
        self.elements: tuple[int, ...] = self.compositions.present()
        self.allow_emulated = allow_emulated
        self.emulators: tuple[Level, ...] = ()
        self._column = columns_of(self.elements)
        self.fractions: Floats = fractions_on(self.compositions, self._column, len(self.elements))
        self.references, corners = lowest_references(self.fractions, self.energies.values)
        self.lower, self.entry_of_point = self._build(corners)

    @classmethod
    def of(
        cls,
        source: str | Path,
        *,
        entries: str | Path | None = None,
        system: str | None = None,
        level: Level | None = None,
        kind: str | None = None,
    ) -> Hull:
        """The hull of a file of entries, or of a chemical system out of such a file.

        Parameters
        ----------
        source
            A file (pymatgen computed entries, Alexandria rows, or CSV), or a chemical system such
            as ``"Li-P-S"``.
        entries
            For a system: the file, or the folder of files, to take its entries from.
        system
            For a file: the chemical system to take out of it.
        level, kind
            What the energies are, where the file does not say it.
        """
        from materialabs.hull.entries import entries_for

        table = entries_for(source, entries=entries, system=system, level=level, kind=kind)
        return cls(table.compositions, table.energies, ids=table.ids)

    # -- what it consists of ------------------------------------------------------------------

    def _build(self, corners: Indices) -> tuple[LowerHull, Indices]:
        """The hull of the lowest entry of each composition, elements first."""
        from materialabs.hull.mark_kernels import marks

        codes, _ = marks(self.compositions)
        compounds = np.flatnonzero(np.diff(self.compositions.offsets) > 1)
        lowest = lowest_of_each(codes[compounds], self.formation_energies[compounds])
        chosen = np.concatenate([corners, compounds[lowest]])
        energies = self.formation_energies[chosen]
        energies[: len(corners)] = 0.0
        return lower_hull(Points(self.fractions[chosen], energies, codes[chosen])), chosen

    @property
    def level(self) -> Level:
        """The level of theory of the hull."""
        return self.energies.level

    @property
    def level_text(self) -> str:
        """The level of the hull, and of the potentials among its entries that emulate it."""
        others = "".join(f", with energies at {level} that emulate it" for level in self.emulators)
        return f"{self.level}{others}"

    @property
    def system(self) -> str:
        """The chemical system, for example ``Li-P-S``."""
        return system_name(self.elements)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Element symbols by rising atomic number: the columns of every table of potentials."""
        return tuple(SYMBOLS[number] for number in self.elements)

    def __len__(self) -> int:
        return len(self.compositions)

    @cached_property
    def formation_energies(self) -> Floats:
        """Energy of each entry [n] above the elements of this hull, eV/atom."""
        return np.asarray(self.energies.values - self.fractions @ self.references)

    @cached_property
    def distances(self) -> Floats:
        """Energy of each entry [n] above the hull, eV/atom; rounding below zero is zero."""
        if self._patches is not None:
            return self._patches.distances
        found = self.formation_energies - self.lower.energies(self.compositions, self._column)
        return np.maximum(found, 0.0)

    @cached_property
    def _patches(self) -> HullPatches | None:
        """The hulls of all chemical systems, which answer for a hull of very many elements."""
        if len(self.elements) <= MOST_ELEMENTS:
            return None
        from materialabs.hull.patches import HullPatches

        return HullPatches(
            self.compositions, self.energies, ids=self.ids, allow_emulated=self.allow_emulated
        )

    @cached_property
    def stable(self) -> NDArray[np.bool_]:
        """True for entries [n] on the hull, within ``ON_HULL``."""
        return np.asarray(self.distances <= ON_HULL)

    @property
    def entries_on_hull(self) -> Indices:
        """Positions of the stable entries."""
        return np.flatnonzero(self.stable)

    @property
    def facets(self) -> Facets:
        """The facets: vertices are entries, potentials eV/atom above the elements."""
        facets = self.lower.require_facets("Listing the facets")
        return Facets(self.entry_of_point[facets.vertices], *facets.arrays()[1:])

    # -- judging candidates ---------------------------------------------------------------------

    def energy(self, candidates: Phases) -> Energies:
        """Energy of the hull at each composition [m], eV/atom, of the hull's kind and level.

        For many sets of energies on the same compositions (the members of an ensemble), ask once
        and subtract: ``members - hull.energy(candidates).values``.
        """
        return self._absolute(self._inside(candidates))

    def distance(self, candidates: Phases, energies: Energies) -> Floats:
        """Energy of each candidate [m] above the hull as built, eV/atom; negative below it."""
        compositions = self._inside(candidates)
        values = self._comparable(energies, len(compositions))
        return np.asarray(values - self._absolute(compositions).values)

    def decomposition_energy(self, candidates: Phases, energies: Energies) -> Floats:
        """Energy of each candidate [m] above all else that its atoms can form, eV/atom.

        Entries with the candidate's own reduced formula are left out, so that this is negative for
        a stable phase: by how much it is stable (Bartel et al., npj Comput. Mater. 6, 97, 2020).
        An element has nothing else to form and is compared with its reference.
        """
        compositions = self._inside(candidates)
        values = self._comparable(energies, len(compositions))
        if self._patches is not None:
            return self._patches.decomposition_energy(compositions, energies)
        result = values - self._absolute(compositions).values
        rows, points = self._corners_at(compositions)
        if len(rows):
            asked, place = np.unique(points, return_inverse=True)
            rivals = self._without(asked)
            x = self.lower.points.fractions[asked]
            alone = np.einsum("ij,ij->i", rivals.potentials + self.references, x)
            result[rows] = values[rows] - alone[place]
        return result

    def decompose(self, candidates: Phases) -> Decomposition:
        """The phases of the hull that each composition falls apart into, with their amounts."""
        compositions = self._inside(candidates)
        if self._patches is not None:
            return self._patches.decompose(compositions)
        x = fractions_on(compositions, self._column, len(self.elements))
        return self._as_decomposition(compositions, self.lower.mixtures(x))

    def competing_phases(self, candidates: Phases) -> Decomposition:
        """Like ``decompose``, without any entry of each composition's own reduced formula."""
        compositions = self._inside(candidates)
        if self._patches is not None:
            return self._patches.competing_phases(compositions)
        x = fractions_on(compositions, self._column, len(self.elements))
        found = self.lower.mixtures(x)
        rows, points = self._corners_at(compositions)
        if len(rows):
            rivals = self._without(points)
            for name in ("phases", "amounts", "potentials"):
                getattr(found, name)[rows] = getattr(rivals, name)
        return self._as_decomposition(compositions, found)

    def _inside(self, candidates: Phases) -> Compositions:
        compositions = as_compositions(candidates)
        require_inside(compositions, self.elements)
        return compositions

    def _comparable(self, energies: Energies, count: int) -> Floats:
        energies = require_energies(energies, count)
        self.energies.require_comparable(energies, allow_emulated=self.allow_emulated)
        return energies.values

    def _absolute(self, compositions: Compositions) -> Energies:
        if self._patches is not None:
            return self._patches.energy(compositions)
        found = self.lower.energies(compositions, self._column)
        if self.references.any():
            x = fractions_on(compositions, self._column, len(self.elements))
            found = found + x @ self.references
        return Energies(found, self.energies.kind, self.level)

    def _corners_at(self, compositions: Compositions) -> tuple[Indices, Indices]:
        """Rows whose composition is that of a stable compound, and its point on the hull."""
        from materialabs.hull.mark_kernels import marks

        stable = self.lower.stable[self.lower.stable >= len(self.elements)]
        if not len(stable):
            return stable, stable
        codes = self.lower.points.marks[stable]
        order = np.argsort(codes)
        asked, _ = marks(compositions)
        place = np.minimum(np.searchsorted(codes[order], asked), len(codes) - 1)
        rows = np.flatnonzero(codes[order][place] == asked)
        return rows, stable[order][place[rows]]

    def _without(self, points: Indices) -> Mixtures:
        return self.lower.mixtures_without(self.lower.points.fractions[points], points)

    def _as_decomposition(self, compositions: Compositions, found: Mixtures) -> Decomposition:
        x = fractions_on(compositions, self._column, len(self.elements))
        energies = np.einsum("ij,ij->i", found.potentials + self.references, x)
        phases = self.entry_of_point[found.phases]
        products, amounts, offsets = ragged_products(phases, found.amounts)
        return Decomposition(
            compositions, products, amounts, offsets, energies, self.compositions, self.ids
        )

    # -- changing (always a new hull) -----------------------------------------------------------

    def insert(
        self, formulas: Phases, energies: Energies, *, ids: Sequence[str] | None = None
    ) -> Hull:
        """The hull with further entries; only the facets that they lie below are made anew.

        The new entries follow the present ones. New elements, and elements below their reference,
        change what all energies are measured from: the hull is then built afresh.
        """
        from materialabs.hull.insertion import inserted

        return inserted(self, formulas, energies, ids)

    def with_energies(self, energies: Energies) -> Hull:
        """The hull of the same entries with other energies: one member of an ensemble."""
        return Hull(self.compositions, energies, ids=self.ids, allow_emulated=self.allow_emulated)

    # -- chemical potentials ----------------------------------------------------------------------

    def chemical_potentials(self, composition: Phases) -> list[Equilibrium]:
        """The equilibria that a composition takes part in, with their chemical potentials."""
        from materialabs.hull.potentials import chemical_potentials

        return chemical_potentials(self, composition)

    def stability_windows(self, element: str) -> dict[str, tuple[float, float]]:
        """The range of an element's chemical potential in which each stable phase exists."""
        from materialabs.hull.potentials import stability_windows

        return stability_windows(self, element)

    def stability_regions(self, first: str, second: str) -> dict[str, Floats]:
        """The polygon of two elements' chemical potentials in which each stable phase exists."""
        from materialabs.hull.potentials import stability_regions

        return stability_regions(self, first, second)

    def grand_potential(self, open: Mapping[str, float]) -> GrandPotentialHull:
        """The hull of a system that exchanges some elements with a reservoir.

        Parameters
        ----------
        open
            Chemical potential of each open element, eV/atom, on the scale of the hull's energies
            (for formation energies: relative to the element).
        """
        from materialabs.hull.open_system import GrandPotentialHull

        return GrandPotentialHull(self, open)

    # -- looking ----------------------------------------------------------------------------------

    def table(self) -> list[dict[str, Any]]:
        """Rows for every entry, the most stable first: what ``materialabs hull`` prints."""
        from materialabs.hull.table import rows_of

        return rows_of(self)

    def figure(
        self, candidates: Phases | None = None, energies: Energies | None = None
    ) -> go.Figure:
        """A picture of the phase diagram of two, three or four elements."""
        from materialabs.hull.pictures import figure_of

        return figure_of(self, candidates, energies)

    def html(self, path: str | Path) -> Path:
        """Write the picture as one HTML file that needs nothing from a network."""
        from materialabs.hull.pictures import write_html

        return write_html(self.figure(), path)

    def __repr__(self) -> str:
        return (
            f"Hull({self.system}: {len(self)} entries, {int(self.stable.sum())} stable, "
            f"{self.energies.kind} energies at {self.level_text})"
        )

    def _repr_html_(self) -> str:
        from materialabs.hull.table import table_html

        return table_html(self)
