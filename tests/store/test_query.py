"""Filters give the same answers from SQLite, PostgreSQL and a plain Python evaluator."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from materialabs.crystals.batch import Crystals
from materialabs.crystals.occupancy import Occupancy
from materialabs.errors import InputError
from materialabs.levels import MP2020, Level
from materialabs.store.documents import attributes
from materialabs.store.filters.evaluate import holds
from materialabs.store.filters.fields import PREFIX, Kind
from materialabs.store.filters.syntax import parse
from materialabs.store.query import Results
from materialabs.store.records import METHOD_KINDS, Method, MethodKind, Property
from materialabs.store.store import Store

FILTERS = 300
ELEMENTS = [1, 3, 8, 11, 17, 26, 64, 65, 92]
SYMBOLS = ["H", "Li", "O", "Na", "Cl", "Fe", "Gd", "Tb", "U", "Xx"]
METHODS: list[MethodKind] = ["experiment", "dft", "model"]
NARROW: dict[str, Kind] = {
    "band_gap": "float", "formation_energy": "float", "hardness": "float", "remark": "string",
}  # fmt: skip
Listed = list[tuple[Property, ...]]


def some_crystals(seed: int, count: int) -> Crystals:
    """Small crystals of few elements, one in ten with a shared site."""
    source = np.random.default_rng(seed)
    sizes = source.integers(1, 5, count)
    atoms = int(sizes.sum())
    numbers = source.choice(ELEMENTS, atoms).astype(np.uint8)
    sites: list[dict[int, float]] = []
    for number in numbers.tolist():
        shared = source.random() < 0.05
        sites.append({number: 0.75, 19: 0.25} if shared else {number: 1.0})
    table = Occupancy(
        np.concatenate([[0], np.cumsum([len(site) for site in sites])]),
        np.array([number for site in sites for number in site]),
        np.array([share for site in sites for share in site.values()]),
    )
    return Crystals(
        np.eye(3) * 4 + source.normal(size=(count, 3, 3)) * 0.3,
        source.random((atoms, 3)),
        numbers,
        np.concatenate([[0], np.cumsum(sizes)]),
        source.random((count, 3)) < 0.9,
        columns={"id": [f"src-{place}" for place in range(count)]},  # type: ignore[arg-type]
        occupancy=table,
    )


def some_properties(seed: int, count: int) -> Listed:
    source = random.Random(seed)
    listed: Listed = []
    for place in range(count):
        values = []
        for kind in METHODS:
            level = source.choice([MP2020, Level("HSE"), None]) if kind == "dft" else None
            method = Method(kind, level=level)
            if source.random() < 0.5:
                values.append(Property("band_gap", round(source.uniform(0, 4), 1), "eV", method))
            if source.random() < 0.4:
                value = round(source.uniform(-3, 1), 1)
                values.append(Property("formation_energy", value, "eV/atom", method))
        if source.random() < 0.3:
            values.append(Property("hardness", float(place % 7), "", Method("experiment")))
        if source.random() < 0.3:
            values.append(Property("remark", f"sample {place % 5}", "", Method("experiment")))
        listed.append(tuple(values))
    return listed


def selected(values: list[tuple[int, Property]], kinds: list[str], functional: str) -> Any:
    """The preferred value by the stated order: method first, then the newest."""
    fitting = [
        (METHOD_KINDS.index(one.method.kind), -place, one.value)
        for place, one in values
        if one.method.kind in kinds
        and (
            not functional
            or (one.method.level is not None and one.method.level.functional.lower() == functional)
        )
    ]
    return min(fitting)[2] if fitting else None


def documents(crystals: Crystals, listed: Listed, store: Store) -> dict[str, dict[str, Any]]:
    """What the Python evaluator sees, values chosen here and not by the store."""
    rows = {row["source"]: row for row in store.query()}
    found = {}
    everything = [kind for kind in METHOD_KINDS if kind != "model"]
    for place, crystal in enumerate(crystals):
        row = rows[f"src-{place}"]
        document = attributes(row, crystal)
        document["id"], document["type"] = row["name"], "structures"
        document["last_modified"] = row["modified"]
        for name in NARROW:
            values = [(0, one) for one in listed[place] if one.name == name]
            bare = everything if name in ("band_gap", "formation_energy") else list(METHOD_KINDS)
            document[PREFIX + name] = selected(values, bare, "")
            for kind in METHODS:
                document[f"{PREFIX}{name}.{kind}"] = selected(values, [kind], "")
            for functional in ("pbe", "hse"):
                document[f"{PREFIX}{name}.{functional}"] = selected(
                    values, list(METHOD_KINDS), functional
                )
        found[row["name"]] = document
    return found


def leaf(source: random.Random) -> str:
    sign = source.choice(["=", "!=", "<", "<=", ">", ">="])
    number = source.choice(["0", "1", "2.0", "3", "1.5", "-1.0", "-0.5e0", "225"])
    numeric = source.choice(
        ["band_gap", "band_gap.pbe", "band_gap.hse", "band_gap.experiment", "band_gap.model",
         "formation_energy", "formation_energy.dft", "hardness", "nelements", "nsites",
         "_materialabs_density", "volume", "space_group", "nperiodic_dimensions", "_mp_gap"]
    )  # fmt: skip
    text = source.choice(
        ["chemical_formula_reduced", "chemical_formula_anonymous", "formula", "crystal_system",
         "source", "remark", "id", "type", "chemical_formula_hill", "_mp_text"]
    )  # fmt: skip
    piece = source.choice(["Fe", "O", "A", "sample 3", "src-1", "cubic", "a", "", "ABC", "%", "_"])
    symbols = ",".join(f'"{s}"' for s in source.sample(SYMBOLS, source.randint(1, 3)))
    how = source.choice(["ALL ", "ANY ", "ONLY "])
    forms = [
        f"{numeric}{sign}{number}",
        f"{number} {sign} {numeric}",
        f'{text} {sign} "{piece}"',
        f'"{piece}"{sign}{text}',
        f'{text} CONTAINS "{piece}"',
        f'{text} STARTS WITH "{piece}"',
        f'{text} ENDS "{piece}"',
        f"elements HAS {how}{symbols}",
        f'elements HAS "{source.choice(SYMBOLS)}"',
        f"elements LENGTH {sign} {source.randint(0, 4)}",
        f"{source.choice([numeric, text, 'elements'])} IS {source.choice(['KNOWN', 'UNKNOWN'])}",
        'structure_features HAS "disorder"',
        f"structure_features LENGTH {source.randint(0, 1)}",
        'last_modified > "2020-01-01T00:00:00Z"',
    ]
    return source.choice(forms)


def some_filter(source: random.Random, depth: int = 3) -> str:
    if depth == 0 or source.random() < 0.3:
        return leaf(source)
    parts = [some_filter(source, depth - 1) for _ in range(source.randint(1, 3))]
    joined = source.choice([" AND ", " OR "]).join(f"({part})" for part in parts)
    return f"NOT ({joined})" if source.random() < 0.3 else joined


SORTS = ["", "id", "-id", "band_gap,-nsites", "-formation_energy", "source", "-remark,hardness",
         "chemical_formula_reduced,-_materialabs_density"]  # fmt: skip


@pytest.fixture
def filled(store: Store) -> tuple[Store, dict[str, dict[str, Any]]]:
    crystals, listed = some_crystals(1, 120), some_properties(2, 120)
    store.add(crystals, listed)
    return store, documents(crystals, listed, store)


def paged(results: Results, size: int) -> list[str]:
    names, cursor = [], None
    while True:
        page = results.page(size, cursor)
        names += [row["name"] for row in page.rows]
        cursor = page.cursor
        if cursor is None:
            return names


def test_filters_select_what_the_plain_evaluator_selects(
    filled: tuple[Store, dict[str, dict[str, Any]]],
) -> None:
    store, found = filled
    source = random.Random(5)
    for _ in range(FILTERS):
        text = some_filter(source)
        expected = {name for name, doc in found.items() if holds(parse(text), doc, NARROW) is True}
        results = store.query(text, sort=source.choice(SORTS))
        assert set(results.names()) == expected, text
        assert results.count() == len(expected), text


def test_both_databases_give_the_same_lists_at_every_page_size(
    sqlite_store: Store, postgres_store: Store
) -> None:
    crystals, listed = some_crystals(1, 60), some_properties(2, 60)
    for store in (sqlite_store, postgres_store):
        store.add(crystals, listed)
    source = random.Random(7)
    for number in range(60):
        text, sort = some_filter(source), SORTS[number % len(SORTS)]
        lists = [
            paged(store.query(text, sort=sort), size)
            for store in (sqlite_store, postgres_store)
            for size in (1, 7, 1000)
        ]
        assert all(one == lists[0] for one in lists), f"{text} sorted by {sort}"


def test_results_are_sorted_with_unknown_values_last(sqlite_store: Store) -> None:
    sqlite_store.add(some_crystals(1, 60), some_properties(2, 60))
    gaps = [row["band_gap"] for row in sqlite_store.query(sort="-band_gap")]
    known = [gap for gap in gaps if gap is not None]
    assert known == sorted(known, reverse=True)
    assert gaps == known + [None] * (len(gaps) - len(known))


def test_models_count_only_when_asked_for(sqlite_store: Store) -> None:
    crystals = some_crystals(3, 1)
    sqlite_store.add(crystals, [(Property("band_gap", 1.5, "eV", Method("model")),)])
    assert sqlite_store.query("band_gap > 1").count() == 0
    assert sqlite_store.query("band_gap > 1", predicted=True).count() == 1


def test_another_providers_property_warns(sqlite_store: Store) -> None:
    results = sqlite_store.query("_mp_gap > 1")
    assert results.count() == 0
    assert "_mp_gap" in results.warnings[0]


def test_an_unknown_property_is_refused_with_the_nearest_name(sqlite_store: Store) -> None:
    with pytest.raises(InputError, match="did you mean density"):
        sqlite_store.query("densty > 1")


HOSTILE = [
    "(" * 10_000 + "nsites=1" + ")" * 10_000,
    'source="' + "x" * 1_000_000 + '"',
    "nsites=1 AND " * 2000 + "nsites=1",
    "NOT " * 3000 + "nsites=1",
    "elements HAS ALL " + ",".join(['"H"'] * 5000),
    'source="\0"',
    'source="\ud800"',
    "nsites=1; DROP TABLE crystals",
    "nsites = " + "9" * 400,
    "naïve=1",
    "nsites=",
    "",
]


@pytest.mark.parametrize("text", HOSTILE[:-1], ids=range(len(HOSTILE) - 1))
def test_hostile_filters_are_refused(sqlite_store: Store, text: str) -> None:
    with pytest.raises(InputError):
        sqlite_store.query(text)


def test_sql_in_a_text_is_only_a_text(store: Store) -> None:
    store.add(some_crystals(3, 2))
    text = "source = \"x' OR '1'='1\" OR source CONTAINS \"'; DROP TABLE crystals; --\""
    assert store.query(text).count() == 0
    assert len(store) == 2


@pytest.mark.parametrize("cursor", ["", "abc", "W10", "eyJhIjoxfQ", "bnVsbA", "WyJ4Il0"])
def test_a_forged_page_is_refused(sqlite_store: Store, cursor: str) -> None:
    with pytest.raises(InputError):
        sqlite_store.query().page(10, cursor)
