"""Blocks of columns give the answers that the rows give, and follow every change of them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, select, update

from materialabs.errors import InputError, IntegrityError
from materialabs.store import schema, verify_blocks
from materialabs.store.blocks import contents, packing, reading
from materialabs.store.blocks.reading import packed_until
from materialabs.store.cursors import write_cursor
from materialabs.store.database import reading as reading_store
from materialabs.store.database import writing
from materialabs.store.filters.evaluate import holds
from materialabs.store.filters.fields import PREFIX
from materialabs.store.filters.syntax import parse
from materialabs.store.records import Method, Property, Record
from materialabs.store.store import Store
from materialabs.store.verify import verify
from materialabs.store.withdraw import withdraw
from tests.store.test_query import (
    NARROW,
    SORTS,
    documents,
    paged,
    some_crystals,
    some_filter,
    some_properties,
)

BLOCK = 16
COUNT = 120
FILTERS, SLOW_FILTERS = 60, 300
MORE_SORTS = [
    "band_gap.pbe,-id", "-chemical_formula_descriptive", "crystal_system,-volume", "type,-nsites",
    "-hardness,remark", "formula,-band_gap.experiment", "-last_modified,density",
]  # fmt: skip


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (contents, packing, reading, verify_blocks):
        monkeypatch.setattr(module, "BLOCK", BLOCK)
    monkeypatch.setattr(packing, "LEAST", 5)
    monkeypatch.setattr(packing, "MOST_CHANGED", 30)


def stops(store: Store) -> tuple[int, int]:
    """The number up to which crystals stand in blocks, and how many have changed since."""
    with reading_store(store.engine) as connection:
        changes = select(func.count()).select_from(schema.structure_changes)
        return packed_until(connection), int(connection.execute(changes).scalar_one())


def store_hashes(store: Store) -> dict[int, str]:
    """The name of each crystal by its number."""
    table = schema.crystals
    with reading_store(store.engine) as connection:
        found = connection.execute(select(table.c.id, table.c.hash))
        return {row.id: bytes(row.hash).hex() for row in found}


@pytest.fixture
def packed(store: Store, small_blocks: None) -> Iterator[tuple[Store, dict[str, dict[str, Any]]]]:
    """A store of some blocks, some changed rows, and some rows in no block."""
    crystals, listed = some_crystals(1, COUNT), some_properties(2, COUNT)
    store.add(crystals[:100], listed[:100])
    store.add(crystals[100:], listed[100:])
    corrected = [store.query(f'source="src-{place}"').page(1).rows[0] for place in range(0, 90, 8)]
    # The newest value counts; it is the smallest, too, which is the one that `documents` takes.
    more = Property("hardness", -1.0, "", Method("experiment"))
    hashes = store_hashes(store)
    store.add_records(
        [
            Record((more,), crystal=hashes[row["id"]], composition=row["formula"])
            for row in corrected
        ]
    )
    for place in range(0, 90, 8):
        listed[place] = (*listed[place], more)
    yield store, documents(crystals, listed, store)


def test_the_store_of_these_tests_has_blocks_changes_and_rows_in_no_block(
    packed: tuple[Store, dict[str, dict[str, Any]]],
) -> None:
    stop, changes = stops(packed[0])
    assert 0 < stop < COUNT
    assert changes == 12


def compare_with_evaluator(
    packed: tuple[Store, dict[str, dict[str, Any]]], seed: int, count: int
) -> None:
    store, found = packed
    source = random.Random(seed)
    for _ in range(count):
        text = some_filter(source)
        expected = {name for name, doc in found.items() if holds(parse(text), doc, NARROW) is True}
        results = store.query(text, sort=source.choice(SORTS + MORE_SORTS))
        assert set(results.names()) == expected, text
        assert results.count() == len(expected), text
        assert results.counted_page(3)[0] == len(expected), text


def test_filters_select_from_blocks_what_the_plain_evaluator_selects(
    packed: tuple[Store, dict[str, dict[str, Any]]],
) -> None:
    compare_with_evaluator(packed, 6, FILTERS)


@pytest.mark.slow
def test_many_filters_select_from_blocks_what_the_plain_evaluator_selects(
    packed: tuple[Store, dict[str, dict[str, Any]]],
) -> None:
    compare_with_evaluator(packed, 7, SLOW_FILTERS)


def test_blocks_sort_and_page_as_rows_do(
    packed: tuple[Store, dict[str, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = packed
    source = random.Random(8)
    for number, sort in enumerate(SORTS + MORE_SORTS):
        text = some_filter(source, 2) if number % 3 else ""
        predicted = bool(number % 2)
        lists = [paged(store.query(text, sort=sort, predicted=predicted), size)
                 for size in (7, 1000)]  # fmt: skip
        with monkeypatch.context() as patch:
            patch.setattr("materialabs.store.query.packed_until", lambda connection: 0)
            lists.append(paged(store.query(text, sort=sort, predicted=predicted), 1000))
        assert all(one == lists[-1] for one in lists), f"{text} sorted by {sort}"


def good(store: Store) -> bool:
    verdict = verify(store, keys=store.keys, everything=True)
    assert verdict.good, verdict.problems
    return verdict.good


def test_blocks_with_changes_and_without_verify(
    packed: tuple[Store, dict[str, dict[str, Any]]],
) -> None:
    store, _ = packed
    assert good(store)
    store.settle()
    stop, changes = stops(store)
    assert stop == COUNT
    assert 0 < changes <= packing.LEAST
    assert good(store)


def test_much_changed_blocks_are_made_again(
    packed: tuple[Store, dict[str, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, found = packed
    monkeypatch.setattr(packing, "LEAST", 0)
    store.settle()
    assert stops(store) == (COUNT, 0)
    assert good(store)
    hard = {name for name, one in found.items() if one[f"{PREFIX}hardness"] == -1.0}
    assert set(store.query("hardness=-1.0").names()) == hard


def test_a_withdrawn_crystal_leaves_nothing_in_its_block(
    packed: tuple[Store, dict[str, dict[str, Any]]],
) -> None:
    store, _ = packed
    rows = list(store.query("nsites>=1"))
    row = next(row for row in rows if row["source"] == "src-1")
    with reading_store(store.engine) as connection:
        table = schema.records
        name = connection.execute(
            select(table.c.hash).where(table.c.crystal_id == row["id"])
        ).scalar_one()
    withdraw(store, bytes(name).hex(), "a slip of the pen")
    left = [one["name"] for one in rows if one["id"] != row["id"]]
    assert store.query("nsites>=1").names() == left
    with reading_store(store.engine) as connection:
        contents = connection.execute(select(schema.structure_blocks.c.content)).scalars().all()
    assert not any(row["name"].encode() in bytes(content) for content in contents)
    assert good(store)


def test_a_crystal_under_the_number_of_a_withdrawn_one_is_found(
    sqlite_store: Store, small_blocks: None
) -> None:
    store = sqlite_store
    store.add(some_crystals(1, 40), some_properties(2, 40))
    store.settle()
    assert stops(store)[0] == 40
    last = list(store.query("nsites>=1"))[-1]
    with reading_store(store.engine) as connection:
        table = schema.records
        name = connection.execute(
            select(table.c.hash).where(table.c.crystal_id == last["id"])
        ).scalar_one()
    withdraw(store, bytes(name).hex(), "a slip of the pen")
    store.add(some_crystals(9, 1), None)
    found = list(store.query("nsites>=1"))
    assert found[-1]["id"] == last["id"]
    assert found[-1]["name"] != last["name"]
    assert len(found) == 40
    assert good(store)


FORGED = [[-5], [1 << 60], [0]]


@pytest.mark.parametrize("place", FORGED)
def test_a_page_behind_any_number_is_a_page(
    sqlite_store: Store, small_blocks: None, place: list[int]
) -> None:
    sqlite_store.add(some_crystals(1, 40), None)
    sqlite_store.settle()
    found = sqlite_store.query("nsites>=1").page(10, write_cursor(([], place[0])))
    assert [row["id"] for row in found.rows] == ([] if place[0] > 0 else list(range(1, 11)))


@pytest.mark.parametrize("marks", [["\ud800", 1], ["a\0", 1], [5, 1], [None, 1.5], [None, True]])
def test_a_forged_place_among_texts_is_refused(sqlite_store: Store, marks: list[Any]) -> None:
    *values, number = marks
    with pytest.raises(InputError, match="does not exist"):
        sqlite_store.query(sort="formula").page(10, write_cursor((values, number)))


CHANGES = 12


def other_bytes(source: random.Random, content: bytes) -> bytes:
    place = source.randrange(len(content))
    way = source.random()
    if way < 0.2:
        return content[:place]
    if way < 0.3:
        return content + b"\0"
    changed = bytearray(content)
    changed[place] ^= 1 << source.randrange(8)
    return bytes(changed)


@pytest.mark.parametrize("seed", range(3))
def test_a_change_anywhere_in_a_block_is_found_and_named(
    sqlite_store: Store, small_blocks: None, seed: int
) -> None:
    store, source = sqlite_store, random.Random(seed)
    store.add(some_crystals(1, 40), some_properties(2, 40))
    store.settle()
    table = schema.structure_blocks
    with reading_store(store.engine) as connection:
        rows = [row._asdict() for row in connection.execute(select(table))]
    assert good(store)
    for _ in range(CHANGES):
        row = source.choice(rows)
        fresh = source.choice(
            [
                {"content": other_bytes(source, row["content"])},
                {"stop": row["stop"] + source.choice([-1, 1, 16])},
                {"block": 7},
                {"name": "number:hardness.unheard"},
                None,
            ]
        )
        where = (table.c.name == row["name"]) & (table.c.block == row["block"])
        change = delete(table) if fresh is None else update(table).values(**fresh)
        with writing(store.engine) as connection:
            connection.execute(change.where(where))
        problem = verify(store, keys=store.keys, everything=True).problems[0]
        assert "block" in problem.place
        with writing(store.engine) as connection:
            connection.execute(delete(table))
            connection.execute(insert(table), rows)


def test_a_damaged_block_is_told_in_one_sentence(sqlite_store: Store, small_blocks: None) -> None:
    store, table = sqlite_store, schema.structure_blocks
    store.add(some_crystals(1, 40), None)
    store.settle()
    with writing(store.engine) as connection:
        connection.execute(update(table).where(table.c.name == "volume").values(content=b"d"))
    with pytest.raises(IntegrityError, match="Block 0 of the store's columns is damaged"):
        store.query("volume>1").count()


def test_a_row_that_differs_from_its_block_is_found_unless_it_is_noted_as_changed(
    sqlite_store: Store, small_blocks: None
) -> None:
    store = sqlite_store
    store.add(some_crystals(1, 40), some_properties(2, 40))
    store.settle()
    record = Record(
        (Property("hardness", 7.0, "", Method("experiment")),),
        crystal=store_hashes(store)[5], composition="X",
    )  # fmt: skip
    store.add_records([record])
    assert good(store)
    with writing(store.engine) as connection:
        connection.execute(delete(schema.structure_changes))
    problem = verify(store, keys=store.keys, everything=True).problems[0]
    with reading_store(store.engine) as connection:
        table = schema.structures
        name = connection.execute(select(table.c.name).where(table.c.id == 5)).scalar_one()
    assert name in problem.message
