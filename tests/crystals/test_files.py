"""Reading and writing: paths, reports, batches, limits, and every way that input is bad."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import stat
import warnings
from pathlib import Path

import numpy as np
import pytest

from materialabs.crystals.batch import Crystals
from materialabs.crystals.files import (
    Limits,
    ReadReport,
    RefusedWarning,
    read,
    stream,
    write,
)
from materialabs.crystals.files.writing import require_writable
from materialabs.errors import DisorderError, FileError, InputError, ResourceError

SALT = {
    "id": "salt",
    "lattice": [[5.64, 0, 0], [0, 5.64, 0], [0, 0, 5.64]],
    "species": ["Na", "Cl"],
    "frac": [[0, 0, 0], [0.5, 0.5, 0.5]],
}


def salts(count: int) -> Crystals:
    return Crystals.from_arrays(
        [np.eye(3) * (5 + index / 10) for index in range(count)],
        [SALT["frac"]] * count,
        [[11, 17]] * count,
        columns={"id": [f"salt-{index}" for index in range(count)]},
    )


def rows_file(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


# -- what is named ----------------------------------------------------------------------------


def test_a_path_a_pattern_a_folder_and_a_list_name_the_same_files(tmp_path: Path) -> None:
    write(salts(3), tmp_path, format="cif")
    expected = ["salt-0", "salt-1", "salt-2"]
    assert read(f"{tmp_path}/*.cif").ids() == expected
    assert read(tmp_path).ids() == expected
    assert read([tmp_path / f"{name}.cif" for name in expected]).ids() == expected
    assert read(tmp_path / "salt-1.cif").ids() == ["salt-1"]


def test_a_folder_is_searched_below_and_hidden_files_are_passed_over(tmp_path: Path) -> None:
    write(salts(1), tmp_path / "a" / "b/", format="poscar")
    (tmp_path / ".hidden.cif").write_text("x")
    (tmp_path / "notes.txt").write_text("x")
    assert len(read(tmp_path)) == 1


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    (path,) = write(salts(1), tmp_path / "a[1].cif")
    assert len(read(str(path))) == 1


def test_a_file_named_twice_is_read_once(tmp_path: Path) -> None:
    (path,) = write(salts(1), tmp_path / "a.cif")
    assert len(read([path, str(path), tmp_path])) == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none/*.cif", "matches no file"),
        ("none.cif", "does not exist"),
        ("empty", "holds no file of a known kind"),
        ("a\x00b", "does not exist"),
    ],
)
def test_a_name_that_gives_nothing_is_one_sentence(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileError, match=words):
        read(f"{tmp_path}/{name}")


def test_an_empty_list_is_refused() -> None:
    with pytest.raises(FileError, match="No files"):
        read([])


def test_a_missing_file_does_not_stop_the_others(tmp_path: Path) -> None:
    (path,) = write(salts(1), tmp_path / "a.cif")
    report = ReadReport()
    assert len(read([tmp_path / "b.cif", path], report=report)) == 1
    assert [entry.reason for entry in report.entries] == ["does not exist"]


# -- reports ----------------------------------------------------------------------------------


def test_one_bad_entry_never_stops_the_rest(tmp_path: Path) -> None:
    bad = {**SALT, "species": ["Na", "Qq"]}
    path = rows_file(tmp_path / "x.jsonl", SALT, bad, 5, {"a": 1}, SALT)
    report = ReadReport()
    assert len(read(path, report=report)) == 2
    assert (report.read, report.refused) == (2, 3)
    assert [entry.place for entry in report.entries] == ["line 2", "line 3", "line 4"]
    assert "'Qq', which is not the symbol of an element" in report.table()
    assert str(report) == report.table()
    assert ReadReport().table() == "0 crystals read, none refused."


def test_without_a_report_the_refused_are_warned_of_once(tmp_path: Path) -> None:
    path = rows_file(tmp_path / "x.jsonl", SALT, *[{"a": 1}] * 5)
    with pytest.warns(RefusedWarning, match="5 refused, 1 crystals read.*and 2 more") as heard:
        read(path)
    assert len(heard) == 1
    with pytest.warns(RefusedWarning, match="5 refused") as heard:
        list(stream(path))
    assert len(heard) == 1


def test_when_nothing_can_be_read_the_first_reason_is_raised(tmp_path: Path) -> None:
    path = rows_file(tmp_path / "x.jsonl", {"a": 1}, {"b": 1})
    with pytest.raises(FileError, match=r"line 1.*holds no crystal.*1 more refused"):
        read(path)


def test_notes_are_kept_once_for_a_file(tmp_path: Path) -> None:
    path = rows_file(tmp_path / "x.jsonl", *[{**SALT, "energy": -3.0}] * 4)
    report = ReadReport()
    crystals = read(path, report=report)
    assert [str(note).split(": ", 1)[1] for note in report.notes] == [
        "'energy' has no stated unit and is kept as 'energy_unstated'"
    ]
    assert "energy" not in crystals.columns
    assert crystals.columns["energy_unstated"].tolist() == [-3.0] * 4


# -- batches and columns ----------------------------------------------------------------------


def test_a_stream_gives_the_same_crystals_in_batches(tmp_path: Path) -> None:
    (path,) = write(salts(7), tmp_path / "x.jsonl")
    batches = list(stream(path, chunk=3))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert Crystals.concat(batches).ids() == read(path).ids()
    with pytest.raises(ValueError, match="at least one"):
        next(stream(path, chunk=0))


def test_a_column_keeps_its_kind_when_a_batch_lacks_its_values(tmp_path: Path) -> None:
    rows = [{**SALT, "gap": None}, {**SALT, "gap": None}, {**SALT, "gap": 1.5}]
    path = rows_file(tmp_path / "x.jsonl", *rows)
    gap = Crystals.concat(list(stream(path, chunk=2))).columns["gap"]
    assert gap.dtype == np.float64
    assert np.isnan(gap).tolist() == [True, True, False]


def test_ids_and_sources_say_where_a_crystal_comes_from(tmp_path: Path) -> None:
    row = {name: value for name, value in SALT.items() if name != "id"}
    path = rows_file(tmp_path / "x.jsonl", {**row, "mp_id": "mp-1", "id": 7}, row)
    crystals = read(path)
    assert crystals.ids() == ["mp-1", "x-2"]
    assert crystals.columns["source"].tolist() == [f"{path}#line 1", f"{path}#line 2"]


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz"])
def test_packed_files_are_read_whatever_they_are_called(tmp_path: Path, ending: str) -> None:
    (path,) = write(salts(2), tmp_path / f"x.jsonl{ending}")
    assert len(read(path)) == 2
    other = path.rename(tmp_path / "x.jsonl")
    assert len(read(other)) == 2


def test_a_given_format_is_believed(tmp_path: Path) -> None:
    (path,) = write(salts(2), tmp_path / "x.jsonl")
    odd = path.rename(tmp_path / "x.data")
    assert len(read(odd, format="jsonl")) == 2
    with pytest.raises(InputError, match="no format 'tiff'"):
        read(odd, format="tiff")


def test_files_of_unknown_name_are_told_by_their_content(tmp_path: Path) -> None:
    for index, name in enumerate(["x.cif", "x.extxyz", "x.csv", "POSCAR", "x.db", "x.traj"]):
        (path,) = write(salts(1), tmp_path / name)
        assert len(read(path.rename(tmp_path / f"unnamed-{index}"))) == 1, name


def test_the_bar_is_drawn_where_it_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(salts(3), tmp_path, format="cif")
    assert len(read(tmp_path, progress=True)) == 3
    assert len(read(tmp_path / "salt-0.cif", progress=True)) == 1
    assert capsys.readouterr().out == ""


# -- bad input --------------------------------------------------------------------------------


def packed_and_cut(count: int) -> bytes:
    data = gzip.compress("".join(json.dumps(SALT) + "\n" for _ in range(count)).encode())
    return data[: len(data) // 2]


def far_apart(count: int) -> dict[str, object]:
    grid = np.array(list(np.ndindex(22, 22, 22)))[:count] / 22
    return {**SALT, "lattice": [66.0, 66, 66, 90, 90, 90], "species": ["Fe"] * count,
            "frac": grid.tolist()}  # fmt: skip


BAD = {
    "empty.cif": (b"", "is empty"),
    "blank.json": (b"  \n ", "is empty"),
    "noise.cif": (bytes(range(256)) * 20, "binary"),
    "noise.xyz": (b"\x01\x02 hello\n\n\n", "number of atoms"),
    "cut.jsonl.gz": (packed_and_cut(1), "cut short"),
    "bad.json.gz": (b"\x1f\x8b" + b"garbage" * 9, "cannot be unpacked"),
    "flat.jsonl": (
        json.dumps({**SALT, "lattice": [[1, 0, 0], [2, 0, 0], [0, 0, 3]]}).encode(),
        "without volume",
    ),
    "close.jsonl": (
        json.dumps({**SALT, "frac": [[0, 0, 0], [0.01, 0, 0]]}).encode(),
        "overlap",
    ),
    "nan.jsonl": (
        json.dumps({**SALT, "frac": [[0, 0, float("nan")], [0.5, 0, 0]]}).encode(),
        "not numbers",
    ),
    "many.jsonl": (json.dumps(far_apart(10_000)).encode(), "10,000 atoms and at most 5,000"),
    "element.jsonl": (
        json.dumps({**SALT, "species": ["Na", "Xx"]}).encode(),
        "'Xx', which is not the symbol of an element",
    ),
    "deep.json": (b"[" * 100_000, "nested too deeply"),
    "deep2.json": (b'{"a":' * 100_000, "nested too deeply"),
    "open.json": (b'[{"a": 1', "in its list"),
    "broken.json": (b'{"a": }', "not valid JSON"),
    "number.json": (b"[1, 2]", "holds no crystal"),
    "none.json": (b"[]", "empty list"),
    "pickle.traj": (pickle.dumps({"a": 1}), "pickle"),
    "words.txt": (b"hello world\nthis is text\n", "of no kind that is read"),
    "table.csv": (b"a,b\n1,2\n", "without a column 'cif'"),
    "bad.db": (b"SQLite format 3\x00" + b"x" * 200, "damaged database"),
    "bad.traj": (b"- of Ulm" + b"ASE-Trajectory  " + b"\xff" * 24, "impossible"),
    "wrong.traj": (b"- of UlmGPAW".ljust(48), "not a trajectory"),
    "page.xml": (b"<html><body/></html>", "of no kind"),
    "other.xml": (b"<?xml version='1.0'?><html/>", "not a vasprun.xml"),
    "bomb.xml": (
        b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;">]><modeling>&d;'
        b"</modeling>",
        "document type",
    ),
    "cut.xml": (b'<?xml version="1.0"?><modeling><incar>', "cut short"),
    "deep.xml": (b'<?xml version="1.0"?>' + b"<a>" * 500, "nested too deeply"),
    "steps.xml": (b'<?xml version="1.0"?><modeling></modeling>', "no ionic step"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_sentence_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    data, words = BAD[name]
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(FileError, match=words) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_ten_thousand_atoms_are_read_when_the_limit_allows_it(tmp_path: Path) -> None:
    path = rows_file(tmp_path / "x.jsonl", far_apart(10_000))
    assert len(read(path, limits=Limits(sites=10_000)).frac) == 10_000


def test_what_stands_before_the_cut_of_a_packed_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl.gz"
    rows = "".join(json.dumps({**SALT, "x": os.urandom(400).hex()}) + "\n" for _ in range(4000))
    data = gzip.compress(rows.encode())
    path.write_bytes(data[: len(data) // 2])
    report = ReadReport()
    crystals = read(path, report=report)
    assert len(crystals) > 500
    assert "cut short" in report.entries[-1].reason
    assert report.entries[-1].place == f"after entry {len(crystals)}"


def test_a_device_is_refused() -> None:
    with pytest.raises(FileError, match="device or a pipe"):
        read("/dev/zero", format="cif")


def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.cif")
    with pytest.raises(FileError, match="device or a pipe"):
        read(tmp_path / "x.cif")


def test_a_file_without_permission_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = write(salts(1), tmp_path / "x.cif")

    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbidden)
    with pytest.raises(FileError, match="Permission denied"):
        read(path)


def test_a_folder_without_permission_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(top: object, onerror: object = None, **_: object) -> object:
        onerror(PermissionError(13, "Permission denied"))  # type: ignore[operator]
        return iter(())

    monkeypatch.setattr(os, "walk", forbidden)
    with pytest.raises(FileError, match="Permission denied"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(unpacked_bytes=100), "larger than 100 bytes"),
        (Limits(entry_bytes=50), "line of more than 50 bytes"),
        (Limits(sites=1), "at most 1 are read"),
    ],
)
def test_limits_guard_size(tmp_path: Path, limits: Limits, words: str) -> None:
    path = rows_file(tmp_path / "x.jsonl", SALT)
    with pytest.raises(FileError, match=words):
        read(path, limits=limits, format="jsonl")


def test_a_document_larger_than_memory_allows_is_refused(tmp_path: Path) -> None:
    (path,) = write(salts(1), tmp_path / "x.json.gz")
    with pytest.raises(FileError, match="larger than 200 bytes"):
        read(path, limits=Limits(file_bytes=200))


def test_entries_beyond_the_limit_are_refused_once(tmp_path: Path) -> None:
    path = rows_file(tmp_path / "x.jsonl", *[SALT] * 5)
    report = ReadReport()
    assert len(read(path, limits=Limits(entries=3), report=report)) == 3
    assert [entry.place for entry in report.entries] == ["entry 4"]


# -- writing ----------------------------------------------------------------------------------


def test_ids_cannot_reach_another_folder(tmp_path: Path) -> None:
    names = ["../../evil", "/etc/passwd", "..", ".", "a/b", "A/B", "x" * 300, "", "\x00", "a_b"]
    files = write(salts(10).with_columns(id=names), tmp_path / "out/", format="poscar")
    assert {path.parent for path in files} == {tmp_path / "out"}
    assert len({path.name.lower() for path in files}) == 10
    assert len(list((tmp_path / "out").iterdir())) == 10
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_ids_survive_names_that_a_block_cannot_have(tmp_path: Path) -> None:
    names = ["a b", "a_b", 'it\'s "quoted"', "naïve"]
    (path,) = write(salts(4).with_columns(id=names), tmp_path / "x.cif")
    assert read(path).ids() == names


def test_a_failed_writing_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.cif"
    path.write_text("precious")

    def fail(_: Crystals) -> object:
        yield "half"
        raise RuntimeError("power cut")

    monkeypatch.setattr("materialabs.crystals.files.cif_writer.blocks_of", fail)
    with pytest.raises(RuntimeError):
        write(salts(1), path)
    assert path.read_text() == "precious"
    assert [p.name for p in tmp_path.iterdir()] == ["x.cif"]


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Crystals) -> object:
        raise OSError(28, "No space left on device")
        yield

    monkeypatch.setattr("materialabs.crystals.files.cif_writer.blocks_of", full)
    with pytest.raises(ResourceError, match="No space left"):
        write(salts(1), tmp_path / "x.cif")
    assert not list(tmp_path.iterdir())


def test_a_missing_or_forbidden_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="cannot be written: No such file"):
        write(salts(1), tmp_path / "none" / "x.cif")
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot be made"):
        write(salts(1), tmp_path / "file" / "folder/", format="cif")


@pytest.mark.parametrize(
    ("name", "format_name", "words"),
    [
        ("x.unknown", None, "names no format"),
        ("x.cif", "tiff", "no format 'tiff'"),
        ("POSCAR", None, "holds one crystal"),
        ("folder/", "json", "one file"),
        ("x.db.gz", "ase-db", "not packed"),
    ],
)
def test_a_wrong_call_writes_nothing(
    tmp_path: Path, name: str, format_name: str | None, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        write(salts(2), f"{tmp_path}/{name}", format=format_name)
    assert not list(tmp_path.iterdir())


def test_no_crystals_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no crystals"):
        write(Crystals.empty(), tmp_path / "x.cif")


@pytest.mark.parametrize("name", ["POSCAR", "x.extxyz", "x.db", "x.traj"])
def test_disorder_is_refused_by_name_where_a_format_cannot_hold_it(
    tmp_path: Path, name: str
) -> None:
    row = {**SALT, "occupancy": [{"Na": 0.5, "K": 0.5}, {"Cl": 1.0}]}
    crystals = read(rows_file(tmp_path / "in.jsonl", row))
    with pytest.raises(DisorderError, match="'salt'"):
        write(crystals, tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == ["in.jsonl"]


def test_new_files_have_the_usual_permissions(tmp_path: Path) -> None:
    (path,) = write(salts(1), tmp_path / "x.cif")
    (tmp_path / "plain").write_text("")
    usual = stat.S_IMODE((tmp_path / "plain").stat().st_mode)
    assert stat.S_IMODE(path.stat().st_mode) == usual


def test_a_folder_takes_cifs_unless_told_otherwise(tmp_path: Path) -> None:
    assert [path.suffix for path in write(salts(2), tmp_path)] == [".cif", ".cif"]
    named = write(salts(2), tmp_path / "cells", format="vasp")
    assert [path.suffix for path in named] == [".vasp", ".vasp"]


@pytest.mark.parametrize("name", ["x.cif", "x.vasp", "x.extxyz", "x.json"])
def test_other_programs_read_what_is_written(tmp_path: Path, name: str) -> None:
    from pymatgen.core import Structure

    (path,) = write(salts(1), tmp_path / name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "x.extxyz":
            import ase.io

            theirs = Crystals.from_ase(ase.io.read(path))
        elif name == "x.vasp":
            from pymatgen.io.vasp import Poscar

            theirs = Crystals.from_pymatgen(Poscar.from_file(path).structure)
        else:
            theirs = Crystals.from_pymatgen(Structure.from_file(path))
    np.testing.assert_allclose(np.sort(theirs.volumes), salts(1).volumes, rtol=1e-9)
    assert theirs.formulas() == salts(1).formulas()


def test_importing_the_package_brings_in_no_heavy_library() -> None:
    import subprocess
    import sys

    code = (
        "import sys, materialabs.crystals.files\n"
        "heavy = {'pymatgen', 'ase', 'numba', 'scipy', 'torch', 'rich', 'pandas'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# -- the reference data -----------------------------------------------------------------------


@pytest.mark.slow
def test_all_of_mp36k_is_read_and_none_refused(data_folder: Path) -> None:
    report = ReadReport()
    crystals = read(data_folder / "structures" / "mp36k.jsonl.gz", report=report)
    assert (len(crystals), report.refused) == (36_737, 0), report.table()
    with gzip.open(data_folder / "structures" / "mp36k.jsonl.gz", "rt") as lines:
        for index, line in enumerate(lines):
            if index % 997:
                continue
            row = json.loads(line)
            crystal = crystals[index]
            assert crystal.ids() == [row["mp_id"]]
            assert crystal.columns["formation_energy"][0] == row["e_form_per_atom"]
            from pymatgen.core import Lattice

            expected = Lattice.from_parameters(*row["cell"]).matrix
            metric = crystal.lattice[0] @ crystal.lattice[0].T
            np.testing.assert_allclose(metric, expected @ expected.T, rtol=1e-9, atol=1e-9)
            assert crystal.frac.tolist() == row["frac"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "count", "columns"),
    [
        ("structures/perov5_*.csv", 7_572, {"heat_all", "dir_gap"}),
        ("structures/nomad2018_structures.jsonl.gz", 2_999, {"gap", "space_group"}),
        ("structures/mp_binary_elasticity.json.gz", 3_953, {"bulk_modulus_vrh"}),
        ("structures/matbench_phonons.json.gz", 1_265, {"last phdos peak"}),
        ("hulls/Fe_Li_O_P_entries.json.gz", 943, {"energy", "correction", "functional"}),
        ("hulls/MP-PBE-Element-Refs.json.gz", 789, {"energy"}),
        ("applications/2dmatpedia_filtered1224.db", 1_224, {"energy", "bandgap"}),
    ],
)
def test_the_reference_data_are_read(
    data_folder: Path, name: str, count: int, columns: set[str]
) -> None:
    report = ReadReport()
    crystals = read(f"{data_folder}/{name}", report=report)
    # one row of the nomad2018 file has an empty list of atoms
    assert {entry.reason for entry in report.entries} <= {"has no atoms"}
    assert len(crystals) == count
    assert columns <= set(crystals.columns)


# -- odds and ends ----------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "latin-1"])
def test_texts_in_other_encodings_are_read(tmp_path: Path, encoding: str) -> None:
    (path,) = write(salts(1), tmp_path / "x.cif")
    text = path.read_text().replace("data_", "# é\ndata_", 1)
    path.write_bytes(text.encode(encoding))
    assert read(path).ids() == ["salt-0"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RecursionError(), "nested too deeply"),
        (MemoryError(), "does not fit into memory"),
        (OSError(5, "Input/output error"), "Input/output error"),
        (KeyError("x"), "unforeseen KeyError"),
    ],
)
def test_whatever_befalls_a_parser_is_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    def fail(_: object) -> object:
        raise error

    path = rows_file(tmp_path / "x.jsonl", SALT)
    monkeypatch.setattr("materialabs.crystals.files.reading.reader_of", lambda _: fail)
    with pytest.raises(FileError, match=words):
        read(path)


def test_site_columns_of_another_length_are_left_out(tmp_path: Path) -> None:
    row = {**SALT, "sites": {"a": [1, 2], "b": [1, 2, 3]}}
    assert set(read(rows_file(tmp_path / "x.jsonl", row)).site_columns) == {"a"}


def test_a_slab_cell_is_completed_right_handed() -> None:
    from materialabs.crystals.files.cells import completed

    cells = [
        [[3.0, 0, 0], [0, 4, 0], [0, 0, 0]],
        [[0.0, 0, 0], [0, 4, 0], [0, 0, 5]],
        [[0.0, 3, 0], [4, 0, 0], [0, 0, 0]],
        [[2.0, 1, 0], [0, 0, 0], [0, 0, 0]],
    ]
    for given in cells:
        cell, moved = completed(np.array(given), np.array([[0.0, 0, 0], [1, 1, 1]]))
        assert np.linalg.det(cell) > 0
        np.testing.assert_allclose(moved[1] - moved[0], [1, 1, 1])
        kept = np.linalg.norm(given, axis=1) > 0
        assert np.array_equal(cell[kept], np.array(given)[kept])


def test_angles_and_edges_make_the_cell_that_pymatgen_makes() -> None:
    from pymatgen.core import Lattice

    from materialabs.crystals.files.cells import lattice_from_parameters, parameters_of

    rng = np.random.default_rng(0)
    for _ in range(200):
        values = [*rng.uniform(2, 9, 3), *rng.uniform(65, 115, 3)]
        cell = np.array(lattice_from_parameters(*values))
        expected = Lattice.from_parameters(*values).matrix
        np.testing.assert_allclose(cell @ cell.T, expected @ expected.T, atol=1e-9)
        np.testing.assert_allclose(parameters_of(cell), values, rtol=1e-12)
        assert cell[0, 1] == cell[0, 2] == cell[1, 2] == 0


def test_a_pipe_is_never_replaced_by_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.cif"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="device or a pipe"):
        write(salts(1), pipe)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_writing_to_a_link_changes_the_file_that_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "real.cif").write_text("old")
    link = tmp_path / "link.cif"
    link.symlink_to("real.cif")
    write(salts(1), link)
    assert link.is_symlink()
    assert read(tmp_path / "real.cif").reduced_formulas() == ["NaCl"]


@pytest.mark.parametrize("place", ["missing/x.cif", "x.unknown", "file.cif/x.cif"])
def test_a_place_that_cannot_be_written_is_refused_beforehand(tmp_path: Path, place: str) -> None:
    (tmp_path / "file.cif").write_text("")
    with pytest.raises((InputError, ResourceError)):
        require_writable(tmp_path / place)
    require_writable(tmp_path / "x.cif")
    require_writable(f"{tmp_path}/new/folder/")
    assert [path.name for path in tmp_path.iterdir()] == ["file.cif"]
