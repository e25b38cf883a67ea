"""Queries of the kinds that people write, drawn at random with constants from the store itself.

Each is a filter of one to five parts, plain or with OR and NOT, and half of them are sorted. The
parts and sort keys come from every kind of property that a store has: elements, symmetry, sizes,
wide and narrow values, formulas by beginning, middle and end, times and identifiers.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from materialabs.elements import SYMBOLS
from materialabs.store import schema
from materialabs.store.database import reading
from materialabs.store.store import Store

SAMPLES = 400
"""Structures that constants are taken from."""

MOST_PARTS = 5
SORTED_SHARE, NEGATED_SHARE, ALTERNATIVE_SHARE, MATCHED_SHARE = 0.5, 0.1, 0.15, 0.15
WEIGHTS = (30, 35, 20, 10, 5)
"""Of filters with one, two, three, four and five parts."""

SORT_KEYS = (
    "band_gap", "formation_energy", "density", "volume", "nsites", "nelements", "space_group",
    "id", "formula", "last_modified", "band_gap.pbe", "formation_energy.dft", "source",
    "chemical_formula_reduced", "chemical_formula_anonymous", "crystal_system",
)  # fmt: skip

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Query:
    """A filter with a sort."""

    filter: str
    sort: str


def _symbols(row: Row) -> list[str]:
    bits = [int(row["elements_low"]) % (1 << 64), int(row["elements_high"]) % (1 << 64)]
    mask = bits[0] | bits[1] << 64
    return [symbol for number, symbol in enumerate(SYMBOLS) if symbol and mask >> number & 1]


def _quoted(symbols: list[str]) -> str:
    return ",".join(f'"{symbol}"' for symbol in symbols)


def _elements(source: random.Random, row: Row) -> str:
    symbols = _symbols(row)
    some = source.sample(symbols, min(len(symbols), source.randint(1, 3)))
    return source.choice(
        [
            f"elements HAS ALL {_quoted(some)}",
            f"elements HAS ANY {_quoted(some)}",
            f'elements HAS "{source.choice(symbols)}"',
            f"elements HAS ONLY {_quoted(sorted({*symbols, 'Li', 'O', 'S', 'P'}))}",
            f"elements HAS ALL {_quoted(some)} AND nelements={row['nelements']}",
        ]
    )


def _symmetry(source: random.Random, row: Row) -> str:
    return source.choice(
        [
            f'crystal_system="{row["crystal_system"]}"',
            f"space_group={row['space_group']}",
            f"space_group>={source.randint(1, 200)}",
            f'chemical_formula_anonymous="{row["formula_anonymous"]}"',
        ]
    )


def _sizes(source: random.Random, row: Row) -> str:
    sign = source.choice(["<", "<=", ">", ">=", "="])
    return source.choice(
        [
            f"nelements{sign}{row['nelements']}",
            f"nsites{sign}{row['nsites']}",
            f"nsites<={row['nsites']} AND nsites>={max(1, row['nsites'] - 4)}",
            f"volume{source.choice(['<', '>='])}{row['volume']:.0f}",
            f"density{source.choice(['<', '>='])}{row['density']:.1f}",
            f"elements LENGTH {row['nelements']}",
        ]
    )


def _values(source: random.Random, row: Row) -> str:
    name, low, high = source.choice(
        [("band_gap", row["band_gap"] - 0.5, row["band_gap"] + 0.5),
         ("formation_energy", row["formation_energy"] - 0.1, row["formation_energy"] + 0.1)]
    )  # fmt: skip
    selection = source.choice(["", "", "", ".pbe", ".dft", ".experiment"])
    name += selection
    return source.choice(
        [
            f"{name}>={low:.2f} AND {name}<={high:.2f}",
            f"{name}>{high:.2f}",
            f"{name}<{low:.2f}",
            "band_gap=0",
            f"{name} IS KNOWN",
            "hull_distance<0.05",
            "bulk_modulus>100",
        ]
    )


def _texts(source: random.Random, row: Row) -> str:
    formula = str(row["formula_alphabetical"])
    cut = source.randint(1, 4)
    return source.choice(
        [
            f'chemical_formula_reduced ENDS WITH "{formula[-cut:]}"',
            f'chemical_formula_reduced STARTS WITH "{formula[:cut]}"',
            f'formula CONTAINS "{str(row["formula"])[1 : 1 + cut] or "O"}"',
            f'chemical_formula_descriptive CONTAINS "{formula[:cut]}"',
            f'chemical_formula_reduced="{formula}"',
            f'source STARTS WITH "{str(row["source"])[: 4 + cut]}"',
            f'id="{row["name"]}"',
            f'formula="{row["formula"]}"',
        ]
    )


KINDS: tuple[Callable[[random.Random, Row], str], ...] = (
    _elements, _elements, _symmetry, _symmetry, _sizes, _sizes, _values, _values, _texts,
)  # fmt: skip


def _part(source: random.Random, row: Row) -> str:
    part = source.choice(KINDS)(source, row)
    if source.random() < ALTERNATIVE_SHARE:
        part = f"({part}) OR ({source.choice(KINDS)(source, row)})"
    return f"NOT ({part})" if source.random() < NEGATED_SHARE else f"({part})"


def mixed_queries(store: Store, count: int, seed: int) -> list[Query]:
    """So many queries, the same for the same seed and store."""
    source = random.Random(seed)
    rows = _samples(store, source)
    queries = []
    for _ in range(count):
        parts = source.choices(range(1, MOST_PARTS + 1), WEIGHTS)[0]
        # Parts from one structure can all hold at once; from several, many select nothing.
        row = source.choice(rows)
        text = " AND ".join(
            _part(source, row if source.random() > MATCHED_SHARE else source.choice(rows))
            for _ in range(parts)
        )
        sort = ""
        if source.random() < SORTED_SHARE:
            keys = source.sample(SORT_KEYS, source.choice([1, 1, 1, 2]))
            sort = ",".join(source.choice(["", "-"]) + key for key in keys)
        queries.append(Query(text, sort))
    return queries


def _samples(store: Store, source: random.Random) -> list[Row]:
    table, systems = schema.structures, schema.systems
    with reading(store.engine) as connection:
        largest = connection.execute(select(func.max(table.c.id))).scalar_one()
        numbers = [source.randint(1, largest) for _ in range(SAMPLES)]
        found = connection.execute(
            select(table, systems.c.elements_low, systems.c.elements_high)
            .join(systems, systems.c.id == table.c.system_id)
            .where(table.c.id.in_(numbers), table.c.band_gap.is_not(None))
            .order_by(table.c.id)
        )
        return [{str(name): value for name, value in row.items()} for row in found.mappings()]
