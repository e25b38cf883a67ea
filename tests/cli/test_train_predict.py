"""``materialabs train`` and ``materialabs predict`` as a user meets them."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.networks.made_tables import crystal_table, crystals_of, formula_table

from materialabs.cli import main
from materialabs.cli.doctor import examine
from materialabs.cli.inputs import settings
from materialabs.cli.output import write_text
from materialabs.crystals.files import write
from materialabs.errors import InputError, ResourceError

PROGRAM = """
import typer
import materialabs.cli.app as wired
from materialabs.cli import main, predict, train
app = typer.Typer(pretty_exceptions_enable=False)
app.command("train")(train.train)
app.command("predict")(predict.predict)
wired.app = app
main()
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "160"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    table = crystal_table(folder / "t.jsonl", 45)
    done = call(
        "train", str(table), "--target", "ionic", "--unit", "eV", "--members", "1", "--epochs",
        "1", "--split", "random", "--out", str(folder / "model"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "mean absolute error" in done.stdout and "report.html" in done.stderr
    return folder / "model"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    write(crystals_of(6), folder / "good.extxyz")
    (folder / "bad.cif").write_text("no crystal")
    return folder


@pytest.mark.slow
def test_bad_files_are_named_and_the_rest_is_predicted(model: Path, files: Path) -> None:
    table = files / "out.csv"
    done = call(
        "predict", str(files / "good.extxyz"), str(files / "bad.cif"), "--model", str(model),
        "--csv", str(table),
    )  # fmt: skip
    assert done.returncode == 0
    assert "1 refused" in done.stdout and "bad.cif" in done.stdout
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["formula"] for row in rows] == crystals_of(6).reduced_formulas()
    assert all(float(row["low"]) <= float(row["mean"]) <= float(row["high"]) for row in rows)


@pytest.mark.slow
def test_json_holds_every_prediction(model: Path, files: Path) -> None:
    done = call(
        "predict", str(files / "good.extxyz"), "--model", str(model), "--unrelaxed", "--json"
    )
    document = json.loads(done.stdout)
    assert len(document["predictions"]) == 6 and document["unit"] == "eV"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["predict", "{files}/good.extxyz", "--model", "nothing"], "There is no model 'nothing'"),
        (["predict", "{files}/bad.cif", "--model", "{model}"], "Nothing could be read"),
        (["predict", "{files}/none.cif", "--model", "{model}"], "does not exist"),
        (["train", "{files}/none.csv", "--target", "gap"], "There is no file"),
    ],
)
def test_wrong_calls_are_one_sentence_and_exit_with_two(
    arguments: list[str], sentence: str, model: Path, files: Path
) -> None:
    done = call(*(one.format(model=model, files=files) for one in arguments))
    assert done.returncode == 2
    assert sentence in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_ten_rows_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    table = formula_table(tmp_path / "t.csv", 10)
    done = call("train", str(table), "--target", "ionic", "--out", str(tmp_path / "m"))
    assert done.returncode == 2 and "30 are needed" in done.stderr
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("place", ["", "folder", "table.csv/out.csv", "none/out.csv"])
def test_a_place_that_cannot_be_written_to_is_one_sentence(place: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "table.csv").write_text("kept")
    with pytest.raises((InputError, ResourceError), match=r"is a folder|cannot be written"):
        write_text(tmp_path / place, "text")
    assert (tmp_path / "table.csv").read_text() == "kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "table.csv"]


def test_a_folder_for_kernels_that_cannot_be_written_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(**_: object) -> None:
        raise RuntimeError("cannot cache function 'f': no locator available for file 'x.py'")

    monkeypatch.setattr("materialabs.cli.app.app", refused)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    assert capsys.readouterr().err.startswith("materialabs: Compiled kernels cannot be kept: set")


def test_a_doctor_tells_where_no_kernel_can_be_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "cache"))
    found = next(one for one in examine() if one.subject == "kernel cache")
    assert found.state == "broken" and "NUMBA_CACHE_DIR" in found.remedy


def test_an_unknown_setting_is_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MATERIALABS_COLOUR", "red")
    settings.cache_clear()
    try:
        with pytest.raises(InputError, match=r"^MATERIALABS_COLOUR is not a setting; MATERIALABS_"):
            settings()
    finally:
        settings.cache_clear()
