from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from materialabs import transfer
from materialabs.crystals.compositions import Compositions
from materialabs.errors import InputError, IntegrityError, NotFound
from materialabs.transfer import judging
from materialabs.transfer.described import describe
from materialabs.transfer.explaining import shapley_values
from materialabs.transfer.judging import digest_of
from materialabs.transfer.learning import Learned, learn
from materialabs.transfer.models import TransferModel
from materialabs.transfer.sources import shipped_names
from materialabs.transfer.strategies import strategies_for
from tests.transfer.made_tables import write_table


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fit")


@pytest.fixture(scope="module")
def model(place: Path) -> TransferModel:
    kelvin = np.random.default_rng(0).integers(300, 600, 60).tolist()
    table = write_table(place / "t.csv", 60, kelvin=kelvin, computed=list(range(60)))
    return transfer.fit(
        table, "ionicity", conditions=["kelvin"], unit="1", sources=[], networks=False,
        out=place / "model", progress=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> TransferModel:
    folder = tmp_path_factory.mktemp("classes")
    table = write_table(folder / "t.csv", 60)
    return transfer.fit(
        table, "ionic", sources=[], networks=False, out=folder / "model", progress=False
    )


def folder_of(model: TransferModel, tmp_path: Path) -> Path:
    from materialabs.transfer.models import write_model

    keys = ("name", "conditions", "metrics", "plan", "background")
    write_model(tmp_path, model._learned, (), {key: model.card[key] for key in keys})
    return tmp_path


def test_the_card_tells_errors_coverage_and_what_was_tried(model: TransferModel) -> None:
    metrics = model.card["metrics"]
    assert metrics["crystals"] == 60 and len(metrics["folds"]) == 5
    assert metrics["mae"] < 1.0 and 0.5 < metrics["coverage"][0]["coverage"] <= 1.0
    assert set(model.card["trials"]) == {"trees", "boosted trees", "kernel"}


def test_a_model_reads_back_as_it_was_written(model: TransferModel, tmp_path: Path) -> None:
    again = transfer.load(folder_of(model, tmp_path))
    formulas = ["NaCl", "MgO", "UO2"]
    first, other = (one.predict(formulas, {"kelvin": 400}) for one in (model, again))
    np.testing.assert_allclose(first.mean, other.mean, rtol=1e-6)
    np.testing.assert_allclose(first.low, other.low, rtol=1e-6)
    assert again.model_id == model.model_id


def test_weights_that_the_card_does_not_name_are_refused(
    model: TransferModel, tmp_path: Path
) -> None:
    folder = folder_of(model, tmp_path)
    with (folder / "weights.safetensors").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(IntegrityError, match="SHA-256"):
        transfer.load(folder)


def test_another_kind_of_model_is_refused(model: TransferModel, tmp_path: Path) -> None:
    folder = folder_of(model, tmp_path)
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | {"kind": "other"}))
    with pytest.raises(InputError, match="another kind of model"):
        transfer.load(folder)


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="holds no model"):
        transfer.load(tmp_path)


@pytest.mark.parametrize(
    ("conditions", "sentence"),
    [({}, "needs the condition 'kelvin'"), ({"kelvin": 1, "bar": 2}, "knows no condition 'bar'"),
     ({"kelvin": [1.0, 2.0, 3.0]}, "3 values of 'kelvin' do not go with 2 formulas"),
     ({"kelvin": float("nan")}, "not a number")],
)  # fmt: skip
def test_conditions_must_be_those_of_the_model(
    model: TransferModel, conditions: dict[str, float], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        model.predict(["NaCl", "KCl"], conditions)


def test_the_same_line_opens_the_finished_model(model: TransferModel, place: Path) -> None:
    again = transfer.fit(
        place / "t.csv", "ionicity", conditions=["kelvin"], unit="1", sources=[], networks=False,
        out=place / "model",
    )  # fmt: skip
    assert again.model_id == model.model_id and again.card == model.card


def test_a_folder_of_another_fit_is_refused(model: TransferModel, place: Path) -> None:
    with pytest.raises(InputError, match="another table, folds, sources, networks or seed"):
        transfer.fit(
            place / "t.csv", "ionicity", sources=[], networks=False, seed=1, out=place / "model"
        )


def test_the_report_is_one_file_that_loads_nothing(model: TransferModel, place: Path) -> None:
    text = (place / "model" / "report.html").read_text()
    assert "Mean absolute error" in text and "Largest errors" in text
    assert "<script src" not in text and "<link" not in text


def test_classes_have_probabilities_and_a_confusion_table(classes: TransferModel) -> None:
    told = classes.predict(["NaCl", "FeSi"])
    assert told.labels == ("true", "false")
    assert classes.card["metrics"]["balanced_accuracy"] > 0.7


def test_screening_ranks_all_formulas_of_a_system(model: TransferModel) -> None:
    found = transfer.screen(model, "Na-Cl-O", atoms=5, conditions={"kelvin": 400}, most=1000)
    names = found.formulas
    assert len(names) == found.considered == len(set(names))
    told = found.told.mean[~found.told.out_of_domain]
    assert (np.diff(told) <= 0).all()
    low = transfer.screen(model, ["Na", "Cl"], goal="low", atoms=4, conditions={"kelvin": 400})
    assert (np.diff(low.told.mean[~low.told.out_of_domain]) >= 0).all()


def test_screening_for_a_value_puts_the_nearest_first(model: TransferModel) -> None:
    found = transfer.screen(model, "Na-Mg-O", near=2.0, atoms=4, conditions={"kelvin": 400}, most=5)
    assert abs(found.told.mean[0] - 2.0) < 1.5 and "nearest to 2" in found.goal


def test_screening_for_a_class_ranks_its_probability(classes: TransferModel) -> None:
    found = transfer.screen(classes, "Fe-Si-O", label="false", atoms=4)
    known = ~found.told.out_of_domain
    assert (np.diff(found.told.probability[known, 0]) <= 0).all()
    with pytest.raises(InputError, match="no class 'maybe'"):
        transfer.screen(classes, "Fe-Si-O", label="maybe", atoms=3)


def test_wrong_goals_are_refused(model: TransferModel) -> None:
    with pytest.raises(InputError, match="high or low"):
        transfer.screen(model, "Na-Cl", goal="best")
    with pytest.raises(InputError, match="one formula or more"):
        transfer.screen(model, "Na-Cl", most=0)


def test_an_additive_game_pays_each_player_its_own_gain() -> None:
    gains = np.array([1.0, -2.0, 0.5])
    worth = np.array([sum(g for i, g in enumerate(gains) if c >> i & 1) for c in range(8)])
    np.testing.assert_allclose(shapley_values(3, worth), gains, atol=1e-12)


def test_the_glove_game_has_its_known_values() -> None:
    """One left glove, two right ones: a pair is worth 1; Shapley values 2/3, 1/6, 1/6."""
    worth = np.array([1.0 if c & 1 and c & 6 else 0.0 for c in range(8)])
    np.testing.assert_allclose(shapley_values(3, worth), [2 / 3, 1 / 6, 1 / 6])


def test_contributions_add_up_to_the_prediction(model: TransferModel) -> None:
    found = transfer.explain(model, "NaCl", {"kelvin": 400})
    for parts in (found.elements, found.descriptors):
        total = found.usual + sum(part.value for part in parts)
        assert total == pytest.approx(found.prediction, abs=1e-6)
    assert {part.name for part in found.elements} == {"Na", "Cl"}


def test_a_class_can_be_named_for_an_explanation(classes: TransferModel) -> None:
    found = transfer.explain(classes, "NaCl", label="false")
    assert found.label == "false" and found.prediction < 0.5
    with pytest.raises(InputError, match="no class"):
        transfer.explain(classes, "NaCl", label="maybe")


def test_crystals_and_compositions_are_taken_too(classes: TransferModel) -> None:
    told = classes.predict(Compositions.parse(["NaCl"]))
    assert told.mean[0] == pytest.approx(classes.predict("NaCl").mean[0])


@pytest.mark.slow
def test_a_model_with_the_source_that_suits_best_reads_back(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t.csv", 25)
    first = transfer.fit(table, "ionicity", out=tmp_path / "m", progress=False)
    again = transfer.load(tmp_path / "m")
    formulas = ["NaCl", "CaO"]
    np.testing.assert_allclose(first.predict(formulas).mean, again.predict(formulas).mean)
    [used] = again.card["sources"]
    assert f"kernel with {used['name']}" in again.card["trials"]
    scores = again.card["sources_offered"]
    assert list(scores) == list(shipped_names())
    assert max(scores, key=scores.__getitem__) == used["name"]
    chosen = again.card["sources_of_folds"]
    assert len(chosen) == len(again.card["metrics"]["folds"])
    assert all(len(some) == 1 and some[0] in scores for some in chosen)
    text = (tmp_path / "m" / "report.html").read_text()
    assert f"knowledge: {used['name']}. The one of the highest score" in text
    assert f"<td>{used['name']}</td><td>{scores[used['name']]:.4g}</td>" in text
    card = json.loads((tmp_path / "m" / "card.json").read_text())
    card["sources"][0]["sha256"] = "0" * 64
    (tmp_path / "m" / "card.json").write_text(json.dumps(card))
    with pytest.raises(IntegrityError, match="not the one that the model learned with"):
        transfer.load(tmp_path / "m")


def test_a_fit_that_was_killed_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = write_table(tmp_path / "t.csv", 60)
    whole = fitted(table, tmp_path / "whole")
    script = (
        "from tests.transfer.test_fitting import fitted; from pathlib import Path; "
        f"fitted(Path({str(table)!r}), Path({str(tmp_path / 'killed')!r}))"
    )
    work = tmp_path / "killed" / "work"
    process = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[2])
    while len(list(work.rglob("card.json"))) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    kept = {path: path.read_bytes() for path in work.rglob("card.json")}
    assert kept and not (tmp_path / "killed" / "card.json").exists()
    broken = sorted(kept)[0].parent / "weights.safetensors"
    broken.write_bytes(broken.read_bytes()[:-1])
    calls = []

    def counted(*some: Any, **more: Any) -> Learned:
        calls.append(some)
        return learn(*some, **more)

    monkeypatch.setattr(judging, "learn", counted)
    again = fitted(table, tmp_path / "killed")
    assert len(calls) == len(whole.card["metrics"]["folds"]) - len(kept) + 1
    assert again.card["metrics"] == whole.card["metrics"]
    assert again.card["files"] == whole.card["files"] and not work.exists()


def test_what_other_strategies_have_learned_is_not_taken_for_ones_own() -> None:
    described, groups = describe(Compositions.parse(["NaCl", "CaO"])), np.arange(2)
    targets = np.array([[1.0], [2.0]])
    names = {
        digest_of(described, targets, groups, some)
        for some in (strategies_for([]), strategies_for(["gap"]), strategies_for([])[:-1])
    }
    assert len(names) == 3


def fitted(table: Path, folder: Path) -> TransferModel:
    """A model of a made table."""
    return transfer.fit(table, "ionicity", sources=[], networks=False, out=folder, progress=False)
