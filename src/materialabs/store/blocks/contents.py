"""What a block holds: the wide rows of a range of crystals, and their narrow values by selection.

``band_gap.pbe`` is a column like any other, so that a filter on it costs what one on volume costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Double, Text, select

from materialabs.store import schema
from materialabs.store.blocks.encoding import DECIMAL, SAME, TEXT, WHOLE, encode
from materialabs.store.records import METHOD_KINDS

BLOCK: Final = 16_000
"""Crystals of a block: a column of decimals has 128 kB, the most that the C library gives out again
without asking the system for fresh pages, and 5 million crystals make 313 blocks."""

LEFT_OUT: Final = frozenset({"system_id"})
"""Columns of the wide row that blocks lack; the elements stand there themselves."""

ELEMENTS: Final = ("elements_low", "elements_high")
"""Bit masks of the elements (:data:`materialabs.store.schema.systems`)."""


def kind_of(name: str) -> bytes:
    """Kind of a column of the wide row, or of the elements' masks."""
    column = schema.systems.c[name] if name in ELEMENTS else schema.structures.c[name]
    if isinstance(column.type, Text):
        return TEXT
    return DECIMAL if isinstance(column.type, Double) else WHOLE


KINDS: Final = tuple(kind.replace("-", "_") for kind in METHOD_KINDS)
"""Kinds of methods as a filter names them."""


def narrow_column(name: str, selection: str, *, textual: bool) -> str:
    """Name in a block of the preferred values of a property of the narrow table.

    Parameters
    ----------
    name
        The property.
    selection
        A kind of method, a functional, or nothing for the preferred of all.
    textual
        Whether its texts are meant, not its numbers.
    """
    return f"{'text' if textual else 'number'}:{name}.{selection}"


def block_contents(connection: Connection, first: int, last: int) -> dict[str, bytes]:
    """Columns of the crystals from one number to another by name; a twin names the other."""
    wide = _wide_columns(connection, first, last)
    columns = {name: encode(kind_of(name), values) for name, values in wide.items()}
    for name, kind, values in _narrow_columns(connection, first, last, wide["id"]):
        columns[name] = encode(kind, values)
    return _named_once(columns)


def _named_once(columns: Mapping[str, bytes]) -> dict[str, bytes]:
    seen: dict[bytes, str] = {}
    return {
        name: content if (twin := seen.setdefault(content, name)) == name else SAME + twin.encode()
        for name, content in sorted(columns.items())
    }


def _wide_columns(connection: Connection, first: int, last: int) -> dict[str, Sequence[Any]]:
    table, systems = schema.structures, schema.systems
    wide = [column for column in table.columns if column.name not in LEFT_OUT]
    rows = connection.execute(
        select(*wide, *(systems.c[name] for name in ELEMENTS))
        .join(systems, systems.c.id == table.c.system_id)
        .where(table.c.id.between(first, last))
        .order_by(table.c.id)
    ).all()
    names = [*(column.name for column in wide), *ELEMENTS]
    listed = list(zip(*rows, strict=True)) or [()] * len(names)
    return dict(zip(names, listed, strict=True))


def _narrow_columns(
    connection: Connection, first: int, last: int, ids: Sequence[int]
) -> Iterator[tuple[str, bytes, list[Any]]]:
    """Preferred values of each property: of all methods, of each kind, of each functional."""
    table = schema.property_names
    names = {row.id: row.name for row in connection.execute(select(table.c.id, table.c.name))}
    values = _narrow_values(connection, first, last)
    places = np.searchsorted(np.array(ids), values.crystals)
    for textual, kind, listed in ((False, DECIMAL, values.numbers), (True, TEXT, values.texts)):
        there = np.array([value is not None for value in listed], dtype=bool)
        for name_id in np.unique(values.names[there]).tolist():
            chosen = there & (values.names == name_id)
            for selection, mask in values.selections(names[name_id], chosen):
                name = narrow_column(names[name_id], selection, textual=textual)
                yield name, kind, _preferred(listed, mask, places, len(ids))


@dataclass(frozen=True)
class _NarrowValues:
    """Values of a range of crystals, the preferred ones before the others."""

    crystals: NDArray[np.int64]
    names: NDArray[np.int64]
    methods: NDArray[np.int64]
    functionals: NDArray[Any]
    numbers: Sequence[float | None]
    texts: Sequence[str | None]

    def selections(
        self, name: str, chosen: NDArray[np.bool_]
    ) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        """How a filter may select among values of a property, and which values that leaves."""
        if name not in schema.WIDE_PROPERTIES:
            yield "", chosen
        for method in np.unique(self.methods[chosen]).tolist():
            yield KINDS[method], chosen & (self.methods == method)
        for functional in sorted(set(self.functionals[chosen].tolist()) - {"", *KINDS}):
            yield functional, chosen & (self.functionals == functional)


def _narrow_values(connection: Connection, first: int, last: int) -> _NarrowValues:
    values, records, levels = schema.property_values.c, schema.records.c, schema.levels.c
    rows = connection.execute(
        select(values.crystal_id, values.name_id, values.method, levels.functional, values.number,
               values.text, values.record_id, values.id)
        .join_from(schema.property_values, schema.records, records.id == values.record_id)
        .outerjoin(schema.levels, levels.id == values.level_id)
        .where(values.crystal_id.between(first, last), records.superseded.is_(False))
    ).all()  # fmt: skip
    ordered = sorted(rows, key=lambda row: (row[2], -row[6], row[7]))
    crystals, names, methods, functionals, numbers, texts, *_ = (
        zip(*ordered, strict=True) if ordered else [()] * 8
    )
    return _NarrowValues(
        np.array(crystals, np.int64),
        np.array(names, np.int64),
        np.array(methods, np.int64),
        np.array([functional or "" for functional in functionals], dtype=str),
        numbers,
        texts,
    )


def _preferred(
    values: Sequence[Any], mask: NDArray[np.bool_], places: NDArray[np.intp], rows: int
) -> list[Any]:
    """The first value of each crystal among those of a mask."""
    chosen = np.flatnonzero(mask)
    crystals, firsts = np.unique(places[chosen], return_index=True)
    column: list[Any] = [None] * rows
    for crystal, first in zip(crystals.tolist(), chosen[firsts].tolist(), strict=True):
        column[crystal] = values[first]
    return column
