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

from materialabs.crystals.files import write

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
