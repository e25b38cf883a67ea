"""The models of the smaller tables against published values of crystals that everybody knows."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from materialabs.crystals.batch import Crystals
from materialabs.elements import atomic_number
from materialabs.errors import IntegrityError
from materialabs.networks.model_files import WEIGHTS
from materialabs.networks.models import SHIPPED, Model, load_model, shipped_names

ROOT = Path(__file__).parent.parent.parent
FACE_CENTRED = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2.0
SITES = {
    "rock salt": [[0, 0, 0], [0.5, 0.5, 0.5]],
    "zinc blende": [[0, 0, 0], [0.25, 0.25, 0.25]],
    "fluorite": [[0, 0, 0], [0.25, 0.25, 0.25], [0.75, 0.75, 0.75]],
}
"""Fractional coordinates in the primitive face-centred cell."""

PUBLISHED = [
    # Speziale et al., J. Geophys. Res. 106, 515 (2001); Sinogeikin and Bass (1999)
    ("bulk_modulus", "rock salt", 4.212, ("Mg", "O"), 160.2),
    ("shear_modulus", "rock salt", 4.212, ("Mg", "O"), 130.0),
    # Speziale and Duffy, Phys. Chem. Miner. 29, 465 (2002)
    ("bulk_modulus", "fluorite", 5.463, ("Ca", "F", "F"), 82.0),
    # Nilsson and Nelin, Phys. Rev. B 6, 3777 (1972): optical peak, 14.7 THz
    ("phonons", "zinc blende", 5.431, ("Si", "Si"), 490.0),
    # Strauch and Dorner, J. Phys.: Condens. Matter 2, 1457 (1990): transverse optical peak, 7.9 THz
    ("phonons", "zinc blende", 5.653, ("Ga", "As"), 264.0),
]
"""Quantity, structure, lattice parameter (angstrom), elements, and the measured value."""

CLOSE = 0.3
"""Of the measured value: what a prediction may miss it by; theory alone differs by a tenth."""

SMALL = ("elasticity", "phonons")


def one(structure: str, length: float, symbols: tuple[str, ...]) -> Crystals:
    numbers = [atomic_number(symbol) for symbol in symbols]
    return Crystals.from_arrays([FACE_CENTRED * length], [SITES[structure]], [numbers])


def shipped(name: str) -> Model:
    if name not in shipped_names():
        pytest.skip(f"the model {name!r} is not in the package")
    return load_model(name)


@pytest.mark.parametrize(("name", "structure", "length", "symbols", "value"), PUBLISHED)
def test_published_values_are_near_the_predicted_ones_and_inside_their_intervals(
    name: str, structure: str, length: float, symbols: tuple[str, ...], value: float
) -> None:
    model = shipped(name)
    told = model.predict(one(structure, length, symbols))
    mean, (low, high) = told.mean, told.interval(0.95)
    if model.heads[model.head].logarithm:
        mean, low, high = 10.0**mean, 10.0**low, 10.0**high
    assert low[0] < value < high[0]
    assert mean[0] == pytest.approx(value, rel=CLOSE)


@pytest.mark.parametrize("name", SMALL)
def test_a_shipped_model_with_changed_weights_is_refused(name: str, tmp_path: Path) -> None:
    shipped(name)
    folder = tmp_path / name
    shutil.copytree(SHIPPED / name, folder)
    weights = bytearray((folder / WEIGHTS).read_bytes())
    weights[-1] ^= 1
    (folder / WEIGHTS).write_bytes(weights)
    with pytest.raises(IntegrityError):
        Model.load(folder)


@pytest.mark.parametrize("name", SMALL)
def test_cards_tell_what_was_measured_on_the_test_side(name: str) -> None:
    card = shipped(name).card
    for head in card["heads"]:
        figures = card["metrics"]["relaxed"][head["name"]]
        assert figures["crystals"] == card["data"]["parts"]["test"]
        assert figures["mae_from"] < figures["mae"] < figures["mae_to"]
        assert 0.8 < figures["coverage"][0]["coverage"] < 0.97


@pytest.mark.slow
def test_the_benchmark_runs_on_few_rows(data_folder: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "benchmarks.small_tables", "--quick", "--folder", str(tmp_path),
            "--seconds", "1",
        ],
        capture_output=True, text=True, check=False, cwd=ROOT,
        env=os.environ | {"MATERIALABS_DATA": str(data_folder)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if "mae_per_cm" in line]
    told = ("from nothing", "begun with mp36k", "forest", "extra_trees")
    assert [name in row for name, row in zip(told, rows, strict=True)] == [True] * len(told)
