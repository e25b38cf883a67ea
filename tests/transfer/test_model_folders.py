"""Folders of models: what is written over, what is opened again, what is broken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from materialabs import transfer
from materialabs.errors import InputError, IntegrityError, ResourceError
from materialabs.transfer import fitting
from materialabs.transfer.models import TransferModel
from tests.transfer.made_tables import write_table


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write_table(tmp_path / "t.csv", 24, kelvin=[300 + n % 5 for n in range(24)])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("place")


def fitted(place: Path, *, credit: str = "", licence: str = "") -> TransferModel:
    table = write_table(place / "t.csv", 24, kelvin=[300 + n % 5 for n in range(24)])
    return transfer.fit(
        table, "ionicity", conditions=["kelvin"], sources=[], networks=False,
        out=place / "model", progress=False, credit=credit, licence=licence,
    )  # fmt: skip


@pytest.fixture(scope="module")
def model(place: Path) -> TransferModel:
    return fitted(place, credit="A. Author")


@pytest.fixture
def folder(model: TransferModel, tmp_path: Path) -> Path:
    """A copy of the model's folder."""
    from materialabs.transfer.models import write_model

    keys = ("name", "conditions", "condition_ranges", "background")
    write_model(tmp_path / "copy", model._learned, (), {key: model.card[key] for key in keys})
    return tmp_path / "copy"


@pytest.fixture(autouse=True)
def _make_copy(tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()


@pytest.mark.parametrize("name", ["report.html", "weights.safetensors"])
def test_files_of_others_are_not_written_over(table: Path, tmp_path: Path, name: str) -> None:
    mine = tmp_path / "copy" / name
    mine.write_text("mine")
    with pytest.raises(InputError, match=f"holds {name} but no model"):
        transfer.fit(table, "ionicity", sources=[], networks=False, out=mine.parent)
    assert mine.read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_found_before_judging(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(dir: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(fitting, "TemporaryFile", full)
    monkeypatch.setattr(fitting, "judge", lambda *_, **__: pytest.fail("judged"))
    with pytest.raises(ResourceError, match="cannot be written: Permission denied"):
        transfer.fit(table, "ionicity", sources=[], networks=False, out=tmp_path / "copy")


@pytest.mark.parametrize("told", [{"credit": "B. Author"}, {"licence": "CC0"}])
def test_a_finished_model_with_another_credit_is_refused(
    model: TransferModel, place: Path, told: dict[str, str]
) -> None:
    with pytest.raises(InputError, match=f"another {next(iter(told))}"):
        fitted(place, **told)
    assert fitted(place).card == model.card == fitted(place, credit="A. Author").card


def test_a_folder_without_weights_gets_one_sentence(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()
    with pytest.raises(IntegrityError, match=r"weights\.safetensors is missing"):
        transfer.load(folder)


@pytest.mark.parametrize("entry", ["name", "conditions", "background"])
def test_a_card_that_lacks_an_entry_gets_one_sentence(folder: Path, entry: str) -> None:
    card = json.loads((folder / "card.json").read_text())
    del card[entry]
    (folder / "card.json").write_text(json.dumps(card))
    with pytest.raises(IntegrityError, match=f"its card lacks {entry}"):
        transfer.load(folder)


def test_conditions_outside_what_was_learned_are_told(model: TransferModel) -> None:
    assert model.unlearned_conditions({"kelvin": 302}) == []
    [said] = model.unlearned_conditions({"kelvin": [302, 900]})
    assert said == "kelvin was learned from 300 to 304 only"


def test_a_model_of_before_ranges_were_kept_still_opens(folder: Path) -> None:
    card = json.loads((folder / "card.json").read_text())
    del card["condition_ranges"]
    (folder / "card.json").write_text(json.dumps(card))
    old = transfer.load(folder)
    assert old.predict("NaCl", {"kelvin": 900}).mean.shape == (1,)
    assert old.unlearned_conditions({"kelvin": 900}) == []
