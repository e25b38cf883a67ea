"""Records in a stream are stored, signed and proved as one by one."""

from __future__ import annotations

import pytest

from materialabs.store.records import Method, Property, Record
from materialabs.store.store import Store
from materialabs.store.stream import add_stream, signing_processes
from materialabs.store.verify import verify

COUNT = 5_000


def some_records() -> list[Record]:
    method = Method("experiment")
    return [
        Record((Property("band_gap", place / 1000, "eV", method),), composition="GaN")
        for place in range(COUNT)
    ]


@pytest.mark.parametrize("processes", [0, 2])
def test_a_stream_is_stored_in_order_and_verifies(processes: int, sqlite_store: Store) -> None:
    records = some_records()
    done = add_stream(sqlite_store, iter(records), processes=processes)
    assert done.records == COUNT
    assert [one.record for one in sqlite_store.entries(1)] == [one.id for one in records]
    assert verify(sqlite_store, keys=sqlite_store.keys, everything=True).good
    again = add_stream(sqlite_store, records, processes=processes)
    assert (again.records, again.known) == (0, COUNT)


def test_a_stream_goes_on_when_a_signing_process_dies(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("materialabs.ledger.signing._PROGRAM", "raise SystemExit(1)")
    done = add_stream(sqlite_store, some_records(), processes=1)
    assert done.records == COUNT
    assert verify(sqlite_store, keys=sqlite_store.keys, everything=True).good


def test_a_stream_of_nothing_stores_nothing(sqlite_store: Store) -> None:
    assert add_stream(sqlite_store, [], processes=0).records == 0


def test_two_cores_are_left_to_write() -> None:
    assert [signing_processes(cores) for cores in (1, 2, 4, 16)] == [0, 1, 2, 14]


def test_values_with_more_digits_than_a_record_keeps_verify(sqlite_store: Store) -> None:
    method = Method("potential")
    third = Property("formation_energy", -1 / 3, "eV/atom", method, uncertainty=1 / 7)
    add_stream(sqlite_store, [Record((third,), composition="GaN")], processes=0)
    assert verify(sqlite_store, keys=sqlite_store.keys, everything=True).good
