from __future__ import annotations

from pathlib import Path

import pytest
from hull_systems import documents

from materialabs.errors import InputError
from materialabs.hull.corrections import corrected
from materialabs.levels import MP2020

pytestmark = pytest.mark.filterwarnings("ignore")


def test_corrections_equal_those_that_the_materials_project_publishes(data_folder: Path) -> None:
    rows = documents(data_folder, "Mn_O_Y_entries.json.gz")[:60]
    table = corrected(rows)
    known = {
        row["entry_id"]: (row["energy"] + row["correction"]) / sum(row["composition"].values())
        for row in rows
    }
    assert table.energies.level == MP2020
    assert len(table) + len(table.refused) == len(rows)
    assert table.energies.values == pytest.approx([known[name] for name in table.ids], abs=1e-6)


def test_pymatgen_entries_are_taken_and_left_as_they_were(data_folder: Path) -> None:
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    entry = ComputedStructureEntry.from_dict(documents(data_folder, "Mn_O_Y_entries.json.gz")[0])
    before = entry.energy
    assert corrected([entry]).ids == [entry.entry_id]
    assert entry.energy == before
    assert "materialabs_number" not in entry.data


def test_entries_without_parameters_are_refused() -> None:
    with pytest.raises(InputError, match="covers none"):
        corrected([{"composition": {"Fe": 1.0, "O": 1.0}, "energy": -10.0, "correction": 0.0}])


def test_what_is_no_entry_is_refused() -> None:
    with pytest.raises(InputError, match="cannot be read"):
        corrected([{"energy": -10.0}])
