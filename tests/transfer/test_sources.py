from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from materialabs.crystals.compositions import Compositions
from materialabs.crystals.descriptors import Descriptors
from materialabs.errors import InputError, IntegrityError, NotFound
from materialabs.networks.learning_tasks import Recipe
from materialabs.transfer.described import PHYSICAL, describe
from materialabs.transfer.source_training import train_source
from materialabs.transfer.sources import Source, blocks_of, shipped, shipped_names
from tests.transfer.made_tables import formulas_of, ionicity_of

RECIPE = Recipe(epochs=3, batch=32, rate=3e-3)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> tuple[Source, Path]:
    formulas = formulas_of(240)
    values = np.column_stack([ionicity_of(formulas), np.full(240, np.nan)])
    values[:40, 1] = np.arange(40.0)
    folder = tmp_path_factory.mktemp("source") / "small"
    found = train_source(
        "small", Compositions.parse(formulas), values, ("ionicity", "rank"), folder,
        width=16, recipe=RECIPE,
    )  # fmt: skip
    return found, folder


def test_a_source_tells_values_and_inner_features(source: tuple[Source, Path]) -> None:
    cells = Compositions.parse(["NaCl", "Fe2O3"])
    blocks = source[0].blocks(cells)
    assert set(blocks) == set(blocks_of(["small"]))
    assert blocks["small values"].names == ("ionicity", "rank")
    assert blocks["small features"].values.shape == (2, 16)


def test_the_card_tells_data_and_errors(source: tuple[Source, Path]) -> None:
    card = source[0].card
    assert card["data"]["known"] == {"ionicity": 240, "rank": 40}
    assert 0 < card["errors"]["ionicity"] < 10


def test_a_source_reads_back_as_it_was_written(source: tuple[Source, Path]) -> None:
    again = Source.load(source[1])
    assert again.fingerprint() == source[0].fingerprint()


def test_a_changed_file_is_refused(source: tuple[Source, Path], tmp_path: Path) -> None:
    for name in ("card.json", "weights.safetensors"):
        (tmp_path / name).write_bytes((source[1] / name).read_bytes())
    with (tmp_path / "weights.safetensors").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(IntegrityError, match="SHA-256"):
        Source.load(tmp_path)


def test_any_changed_weight_changes_the_fingerprint(source: tuple[Source, Path]) -> None:
    import torch

    other = Source.load(source[1])
    with torch.no_grad():
        other.ensemble.networks[0].names.weight[26, 0] += 1e-3
    assert other.fingerprint() != source[0].fingerprint()


def test_descriptions_hold_physics_sources_and_conditions(source: tuple[Source, Path]) -> None:
    cells = Compositions.parse(["NaCl", "Fe2O3", "AlNi"])
    kelvin = Descriptors(np.array([[300.0], [400.0], [500.0]]), ("kelvin",))
    found = describe(cells, [source[0]], kelvin).take([2, 0])
    assert set(found.blocks) == {*PHYSICAL, *blocks_of(["small"])}
    assert found.conditions.values[:, 0].tolist() == [500.0, 300.0]
    assert found.compositions.reduced_formulas() == ["AlNi", "NaCl"]
    assert found.table(("fractions",)).shape == (2, 119)


def test_a_dopant_is_seen_in_the_fractions() -> None:
    found = describe(Compositions.parse(["Li1.02Fe0.98PO4", "LiFePO4"])).blocks["fractions"]
    iron = found.column("share of Fe")
    assert iron[0] == pytest.approx(np.sqrt(0.98 / 7.0)) and iron[0] < iron[1]


def test_conditions_must_go_with_the_formulas() -> None:
    with pytest.raises(InputError, match="2 conditions do not go with 1 formulas"):
        describe(Compositions.parse(["NaCl"]), (), Descriptors(np.zeros((2, 1)), ("kelvin",)))


def test_few_formulas_make_no_source(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="A source needs 100 formulas"):
        train_source("s", Compositions.parse(["NaCl", "KCl"]), np.zeros((2, 1)), ("x",), tmp_path)


def test_an_unknown_source_is_named() -> None:
    with pytest.raises(NotFound, match="no source 'moon'"):
        shipped("moon")


SALT_FROM_ALLOY = {
    "formation energy (eV/atom)": (-3.0, -1.0),  # NaCl lies 2.1 eV/atom below its elements
    "band gap (eV)": (2.0, 8.0),  # and has a gap
    "log volume of an atom (A^3)": (0.4, 1.0),  # 22.4 A^3 against 11.4
    "log10 bulk modulus (GPa)": (-1.2, -0.5),  # 24 GPa against 170 and more
    "log10 shear modulus (GPa)": (-1.2, -0.3),  # 15 GPa against 80 and more
}
"""Least and greatest difference of NaCl from FeCo."""


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_sources_know_salts_from_alloys(name: str) -> None:
    source = shipped(name)
    told = source.blocks(Compositions.parse(["NaCl", "FeCo"]))[f"{name} values"].values
    for place, quantity in enumerate(source.quantities):
        least, most = SALT_FROM_ALLOY[quantity]
        assert least < told[0, place] - told[1, place] < most, quantity


def test_one_source_ships_for_each_kind_of_quantity_and_one_for_all() -> None:
    assert shipped_names() == ("energy", "gap", "moduli", "mp36k", "volume")
