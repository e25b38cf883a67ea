"""A withdrawn record is gone, with all that was derived from it; everything else still verifies."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from materialabs.errors import InputError, IntegrityError, NotFound
from materialabs.ledger.entries import LogEntry, signed_entry
from materialabs.ledger.keys import ContributorKey
from materialabs.store.database import writing
from materialabs.store.key_events import accept_entry, import_key, rotate_key
from materialabs.store.log import append
from materialabs.store.records import Method, Property, Record
from materialabs.store.store import Store
from materialabs.store.verify import verify
from materialabs.store.withdraw import withdraw
from tests.store.test_query import some_crystals, some_properties

DFT = Method("dft")


def good(store: Store) -> bool:
    verdict = verify(store, keys=store.keys, everything=True, most=3)
    assert verdict.good, verdict.problems
    return verdict.good


def records(store: Store) -> list[str]:
    return [entry.record for entry in store.entries() if entry.kind == "record"]


def count(store: Store, table: str, where: str = "1 = 1") -> int:
    with store.engine.connect() as connection:
        text = f"SELECT count(*) FROM {table} WHERE {where}"
        return int(connection.exec_driver_sql(text).scalar_one())


@pytest.fixture
def full(store: Store) -> Store:
    store.add(some_crystals(3, 40), some_properties(3, 40), doi="10.1/a")
    return store


def test_every_record_can_be_withdrawn_one_after_the_other(full: Store) -> None:
    for name in records(full)[::3]:
        withdraw(full, name, "as the test wants it")
        assert good(full)


def test_when_all_is_withdrawn_only_the_log_is_left(full: Store) -> None:
    for name in records(full):
        withdraw(full, name, "all of it")
    for table in ("crystals", "structures", "systems", "property_values", "property_names",
                  "levels", "literature"):  # fmt: skip
        assert count(full, table) == 0
    assert good(full)


def test_a_withdrawn_record_is_said_to_be_withdrawn(full: Store) -> None:
    name = records(full)[5]
    withdraw(full, name, "wrong sample")
    with pytest.raises(IntegrityError, match="withdrawn"):
        full.record(name)


def test_its_bytes_are_nowhere_in_the_files(tmp_path: Path, keys: Path) -> None:
    secret = "10.9999/a-secret-nobody-may-keep"
    with Store(tmp_path / "lab.db", keys=keys) as store:
        store.add(some_crystals(3, 5))
        record = Record((Property("stiffness", 1.0, "GPa", DFT),), composition="NaCl", doi=secret)
        store.add_records([record])
        withdraw(store, record.id, "asked for")
        found = [path for path in tmp_path.glob("lab.db*") if secret.encode() in path.read_bytes()]
    assert not found


def test_a_crystal_that_another_record_needs_stays(store: Store) -> None:
    crystals = some_crystals(4, 3)
    store.add(crystals)
    first = store.record(records(store)[0])
    other = Record((Property("band_gap", 1.5, "eV", DFT),), crystal=first.crystal, source="other")
    store.add_records([other])
    withdraw(store, first.id, "the first report was wrong")
    assert store.content(bytes.fromhex(first.crystal))
    assert good(store)


def test_a_blob_that_another_record_needs_stays(store: Store) -> None:
    content = b"spectrum" * 1000
    digest = hashlib.sha256(content)
    dos = Property("dos", "", "", DFT, blob=digest.hexdigest())
    pair = [Record((dos,), composition=formula) for formula in ("NaCl", "KCl")]
    store.add_records(pair, {digest.digest(): content})
    withdraw(store, pair[0].id, "first")
    assert store.content(digest.digest()) == content
    withdraw(store, pair[1].id, "second")
    with pytest.raises(NotFound):
        store.content(digest.digest())
    assert good(store)


def test_a_correction_that_is_withdrawn_lets_the_corrected_value_count_again(store: Store) -> None:
    store.add(some_crystals(4, 1), [(Property("band_gap", 1.0, "eV", DFT),)])
    old = store.record(records(store)[0])
    new = Record((Property("band_gap", 2.0, "eV", DFT),), crystal=old.crystal, supersedes=old.id)
    store.add_records([new])
    assert store.query("band_gap>1.5").count() == 1
    withdraw(store, new.id, "the correction was wrong")
    assert store.query("band_gap<1.5").count() == 1
    assert good(store)


def test_values_keep_one_unit_when_the_first_record_goes(store: Store) -> None:
    pair = [
        Record((Property("stiffness", 3.0, unit, DFT),), composition=formula)
        for unit, formula in (("GPa", "NaCl"), ("MPa", "KCl"))
    ]
    store.add_records(pair)
    withdraw(store, pair[0].id, "first")
    assert good(store)


def test_a_withdrawn_record_does_not_come_back(full: Store) -> None:
    crystals, properties = some_crystals(3, 40), some_properties(3, 40)
    name = records(full)[5]
    withdraw(full, name, "gone")
    full.add(crystals, properties, doi="10.1/a")
    with pytest.raises(IntegrityError, match="withdrawn"):
        full.record(name)
    assert good(full)


def test_a_record_is_withdrawn_once(full: Store) -> None:
    name = records(full)[5]
    withdraw(full, name, "once")
    with pytest.raises(InputError, match="before"):
        withdraw(full, name, "twice")


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "x" * 1001])
def test_a_reason_is_one_line(full: Store, reason: str) -> None:
    with pytest.raises(InputError):
        withdraw(full, records(full)[0], reason)


@pytest.mark.parametrize("name", ["00" * 32, "zz", "ab"])
def test_what_is_not_there_is_not_withdrawn(full: Store, name: str) -> None:
    with pytest.raises(NotFound):
        withdraw(full, name, "gone")


def test_the_contributor_signs_even_after_a_rotation(full: Store) -> None:
    name = records(full)[5]
    key = rotate_key(full)
    assert withdraw(full, name, "mine").contributor == key.id
    assert good(full)


def test_a_tombstone_by_somebody_else_is_refused(full: Store) -> None:
    other = ContributorKey.new("somebody else")
    from materialabs.ledger.entries import key_fields

    import_key(full, dict(key_fields(other)))
    fields = {"reason": "envy", "record": records(full)[5]}
    with pytest.raises(IntegrityError, match="somebody else"):
        accept_entry(full, signed_entry("tombstone", fields, other).to_leaf())
    assert full.record(records(full)[5])


def test_a_tombstone_by_somebody_else_in_the_log_is_found(full: Store) -> None:
    other = ContributorKey.new("somebody else")
    from materialabs.ledger.entries import key_fields

    import_key(full, dict(key_fields(other)))
    fields = {"reason": "envy", "record": records(full)[5]}
    entry = signed_entry("tombstone", fields, other)
    signer = full.identity.signer
    with writing(full.engine) as connection:
        append(connection, [entry], signer)
    verdict = verify(full, keys=full.keys)
    assert "somebody else" in verdict.problems[0].message


def test_a_record_that_lost_its_content_without_a_tombstone_is_found(full: Store) -> None:
    name = records(full)[5]
    with writing(full.engine) as connection:
        connection.exec_driver_sql(
            "UPDATE records SET body = NULL WHERE id = (SELECT max(id) FROM records)"
        )
    verdict = verify(full, keys=full.keys)
    assert verdict.problems[0].kind == "missing"
    assert name


def test_content_that_comes_back_after_its_tombstone_is_found(full: Store) -> None:
    name = records(full)[5]
    body = full.record(name).canonical()
    withdraw(full, name, "gone")
    from sqlalchemy import update

    from materialabs.store.schema import records as table

    with writing(full.engine) as connection:
        connection.execute(
            update(table).where(table.c.hash == bytes.fromhex(name)).values(body=body)
        )
    (problem,) = verify(full, keys=full.keys).problems
    assert name in problem.message


def test_a_tombstone_sent_from_elsewhere_counts(full: Store) -> None:
    name = records(full)[5]
    fields = {"reason": "by its contributor", "record": name}
    entry: LogEntry = signed_entry("tombstone", fields, full.identity.contributor)
    accept_entry(full, entry.to_leaf())
    with pytest.raises(IntegrityError, match="withdrawn"):
        full.record(name)
    assert good(full)
