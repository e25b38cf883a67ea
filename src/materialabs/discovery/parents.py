"""Where candidates come from: prototypes, and known crystals of the store, of any elements."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from sqlalchemy import select

from materialabs.crystals.batch import Crystals
from materialabs.crystals.compositions import Compositions
from materialabs.crystals.prototypes import prototypes
from materialabs.elements import SYMBOLS
from materialabs.levels import Energies, Level
from materialabs.store import schema
from materialabs.store.database import reading
from materialabs.store.store import Store
from materialabs.store.values import level_key

MOST_PARENTS: Final = 20_000
"""Crystals of the store that serve as templates at most."""

NEAR_HULL: Final = 0.1
"""eV/atom above the hull up to which a crystal computed here may be a parent."""

LARGEST_PARENT: Final = 40
"""Atoms in a template's cell."""


@dataclass(frozen=True, eq=False)
class KnownEntries:
    """Crystals of the store with an energy at one level.

    Parameters
    ----------
    ids
        Their numbers in the store.
    crystals
        As stored, with their sources as ids.
    energies
        Total energies, eV/atom.
    """

    ids: tuple[int, ...]
    crystals: Crystals
    energies: Energies

    def __len__(self) -> int:
        return len(self.ids)


def last_record(store: Store) -> int:
    """Number of the newest record: what is known now ends there."""
    with reading(store.engine) as connection:
        query = select(schema.records.c.id).order_by(schema.records.c.id.desc()).limit(1)
        return int(connection.execute(query).scalar_one_or_none() or 0)


def known_entries(
    store: Store,
    level: Level,
    known_until: int,
    elements: Sequence[int] = (),
    withheld: Sequence[str] = (),
) -> KnownEntries:
    """Crystals that had an energy at a level before a campaign began.

    Parameters
    ----------
    store
        Where to look.
    level
        Of the energies, wholly equal.
    known_until
        Number of the last record that counts.
    elements
        Only crystals of these elements alone, where given.
    withheld
        Reduced formulas that do not count.
    """
    rows = _energy_rows(store, level_key(level), known_until)
    allowed = {SYMBOLS[number] for number in elements}
    lowest: dict[int, float] = {}
    for row in rows:
        if row.formula in withheld:
            continue
        if not allowed or set(row.system.split("-")) <= allowed:
            energy = float(row.number)
            lowest[row.crystal_id] = min(energy, lowest.get(row.crystal_id, energy))
    ids = tuple(sorted(lowest))
    return KnownEntries(
        ids,
        store.crystals(ids) if ids else Crystals.empty(),
        Energies([lowest[one] for one in ids], "total", level),
    )


def _energy_rows(store: Store, level: str, known_until: int) -> list[Any]:
    values, names, levels = schema.property_values, schema.property_names, schema.levels
    query = (
        select(
            values.c.crystal_id, values.c.number, schema.systems.c.system,
            schema.structures.c.formula,
        )
        .join(names, names.c.id == values.c.name_id)
        .join(levels, levels.c.id == values.c.level_id)
        .join(schema.records, schema.records.c.id == values.c.record_id)
        .join(schema.structures, schema.structures.c.id == values.c.crystal_id)
        .join(schema.systems, schema.systems.c.id == schema.structures.c.system_id)
        .where(
            names.c.name == "energy", levels.c.document == level, values.c.number.is_not(None),
            values.c.record_id <= known_until, schema.records.c.superseded.is_(False),
        )
        .order_by(values.c.id)
    )  # fmt: skip
    with reading(store.engine) as connection:
        return list(connection.execute(query))


def levels_with_energies(store: Store, elements: Sequence[int]) -> dict[Level, int]:
    """Levels at which the store has energies in a system, and of how many crystals."""
    values, names, levels = schema.property_values, schema.property_names, schema.levels
    query = (
        select(levels.c.document, values.c.crystal_id, schema.systems.c.system)
        .join(names, names.c.id == values.c.name_id)
        .join(levels, levels.c.id == values.c.level_id)
        .join(schema.structures, schema.structures.c.id == values.c.crystal_id)
        .join(schema.systems, schema.systems.c.id == schema.structures.c.system_id)
        .where(names.c.name == "energy")
        .distinct()
    )
    symbols = {SYMBOLS[number] for number in elements}
    counts: dict[Level, int] = {}
    with reading(store.engine) as connection:
        for row in connection.execute(query):
            if set(row.system.split("-")) <= symbols:
                level = Level.from_dict(json.loads(row.document))
                counts[level] = counts.get(level, 0) + 1
    return counts


def templates(
    store: Store, level: Level, known_until: int, withheld: Sequence[str] = ()
) -> Crystals:
    """Crystals that candidates are made from: prototypes, then what the store holds.

    Of crystals that were computed at the campaign's level only those near their hull serve;
    crystals that came from elsewhere are taken as they are, whatever their level.
    """
    shipped = prototypes().crystals
    shipped = shipped[shipped.counts <= LARGEST_PARENT]
    shipped = shipped.replace(columns={"id": [f"prototype {name}" for name in shipped.ids()]})
    own = known_entries(store, level, known_until)
    near = own.crystals[_near_hull(own)] if len(own) else Crystals.empty()
    foreign = _foreign(store, known_until, set(own.ids))
    # The user's own crystals come first: of two copies the first is kept.
    parts = [part.replace(columns={"id": part.ids()}, site_columns=None)
             for part in (foreign, near, shipped) if len(part)]  # fmt: skip
    joined = Crystals.concat(parts)
    hidden = np.isin(joined.reduced_formulas(), list(withheld))
    return joined[(joined.counts <= LARGEST_PARENT) & ~joined.disordered() & ~hidden]


def _near_hull(entries: KnownEntries) -> Any:
    """Which entries lie near the hull of their system, where that hull has all its elements."""
    from materialabs.hull import judge

    compositions = entries.crystals.compositions
    pure = np.diff(compositions.offsets) == 1
    have = np.unique(compositions.elements[compositions.offsets[:-1][pure]])
    whole = _made_of(compositions, have)
    near = np.zeros(len(entries), dtype=bool)
    if whole.any():
        rows = np.flatnonzero(whole)
        near[rows] = judge(compositions[rows], entries.energies[rows]).distance <= NEAR_HULL
    return near


def _made_of(compositions: Compositions, elements: Any) -> Any:
    inside = np.isin(compositions.elements, elements)
    counts = np.add.reduceat(inside, compositions.offsets[:-1]) if len(compositions) else inside
    return counts == np.diff(compositions.offsets)


def _foreign(store: Store, known_until: int, own: set[int]) -> Crystals:
    """Crystals of the store that no relaxation here has made, smallest cells first."""
    records, structures = schema.records, schema.structures
    made = _made_here(store)
    query = (
        select(structures.c.id)
        .where(
            structures.c.nsites <= LARGEST_PARENT, structures.c.disordered.is_(False),
            structures.c.dimensions == 3,
            structures.c.id.in_(
                select(records.c.crystal_id).where(
                    records.c.id <= known_until, records.c.crystal_id.is_not(None)
                )
            ),
        )
        .order_by(structures.c.nsites, structures.c.id)
        .limit(MOST_PARENTS)
    )  # fmt: skip
    with reading(store.engine) as connection:
        ids = [row.id for row in connection.execute(query)]
    ids = [one for one in ids if one not in made and one not in own]
    return store.crystals(ids) if ids else Crystals.empty()


def _made_here(store: Store) -> set[int]:
    """Crystals that relaxations of campaigns made."""
    values, names = schema.property_values, schema.property_names
    query = (
        select(values.c.crystal_id)
        .join(names, names.c.id == values.c.name_id)
        .where(names.c.name == "relaxation_status")
    )
    with reading(store.engine) as connection:
        return {row.crystal_id for row in connection.execute(query) if row.crystal_id}
