"""Estimated volumes against measured ones."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from materialabs.crystals.compositions import Compositions
from materialabs.crystals.volumes import estimated_volumes
from materialabs.elements import atomic_number
from materialabs.errors import InputError

MEASURED = {
    "NaCl": 5.640**3 / 4,
    "MgO": 4.212**3 / 4,
    "Cu": 3.615**3 / 4,
    "Fe": 2.866**3 / 2,
    "GaAs": 5.653**3 / 4,
    "SrTiO3": 3.905**3,
    "CsCl": 4.123**3,
    "Al2O3": 254.8 / 6,
    "CaF2": 5.463**3 / 4,
    "Si": 5.431**3 / 8,
    "Po": 3.359**3,
    "Ar": 5.311**3 / 4,
}
"""Cubic angstrom per formula, from lattice constants at room temperature (Ar at 4 K)."""


@pytest.mark.parametrize("formula", MEASURED)
def test_estimate_is_within_thirty_percent_of_the_measured_volume(formula: str) -> None:
    estimate = estimated_volumes(Compositions.parse([formula]))[0]
    assert estimate == pytest.approx(MEASURED[formula], rel=0.30)


def test_estimate_grows_with_the_amounts() -> None:
    one, four = estimated_volumes(Compositions.parse(["Li3PS4", "Li12P4S16"]))
    assert four == pytest.approx(4 * one)


def test_a_cation_takes_less_space_than_in_its_metal() -> None:
    metal, fluoride, fluorine = estimated_volumes(Compositions.parse(["Ba", "BaF2", "F2"]))
    assert fluoride < metal + fluorine


def test_every_element_up_to_curium_has_a_volume() -> None:
    every = Compositions.from_dicts([{number: 1.0} for number in range(1, 97)])
    assert np.all(estimated_volumes(every) > 4.0)


def test_no_compositions_have_no_volumes() -> None:
    assert estimated_volumes(Compositions.from_dicts([])).shape == (0,)


def test_element_beyond_curium_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="Bk"):
        estimated_volumes(Compositions.parse(["SiO2", "BkO2"]))


def test_most_binary_crystals_of_the_elasticity_set_are_within_a_quarter(data_folder: Path) -> None:
    with gzip.open(data_folder / "structures" / "mp_binary_elasticity.json.gz") as file:
        rows = json.load(file)
    volumes = [row["structure"]["lattice"]["volume"] for row in rows]
    counts = [
        Counter(site["species"][0]["element"] for site in r["structure"]["sites"]) for r in rows
    ]
    amounts = [{atomic_number(s): float(n) for s, n in count.items()} for count in counts]
    estimates = estimated_volumes(Compositions.from_dicts(amounts))
    assert np.mean(np.abs(estimates / volumes - 1) < 0.25) > 0.94


def test_most_crystals_kept_from_the_fit_are_within_a_quarter(data_folder: Path) -> None:
    with gzip.open(data_folder / "structures" / "mp36k.jsonl.gz") as lines:
        rows = [json.loads(line) for line in itertools.islice(lines, 6000)]
    compositions = Compositions.from_dicts(
        [{atomic_number(s): float(n) for s, n in Counter(row["species"]).items()} for row in rows]
    )
    digests = [hashlib.md5(name.encode()).hexdigest() for name in compositions.reduced_formulas()]
    unseen = np.array([int(digest, 16) % 100 >= 85 for digest in digests])
    cells = np.array([row["cell"] for row in rows])
    cosines = np.cos(np.radians(cells[:, 3:]))
    root = 1 - (cosines**2).sum(axis=1) + 2 * cosines.prod(axis=1)
    volumes = cells[:, :3].prod(axis=1) * np.sqrt(root)
    within = np.abs(estimated_volumes(compositions) / volumes - 1) < 0.25
    assert within[unseen].mean() > 0.93


def test_an_element_takes_the_volume_of_its_reference_structure() -> None:
    for symbol, lattice_constant, atoms in (("Si", 5.431, 8), ("K", 5.328, 2), ("Ge", 5.658, 8)):
        measured = lattice_constant**3 / atoms
        estimate = estimated_volumes(Compositions.parse([symbol]))[0]
        assert abs(estimate / measured - 1) < 0.08, symbol  # PBE cells are a few percent larger
