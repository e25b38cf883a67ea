"""What the kind of folds decides, and what it does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from materialabs import transfer
from materialabs.errors import InputError
from materialabs.transfer import fitting
from materialabs.transfer.folds import FoldPlan, plan_folds
from materialabs.transfer.models import TransferModel
from tests.transfer.made_tables import formulas_of, ionicity_of


@pytest.fixture(scope="module")
def repeats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve compounds, each measured three times."""
    place = tmp_path_factory.mktemp("repeats") / "t.csv"
    formulas = formulas_of(12) * 3
    values = ionicity_of(formulas) + np.random.default_rng(0).normal(0.0, 0.02, 36)
    lines = [f"{one},{value}" for one, value in zip(formulas, values, strict=True)]
    place.write_text("formula,ionicity\n" + "\n".join(lines))
    return place


@pytest.fixture(scope="module")
def models(repeats: Path) -> list[TransferModel]:
    """Judged on folds by formula, and on random ones."""
    return [fitted(repeats, folds) for folds in ("formula", "random")]


def fitted(table: Path, folds: str) -> TransferModel:
    return transfer.fit(
        table,
        "ionicity",
        folds=folds,
        sources=[],
        networks=False,
        out=table.parent / folds,
        progress=False,
    )


def test_the_finished_model_is_the_same_whatever_it_is_judged_on(
    models: list[TransferModel],
) -> None:
    told = [model.predict(["CsF", "BaS"]) for model in models]
    np.testing.assert_array_equal(told[0].mean, told[1].mean)
    np.testing.assert_array_equal(told[0].low, told[1].low)


def test_shared_compounds_are_noted_of_random_folds_only(models: list[TransferModel]) -> None:
    told = [" ".join(model.card["data"]["notes"]) for model in models]
    assert ["learned from other rows of their compound" in one for one in told] == [False, True]


@pytest.mark.parametrize("folds", ["random", "system"])
def test_inside_judged_folds_compounds_stay_together(
    repeats: Path, folds: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[FoldPlan] = []

    def noted(
        described: object, targets: object, plan: FoldPlan, *rest: object, **more: object
    ) -> None:
        plans.append(plan)
        raise RuntimeError("enough")

    monkeypatch.setattr(fitting, "judge", noted)
    with pytest.raises(RuntimeError, match="enough"):
        transfer.fit(
            repeats,
            "ionicity",
            folds=folds,
            sources=[],
            networks=False,
            out=repeats.parent / f"{folds}-plan",
        )
    measured = fitting.read_measurements(repeats, "ionicity")
    compounds = plan_folds(measured.compositions, "formula").groups
    asked = plan_folds(measured.compositions, folds)
    np.testing.assert_array_equal(plans[0].groups, compounds)
    assert [cut.test.tolist() for cut in plans[0].outer] == [c.test.tolist() for c in asked.outer]


def test_folds_by_element_say_how_many_rows_they_judge(tmp_path: Path) -> None:
    formulas = formulas_of(30)
    lines = [f"{one},{value}" for one, value in zip(formulas, ionicity_of(formulas), strict=True)]
    (tmp_path / "t.csv").write_text("formula,ionicity\n" + "\n".join(lines))
    model = fitted(tmp_path / "t.csv", "element")
    judged = model.card["metrics"]["crystals"]
    text = (tmp_path / "element" / "report.html").read_text()
    assert judged <= 30 and f"{judged} of 30 rows were judged" in text
    assert "Each row was judged once" not in text


def test_two_compounds_are_enough_to_be_judged_on(tmp_path: Path) -> None:
    lines = [f"{'NaCl' if n % 2 else 'KCl'},{300 + n},{n % 7}" for n in range(24)]
    (tmp_path / "t.csv").write_text("formula,kelvin,value\n" + "\n".join(lines))
    model = transfer.fit(
        tmp_path / "t.csv", "value", conditions=["kelvin"], sources=[], networks=False,
        out=tmp_path / "m", progress=False,
    )  # fmt: skip
    assert len(model.card["metrics"]["folds"]) == 2


def test_one_compound_is_too_little_to_learn_from(tmp_path: Path) -> None:
    lines = [f"NaCl,{300 + n},{n % 7}" for n in range(24)]
    (tmp_path / "t.csv").write_text("formula,kelvin,value\n" + "\n".join(lines))
    with pytest.raises(InputError, match="All rows are of one compound") as caught:
        transfer.fit(
            tmp_path / "t.csv", "value", conditions=["kelvin"], folds="random", sources=[],
            networks=False, out=tmp_path / "m",
        )  # fmt: skip
    assert caught.value.code == "transfer.few"
