"""A whole database of mixed chemical systems, judged in one call.

Each entry is judged in its own chemical system, against its rivals there and the stable phases of
the sub-systems. Systems are settled from the smallest up: a phase that is not on the hull of its
own system is on no hull of a larger one, so few phases of the sub-systems take part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.compositions import Compositions
from materialabs.crystals.formula_texts import parse_system
from materialabs.elements import SYMBOLS
from materialabs.errors import InputError
from materialabs.hull.decomposition import Decomposition, ragged_products
from materialabs.hull.hull import ON_HULL, Hull
from materialabs.hull.intake import Phases, as_compositions, names_of, require_energies
from materialabs.hull.points import Floats, Indices, lowest_of_each
from materialabs.hull.references import complete
from materialabs.hull.systems import Systems, fractions_in_systems, group_by_system
from materialabs.levels import Energies
from materialabs.threads import chunk_bounds, map_chunks

SYSTEMS_IN_CHUNK = 512
"""Systems that one thread works through at a time."""

STABLE = 1e-11
"""eV/atom; what is this close to the hull of its system takes part in larger ones."""


@dataclass(frozen=True, eq=False)
class Solved:
    """The cheapest mixture of each target: eV/atom above the elements, phases, amounts [t, w]."""

    energies: Floats
    phases: Indices
    amounts: Floats


class HullPatches:
    """The hulls of all chemical systems of a database at once.

    Parameters
    ----------
    formulas
        Entries of any systems: formulas, ``Compositions`` or ``Crystals``.
    energies
        Their energies in eV/atom, of one kind and at one level; elements as for :class:`Hull`.
    ids
        Names of the entries.
    allow_emulated
        Admit energies of a potential that emulates this level to the questions asked.
    threads
        Threads of the kernels.
    """

    def __init__(
        self,
        formulas: Phases,
        energies: Energies,
        *,
        ids: Sequence[str] | None = None,
        allow_emulated: bool = False,
        threads: int = 1,
    ) -> None:
        compositions = as_compositions(formulas)
        energies = require_energies(energies, len(compositions))
        names = names_of(formulas, ids, len(compositions))
        self._given = len(compositions)
        self.compositions, self.energies, self.ids = complete(compositions, energies, names)
        self.allow_emulated = allow_emulated
        self._threads = threads
        self._references, self._element_entry = self._elements()
        self._formation = _above_elements(self.compositions, self.energies.values, self._references)
        self._settle()

    def _elements(self) -> tuple[Floats, Indices]:
        """Reference energy [256], and the entry [256] that has it, of each element."""
        pure = np.flatnonzero(np.diff(self.compositions.offsets) == 1)
        numbers = self.compositions.elements[self.compositions.offsets[pure]]
        order = np.lexsort((self.energies.values[pure], numbers))
        present, first = np.unique(numbers[order], return_index=True)
        references, entry = np.full(256, np.nan), np.full(256, -1, dtype=np.int64)
        entry[present] = pure[order[first]]
        references[present] = self.energies.values[entry[present]]
        return references, entry

    def _settle(self) -> None:
        """Find the hull of every system from the smallest up."""
        from materialabs.hull.mark_kernels import element_marks, marks
        from materialabs.hull.mixture_kernels import fill_table

        codes, _ = marks(self.compositions)
        lowest = lowest_of_each(codes, self._formation)
        phase_of = np.searchsorted(codes[lowest], codes)
        compositions = self.compositions[lowest]
        systems = group_by_system(compositions)
        rank = np.empty(len(lowest), dtype=np.int64)
        rank[systems.order] = np.arange(len(lowest))
        self._entry_of_phase = lowest[systems.order]
        self._phase_of_entry = rank[phase_of]
        self._phases = compositions[systems.order]
        self._codes = codes[self._entry_of_phase]
        self._energies = self._formation[self._entry_of_phase]
        self._systems = systems
        self._element_marks = element_marks()
        slots = 1 << int(np.ceil(np.log2(2 * len(systems.marks) + 2)))
        self._table = (np.zeros(slots, dtype=np.uint64), np.zeros(slots, dtype=np.int64))
        fill_table(systems.marks, *self._table)
        self._competes = np.zeros(len(lowest), dtype=bool)
        self._own = self._solve_by_size()

    def _solve_by_size(self) -> Solved:
        systems, count = self._systems, len(self._phases)
        ordered = Systems(
            np.arange(count), systems.starts, systems.elements, systems.sizes, systems.marks
        )
        fractions = fractions_in_systems(self._phases, systems.elements.shape[1])
        solved = _empty(count, systems.elements.shape[1])
        nothing = np.full(count, -1, dtype=np.int64)
        for size in np.unique(systems.sizes):
            chosen = np.flatnonzero(systems.sizes == size)
            self._solve(ordered, (int(chosen[0]), int(chosen[-1]) + 1), fractions, nothing, solved)
            part = slice(systems.starts[chosen[0]], systems.starts[chosen[-1] + 1])
            self._competes[part] = self._energies[part] <= solved.energies[part] + STABLE
        return solved

    def _solve(
        self,
        systems: Systems,
        bounds: tuple[int, int],
        fractions: Floats,
        excluded: Indices,
        solved: Solved,
    ) -> None:
        """Solve the targets of some systems, in chunks over the threads."""
        from materialabs.hull.mixture_kernels import mix_in_systems

        phases = (
            self._phases.elements,
            self._phase_fractions,
            self._phases.offsets,
            self._energies,
            self._systems.starts,
            self._competes,
        )

        def work(chunk: tuple[int, int]) -> None:
            start, stop = chunk[0] + bounds[0], chunk[1] + bounds[0]
            mix_in_systems(
                (
                    systems.elements[start:stop],
                    systems.sizes[start:stop],
                    systems.starts[start : stop + 1],
                ),
                (fractions, excluded),
                (*self._table, self._element_marks),
                phases,
                (solved.energies, solved.phases, solved.amounts),
            )

        chunks = chunk_bounds(bounds[1] - bounds[0], SYSTEMS_IN_CHUNK)
        map_chunks(work, chunks, threads=self._threads)
        part = solved.energies[systems.starts[bounds[0]] : systems.starts[bounds[1]]]
        if np.isnan(part).any():
            raise InputError(
                "The cheapest mixture could not be found to full precision: look for energies or "
                "amounts of absurd size among the entries."
            )

    @cached_property
    def _phase_fractions(self) -> Floats:
        return np.asarray(
            self._phases.amounts / np.repeat(self._phases.atoms, np.diff(self._phases.offsets))
        )

    # -- the entries themselves ---------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.compositions)

    @cached_property
    def distances(self) -> Floats:
        """Energy of each entry [n] above the hull of its own system, eV/atom."""
        hull = self._own.energies[self._phase_of_entry]
        return np.maximum(self._formation - hull, 0.0)

    @property
    def stable(self) -> NDArray[np.bool_]:
        """True for entries [n] on the hull of their system, within ``ON_HULL``."""
        return np.asarray(self.distances <= ON_HULL)

    @cached_property
    def decomposition_energies(self) -> Floats:
        """Energy of each entry [n] above all else that its atoms can form, eV/atom."""
        rivals = self._own.energies.copy()
        found = self._rivals
        rivals[found[0]] = found[1].energies
        return np.asarray(self._formation - rivals[self._phase_of_entry])

    @cached_property
    def _rivals(self) -> tuple[Indices, Solved]:
        """Stable compounds, and the cheapest mixture at each without the compound."""
        stable = np.flatnonzero(self._competes & (np.diff(self._phases.offsets) > 1))
        return stable, self._solve_targets(self._phases[stable], stable)[0]

    # -- candidates -----------------------------------------------------------------------------

    def energy(self, candidates: Phases) -> Energies:
        """Energy of the hull of each candidate's own system [m], eV/atom."""
        compositions = self._known(candidates)
        solved, _ = self._solve_targets(compositions, np.full(len(compositions), -1))
        values = solved.energies + _reference_energy(compositions, self._references)
        return Energies(values, self.energies.kind, self.energies.level)

    def distance(self, candidates: Phases, energies: Energies) -> Floats:
        """Energy of each candidate [m] above the hull of its own system as built, eV/atom."""
        compositions = self._known(candidates)
        values = self._comparable(energies, len(compositions))
        return np.asarray(values - self.energy(compositions).values)

    def decomposition_energy(self, candidates: Phases, energies: Energies) -> Floats:
        """Like ``distance``, without any entry of each candidate's own reduced formula."""
        compositions = self._known(candidates)
        values = self._comparable(energies, len(compositions))
        solved, _ = self._solve_targets(compositions, self._phase_at(compositions))
        reference = _reference_energy(compositions, self._references)
        return np.asarray(values - reference - solved.energies)

    def decompose(self, candidates: Phases) -> Decomposition:
        """The stable phases that each composition falls apart into, with their amounts."""
        compositions = self._known(candidates)
        return self._as_decomposition(compositions, np.full(len(compositions), -1))

    def competing_phases(self, candidates: Phases) -> Decomposition:
        """Like ``decompose``, without any entry of each composition's own reduced formula."""
        compositions = self._known(candidates)
        return self._as_decomposition(compositions, self._phase_at(compositions))

    def hull(self, system: str) -> Hull:
        """The hull of one chemical system, made of all entries of it and its sub-systems."""
        wanted = parse_system(system)
        inside = np.isin(self.compositions.elements, wanted)
        rows = np.flatnonzero(np.logical_and.reduceat(inside, self.compositions.offsets[:-1]))
        if not len(rows):
            raise InputError(f"No entry lies in the system {system}.")
        return Hull(
            self.compositions[rows],
            self.energies[rows],
            ids=[self.ids[row] for row in rows],
            allow_emulated=self.allow_emulated,
        )

    def _known(self, candidates: Phases) -> Compositions:
        compositions = as_compositions(candidates)
        unknown = np.isnan(self._references[compositions.elements])
        if unknown.any():
            symbol = SYMBOLS[int(compositions.elements[np.argmax(unknown)])]
            raise InputError(f"No entry contains {symbol}: add it, or leave the candidate out.")
        return compositions

    def _comparable(self, energies: Energies, count: int) -> Floats:
        energies = require_energies(energies, count)
        self.energies.require_comparable(energies, allow_emulated=self.allow_emulated)
        return energies.values

    def _phase_at(self, compositions: Compositions) -> Indices:
        """The phase with each composition [m], -1 where there is none."""
        from materialabs.hull.mark_kernels import marks

        asked, _ = marks(compositions)
        order = np.argsort(self._codes)
        place = np.minimum(np.searchsorted(self._codes[order], asked), len(order) - 1)
        found = order[place]
        return np.where(self._codes[found] == asked, found, -1)

    def _solve_targets(
        self, compositions: Compositions, excluded: Indices
    ) -> tuple[Solved, Systems]:
        """The cheapest mixture at each composition [m], without one phase each (-1: none)."""
        width = self._systems.elements.shape[1]
        systems = group_by_system(compositions, width)
        width = systems.elements.shape[1]
        ordered = compositions[systems.order]
        solved = _empty(len(compositions), width)
        targets = Systems(
            np.arange(len(ordered)), systems.starts, systems.elements, systems.sizes, systems.marks
        )
        fractions = fractions_in_systems(ordered, width)
        out = np.ascontiguousarray(excluded[systems.order], dtype=np.int64)
        self._solve(targets, (0, len(systems.sizes)), fractions, out, solved)
        back = np.empty(len(compositions), dtype=np.int64)
        back[systems.order] = np.arange(len(compositions))
        return Solved(solved.energies[back], solved.phases[back], solved.amounts[back]), systems

    def _as_decomposition(self, compositions: Compositions, excluded: Indices) -> Decomposition:
        solved, _ = self._solve_targets(compositions, excluded)
        elements = self._element_entry[np.where(solved.phases < 0, -1 - solved.phases, 0)]
        compounds = self._entry_of_phase[np.maximum(solved.phases, 0)]
        entries = np.where(solved.phases < 0, elements, compounds)
        products, amounts, offsets = ragged_products(entries, solved.amounts)
        energies = solved.energies + _reference_energy(compositions, self._references)
        return Decomposition(
            compositions, products, amounts, offsets, energies, self.compositions, self.ids
        )

    def __repr__(self) -> str:
        return (
            f"HullPatches({len(self)} entries in {len(self._systems.sizes)} chemical systems, "
            f"{int(self.stable.sum())} stable, {self.energies.kind} energies at "
            f"{self.energies.level})"
        )


@dataclass(frozen=True, eq=False)
class Judgement:
    """What :func:`judge` finds for each entry that was given.

    Parameters
    ----------
    distance
        float64 [n], eV/atom above the hull of the entry's own system.
    decomposition_energy
        float64 [n], eV/atom above all else that its atoms can form.
    stable
        bool [n], on the hull within ``ON_HULL``.
    """

    distance: Floats
    decomposition_energy: Floats
    stable: NDArray[np.bool_]


def judge(formulas: Phases, energies: Energies, *, threads: int = 1) -> Judgement:
    """Judge every entry of a database in its own chemical system.

    Parameters
    ----------
    formulas, energies
        The entries, as for :class:`HullPatches`.
    threads
        Threads of the kernels.
    """
    patches = HullPatches(formulas, energies, threads=threads)
    given = slice(0, patches._given)
    return Judgement(
        patches.distances[given], patches.decomposition_energies[given], patches.stable[given]
    )


def _empty(count: int, width: int) -> Solved:
    return Solved(
        np.full(count, np.nan), np.full((count, width), -1, dtype=np.int64),
        np.zeros((count, width)),
    )  # fmt: skip


def _reference_energy(compositions: Compositions, references: Floats) -> Floats:
    """Energy of the elements in each composition [m], eV/atom."""
    weighted = compositions.amounts * references[compositions.elements]
    rows = np.repeat(np.arange(len(compositions)), np.diff(compositions.offsets))
    total = np.bincount(rows, weights=weighted, minlength=len(compositions))
    return np.asarray(total / compositions.atoms)


def _above_elements(compositions: Compositions, values: Floats, references: Floats) -> Floats:
    return np.asarray(values - _reference_energy(compositions, references))
