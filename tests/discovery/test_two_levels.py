"""The best of a campaign at a second level, like with like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from materialabs.discovery import discover
from materialabs.discovery.tables import finding_rows
from materialabs.discovery.two_levels import SecondLook, looks, verify
from materialabs.errors import InputError, LevelError
from materialabs.hull import Hull
from materialabs.levels import Energies
from materialabs.oracles.calculators import AseOracle
from materialabs.store.store import Store
from tests.discovery.conftest import BATCH


@pytest.fixture(scope="module")
def look(tmp_path_factory: pytest.TempPathFactory, emt: AseOracle) -> SecondLook:
    """EMT, then EMT with its parameters of another publication's potential: a second level."""
    folder = tmp_path_factory.mktemp("two")
    store = Store(folder / "lab.db", keys=folder / "keys")
    campaign = discover("Cu-Au", 11, store, oracle=emt, model="campaign", batch=BATCH)
    second = AseOracle("emt", asap_cutoff=True)
    assert second.level != emt.level
    return verify(campaign, second, top=3)


def test_each_level_has_its_own_hull(look: SecondLook) -> None:
    first, second = look.first.findings, look.second.findings
    assert first.hull.level != second.hull.level
    assert set(second.references) == set(first.references)


def test_decomposition_energies_are_those_of_each_hull(look: SecondLook) -> None:
    rows = {row["name"]: row for row in look.table()}
    assert len(rows) == 3
    for findings, column in ((look.first.findings, "first level"),
                             (look.second.findings, "second level")):  # fmt: skip
        for one in findings.good:
            name = one.name if findings is look.first.findings else one.plan.get("id")
            if name not in rows or (findings is look.second.findings and not one.plan["wanted"]):
                continue
            place = [good.key for good in findings.good].index(one.key)
            others = [i for i, good in enumerate(findings.good) if good.formula != one.formula]
            hull = Hull(findings._every[np.array(others)], findings.formation[np.array(others)])
            alone = hull.distance(one.relaxed, findings.formation[[place]])[0]
            assert rows[name][column] == pytest.approx(alone, abs=1e-9)


def test_raw_differences_stand_in_a_column_named_so(look: SecondLook) -> None:
    for row in look.table():
        assert "raw difference between levels" in row
        assert row["difference"] == pytest.approx(row["second level"] - row["first level"])


def test_energies_of_the_two_levels_are_never_mixed(look: SecondLook) -> None:
    second = look.second.findings
    with pytest.raises(LevelError):
        look.first.hull.distance(second.good[0].relaxed, second.formation[[0]])


def test_a_verification_is_found_again_and_costs_nothing_twice(look: SecondLook) -> None:
    entries = len(list(look.first.store.entries()))
    again = verify(look.first, AseOracle("emt", asap_cutoff=True), top=3)
    assert again.second.id == look.second.id
    assert len(list(look.first.store.entries())) == entries
    assert [one.second.id for one in looks(look.first.store, look.first)] == [look.second.id]


def test_the_report_shows_the_comparison(look: SecondLook, tmp_path: Path) -> None:
    path = look.first.report(tmp_path / "report.html")
    assert "raw difference between levels" in path.read_text()


def test_the_second_level_says_where_its_crystals_are_from(look: SecondLook) -> None:
    names = {one.name for one in look.first.findings.good}
    for row in finding_rows(look.second.findings):
        text = row["origin"]
        assert text == "reference of the element" or text.split(" as relaxed")[0] in names


def test_a_campaign_is_not_verified_at_its_own_level(look: SecondLook, emt: AseOracle) -> None:
    with pytest.raises(InputError, match="already"):
        verify(look.first, emt)


def test_labels_of_a_second_level_are_at_that_level(look: SecondLook) -> None:
    energies = look.second.findings.formation
    assert isinstance(energies, Energies)
    assert energies.level == look.second.row.request.hull_level
