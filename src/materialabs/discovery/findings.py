"""What a campaign knows: every relaxation, the known entries, and the hull of both."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.blobs import from_blobs
from materialabs.crystals.compositions import Compositions
from materialabs.discovery.parents import KnownEntries
from materialabs.discovery.request import CampaignRequest
from materialabs.discovery.results import enthalpy, usable
from materialabs.elements import SYMBOLS
from materialabs.generation.duplicates import duplicates
from materialabs.hull import Hull
from materialabs.levels import Energies

Floats = NDArray[np.float64]

SAME_ENERGY = 0.002
"""eV/atom; crystals that match are the same where their energies are this close."""

GIVEN_ROLES = ("element", "prototype", "known")
"""What a campaign is given rather than finds: references, and crystals that were known before."""


@dataclass(frozen=True, eq=False)
class Finding:
    """One relaxation of a campaign.

    Parameters
    ----------
    name
        Such as ``r2-07``.
    role
        ``"element"``, ``"prototype"``, ``"known"`` or ``"candidate"``.
    round, position
        When it was asked for.
    key
        Of the task.
    start, relaxed
        Batches of one.
    result
        See :func:`~materialabs.discovery.results.result_document`.
    plan
        Lineage and prediction.
    reused
        Whether it was done before the campaign asked for it.
    record
        Id of its record.
    """

    name: str
    role: str
    round: int
    position: int
    key: str
    start: Crystals
    relaxed: Crystals
    result: dict[str, Any]
    plan: dict[str, Any]
    reused: bool
    record: str

    @property
    def given(self) -> bool:
        """Whether this was known before the campaign."""
        return self.role in GIVEN_ROLES

    @property
    def formula(self) -> str:
        """Reduced formula."""
        return self.start.reduced_formulas()[0]

    @classmethod
    def of_row(cls, row: Any) -> Finding:
        """Read a done task's row."""
        start = from_blobs([bytes(row.crystal)])
        return cls(
            f"r{row.round}-{row.position:02d}", row.role, row.round, row.position, row.key, start,
            from_blobs([bytes(row.relaxed)]), json.loads(row.result), json.loads(row.document),
            bool(row.reused), "" if row.record is None else bytes(row.record).hex(),
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Findings:
    """All relaxations of a campaign by round and position, and what was known before.

    Parameters
    ----------
    request
        Of the campaign.
    listed
        Its relaxations.
    known
        Entries that the store held at the campaign's level when it began.
    """

    request: CampaignRequest
    listed: tuple[Finding, ...]
    known: KnownEntries

    @cached_property
    def good(self) -> tuple[Finding, ...]:
        """Relaxations with an energy."""
        return tuple(one for one in self.listed if usable(one.result))

    @cached_property
    def values(self) -> Floats:
        """Energy, or enthalpy under pressure, of the good ones, eV/atom."""
        pressure = self.request.constraints.pressure
        return np.array(
            [enthalpy(one.result["energy"], one.relaxed, pressure) for one in self.good]
        )

    @cached_property
    def references(self) -> dict[int, float]:
        """Lowest energy of each element, eV/atom."""
        lowest: dict[int, float] = {}
        for composition, value in zip(self._every, self._energies, strict=True):
            if len(composition) == 1:
                element = next(iter(composition))
                lowest[element] = min(float(value), lowest.get(element, np.inf))
        return lowest

    @property
    def missing(self) -> list[str]:
        """Elements without an energy: as long as there are any, there is no hull."""
        return [SYMBOLS[z] for z in self.request.elements if z not in self.references]

    @cached_property
    def _every(self) -> Compositions:
        parts = [one.relaxed.compositions for one in self.good]
        return Compositions.concat([*parts, self.known.crystals.compositions])

    @cached_property
    def _energies(self) -> Floats:
        return np.concatenate([self.values, self.known.energies.values])

    @cached_property
    def formation(self) -> Energies:
        """Formation energies of the good relaxations, then of the known entries, eV/atom."""
        table = np.zeros(len(SYMBOLS))
        for element, value in self.references.items():
            table[element] = value
        x = self._every
        owner = np.repeat(np.arange(len(x)), np.diff(x.offsets))
        elements = np.bincount(owner, x.amounts * table[x.elements], minlength=len(x)) / x.atoms
        return Energies(self._energies - elements, "formation", self.request.hull_level)

    @cached_property
    def hull(self) -> Hull:
        """The hull of all of them."""
        names = [one.name for one in self.good]
        return Hull(self._every, self.formation, ids=[*names, *self.known.crystals.ids()])

    @cached_property
    def distances(self) -> Floats:
        """Energy above the hull of each good relaxation, eV/atom."""
        return np.asarray(self.hull.distances[: len(self.good)])

    @cached_property
    def same_as(self) -> dict[str, str]:
        """The first relaxation that came to the same crystal, by name of each later one."""
        if not self.good:
            return {}
        groups = duplicates(self.crystals(self.good).replace(columns=None))
        first: dict[int, list[int]] = {}
        found = {}
        for place, group in enumerate(groups.tolist()):
            rivals = first.setdefault(group, [])
            near = [one for one in rivals
                    if abs(self.values[place] - self.values[one]) < SAME_ENERGY]  # fmt: skip
            if near:
                found[self.good[place].name] = self.good[near[0]].name
            else:
                rivals.append(place)
        return found

    def twins_of(self, finding: Finding) -> tuple[Finding, ...]:
        """The other relaxations that came to the same crystal, in their order."""
        first = self.same_as.get(finding.name, finding.name)
        return tuple(
            one for one in self.good
            if one is not finding and self.same_as.get(one.name, one.name) == first
        )  # fmt: skip

    @cached_property
    def hull_of_distinct(self) -> Hull:
        """The hull with the lowest of those that came to the same crystal alone, for pictures."""
        lowest: dict[str, int] = {}
        for row, one in enumerate(self.good):
            first = self.same_as.get(one.name, one.name)
            if self.values[row] < self.values[lowest.setdefault(first, row)]:
                lowest[first] = row
        known = np.arange(len(self.good), len(self._every))
        rows = np.concatenate([np.array(sorted(lowest.values()), dtype=np.int64), known])
        ids = [str(self.hull.ids[row]) for row in rows.tolist()]
        return Hull(self._every[rows], self.formation[rows], ids=ids)

    @cached_property
    def stable(self) -> tuple[Finding, ...]:
        """Compounds of the campaign on the hull, the lowest of each composition, by formula."""
        best: dict[str, int] = {}
        for place, one in enumerate(self.good):
            if self.hull.stable[place] and len(one.relaxed.compositions.elements) > 1:
                rival = best.get(one.formula)
                if rival is None or self.values[place] < self.values[rival]:
                    best[one.formula] = place
        return tuple(self.good[place] for place in sorted(best.values()))

    @cached_property
    def found(self) -> tuple[Finding, ...]:
        """Stable compounds that the campaign was not given."""
        return tuple(one for one in self.stable if not one.given)

    @cached_property
    def labelled(self) -> tuple[Crystals, Energies]:
        """Crystals as they started, and the formation energies that they relaxed to, eV/atom.

        Elements are among them: their formation energies are zero at every level, which ties a
        map between levels down at the corners of the system.
        """
        rows = np.arange(len(self.good), dtype=np.int64)
        starts = Crystals.concat([_bare(self.good[row].start) for row in rows.tolist()])
        return starts, self.formation[rows]

    @property
    def calls(self) -> int:
        """Relaxations that this campaign paid for."""
        return sum(not one.reused for one in self.listed)

    @property
    def seconds(self) -> float:
        """Computing time of these relaxations."""
        return float(sum(one.result["seconds"] or 0.0 for one in self.listed if not one.reused))

    def distance_of(self, finding: Finding) -> float:
        """Energy of one relaxation above the hull, eV/atom; NaN without an energy."""
        for place, one in enumerate(self.good):
            if one is finding:
                return float(self.distances[place])
        return float("nan")

    def seen(self) -> Crystals:
        """Starts and ends of all relaxations, and the known entries: no candidate copies them."""
        parts = [part for one in self.listed for part in (one.start, one.relaxed)]
        return Crystals.concat([_bare(part) for part in (*parts, self.known.crystals)])

    def crystals(self, chosen: Sequence[Finding]) -> Crystals:
        """Relaxed crystals of some findings, with their names as ids."""
        joined = Crystals.concat([_bare(one.relaxed) for one in chosen])
        return joined.with_columns(id=[one.name for one in chosen]) if chosen else joined


def _bare(crystal: Crystals) -> Crystals:
    return crystal.replace(columns=None, site_columns=None)
