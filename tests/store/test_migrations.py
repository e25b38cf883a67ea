"""Stores of older versions are brought up to date when they are opened, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from materialabs.errors import IntegrityError
from materialabs.store.blocks import packing
from materialabs.store.blocks.reading import packed_until
from materialabs.store.database import read_info, reading, writing
from materialabs.store.migrations import STEPS
from materialabs.store.schema import DATABASE_VERSION
from materialabs.store.store import Store
from materialabs.store.verify import verify
from tests.store.made_crystals import made_crystals, made_properties

COUNT = 30
FILTERS = ('elements HAS "O" AND band_gap>1', "density>4", 'crystal_system="cubic"', "nelements=3")


def place_of(store: Store) -> str:
    return store.engine.url.render_as_string(hide_password=False).removeprefix("sqlite:///")


def indexes(store: Store) -> dict[str, list[str]]:
    return {
        str(one["name"]): [str(column) for column in one["column_names"]]
        for table in ("structures", "property_values")
        for one in inspect(store.engine).get_indexes(table)
    }


OLD_INDEXES = {
    1: {
        "structures_by_gap": "structures (crystal_system, band_gap)",
        "structures_by_hull": "structures (hull_distance)",
        "structures_by_system": "structures (system_id)",
        "property_values_by_number": "property_values (name_id, method, number)",
    },
    2: {
        "structures_by_gap": "structures (crystal_system, band_gap)",
        "structures_by_system": "structures (system_id, crystal_system, band_gap)",
        "structures_scanned": "structures (nelements, nsites, density, volume)",
        "property_values_by_number": "property_values (name_id, method, number)",
    },
}
"""Some of what older versions had."""


def make_old(store: Store, version: int) -> None:
    """What an older version had: other indexes and no blocks of columns."""
    with writing(store.engine) as connection:
        for name in ("structures_by_system", "property_values_by_name",
                     "property_values_of_texts"):  # fmt: skip
            connection.execute(text(f"DROP INDEX {name}"))
        for table in ("structure_blocks", "structure_changes"):
            connection.execute(text(f"DROP TABLE {table}"))
        for name, columns in OLD_INDEXES[version].items():
            connection.execute(text(f"CREATE INDEX {name} ON {columns}"))
        connection.execute(
            text("UPDATE store_info SET value = :version WHERE name = 'database_version'"),
            {"version": str(version)},
        )


@pytest.mark.parametrize("version", sorted(OLD_INDEXES))
def test_an_older_store_gets_the_indexes_and_blocks_of_a_new_one(
    store: Store, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "LEAST", 5)
    store.add(made_crystals(COUNT), made_properties(COUNT))
    fresh = indexes(store)
    names = {one: store.query(one).names() for one in FILTERS}
    make_old(store, version)
    assert indexes(store) != fresh
    with Store(place_of(store).replace("postgresql+psycopg", "postgresql"), keys=store.keys) as new:
        assert indexes(new) == fresh
        with reading(new.engine) as connection:
            assert packed_until(connection) == COUNT
        assert {one: new.query(one).names() for one in FILTERS} == names
        with reading(new.engine) as connection:
            assert read_info(connection, "database_version") == str(DATABASE_VERSION)
        assert verify(new, keys=new.keys, everything=True).good


@pytest.mark.parametrize("version", ["0", str(DATABASE_VERSION + 1), "x", "²"])
def test_a_store_of_another_version_is_refused_as_it_is(
    tmp_path: Path, keys: Path, version: str
) -> None:
    with Store(tmp_path / "lab.db", keys=keys) as store, writing(store.engine) as connection:
        connection.execute(
            text("UPDATE store_info SET value = :v WHERE name = 'database_version'"),
            {"v": version},
        )
    with pytest.raises(IntegrityError, match="this program knows"):
        Store(tmp_path / "lab.db", keys=keys)


def test_a_step_that_fails_leaves_the_old_store(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_old(sqlite_store, 1)
    before, step = indexes(sqlite_store), STEPS[1]

    def broken(connection: object) -> None:
        step(connection)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setitem(STEPS, 1, broken)
    with pytest.raises(KeyboardInterrupt):
        Store(sqlite_store.place, keys=sqlite_store.keys)
    assert indexes(sqlite_store) == before
    monkeypatch.undo()
    with Store(sqlite_store.place, keys=sqlite_store.keys) as store:
        assert indexes(store) != before


def test_there_is_a_step_from_every_version_to_the_next() -> None:
    assert sorted(STEPS) == list(range(1, DATABASE_VERSION))
