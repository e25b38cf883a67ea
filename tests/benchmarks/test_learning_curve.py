"""Parts of growing size that share no formula with what is judged."""

from __future__ import annotations

from argparse import Namespace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")

from benchmarks.accuracy import Kept
from benchmarks.learning_curve import SHARES, Table, curve_row


@pytest.fixture(scope="module")
def table(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Table:
    return Table.read(Namespace(folder=tmp_path_factory.mktemp("curve"), quick=True))


def test_each_part_holds_those_before_it_and_no_formula_that_is_judged(table: Table) -> None:
    formulas = np.array(table.inputs.crystals.reduced_formulas())
    judged = set(formulas[np.concatenate([table.split.test, table.stopping])])
    parts = [table.part(share) for share in SHARES]
    for small, large in pairwise(parts):
        assert set(small) < set(large) and len(large) == pytest.approx(2 * len(small), abs=1)
    assert not judged & set(formulas[parts[-1]])
    assert len(parts[-1]) + len(table.stopping) == len(table.split.train)


def test_the_power_of_a_curve_is_that_of_its_errors(table: Table) -> None:
    """Errors that fall by a third with every doubling have the power log2(1.5)."""
    counts, truth = [100, 200, 400], table.energies[table.split.test]
    curve = [Kept(truth + 0.1 / 1.5**number, 1.0) for number in range(3)]
    row = curve_row("made", table, counts, curve)
    assert row["exponent"] == pytest.approx(np.log2(1.5))
    assert row["many_elements_exponent"] == pytest.approx(np.log2(1.5))
    assert row["median_exponent"] == pytest.approx(np.log2(1.5))
    assert row["mae_mev_per_atom"] == row["median_mev_per_atom"] == [100.0, 66.67, 44.44]
    assert np.exp(row["log_mae_of_one_crystal"]) == pytest.approx(100.0 * 100 ** np.log2(1.5))
