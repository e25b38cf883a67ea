"""``materialabs transfer`` as a user meets it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.transfer.made_tables import formulas_of, write_table

PROGRAM = "from materialabs.cli import main; main()"


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, "transfer", *arguments],
        capture_output=True, text=True, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "160"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("transfer")
    table = write_table(folder / "t.csv", 40, kelvin=[300 + 5 * (n % 7) for n in range(40)])
    done = call(
        "fit", str(table), "--formula", "formula", "--target", "ionicity", "--condition",
        "kelvin", "--unit", "1", "--no-sources", "--out", str(folder / "model"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "mean absolute error" in done.stdout and "report.html" in done.stderr
    return folder / "model"


@pytest.mark.slow
def test_formulas_are_predicted_with_intervals(model: Path) -> None:
    done = call("predict", str(model), "NaCl", "UO2", "--condition", "kelvin=310", "--json")
    rows = json.loads(done.stdout)["predictions"]
    assert [row["id"] for row in rows] == ["NaCl", "UO2"]
    assert all(row["low"] <= row["mean"] <= row["high"] for row in rows)
    assert rows[1]["warning"] == "unlike what was learned"


@pytest.mark.slow
def test_a_condition_outside_what_was_learned_is_warned_of(model: Path) -> None:
    done = call("predict", str(model), "NaCl", "--condition", "kelvin=900", "--json")
    [row] = json.loads(done.stdout)["predictions"]
    assert "kelvin was learned from 300 to 330 only" in row["warning"]


@pytest.fixture(scope="module")
def conductivities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("log")
    lines = [f"{one},{10.0 ** -(3 + n % 7)}" for n, one in enumerate(formulas_of(30))]
    (folder / "t.csv").write_text("formula,sigma\n" + "\n".join(lines))
    done = call(
        "fit", str(folder / "t.csv"), "--target", "sigma", "--log", "--unit", "S/cm",
        "--no-sources", "--out", str(folder / "model"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "model"


@pytest.mark.slow
def test_the_spread_of_a_logarithm_says_that_it_is_one(conductivities: Path) -> None:
    done = call("predict", str(conductivities), "NaCl", "--json")
    [row] = json.loads(done.stdout)["predictions"]
    assert "std_log10" in row and "std" not in row and row["low"] < row["mean"] < 1e-2


@pytest.mark.slow
def test_small_values_are_shown_with_their_digits(conductivities: Path) -> None:
    done = call("screen", str(conductivities), "--elements", "Na-Cl", "--near", "1e-7")
    assert "nearest to 1e-07 S/cm" in done.stdout
    assert "e-0" in done.stdout.partition("─")[2] and "0.0000" not in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [("screen", "--elements", "Na-Cl", "--near", "-7"),
     ("screen", "--elements", "Na-Cl", "--class", "true"),
     ("explain", "NaCl", "--class", "true")],
)  # fmt: skip
def test_what_does_not_go_with_the_model_is_a_wrong_call(
    conductivities: Path, arguments: tuple[str, ...]
) -> None:
    verb, *rest = arguments
    done = call(verb, str(conductivities), *rest)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr


@pytest.mark.slow
def test_a_space_is_screened(model: Path) -> None:
    done = call(
        "screen", str(model), "--elements", "Na,Cl", "--atoms", "4", "--condition", "kelvin=310",
        "--json",
    )  # fmt: skip
    document = json.loads(done.stdout)
    assert document["considered"] == len(document["formulas"]) == 7


@pytest.mark.slow
def test_a_prediction_is_explained(model: Path) -> None:
    done = call("explain", str(model), "MgO", "--condition", "kelvin=310")
    assert done.returncode == 0, done.stderr
    assert "element" in done.stdout and "electronegativity and ionicity" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("predict", "MODEL", "NaCl"), "needs the condition 'kelvin'"),
        (("predict", "MODEL", "NaCl", "--condition", "kelvin=warm"), "NAME=NUMBER"),
        (("predict", "MODEL", "Xx2", "--condition", "kelvin=300"), "not an element"),
        (("predict", "nowhere", "NaCl"), "holds no model"),
    ],
)
def test_wrong_calls_get_one_sentence(
    model: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    done = call(*(str(model) if one == "MODEL" else one for one in arguments))
    assert done.returncode in (1, 2)
    assert sentence in done.stderr and "Traceback" not in done.stderr
