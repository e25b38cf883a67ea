"""Rows of a table beside the crystals of other files: the right one each, or a refusal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from materialabs.crystals.batch import Crystals
from materialabs.crystals.files import write
from materialabs.errors import FileError, InputError
from materialabs.networks.labelled_tables import LabelledTable, read_labelled
from tests.networks.made_tables import crystals_of, ionic_energies

COUNT = 12
SHUFFLED = np.random.default_rng(2).permutation(COUNT)
NAMES = [f"p{place:03d}" for place in range(COUNT)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CIF files p000.cif ... whose blocks bear the formulas."""
    made = tmp_path_factory.mktemp("joined") / "cifs"
    made.mkdir()
    for name, crystal in zip(NAMES, crystals_of(COUNT), strict=True):
        write(crystal.with_columns(id=crystal.reduced_formulas()), made / f"{name}.cif")
    return made


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file of crystals with ids q-0, q-1 ..."""
    made = tmp_path_factory.mktemp("single") / "all.extxyz"
    write(crystals_of(COUNT).with_columns(id=[f"q-{place}" for place in range(COUNT)]), made)
    return made


def table(path: Path, order: Sequence[int] | None = None, **columns: Sequence[object]) -> Path:
    """CSV of the ionic energies and further columns, its rows in another order."""
    cells = {"ionic": ionic_energies(crystals_of(COUNT)).tolist()} | columns
    chosen = SHUFFLED if order is None else order
    lines = [",".join(str(values[row]) for values in cells.values()) for row in chosen]
    path.write_text("\n".join([",".join(cells), *lines]) + "\n")
    return path


def require_right(found: LabelledTable, count: int = COUNT) -> None:
    """Every crystal has its own energy."""
    assert isinstance(found.inputs, Crystals) and len(found.inputs) == count
    told = np.array([float(value) for value in found.column("ionic")])
    np.testing.assert_allclose(told, ionic_energies(found.inputs), atol=1e-6)


@pytest.mark.parametrize("column", ["id", "name", "fileName", "Material ID", "file", "code"])
@pytest.mark.parametrize("form", ["{}", "{}.cif", "cifs/{}.cif", "./cifs/{}", "C:\\x\\{}.cif"])
def test_rows_find_their_crystals_by_file(
    column: str, form: str, folder: Path, tmp_path: Path
) -> None:
    named = table(tmp_path / "t.csv", **{column: [form.format(name) for name in NAMES]})
    require_right(read_labelled(named, folder))


def test_rows_are_called_as_the_table_calls_them(folder: Path, tmp_path: Path) -> None:
    found = read_labelled(table(tmp_path / "t.csv", id=NAMES), folder)
    assert found.ids == tuple(NAMES[row] for row in SHUFFLED)


def test_files_of_the_same_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for name, crystal in zip(NAMES, crystals_of(COUNT), strict=True):
        (tmp_path / "runs" / name).mkdir(parents=True)
        write(crystal, tmp_path / "runs" / name / "final.vasp")
    named = table(tmp_path / "t.csv", file=[f"{name}/final.vasp" for name in NAMES])
    require_right(read_labelled(named, tmp_path / "runs"))


def test_numbered_files_are_joined_by_number_and_not_by_their_order(tmp_path: Path) -> None:
    for place, crystal in enumerate(crystals_of(COUNT)):
        write(crystal, tmp_path / f"{place + 1}.vasp")
    numbers = range(1, COUNT + 1)
    require_right(read_labelled(table(tmp_path / "t.csv", id=numbers), tmp_path / "*.vasp"))
    plain = table(tmp_path / "plain.csv", order=range(COUNT))
    with pytest.raises(InputError, match=r"only the crystals of a single file .* have an order"):
        read_labelled(plain, tmp_path / "*.vasp")


@pytest.mark.parametrize("column", ["stacking", "nsites"])
def test_numbers_that_are_no_ids_join_nothing(column: str, tmp_path: Path) -> None:
    for place, crystal in enumerate(crystals_of(COUNT)):
        write(crystal, tmp_path / f"{place}.vasp")
    numbers = SHUFFLED if column == "stacking" else [5] * COUNT
    with pytest.raises(InputError, match="give the table a column 'id'"):
        read_labelled(table(tmp_path / "t.csv", **{column: numbers}), tmp_path / "*.vasp")


def test_ids_that_match_nothing_are_refused_whatever_the_numbers_of_rows(
    folder: Path, single: Path, tmp_path: Path
) -> None:
    strange = table(tmp_path / "t.csv", id=[f"x{name}" for name in NAMES])
    with pytest.raises(InputError, match=r"no id is in both \('id' holds 'xp\d+'\): give"):
        read_labelled(strange, folder)
    with pytest.raises(InputError, match="or leave 'id' out if the rows stand in the order"):
        read_labelled(strange, single)


def test_few_numbers_in_both_are_no_ids(tmp_path: Path) -> None:
    for place, crystal in enumerate(crystals_of(COUNT)):
        write(crystal, tmp_path / f"{place + 4}.vasp")
    with pytest.raises(InputError, match="only 8 of the ids are in both"):
        read_labelled(table(tmp_path / "t.csv", id=range(COUNT)), tmp_path / "*.vasp")


def test_rows_without_a_crystal_are_left_out_and_told(folder: Path, tmp_path: Path) -> None:
    ids = [name if place % 3 else f"x{name}" for place, name in enumerate(NAMES)]
    found = read_labelled(table(tmp_path / "t.csv", id=ids), folder)
    require_right(found, COUNT - COUNT // 3)
    assert found.notes == ("4 rows of the table have no crystal and are left out",)


def test_rows_of_a_single_file_are_joined_by_order_with_a_note(
    single: Path, tmp_path: Path
) -> None:
    plain = table(tmp_path / "t.csv", order=range(COUNT), nsites=[2] * COUNT)
    found = read_labelled(plain, single)
    require_right(found)
    assert found.notes == (
        "12 rows are joined to the crystals of all.extxyz by their order, for the table has no "
        "column of ids",
    )


def test_several_files_are_not_joined_by_order(folder: Path, tmp_path: Path) -> None:
    plain = table(tmp_path / "t.csv", order=range(COUNT))
    for structures in (folder, str(folder / "*.cif"), sorted(map(str, folder.iterdir()))):
        with pytest.raises(InputError, match="12 rows and the files hold 12 crystals"):
            read_labelled(plain, structures)


def test_a_column_that_is_not_called_an_id_is_noted(folder: Path, tmp_path: Path) -> None:
    found = read_labelled(table(tmp_path / "t.csv", code=NAMES), folder)
    assert found.notes == ("rows are joined to crystals by the column 'code'",)


def test_an_id_that_repeats_is_named(folder: Path, tmp_path: Path) -> None:
    repeated = table(tmp_path / "t.csv", id=[NAMES[0], *NAMES[:-1]])
    with pytest.raises(InputError, match=r"more than once \('p000' by the column 'id'\)"):
        read_labelled(repeated, folder)


def test_columns_that_name_different_crystals_are_refused(folder: Path, tmp_path: Path) -> None:
    wrong = [f"{name}.cif" for name in (*NAMES[1:], NAMES[0])]
    with pytest.raises(InputError, match="leave the wrong column out"):
        read_labelled(table(tmp_path / "t.csv", id=NAMES, file=wrong), folder)


def test_structures_that_cannot_be_read_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "bad.cif").write_text("no crystal")
    with pytest.raises(FileError, match=r"^Nothing could be read: 1 refused.*bad\.cif"):
        read_labelled(table(tmp_path / "t.csv", id=NAMES), tmp_path / "bad.cif")
