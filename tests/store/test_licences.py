"""The licence under which a record is given: signed for, kept, and shown wherever data go."""

from __future__ import annotations

import base64
import csv
import json
from pathlib import Path

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

import materialabs.ledger.verify_bundle as standalone
from materialabs.errors import InputError, IntegrityError
from materialabs.ledger.entries import (
    LONGEST_LICENCE,
    LogEntry,
    any_of,
    is_licence,
    record_entry,
    record_statement,
)
from materialabs.ledger.keys import ContributorKey
from materialabs.store.bundle import bundle
from materialabs.store.export import export
from materialabs.store.ingest import ingest_crystals, ingest_table
from materialabs.store.mapping import meanings_of
from materialabs.store.providers import import_optimade
from materialabs.store.records import Method, Property, Record
from materialabs.store.store import Store
from materialabs.store.stream import add_stream
from materialabs.store.tables import open_table
from materialabs.store.verify import verify
from tests.store.fake_provider import FakeProvider, resource, serving
from tests.store.made_crystals import made_crystals, made_properties, write_files

COUNT = 4
RECORD = "ab" * 32
MEASURED = Method("experiment")

OLD_KEY = "bDoCQWhAGtkMY+4UvOVQ8dR0jjuu6m8ap3+TKbnzV/8="
OLD_LEAF = (
    "eyJjb250cmlidXRvciI6ImJmNGRhNjUzZGZiOTNjNGEyMDc0ZjkyYWEwMGIzODcyIiwia2luZCI6InJlY29yZCIsInJl"
    "Y29yZCI6ImFiYWJhYmFiYWJhYmFiYWJhYmFiYWJhYmFiYWJhYmFiYWJhYmFiYWJhYmFiYWJhYmFiYWJhYmFiYWJhYmFi"
    "YWIiLCJ0aW1lIjoiMjAyNi0wMS0wMlQwMzowNDowNS4wMDAwMDZaIiwidiI6MX0Kn1H5cviU9KqzLOtoPb97XY+WT+Rc"
    "tFt5OWr5C2RQvS3bHiuzlHZ1aQbnpkEb9dfIhqvAB35LKAT0PYJ6YclWBA=="
)
"""An entry that was signed before entries had licences."""


def licences(store: Store) -> list[str]:
    return [entry.licence for entry in store.entries() if entry.kind == "record"]


# -- entries --------------------------------------------------------------------------------------


def test_an_entry_of_before_there_were_licences_still_verifies() -> None:
    entry = LogEntry.parse(base64.b64decode(OLD_LEAF))
    entry.verify(base64.b64decode(OLD_KEY))
    assert (entry.record, entry.licence) == (RECORD, "")
    assert entry.to_leaf() == base64.b64decode(OLD_LEAF)


@given(st.text(max_size=LONGEST_LICENCE + 5))
def test_the_signed_line_is_canonical_json_whatever_the_licence(licence: str) -> None:
    if not is_licence(licence):
        return
    key, time = "0" * 32, "2026-01-02T03:04:05.000006Z"
    document = {"contributor": key, "kind": "record", "licence": licence, "record": RECORD,
                "time": time, "v": 1}  # fmt: skip
    line = record_statement(key, time, RECORD, licence)
    assert line == rfc8785.dumps(document)
    assert LogEntry.parse(line + b"\n" + bytes(64)).licence == licence


def test_the_signature_covers_the_licence() -> None:
    key = ContributorKey.new("owner")
    leaf = record_entry(RECORD, key, licence="CC-BY-4.0").to_leaf()
    LogEntry.parse(leaf).verify(key.public)
    for changed in (leaf.replace(b"CC-BY-4.0", b"CC0-1.0"),
                    leaf.replace(b'"licence":"CC-BY-4.0",', b"")):  # fmt: skip
        with pytest.raises(IntegrityError, match="forged"):
            LogEntry.parse(changed).verify(key.public)


@pytest.mark.parametrize("licence", ["", " ", "a\nb", "\u202e", "x" * (LONGEST_LICENCE + 1)])
def test_a_leaf_with_a_malformed_licence_is_refused(licence: str) -> None:
    document = {"contributor": "0" * 32, "kind": "record", "licence": licence, "record": RECORD,
                "time": "2026-01-02T03:04:05.000006Z", "v": 1}  # fmt: skip
    with pytest.raises(IntegrityError, match=r"malformed|canonical"):
        LogEntry.parse(bytes(rfc8785.dumps(document)) + b"\n" + bytes(64))


@pytest.mark.parametrize("licence", ["x" * (LONGEST_LICENCE + 1), "a\x00b"])
def test_what_is_no_licence_is_not_signed_for(sqlite_store: Store, licence: str) -> None:
    with pytest.raises(InputError, match=r"CC-BY-4\.0"):
        sqlite_store.add(made_crystals(1), licence=licence)


def test_licences_of_several_contributors_are_alternatives() -> None:
    keys = [ContributorKey.new("a"), ContributorKey.new("b"), ContributorKey.new("c")]
    told = ["CC-BY-4.0", "", "CC0-1.0"]
    entries = [record_entry(RECORD, k, None, one) for k, one in zip(keys, told, strict=True)]
    assert any_of(entries) == "CC-BY-4.0 OR CC0-1.0"
    assert any_of([*entries, *entries]) == "CC-BY-4.0 OR CC0-1.0"


# -- in -------------------------------------------------------------------------------------------


def test_an_ingest_of_files_signs_for_its_licence(store: Store, tmp_path: Path) -> None:
    files = write_files(tmp_path / "in", COUNT, 1)
    ingest_crystals(store, files, method=MEASURED, licence=" CC-BY-4.0 ", progress=False)
    assert licences(store) == ["CC-BY-4.0"] * COUNT
    assert verify(store, keys=store.keys, everything=True).good


def test_an_ingest_of_a_table_signs_for_its_licence(sqlite_store: Store, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("formula,gap\nNaCl,8.5\nGaN,3.4\n")
    table = open_table(path)
    meanings = meanings_of(
        table.headers, table.first_rows(), formula="", columns=["gap=band_gap:eV"]
    )
    ingest_table(sqlite_store, table, meanings, method=MEASURED, licence="CC0-1.0")
    assert licences(sqlite_store) == ["CC0-1.0"] * 2


def test_a_stream_signs_for_its_licence(sqlite_store: Store) -> None:
    made = [Record((Property("band_gap", float(i), "eV", MEASURED),), composition="NaCl")
            for i in range(5)]  # fmt: skip
    add_stream(sqlite_store, made, processes=0, licence="CC0-1.0")
    assert licences(sqlite_store) == ["CC0-1.0"] * 5
    assert verify(sqlite_store, keys=sqlite_store.keys, everything=True).good


@pytest.mark.parametrize(
    ("stated", "kept"),
    [
        ({"available_licenses": ["CC-BY-4.0"]}, "CC-BY-4.0"),
        ({"available_licenses": ["CC-BY-4.0", "ODbL-1.0"]}, "CC-BY-4.0 OR ODbL-1.0"),
        ({"available_licenses": None, "available_licenses_for_entries": ["CC0-1.0"]}, "CC0-1.0"),
        ({"license": {"href": "https://example.org/terms"}}, "https://example.org/terms"),
        ({"license": "https://example.org/terms "}, "https://example.org/terms"),
        ({"license": "a\x00b"}, ""),
        ({"license": {}}, ""),
        ({}, ""),
    ],
)
def test_an_import_keeps_the_providers_licence(
    sqlite_store: Store, stated: dict[str, object], kept: str
) -> None:
    provider = FakeProvider([resource("a", ["Na", "Cl"])], info=stated)
    with serving(provider) as fake:
        done = import_optimade(sqlite_store, fake.url, progress=False)
    assert done.licence == kept
    assert licences(sqlite_store) == [kept]


def test_a_given_licence_goes_before_the_providers(sqlite_store: Store) -> None:
    provider = FakeProvider([resource("a", ["Na", "Cl"])], info={"available_licenses": ["CC0-1.0"]})
    with serving(provider) as fake:
        import_optimade(sqlite_store, fake.url, licence="CC-BY-4.0", progress=False)
    assert licences(sqlite_store) == ["CC-BY-4.0"]


# -- out ------------------------------------------------------------------------------------------


@pytest.fixture
def mixed(sqlite_store: Store) -> Store:
    """Records under two licences, and one without."""
    sqlite_store.add(made_crystals(COUNT), made_properties(COUNT), licence="CC-BY-4.0")
    loose = Record((Property("hardness", 8.0, "GPa", MEASURED),), composition="Fe2O3")
    sqlite_store.add_records([loose], licence="https://example.org/terms")
    sqlite_store.add(made_crystals(1, 5), made_properties(1, 5))
    return sqlite_store


def test_csv_shows_the_licence_of_each_value(mixed: Store, tmp_path: Path) -> None:
    export(mixed, tmp_path / "all.csv", progress=False)
    with (tmp_path / "all.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    found = {row["source"] or row["formula"]: row["licence"] for row in rows}
    assert found["made-0-0"] == "CC-BY-4.0"
    assert found["made-5-0"] == ""
    assert found["Fe2O3"] == "https://example.org/terms"


def test_optimade_lines_show_the_licence_of_each_value(mixed: Store, tmp_path: Path) -> None:
    path = tmp_path / "all.optimade.jsonl"
    export(mixed, path, progress=False)
    rows = [json.loads(line)["attributes"] for line in path.read_text().splitlines()[2:]]
    found = {one["licence"] for row in rows for one in row["_materialabs_values"]}
    assert found == {"CC-BY-4.0", ""}


def test_records_keep_their_licence_from_store_to_store(mixed: Store, tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    export(mixed, path, progress=False)
    with Store(tmp_path / "other.db", keys=tmp_path / "other") as other:
        ingest_crystals(other, [path], licence="CC0-1.0", progress=False)
        told = {entry.record: entry.licence for entry in other.entries() if entry.record}
    wanted = {entry.record: entry.licence for entry in mixed.entries() if entry.record}
    assert told == {name: licence or "CC0-1.0" for name, licence in wanted.items()}


def test_a_line_whose_entry_speaks_of_another_record_is_refused(
    mixed: Store, tmp_path: Path
) -> None:
    path = tmp_path / "all.jsonl"
    export(mixed, path, progress=False)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[0]["entries"] = lines[1]["entries"]
    text = "\n".join(json.dumps(line, separators=(",", ":")) for line in lines)
    path.write_text(text)
    with Store(tmp_path / "other.db", keys=tmp_path / "other") as other:
        done = ingest_crystals(other, [path], progress=False)
    assert [place.endswith("line 1") for place, _ in done.refused] == [True]
    assert "another record" in done.refused[0][1]


def crate_licences(store: Store, folder: Path, licence: str = "") -> set[str]:
    export(store, folder, format="ro-crate", licence=licence, progress=False)
    graph = json.loads((folder / "ro-crate-metadata.json").read_text())["@graph"]
    entities = {one["@id"]: one for one in graph}
    named = entities["./"]["license"]
    return {entities[one["@id"]]["name"] for one in (named if isinstance(named, list) else [named])}


def test_a_crate_names_the_licences_of_its_records(mixed: Store, tmp_path: Path) -> None:
    found = crate_licences(mixed, tmp_path / "crate")
    assert found == {"CC-BY-4.0", "https://example.org/terms", "Not stated"}
    assert crate_licences(mixed, tmp_path / "stated", "CC0-1.0") == {"CC0-1.0"}


def test_a_crate_of_compositions_alone_is_whole(sqlite_store: Store, tmp_path: Path) -> None:
    loose = Record((Property("hardness", 8.0, "GPa", MEASURED),), composition="Fe2O3")
    sqlite_store.add_records([loose], licence="CC0-1.0")
    assert crate_licences(sqlite_store, tmp_path / "crate") == {"CC0-1.0"}
    head = (tmp_path / "crate" / "structures.optimade.jsonl").read_text().splitlines()
    assert len(head) == 2


def test_a_reviewer_reads_the_licence(mixed: Store) -> None:
    name = next(entry.record for entry in mixed.entries() if entry.licence)
    key = mixed.identity.signer.verifier.to_text()
    assert "CC-BY-4.0" in standalone.verify_bundle(bundle(mixed, [name]), key)[0]


def test_a_licence_that_was_changed_in_the_log_is_found(mixed: Store) -> None:
    place = next(i for i, entry in enumerate(mixed.entries()) if entry.licence)
    leaf = list(mixed.entries())[place].to_leaf().replace(b"CC-BY-4.0", b"CC-ZZ-4.0")
    with mixed.engine.begin() as connection:
        connection.execute(
            text("UPDATE log_entries SET leaf = :leaf WHERE position = :place"),
            {"leaf": leaf, "place": place},
        )
    assert not verify(mixed, keys=mixed.keys, everything=True).good
