"""Exports are whole, say how each value was obtained, and come back with the same ids."""

from __future__ import annotations

import csv
import gzip
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from materialabs.crystals.batch import Crystals
from materialabs.crystals.files import ReadReport, read
from materialabs.crystals.occupancy import Occupancy
from materialabs.errors import ExternalError, InputError, NotFound, ResourceError
from materialabs.ledger.entries import LogEntry
from materialabs.levels import MP2020
from materialabs.store import export_pages, record_lines
from materialabs.store.export import FORMATS, export
from materialabs.store.ingest import ingest_crystals
from materialabs.store.record_lines import is_record_lines
from materialabs.store.records import Method, Property, Record
from materialabs.store.spectra import list_property, spectrum_property
from materialabs.store.store import Store
from tests.store.made_crystals import made_crystals, made_properties

DFT = Method("dft", "VASP", "6.4", level=MP2020)
MEASURED = Method("experiment", "optical absorption")
COUNT = 12


@pytest.fixture
def filled(store: Store) -> Store:
    """Crystals with values, one disordered, a spectrum, records of a composition, a correction."""
    batch = made_crystals(COUNT)
    store.add(batch, made_properties(COUNT), doi="10.1234/made")
    first = record_of(store, 0)
    gap = Property("band_gap", 9.25, "eV", MEASURED, 0.05, {"temperature": (300, "K")})
    stress, _ = list_property("stress", np.eye(3) * 0.01, "eV/angstrom^3", DFT)
    atoms = int(batch.counts[0])
    forces, _ = list_property("forces", np.full((atoms, 3), 0.5), "eV/angstrom", DFT)
    dos, blobs = spectrum_property(
        "dos", np.arange(1500.0) / 7, np.linspace(-9, 9, 1500), "1/eV", "eV", DFT
    )
    store.add_records(
        [Record((gap, stress, forces, dos), crystal=first.crystal, composition=first.composition)],
        blobs,
    )
    shared = Crystals.from_arrays([np.eye(3) * 4], [[[0, 0, 0]]], [[26]], columns={"id": ["mix"]})
    table = Occupancy(np.array([0, 2]), np.array([26, 28], np.uint8), np.array([0.5, 0.5]))
    store.add(shared.replace(occupancy=table))
    old = Record((Property("hardness", 8.0, "GPa", MEASURED),), composition="Fe2O3", source="h")
    new = Record((Property("hardness", 9.0, "GPa", MEASURED), Property("phase", "a 'b'", "",
                  MEASURED)), composition="Fe2O3", source="h", supersedes=old.id)  # fmt: skip
    store.add_records([old])
    store.add_records([new])
    return store


def record_of(store: Store, place: int) -> Record:
    entries = [entry for entry in store.entries() if entry.kind == "record"]
    return store.record(entries[place].record)


def ids(store: Store) -> set[str]:
    return {entry.record for entry in store.entries() if entry.kind == "record"}


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# -- records --------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True])
def test_records_come_back_with_their_ids(filled: Store, tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "all.jsonl"
    done = export(filled, path, progress=False)
    assert (done.structures, done.records) == (COUNT + 1, COUNT + 4)
    if packed:
        packed_path = tmp_path / "all.jsonl.gz"
        packed_path.write_bytes(gzip.compress(path.read_bytes()))
        path = packed_path
    with Store(tmp_path / "other.db", keys=tmp_path / "other") as other:
        first = ingest_crystals(other, [path], progress=False)
        assert (first.written.records, first.refused) == (COUNT + 4, [])
        assert ids(other) == ids(filled)
        assert ingest_crystals(other, [path], progress=False).written.records == 0
        assert other.query("band_gap>2").count() == filled.query("band_gap>2").count()
        blob = next(one.blob for one in record_of(filled, COUNT).properties if one.blob)
        assert other.content(bytes.fromhex(blob)) == filled.content(bytes.fromhex(blob))


def test_each_record_stands_beside_its_signed_entry_and_its_structure(
    filled: Store, tmp_path: Path
) -> None:
    import base64

    path = tmp_path / "all.jsonl"
    export(filled, path, progress=False)
    first = lines(path)[0]
    entry = LogEntry.parse(base64.b64decode(first["entries"][0]["leaf"]))
    assert entry.record == first["id"]
    entry.verify(filled.identity.contributor.public)
    assert len(read(path, report=ReadReport(), progress=False)) == COUNT + 2


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda line: line.replace('"band_gap"', '"band_gaps"'), "hash to its id"),
        (lambda line: line.replace('"content":"T', '"content":"U'), "crystal is not the record's"),
        (lambda line: line[:-20], "not a sound record"),
        (lambda line: "[]", "not a sound record"),
    ],
)
def test_a_changed_line_is_refused_by_its_number_and_the_rest_stored(
    filled: Store, tmp_path: Path, damage: Any, sentence: str
) -> None:
    path = tmp_path / "all.jsonl"
    export(filled, path, progress=False)
    text = path.read_text().splitlines()
    text[2] = damage(text[2])
    path.write_text("\n".join(text) + "\n")
    with Store(tmp_path / "other.db", keys=tmp_path / "other") as other:
        done = ingest_crystals(other, [path], progress=False)
        ((place, reason),) = done.refused
        assert place.endswith("line 3")
        assert sentence in f"is not a sound record: {reason}"
        assert len(ids(other)) == COUNT + 3


def test_a_changed_blob_is_refused(filled: Store, tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    export(filled, path, progress=False)
    documents = lines(path)
    for document in documents:
        document["blobs"] = dict.fromkeys(document.get("blobs", {}), "AAAA")
    texts = [json.dumps(one, separators=(",", ":")) for one in documents]
    path.write_text("\n".join(texts) + "\n")
    with Store(tmp_path / "other.db", keys=tmp_path / "other") as other:
        done = ingest_crystals(other, [path], progress=False)
        assert [reason for _, reason in done.refused] == [
            "is not a sound record: a blob is not the record's own."
        ]


def test_records_are_stored_in_parts(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_lines, "RECORDS_AT_ONCE", 3)
    monkeypatch.setattr(export_pages, "PAGE", 2)
    path = tmp_path / "all.jsonl"
    export(filled, path, progress=False)
    with Store(tmp_path / "other.db", keys=tmp_path / "other") as other:
        ingest_crystals(other, [path], progress=False)
        assert ids(other) == ids(filled)


def test_crystals_whose_site_columns_differ_in_kind_keep_their_names(
    sqlite_store: Store, tmp_path: Path
) -> None:
    plain = made_crystals(2)
    for place, values in enumerate(([1] * int(plain.counts[0]), [0.5] * int(plain.counts[1]))):
        sqlite_store.add(plain[place].with_site_columns(tag=values))
    path = tmp_path / "all.jsonl"
    export(sqlite_store, path, progress=False)
    with Store(tmp_path / "other.db", keys=tmp_path / "other") as other:
        ingest_crystals(other, [path], progress=False)
        assert ids(other) == ids(sqlite_store)


def test_other_files_are_not_taken_for_records(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": 1}\n')
    (tmp_path / "b.jsonl.gz").write_bytes(b"nothing")
    names = ("a.jsonl", "b.jsonl.gz", "c.jsonl", "d.csv")
    assert not any(is_record_lines(tmp_path / name) for name in names)


# -- values ---------------------------------------------------------------------------------------


def test_every_row_of_a_csv_says_method_and_level(filled: Store, tmp_path: Path) -> None:
    path = tmp_path / "values.csv"
    export(filled, path, progress=False)
    with path.open() as stream:
        rows = list(csv.DictReader(stream))
    gaps = [row for row in rows if row["property"] == "band_gap"]
    assert {row["level"] for row in gaps} == {str(MP2020), ""}
    best = next(row for row in gaps if row["method"] == "experiment")
    assert (best["value"], best["uncertainty"], best["conditions"]) == (
        "9.25", "0.05", '{"temperature": "300 K"}',
    )  # fmt: skip
    assert all(row["method"] and row["record"] for row in rows if row["property"])
    hardness = [row for row in rows if row["property"] == "hardness"]
    assert [(row["value"], row["formula"]) for row in hardness] == [("9", "Fe2O3")]
    assert [row["source"] for row in rows if not row["property"]] == ["mix"]


def test_a_filter_leaves_out_records_without_a_crystal(filled: Store, tmp_path: Path) -> None:
    path = tmp_path / "some.csv"
    done = export(filled, path, filter="band_gap>9", progress=False)
    assert (done.structures, done.records) == (1, 2)
    assert "hardness" not in path.read_text()


def test_frames_carry_values_and_leave_out_disorder(filled: Store, tmp_path: Path) -> None:
    path = tmp_path / "all.extxyz"
    done = export(filled, path, progress=False)
    assert [reason for _, reason in done.left_out] == ["extended XYZ cannot hold partial occupancy"]
    back = read(path, progress=False)
    place = back.ids().index("made-0-0")
    assert back.columns["band_gap"][place] == 9.25
    assert back.columns["band_gap_method"][place] == "experiment"
    assert back.columns["band_gap_2_level"][place] == str(MP2020)
    assert np.allclose(back.columns["stress"][place], np.eye(3) * 0.01)
    assert np.allclose(back[place].site_columns["force"], 0.5)


def test_cifs_carry_values_and_are_read_back(filled: Store, tmp_path: Path) -> None:
    folder = tmp_path / "cifs"
    export(filled, folder, progress=False)
    assert len(list(folder.iterdir())) == COUNT + 1
    text = "".join(path.read_text() for path in folder.iterdir())
    assert "_materialabs_property_level" in text
    assert f"'{MP2020}'" in text
    back = read(folder, progress=False)
    with Store(tmp_path / "other.db", keys=tmp_path / "other") as other:
        other.add(back)
        assert len(other) == COUNT + 1
    assert int(back.disordered().sum()) == 1


def test_optimade_lines_are_read_back_and_list_all_values(filled: Store, tmp_path: Path) -> None:
    path = tmp_path / "all.optimade.jsonl"
    export(filled, path, progress=False)
    head, info, first, *_ = lines(path)
    assert head == {"x-optimade": {"meta": {"api_version": "1.2.0"}}}
    assert (info["type"], info["id"]) == ("info", "structures")
    values = first["attributes"]["_materialabs_values"]
    assert {(one["property"], one["method"], one["level"]) for one in values} >= {
        ("band_gap", "experiment", ""), ("band_gap", "dft", str(MP2020))
    }  # fmt: skip
    assert len(read(path, progress=False)) == COUNT + 1


def test_parquet_holds_structures_and_nested_values(filled: Store, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "all.parquet"
    export(filled, path, progress=False)
    rows = parquet.read_table(path).to_pylist()
    assert len(rows) == COUNT + 2
    first = next(row for row in rows if row["source"] == "made-0-0")
    gap, *_ = [one for one in first["properties"] if one["property"] == "band_gap"]
    assert (gap["value"], gap["method"]) == (9.25, "experiment")
    assert len(first["cartesian_site_positions"]) == first["nsites"]
    loose = next(row for row in rows if row["source"] == "h")
    assert loose["properties"][1]["text"] == "a 'b'"


def test_parquet_without_pyarrow_is_refused_in_a_sentence(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ExternalError, match="needs pyarrow"):
        export(filled, tmp_path / "all.parquet", progress=False)
    assert not [path for path in tmp_path.iterdir() if "parquet" in path.name]


# -- RO-Crate -------------------------------------------------------------------------------------


def test_a_crate_describes_every_file_and_who_made_it(filled: Store, tmp_path: Path) -> None:
    import hashlib

    folder = tmp_path / "crate"
    export(filled, folder, format="ro-crate", licence="CC-BY-4.0", progress=False)
    document = json.loads((folder / "ro-crate-metadata.json").read_text())
    assert document["@context"] == "https://w3id.org/ro/crate/1.1/context"
    entities = {one["@id"]: one for one in document["@graph"]}
    assert len(entities) == len(document["@graph"])
    descriptor = entities["ro-crate-metadata.json"]
    assert descriptor["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    assert descriptor["about"] == {"@id": "./"}
    root = entities["./"]
    assert {"name", "description", "datePublished", "license"} <= set(root)
    names = {path.name for path in folder.iterdir()} - {"ro-crate-metadata.json"}
    assert {part["@id"] for part in root["hasPart"]} == names
    for name in names:
        assert entities[name]["sha256"] == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    assert entities[root["license"]["@id"]]["name"] == "CC-BY-4.0"
    person = entities[root["contributor"][0]["@id"]]
    assert (person["@type"], person["name"]) == ("Person", filled.identity.contributor.name)
    assert entities["https://doi.org/10.1234/made"]["@type"] == "ScholarlyArticle"
    assert entities["#materialabs"]["@type"] == "SoftwareApplication"


def every_reference(node: Any) -> set[str]:
    if isinstance(node, list):
        return set().union(*(every_reference(one) for one in node))
    if isinstance(node, dict):
        if set(node) == {"@id"}:
            return {node["@id"]}
        return set().union(*(every_reference(one) for one in node.values()))
    return set()


@pytest.mark.parametrize("licence", ["", "https://example.org/licence", "own terms"])
def test_every_entity_that_a_crate_points_to_is_there(
    filled: Store, tmp_path: Path, licence: str
) -> None:
    folder = tmp_path / "crate"
    export(filled, folder, filter="band_gap>=0", format="ro-crate", licence=licence, progress=False)
    document = json.loads((folder / "ro-crate-metadata.json").read_text())
    known = {one["@id"] for one in document["@graph"]}
    assert every_reference(document["@graph"]) - known == {"https://w3id.org/ro/crate/1.1"}


def test_what_is_not_a_number_is_null_in_json_however_deep(
    sqlite_store: Store, tmp_path: Path
) -> None:
    batch = made_crystals(3)
    tensors = np.arange(9.0 * len(batch.frac)).reshape(-1, 3, 3)
    tensors[0, 1, 2], tensors[1] = np.nan, np.inf
    sqlite_store.add(batch.replace(site_columns={"tensor": tensors}))

    def refused(name: str) -> float:
        raise AssertionError(f"{name} is not JSON")

    for name in ("all.jsonl", "all.optimade.jsonl"):
        export(sqlite_store, tmp_path / name, progress=False)
        for line in (tmp_path / name).read_text().splitlines():
            json.loads(line, parse_constant=refused)
    first = lines(tmp_path / "all.jsonl")[0]["structure"]["sites"]["tensor"][0]
    assert first == [[0.0, 1.0, 2.0], [3.0, 4.0, None], [6.0, 7.0, 8.0]]
    with Store(tmp_path / "other.db", keys=tmp_path / "other") as other:
        ingest_crystals(other, [tmp_path / "all.jsonl"], progress=False)
        assert ids(other) == ids(sqlite_store)


# -- whole or not at all --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.csv", ""), ("a.jsonl", ""), ("a.optimade.jsonl", ""), ("a.extxyz", ""), ("cifs", ""),
     ("crate", "ro-crate"), ("a.parquet", "")],
)  # fmt: skip
def test_an_interrupted_export_leaves_nothing(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str
) -> None:
    before = {path.name for path in tmp_path.iterdir()}

    def interrupted(*_: object) -> list[Any]:
        raise KeyboardInterrupt

    monkeypatch.setattr("materialabs.store.export_texts.values_of", interrupted)
    monkeypatch.setattr("materialabs.store.export_texts.entries_of", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export(filled, tmp_path / name, format=kind, progress=False)
    assert {path.name for path in tmp_path.iterdir()} - before <= {"lab.db-wal", "lab.db-shm"}


def test_a_file_that_is_there_stays_until_the_new_one_is_whole(
    filled: Store, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")
    with pytest.raises(NotFound, match="selects nothing"):
        export(filled, path, filter="nelements>90", progress=False)
    assert path.read_text() == "old"


def test_a_folder_with_files_is_never_written_over(filled: Store, tmp_path: Path) -> None:
    folder = tmp_path / "cifs"
    folder.mkdir()
    export(filled, folder, progress=False)
    with pytest.raises(InputError, match="exists already"):
        export(filled, folder, progress=False)
    with pytest.raises(ResourceError, match="cannot be written"):
        export(filled, tmp_path / "no" / "cifs", progress=False)


def test_unknown_formats_are_refused(filled: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="names no format"):
        export(filled, tmp_path / "a.pdf", progress=False)
    with pytest.raises(InputError, match=", ".join(FORMATS)):
        export(filled, tmp_path / "a.csv", format="pdf", progress=False)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_store(sqlite_store: Store, tmp_path: Path) -> None:
    import tracemalloc

    peaks = []
    for seed, count in ((1, 1000), (2, 4000)):
        sqlite_store.add(made_crystals(count, seed), made_properties(count, seed))
        tracemalloc.start()
        export(sqlite_store, tmp_path / f"{count}.jsonl", progress=False)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]
