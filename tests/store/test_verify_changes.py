"""Any change at any place of the verified tables is found, and the place is named."""

from __future__ import annotations

import hashlib
import math
import random
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from materialabs.server.app import create_app
from materialabs.store import schema
from materialabs.store.blocks import packing
from materialabs.store.mirrors import mirror_add, mirror_sync
from materialabs.store.records import Method, Property, Record
from materialabs.store.store import Store
from materialabs.store.verify import Problem, verify
from materialabs.store.verify_derived import COMPUTED, FLOAT_TOLERANCE
from materialabs.store.withdraw import withdraw
from materialabs.store.witness import (
    cosign,
    keep_cosignature,
    make_request,
    witness_signer,
    witness_verifier,
)
from tests.store.direct import Direct
from tests.store.test_query import some_crystals, some_properties

VERIFIED = sorted(set(schema.metadata.tables) - schema.OPERATIONAL)
UNNAMED = {"cosignatures"}
"""Tables whose rows may be missing: they come from others, and the log does not stand on them."""

QUICK, SLOW, FULL = 60, 300, 1000


def fill(store: Store, seed: int) -> None:
    """Records of every sort, more than a tile of the log holds."""
    store.add(some_crystals(seed, 25), some_properties(seed, 25), doi=f"10.1/{seed}")
    method = Method("dft")
    stiffness = [
        Property("stiffness", float(n), "GPa", method, uncertainty=0.5) for n in range(250)
    ]
    plain = [Record((one,), composition="NaCl", source=str(seed)) for one in stiffness]
    remark = Property("remark", "soft", "", method)
    content = bytes([seed]) * 5000
    dos = Property("dos", "", "", method, blob=hashlib.sha256(content).hexdigest())
    store.add_records(
        [
            *plain,
            Record((dos, remark), composition="KCl", source=str(seed)),
            Record((remark,), composition="KCl", supersedes=plain[3].id),
            Record((), composition="KBr"),
        ],
        {hashlib.sha256(content).digest(): content},
    )
    withdraw(store, plain[5].id, "a slip of the pen")


@dataclass
class Filled:
    place: Path
    keys: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    folder = tmp_path_factory.mktemp("changes")
    other = Store(folder / "other.db", keys=folder / "others")
    fill(other, 7)
    filled = Filled(folder / "lab.db", folder / "keys")
    with Store(filled.place, keys=filled.keys) as store:
        fill(store, 8)
        mirror_add(store, "http://other", other.identity.signer.verifier)
        mirror_sync(store, "http://other", fetch=Direct(create_app(other)))
        request, signer = make_request(store, 0), witness_signer(other)
        own = store.identity.signer.verifier
        signature = cosign(other, signer, own, request)
        keep_cosignature(store, request.note, signature, witness_verifier(signer))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(packing, "LEAST", 1)  # so that few crystals make a block, too
            store.settle()
        assert verify(store, keys=filled.keys).good
    other.close()
    return filled


def copied(made: Filled, place: Path) -> Path:
    with sqlite3.connect(made.place) as source:
        source.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(made.place, place)
    return place


def verdict(place: Path, keys: Path) -> list[Problem]:
    with Store(place, keys=keys) as store:
        return verify(store, keys=keys, everything=True).problems


def other_value(source: random.Random, value: Any, column: list[Any]) -> Any:
    """A value that differs: a flipped bit, a cut, something else, another row's, or none."""
    way = source.random()
    if way < 0.15:
        return source.choice(column)
    if way < 0.25:
        return None
    if value is None:
        return source.choice([0, 1, 0.5, "x", b"x"])
    if isinstance(value, int):
        return value ^ (1 << source.randrange(8)) if way < 0.9 else source.randrange(-5, 1 << 40)
    if isinstance(value, float):
        return source.choice([-value, value * (1 + 1e-9), value + 1, math.nextafter(value, 9e9)])
    raw = bytearray(value.encode(errors="surrogateescape") if isinstance(value, str) else value)
    if raw and way < 0.8:
        raw[source.randrange(len(raw))] ^= 1 << source.randrange(8)
    elif raw and way < 0.9:
        del raw[source.randrange(len(raw))]
    else:
        raw += b"\x00" if way < 0.95 else b"1"
    return bytes(raw)


def same(name: str, old: Any, new: Any) -> bool:
    """Whether a change is none: equal values, or computed ones equal but for the last bits."""
    if old is None or new is None:
        return old is new
    if name in COMPUTED and isinstance(new, float):
        return math.isclose(old, new, rel_tol=FLOAT_TOLERANCE)
    if isinstance(old, (int, float)) and isinstance(new, (int, float)):
        return old == new
    return type(old) is type(new) and old == new


def change(source: random.Random, place: Path) -> tuple[str, str, dict[str, Any]] | None:
    """Change one value, or remove one row; gives table, column and the row as it was."""
    connection = sqlite3.connect(place)
    connection.text_factory = lambda raw: raw.decode(errors="surrogateescape")
    table = source.choice(VERIFIED)
    names = [str(column.name) for column in schema.metadata.tables[table].columns]
    rows = connection.execute(f"SELECT rowid, * FROM {table}").fetchall()
    number, *values = source.choice(rows)
    row = dict(zip(names, values, strict=True))
    try:
        if source.random() < 0.1 and table not in UNNAMED:
            connection.execute(f"DELETE FROM {table} WHERE rowid = ?", [number])
            return table, "", row
        name = source.choice(names)
        column = [one[1 + names.index(name)] for one in rows]
        new = other_value(source, row[name], column)
        text = isinstance(row[name], str) and isinstance(new, bytes)
        cast = "CAST(? AS TEXT)" if text else "?"
        key = schema.metadata.tables[table].primary_key.columns.keys()
        where = " AND ".join(f'"{part}" IS ?' for part in key)
        given = [row[part] for part in key]
        connection.execute(f'UPDATE {table} SET "{name}" = {cast} WHERE {where}', [new, *given])
        query = f'SELECT "{name}" FROM {table} WHERE {where}'
        if name in key:
            given = [new if part == name else row[part] for part in key]
        if text:
            given = [one.decode(errors="surrogateescape") if isinstance(one, bytes) and part == name
                     else one for part, one in zip(key, given, strict=True)]  # fmt: skip
        found = connection.execute(query, given).fetchall() if not text else [(new.decode(
            errors="surrogateescape"),)]  # fmt: skip
        if found and same(name, row[name], found[0][0]):
            return None
    except sqlite3.IntegrityError:
        return None
    else:
        return table, name, row
    finally:
        connection.commit()
        connection.close()


def names_of(row: dict[str, Any]) -> list[str]:
    """What a row may be called by."""
    listed = []
    for name in ("hash", "record_hash"):
        if isinstance(row.get(name), bytes):
            listed += [row[name].hex(), row[name].hex()[:16]]
    for name in ("name", "position", "system", "doi", "size", "origin", "label", "id", "number"):
        if row.get(name) is not None:
            listed.append(str(row[name]))
    return listed


def check_changes(made: Filled, folder: Path, seed: int, count: int) -> set[tuple[str, str]]:
    source, done = random.Random(seed), set()
    missed = []
    while count:
        place = copied(made, folder / "changed.db")
        made_change = change(source, place)
        if made_change is None:
            continue
        count -= 1
        table, name, row = made_change
        problems = verdict(place, made.keys)
        done.add((table, name))
        if not problems:
            missed.append((table, name, row))
        elif table in ("records", "crystals", "blobs", "structures"):
            message = problems[0].message + problems[0].place
            if not any(one in message for one in names_of(row)):
                missed.append((table, name, {"said": problems[0].message}))
        else:
            assert problems[0].message
            assert problems[0].place
        for leftover in folder.glob("changed.db*"):
            leftover.unlink()
    assert not missed, missed
    return done


def test_a_change_anywhere_is_found_and_named(made: Filled, tmp_path: Path) -> None:
    check_changes(made, tmp_path, 1, QUICK)


@pytest.mark.slow
def test_many_changes_are_found_and_named(made: Filled, tmp_path: Path) -> None:
    check_changes(made, tmp_path, 3, SLOW)


@pytest.mark.full
def test_a_change_in_every_column_is_found_and_named(made: Filled, tmp_path: Path) -> None:
    done = check_changes(made, tmp_path, 2, FULL)
    assert {table for table, _ in done} == set(VERIFIED)


@pytest.fixture
def one_copy(made: Filled, tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    yield copied(made, tmp_path / "one.db"), made.keys


ATTACKS = {
    "two entries change places": (
        "UPDATE log_entries SET position = -1 WHERE position = 5;"
        "UPDATE log_entries SET position = 5 WHERE position = 6;"
        "UPDATE log_entries SET position = 6 WHERE position = -1",
        "entries 0 to 255",
    ),
    "two mirrored entries change places": (
        "UPDATE mirrored_entries SET position = -1 WHERE position = 5;"
        "UPDATE mirrored_entries SET position = 5 WHERE position = 6;"
        "UPDATE mirrored_entries SET position = 6 WHERE position = -1",
        "mirrored log",
    ),
    "a record nobody signed for": (
        "INSERT INTO records SELECT max(id) + 1, randomblob(32), body, NULL, 0 FROM records",
        "stands under the name",
    ),
    "a record of nobody": (
        "UPDATE records SET hash = randomblob(32), body = CAST('x' AS BLOB) WHERE id = 3",
        "in no log",
    ),
    "a crystal nobody speaks of": (
        "INSERT INTO crystals SELECT max(id) + 1, randomblob(32), content FROM crystals",
        "crystal",
    ),
    "a blob nobody speaks of": ("INSERT INTO blobs VALUES (randomblob(32), 'x')", "blob"),
    "an entry behind the checkpoint": (
        "INSERT INTO log_entries SELECT max(position) + 1, leaf, record_hash, contributor "
        "FROM log_entries",
        "behind the last",
    ),
    "a checkpoint of the past": (
        "INSERT INTO log_checkpoints SELECT 5, peaks, note FROM log_checkpoints", "of the past",
    ),
    "the newest entry is cut off": (
        "DELETE FROM log_entries WHERE position = (SELECT max(position) FROM log_entries)",
        "missing",
    ),
    "the whole log is gone": ("DELETE FROM log_entries; DELETE FROM log_checkpoints", "empty now"),
    "a mirrored log is gone": ("DELETE FROM mirrored_logs", "mirrored log 1"),
    "text that is none": (
        "UPDATE structures SET formula = CAST(x'ff4e61' AS TEXT) WHERE id = 3", "formula",
    ),
    "a truth value that is neither": (
        "UPDATE structures SET disordered = 2 WHERE id = 3", "disordered",
    ),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_found_and_named(one_copy: tuple[Path, Path], attack: str) -> None:
    place, keys = one_copy
    statements, words = ATTACKS[attack]
    connection = sqlite3.connect(place)
    connection.executescript(statements)
    connection.close()
    problem = verdict(place, keys)[0]
    assert words in problem.message + problem.place


def test_operational_tables_may_change(one_copy: tuple[Path, Path]) -> None:
    place, keys = one_copy
    connection = sqlite3.connect(place)
    for table in sorted(schema.OPERATIONAL - {"store_info"}):
        connection.execute(f"DELETE FROM {table}")
    connection.commit()
    connection.close()
    assert verdict(place, keys) == []
