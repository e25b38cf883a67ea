"""The table of relaxed candidates that networks of candidates learn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benchmarks.relaxed_candidates import (
    LARGEST_FORMATION,
    RelaxedCandidates,
    formation_energies,
)

from materialabs.crystals.batch import Crystals
from materialabs.crystals.compositions import Compositions
from materialabs.crystals.prototypes import fill


@pytest.fixture(scope="module")
def table() -> RelaxedCandidates:
    return RelaxedCandidates.load()


def test_each_candidate_is_the_same_atoms_before_and_after(table: RelaxedCandidates) -> None:
    assert len(table.starts) == len(table.ends) == len(table.energies)
    assert np.array_equal(table.starts.offsets, table.ends.offsets)
    assert np.array_equal(table.starts.numbers, table.ends.numbers)
    moved = np.abs(table.ends.volumes / table.starts.volumes - 1.0)
    assert np.median(moved) > 0.01


def test_energies_are_those_of_crystals(table: RelaxedCandidates) -> None:
    for energies in (table.energies, table.known_energies):
        assert np.isfinite(energies).all()
        assert energies.max() < LARGEST_FORMATION
        assert energies.min() > -6.0
    assert np.median(table.known_energies) < -0.7 < np.median(table.energies)


def test_known_compounds_come_from_the_table_that_holds_them(
    table: RelaxedCandidates, data_folder: Path
) -> None:
    from materialabs.crystals.files import read

    everything = read(str(data_folder / "structures" / "mp36k.jsonl.gz"), progress=False)
    joined, energies = table.with_known(everything)
    assert len(joined) == len(energies) == len(table.ends) + len(table.known)
    there = {name: row for row, name in enumerate(everything.columns["id"])}
    rows = np.array([there[name] for name in table.known])
    published = np.asarray(everything.columns["formation_energy"], dtype=float)[rows]
    assert np.median(np.abs(table.known_energies - published)) < 0.1


def test_what_is_written_is_read_again(table: RelaxedCandidates, tmp_path: Path) -> None:
    few = RelaxedCandidates(
        table.starts[:5], table.ends[:5], table.energies[:5], table.known[:3],
        table.known_energies[:3],
    )  # fmt: skip
    few.save(tmp_path / "few.npz")
    again = RelaxedCandidates.load(tmp_path / "few.npz")
    for one, other in ((again.starts, few.starts), (again.ends, few.ends)):
        assert np.array_equal(one.frac, other.frac)
        assert np.array_equal(one.lattice, other.lattice)
        assert np.array_equal(one.numbers, other.numbers)
    assert again.known == few.known
    assert np.array_equal(again.energies, few.energies)


def test_formation_energies_count_from_the_lowest_element() -> None:
    pure = Crystals.concat([fill("Copper", ["Cu"]), fill("Copper", ["Cu"]), fill("Copper", ["Au"])])
    cells = Compositions.parse(["CuAu3", "CuAg"])
    found = formation_energies(cells, np.array([-3.0, -3.0]), (pure, np.array([-3.5, -3.7, -3.2])))
    assert found[0] == pytest.approx(-3.0 + 0.25 * 3.7 + 0.75 * 3.2)
    assert np.isnan(found[1])
