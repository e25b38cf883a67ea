from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from materialabs.errors import FileError, FormulaError, InputError
from materialabs.transfer.tables import FEWEST, read_measurements
from tests.transfer.made_tables import formulas_of, ionicity_of, write_table


def table(path: Path, text: str) -> Path:
    """A CSV of the given lines after enough good ones."""
    good = [f"{formula},{number * 0.1}" for number, formula in enumerate(formulas_of(30))]
    path.write_text("formula,gap\n" + "\n".join(good) + "\n" + text)
    return path


def test_values_conditions_and_row_numbers_are_those_of_the_table(tmp_path: Path) -> None:
    place = write_table(tmp_path / "t.csv", 40, kelvin=list(range(300, 340)))
    found = read_measurements(place, "ionicity", conditions=["kelvin"], unit="1")
    np.testing.assert_allclose(found.targets[:, 0], ionicity_of(formulas_of(40)))
    assert found.conditions.values[:, 0].tolist() == list(range(300, 340))
    assert found.rows.tolist() == list(range(1, 41))


def test_columns_that_are_not_named_are_never_inputs(tmp_path: Path) -> None:
    place = write_table(tmp_path / "t.csv", 40, computed=list(range(40)))
    assert read_measurements(place, "ionicity").conditions.names == ()


def test_rows_without_a_value_are_left_out_and_counted(tmp_path: Path) -> None:
    found = read_measurements(table(tmp_path / "t.csv", "NaCl,\nKCl,-\n"), "gap")
    assert len(found) == 30 and "2 of 32 rows have no value" in found.notes[0]


def test_formulas_that_do_not_parse_are_listed_with_their_rows(tmp_path: Path) -> None:
    place = table(tmp_path / "t.csv", "Na(Cl,1\nXx2O,2\n")
    with pytest.raises(FormulaError, match=r"2 of 32 rows.*row 31.*row 32.*'Xx'") as caught:
        read_measurements(place, "gap")
    assert caught.value.code == "transfer.rows"


def test_the_rest_goes_on_if_asked(tmp_path: Path) -> None:
    found = read_measurements(table(tmp_path / "t.csv", "Na(Cl,1\nNaF,2\n"), "gap", skip_bad=True)
    assert found.rows.tolist() == [*range(1, 31), 32]
    assert any("row 31" in note for note in found.notes)


def test_text_among_numbers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="numbers and texts such as 'about 2'"):
        read_measurements(table(tmp_path / "t.csv", "NaCl,about 2\n"), "gap")


def test_equal_targets_are_refused(tmp_path: Path) -> None:
    place = tmp_path / "t.csv"
    place.write_text("formula,gap\n" + "".join(f"{one},1.5\n" for one in formulas_of(30)))
    with pytest.raises(InputError, match="Every value of 'gap' is the same"):
        read_measurements(place, "gap")


def test_eight_rows_are_too_few(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"8 rows .* {FEWEST} are needed"):
        read_measurements(write_table(tmp_path / "t.csv", 8), "ionicity")


def test_repeated_formulas_with_contradicting_values_are_reported(tmp_path: Path) -> None:
    found = read_measurements(table(tmp_path / "t.csv", "NaCl,1.0\nCl2Na2,1.5\n"), "gap")
    note = next(note for note in found.notes if "more than once" in note)
    assert "by 0.5" in note and "NaCl" in note and "all are kept" in note


def test_the_same_formula_at_other_conditions_is_no_contradiction(tmp_path: Path) -> None:
    formulas = formulas_of(30) * 2
    lines = [f"{one},{number},{300 + number // 30}" for number, one in enumerate(formulas)]
    place = tmp_path / "t.csv"
    place.write_text("formula,gap,kelvin\n" + "\n".join(lines))
    assert read_measurements(place, "gap", conditions=["kelvin"]).notes == ()


def test_fractions_that_do_not_sum_to_one_are_named(tmp_path: Path) -> None:
    place = tmp_path / "t.csv"
    lines = [f"Al{a / 100:.2f}Ni{1 - a / 100:.2f},{a}" for a in range(5, 45)]
    place.write_text("formula,gap\n" + "\n".join(lines) + "\nAl0.5Ni0.3,1\nNiAl,2\n")
    with pytest.raises(FormulaError, match=r"1 of 42 rows.*row 41: the fractions sum to 0\.8"):
        read_measurements(place, "gap")


def test_dopants_are_no_broken_fractions(tmp_path: Path) -> None:
    found = read_measurements(table(tmp_path / "t.csv", "Li1.02Fe0.98PO4,1\n"), "gap")
    assert len(found) == 31


def test_a_condition_that_is_the_target_in_other_words_is_refused(tmp_path: Path) -> None:
    twice = (2.0 * ionicity_of(formulas_of(40)) - 1.0).tolist()
    place = write_table(tmp_path / "t.csv", 40, twice=twice)
    with pytest.raises(InputError, match="'twice' is the target in other words") as caught:
        read_measurements(place, "ionicity", conditions=["twice"])
    assert caught.value.code == "transfer.leak"


def test_a_condition_that_is_no_number_is_named_with_its_row(tmp_path: Path) -> None:
    place = write_table(tmp_path / "t.csv", 30, kelvin=["cold", *range(29)])
    with pytest.raises(InputError, match="'cold' in row 1: conditions are numbers"):
        read_measurements(place, "ionicity", conditions=["kelvin"])


def test_rows_that_lack_a_condition_are_left_out(tmp_path: Path) -> None:
    place = write_table(tmp_path / "t.csv", 30, kelvin=["", *range(29)])
    found = read_measurements(place, "ionicity", conditions=["kelvin"])
    assert len(found) == 29 and "lack a condition" in found.notes[0]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"target": "gapp"}, "no column 'gapp'"),
        ({"target": "ionicity", "formula": "mineral"}, "no column 'mineral'"),
        ({"target": "formula"}, "different columns"),
        ({"target": "ionicity", "conditions": ["kelvin"]}, "no column 'kelvin'"),
    ],
)
def test_columns_that_are_not_there_are_named(
    tmp_path: Path, arguments: dict[str, object], sentence: str
) -> None:
    place = write_table(tmp_path / "t.csv", 30)
    with pytest.raises(InputError, match=sentence):
        read_measurements(place, **arguments)  # type: ignore[arg-type]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no file"):
        read_measurements(tmp_path / "none.csv", "gap")


def test_measured_formation_energies_are_at_the_level_of_experiment(tmp_path: Path) -> None:
    place = tmp_path / "t.csv"
    lines = [f"{one},{-0.1 * number}" for number, one in enumerate(formulas_of(30))]
    place.write_text("formula,formation_energy\n" + "\n".join(lines))
    head = read_measurements(place, "formation_energy", unit="eV/atom").head
    assert head.kind == "formation" and str(head.level) == "experiment"


def test_logarithms_of_values_at_or_below_zero_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="above zero"):
        read_measurements(table(tmp_path / "t.csv", "NaCl,-1\n"), "gap", logarithm=True)


def test_fractions_are_taken_as_relative_if_asked(tmp_path: Path) -> None:
    place = tmp_path / "t.csv"
    lines = [f"Al{a / 100:.2f}Ni{1 - a / 100:.2f},{a}" for a in range(5, 45)]
    place.write_text("formula,gap\n" + "\n".join(lines) + "\nAl0.5Ni0.3,1\n")
    found = read_measurements(place, "gap", normalise=True)
    assert len(found) == 41 and "taken as relative (row 41)" in found.notes[0]


@pytest.mark.parametrize("name", ["formation_energy_per_atom", "e_form_per_atom",
                                  "formation_energy_peratom", "energy_per_atom"])  # fmt: skip
def test_energies_whose_name_says_the_unit_are_at_the_level_of_experiment(
    tmp_path: Path, name: str
) -> None:
    head = read_measurements(energies(tmp_path / "t.csv", name), name).head
    kind = "total" if name == "energy_per_atom" else "formation"
    assert (head.unit, head.kind, str(head.level)) == ("eV/atom", kind, "experiment")


@pytest.mark.parametrize(("unit", "told"), [("", "1"), ("kJ/mol", "kJ/mol")])
@pytest.mark.parametrize("name", ["energy", "formation_energy"])
def test_no_unit_of_an_energy_is_guessed(tmp_path: Path, name: str, unit: str, told: str) -> None:
    head = read_measurements(energies(tmp_path / "t.csv", name), name, unit=unit).head
    assert (head.unit, head.kind, head.level) == (told, None, None)


def energies(path: Path, name: str) -> Path:
    """A CSV of energies in a column of this name."""
    lines = [f"{one},{-0.1 * number}" for number, one in enumerate(formulas_of(30))]
    path.write_text(f"formula,{name}\n" + "\n".join(lines))
    return path


def test_a_class_that_no_row_has_is_left_out(tmp_path: Path) -> None:
    place = tmp_path / "t.csv"
    good = [f"{one},{'ab'[number % 2]}" for number, one in enumerate(formulas_of(30))]
    place.write_text("formula,phase\n" + "\n".join([*good, "Xx2O,c"]))
    found = read_measurements(place, "phase", skip_bad=True)
    assert found.head.classes == ("a", "b") and found.targets.shape == (30, 2)
    assert any("no row that is kept is 'c'" in note for note in found.notes)


def test_one_class_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "t.csv"
    good = [f"{one},a" for one in formulas_of(30)]
    place.write_text("formula,phase\n" + "\n".join([*good, "Xx2O,c"]))
    with pytest.raises(InputError, match="'phase' that is kept is 'a'") as caught:
        read_measurements(place, "phase", skip_bad=True)
    assert caught.value.code == "target.constant"


def test_a_condition_that_never_changes_is_noted(tmp_path: Path) -> None:
    place = write_table(tmp_path / "t.csv", 30, kelvin=[300] * 30)
    [note] = read_measurements(place, "ionicity", conditions=["kelvin"]).notes
    assert "'kelvin' is 300 in every row" in note


def test_a_condition_that_no_strategy_can_hold_is_refused(tmp_path: Path) -> None:
    place = write_table(tmp_path / "t.csv", 30, kelvin=[1e300, *range(29)])
    with pytest.raises(InputError, match=r"1e\+300 in row 1: numbers up to 1e\+30"):
        read_measurements(place, "ionicity", conditions=["kelvin"])


def test_a_condition_in_the_unit_of_the_target_is_found_below_its_logarithm(
    tmp_path: Path,
) -> None:
    formulas = formulas_of(30)
    values = 10.0 ** (-ionicity_of(formulas))
    lines = [f"{one},{y},{1000 * y}" for one, y in zip(formulas, values, strict=True)]
    (tmp_path / "t.csv").write_text("formula,siemens,milli\n" + "\n".join(lines))
    with pytest.raises(InputError, match="'milli' is the target in other words"):
        read_measurements(tmp_path / "t.csv", "siemens", conditions=["milli"], logarithm=True)


def test_rows_are_numbered_as_in_the_file_with_blank_ones(tmp_path: Path) -> None:
    place = table(tmp_path / "t.csv", "\n,\nNa(Cl,1\nNaF,2\n")
    with pytest.raises(FormulaError, match="row 33"):
        read_measurements(place, "gap")
    assert read_measurements(place, "gap", skip_bad=True).rows.tolist() == [*range(1, 31), 34]


def test_a_cell_of_several_lines_is_in_one_row(tmp_path: Path) -> None:
    place = tmp_path / "t.csv"
    good = [f'{one},{number},"first\nsecond"' for number, one in enumerate(formulas_of(30))]
    place.write_text("formula,gap,remark\n" + "\n".join(good))
    assert read_measurements(place, "gap").rows.tolist() == list(range(1, 31))


def test_text_among_numbers_is_named_with_its_row_and_left_out_if_asked(tmp_path: Path) -> None:
    place = table(tmp_path / "t.csv", "\nNaF,n.d.\nKF,2\n")
    with pytest.raises(InputError, match=r"'n.d.' in row 32.*--skip-bad"):
        read_measurements(place, "gap")
    found = read_measurements(place, "gap", skip_bad=True)
    assert found.rows.tolist() == [*range(1, 31), 33]
    assert found.notes == ("1 rows whose value is no number are left out (row 32: 'n.d.')",)


def test_a_value_that_no_strategy_can_hold_is_refused(tmp_path: Path) -> None:
    place = table(tmp_path / "t.csv", "NaF,1e90\n")
    with pytest.raises(InputError, match=r"'gap' is 1e\+90 in row 31"):
        read_measurements(place, "gap")


def test_a_workbook_with_its_data_on_the_second_sheet_names_it(tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    book.active.append(["about", "this file"])
    book.create_sheet("measured").append(["formula", "gap"])
    place = tmp_path / "t.xlsx"
    book.save(place)
    with pytest.raises(FileError, match=r"no rows\. Only the first sheet is read, not 'measured'"):
        read_measurements(place, "gap")
    book.active.append(["a", "b"])
    book.save(place)
    with pytest.raises(InputError, match=r"'formula'.*Only the first sheet is read"):
        read_measurements(place, "gap")
