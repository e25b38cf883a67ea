"""``materialabs predict``: each row is told with its file, and each refusal with its reason."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import typer
from tests.networks.made_tables import crystals_of
from typer.testing import CliRunner, Result

from materialabs.cli.predict import predict
from materialabs.crystals.batch import Crystals
from materialabs.crystals.files import write
from materialabs.crystals.occupancy import Occupancy
from materialabs.errors import FileError


@pytest.fixture(scope="module")
def app() -> typer.Typer:
    made = typer.Typer()
    made.command()(predict)
    return made


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Files in two folders whose crystals bear the same ids, read in batches of three."""
    monkeypatch.setattr("materialabs.crystals.files.reading.CHUNK", 3)
    formulas = {}
    for place, crystal in enumerate(crystals_of(4)):
        folder = tmp_path / "ab"[place // 2]
        folder.mkdir(exist_ok=True)
        file = folder / f"p{place % 2}.extxyz"
        write(crystal.with_columns(id=["p"], source=["elsewhere.cif"]), file)
        formulas[str(file)] = crystal.reduced_formulas()[0]
    return formulas


@pytest.fixture
def half_full(tmp_path: Path) -> Path:
    """A file of one crystal whose first site is half empty."""
    crystal: Crystals = crystals_of(1)
    sites = Occupancy(np.arange(3), crystal.numbers, np.array([0.5, 1.0]))
    write(crystal.replace(occupancy=sites), tmp_path / "half.cif")
    return tmp_path / "half.cif"


def asked(app: typer.Typer, *words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def test_every_row_has_its_file(app: typer.Typer, files: dict[str, str], tmp_path: Path) -> None:
    folders = [str(tmp_path / "a"), str(tmp_path / "b")]
    done = asked(app, *folders, "--json", "--csv", str(tmp_path / "t.csv"))
    told = json.loads(done.stdout)["predictions"]
    assert {row["file"]: row["formula"] for row in told} == files
    assert [row["id"] for row in told] == ["p"] * 4
    rows = list(csv.DictReader((tmp_path / "t.csv").read_text().splitlines()))
    assert [row["file"] for row in rows] == [row["file"] for row in told]


def test_the_table_names_files_where_ids_repeat_and_nowhere_else(
    app: typer.Typer, files: dict[str, str], tmp_path: Path
) -> None:
    first = next(iter(files))
    assert "file" in asked(app, str(tmp_path / "a")).stdout
    assert "file" not in asked(app, first).stdout


def test_a_file_whose_name_is_not_utf8_is_predicted(
    app: typer.Typer, files: dict[str, str], tmp_path: Path
) -> None:
    name = b"na\xffme.extxyz".decode(errors="surrogateescape")
    try:
        (tmp_path / name).write_bytes(Path(next(iter(files))).read_bytes())
    except OSError:
        pytest.skip("this file system takes no such name")
    done = asked(app, str(tmp_path / name), "--csv", str(tmp_path / "t.csv"))
    assert done.exit_code == 0, done.exception
    (row,) = csv.DictReader((tmp_path / "t.csv").read_text().splitlines())
    assert row["file"].endswith(r"na\udcffme.extxyz")


def test_a_disordered_crystal_is_refused_with_its_file_and_id(
    app: typer.Typer, files: dict[str, str], half_full: Path
) -> None:
    done = asked(app, next(iter(files)), str(half_full), "--json")
    (refused,) = json.loads(done.stdout)["refused"]
    assert (refused["file"], refused["place"]) == (str(half_full), "c-0")
    assert "partial occupancies" in refused["reason"]


def test_nothing_but_disordered_crystals_is_refused_with_the_remedy(
    app: typer.Typer, half_full: Path
) -> None:
    done = asked(app, str(half_full))
    assert isinstance(done.exception, FileError)
    assert "has partial occupancies: `materialabs convert --ordered`" in str(done.exception)
