"""What a training finds in its folder: a model of its own is opened, another one is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from materialabs.errors import InputError
from materialabs.networks.model_files import CARD
from materialabs.networks.train import REPORT, WORK, train
from tests.networks.made_tables import formula_table


@pytest.mark.parametrize("changes", [{"target": "oxide"}, {"epochs": 2}])
def test_a_folder_with_a_finished_model_of_something_else_is_refused(
    changes: dict[str, object], tmp_path: Path
) -> None:
    table = formula_table(tmp_path / "t.csv", 40)
    asked = {"target": "ionic", "epochs": 1} | changes
    train(table, "ionic", out=tmp_path / "m", members=1, epochs=1, split="random")
    shutil.rmtree(tmp_path / "m" / WORK)
    before = (tmp_path / "m" / CARD).read_bytes()
    with pytest.raises(InputError, match="holds a model of another table, split or recipe"):
        train(table, **asked, out=tmp_path / "m", members=1, split="random")
    assert (tmp_path / "m" / CARD).read_bytes() == before
    assert not (tmp_path / "m" / WORK).exists()


def test_a_finished_model_without_its_work_is_opened_at_once(tmp_path: Path) -> None:
    table = formula_table(tmp_path / "t.csv", 40)
    first = train(table, "ionic", out=tmp_path / "m", members=1, epochs=1, split="random")
    shutil.rmtree(tmp_path / "m" / WORK)
    again = train(table, "ionic", out=tmp_path / "m", members=1, epochs=1, split="random")
    assert again.card == first.card


def test_a_table_whose_name_is_not_utf8_ends_in_a_card_and_a_report(tmp_path: Path) -> None:
    name = b"na\xffme.csv".decode(errors="surrogateescape")
    try:
        table = formula_table(tmp_path / name, 40)
    except OSError:
        pytest.skip("this file system takes no such name")
    model = train(table, "ionic", out=tmp_path / "m", members=1, epochs=1, split="random")
    assert model.card["data"]["name"] == r"na\udcffme.csv"
    assert (tmp_path / "m" / REPORT).exists()
