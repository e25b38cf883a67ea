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
    head = read_measurements(place, "formation_energy").head
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
