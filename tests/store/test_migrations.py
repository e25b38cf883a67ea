"""Stores of older versions are brought up to date when they are opened, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from materialabs.errors import IntegrityError
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
        for one in inspect(store.engine).get_indexes("structures")
    }


def make_old(store: Store) -> None:
    """What version 1 had: one index fewer, and a narrow one on the elements."""
    with writing(store.engine) as connection:
        connection.execute(text("DROP INDEX structures_scanned"))
        connection.execute(text("DROP INDEX structures_by_system"))
        connection.execute(text("CREATE INDEX structures_by_system ON structures (system_id)"))
        connection.execute(
            text("UPDATE store_info SET value = '1' WHERE name = 'database_version'")
        )


def test_a_store_of_version_1_gets_the_indexes_of_a_new_one(store: Store) -> None:
    store.add(made_crystals(COUNT), made_properties(COUNT))
    fresh = indexes(store)
    names = {one: store.query(one).names() for one in FILTERS}
    make_old(store)
    assert indexes(store) != fresh
    with Store(place_of(store).replace("postgresql+psycopg", "postgresql"), keys=store.keys) as new:
        assert indexes(new) == fresh
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
    make_old(sqlite_store)
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
