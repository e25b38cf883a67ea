"""What a screening ranks by, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from materialabs import transfer
from materialabs.errors import InputError
from materialabs.transfer.models import TransferModel
from tests.transfer.made_tables import formulas_of, ionicity_of, write_table


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("screening")


@pytest.fixture(scope="module")
def conductivities(place: Path) -> TransferModel:
    """Of values between 1e-9 and 1e-3, learned as logarithms."""
    formulas = formulas_of(30)
    values = 10.0 ** (-9.0 + 2.0 * np.clip(ionicity_of(formulas), 0.0, 3.0))
    lines = [f"{one},{value}" for one, value in zip(formulas, values, strict=True)]
    (place / "s.csv").write_text("formula,sigma\n" + "\n".join(lines))
    return transfer.fit(
        place / "s.csv", "sigma", logarithm=True, unit="S/cm", sources=[], networks=False,
        out=place / "sigma", progress=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def classes(place: Path) -> TransferModel:
    table = write_table(place / "t.csv", 30)
    return transfer.fit(
        table, "ionic", sources=[], networks=False, out=place / "classes", progress=False
    )


def test_a_value_to_be_near_is_in_the_unit_of_the_target(conductivities: TransferModel) -> None:
    found = transfer.screen(conductivities, "Na-Cl-Si", near=1e-7, atoms=4)
    assert found.goal == "nearest to 1e-07 S/cm"
    distance = np.hypot(found.told.mean + 7.0, found.told.std)[~found.told.out_of_domain]
    assert (np.diff(distance) >= 0).all()


@pytest.mark.parametrize("near", [0.0, -7.0, float("nan"), float("inf")])
def test_a_value_without_a_logarithm_is_refused(conductivities: TransferModel, near: float) -> None:
    with pytest.raises(InputError, match="a number above zero, since its logarithm was learned"):
        transfer.screen(conductivities, "Na-Cl", near=near)


def test_classes_are_asked_of_classifiers_only(conductivities: TransferModel) -> None:
    with pytest.raises(InputError, match="tells numbers; there is no class 'true'"):
        transfer.screen(conductivities, "Na-Cl", label="true")
    with pytest.raises(InputError, match="tells numbers; there is no class 'true'"):
        transfer.explain(conductivities, "NaCl", label="true")


def test_values_are_asked_of_numbers_only(classes: TransferModel) -> None:
    with pytest.raises(InputError, match="tells classes, not numbers"):
        transfer.screen(classes, "Na-Cl", near=1.0)
    with pytest.raises(InputError, match="tells classes, not numbers"):
        transfer.screen(classes, "Na-Cl", goal="low")


def test_the_probability_that_ranks_is_told(classes: TransferModel) -> None:
    found = transfer.screen(classes, "Fe-Si-O", label="false", atoms=3)
    told = [row["probability of false"] for row in found.table()]
    np.testing.assert_allclose(told, found.told.probability[:, 0])
    assert any(row["class"] == "true" for row in found.table())
