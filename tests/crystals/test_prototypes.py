"""The AFLOW prototypes by name, and elements put on them."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from materialabs.crystals import prototypes as module
from materialabs.crystals.batch import Crystals
from materialabs.crystals.protostructure import canonical_prototype, prototype_labels
from materialabs.crystals.prototypes import PrototypeLibrary, fill, prototypes
from materialabs.crystals.symmetry import symmetry
from materialabs.errors import FormulaError, InputError, NotFound, ResourceError


def test_library_holds_288_types() -> None:
    assert len(prototypes()) == 288


def test_library_equals_what_pymatgen_reads() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pymatgen.analysis.prototypes._data import AFLOW_PROTOTYPE_LIBRARY

        theirs = Crystals.from_pymatgen([row["snl"].structure for row in AFLOW_PROTOTYPE_LIBRARY])
    ours = prototypes().crystals
    assert np.array_equal(theirs.numbers, ours.numbers)
    assert np.allclose(theirs.frac, ours.frac)
    assert np.allclose(theirs.lattice, ours.lattice)


def test_reading_the_library_does_not_import_pymatgen() -> None:
    code = (
        "import sys; from materialabs.crystals.prototypes import prototypes; prototypes(); "
        "sys.exit('pymatgen.core' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_identities_are_distinct() -> None:
    assert len(set(prototypes().crystals.ids())) == 288


def test_symmetry_search_confirms_aflows_labels() -> None:
    """All but three: two entries have a higher symmetry than named, one is named 'sigma'."""
    crystals = prototypes().crystals
    found = prototype_labels(crystals, 1e-3)
    named = [label.replace("sigma", "A") for label in crystals.columns["aflow"]]
    differ = [
        label
        for label, ours in zip(named, found, strict=True)
        if canonical_prototype(label) != ours
    ]
    assert sorted(differ) == ["A2B_oC12_38_de_ab", "AB3_tI16_140_b_ah", "A_tP30_136_bf2ij"]


@pytest.mark.parametrize(
    ("name", "group", "formula"),
    [
        ("L1_2", 221, "Cu3Au"),
        ("l12", 221, "Cu3Au"),
        ("Perovskite", 221, "CaTiO3"),
        ("cubic perovskite", 221, "CaTiO3"),
        ("HALITE", 225, "NaCl"),
        ("rock salt", 225, "NaCl"),
        ("Spinel", 227, "Al2MgO4"),
        ("A1", 225, "Cu"),
        ("A2", 229, "W"),
        ("A3", 194, "Mg"),
        ("AB3_cP4_221_a_c", 221, "Cu3Au"),
        ("AB3_cP4_221_b_d", 221, "Cu3Au"),
    ],
)
def test_types_are_found_by_every_kind_of_name(name: str, group: int, formula: str) -> None:
    found = prototypes().find(name)
    assert len(found) == 1
    assert symmetry(found).number[0] == group
    expected = Crystals.concat([found]).compositions.reduced()
    assert sorted(expected.amounts.tolist()) == sorted(_amounts(formula))


def _amounts(formula: str) -> list[float]:
    from materialabs.crystals.formula_texts import parse_formula

    return list(parse_formula(formula).values())


def test_a_formula_finds_every_type_of_it() -> None:
    labels = prototypes().find("CaTiO3").columns["aflow"].tolist()
    assert sorted(labels) == ["AB3C_cP5_221_a_c_b", "AB3C_oP20_62_c_cd_a"]


def test_unknown_name_names_the_nearest() -> None:
    with pytest.raises(NotFound, match="'Spinel'"):
        prototypes().find("spinell")


def test_name_like_nothing_says_where_the_names_are() -> None:
    with pytest.raises(NotFound, match="lists the known ones"):
        prototypes().find("zzzzqqqqxxxx")


@pytest.mark.parametrize("name", ["", "  ", 5])
def test_no_name_is_refused(name) -> None:
    with pytest.raises(InputError, match="Name a prototype"):
        prototypes().find(name)


def test_selection_meets_every_condition() -> None:
    chosen = prototypes().select(elements=2, largest=6, pearson="c")
    assert isinstance(chosen, PrototypeLibrary)
    assert len(chosen) > 3
    assert all(len(composition) == 2 for composition in chosen.crystals.compositions)
    assert chosen.crystals.counts.max() <= 6
    assert set(symmetry(chosen.crystals).crystal_systems()) == {"cubic"}


def test_selection_can_be_searched() -> None:
    small = prototypes().select(largest=4)
    assert small.find("L1_2").counts.tolist() == [4]
    with pytest.raises(NotFound):
        small.find("Spinel")


# -- filling --------------------------------------------------------------------------------------


def test_filling_keeps_the_type_and_puts_elements_in_alphabetical_order() -> None:
    made = fill("Perovskite", ["Sr", "O", "Ti"])
    assert made.reduced_formulas() == ["SrTiO3"]
    assert prototype_labels(made) == ["ABC3_cP5_221_a_b_c"]
    assert made.columns["parent"].tolist() == ["AB3C_cP5_221_a_c_b"]


def test_filling_by_own_element_is_the_same() -> None:
    by_name = fill("Perovskite", {"Ca": "Sr", "Ti": "Ti", "O": "O"})
    in_order = fill("Perovskite", ["Sr", "O", "Ti"])
    assert np.array_equal(by_name.numbers, in_order.numbers)


def test_many_assignments_make_as_many_crystals() -> None:
    made = fill("rock salt", [["Cl", "Na"], ["O", "Mg"], ["S", "Pb"]])
    assert made.reduced_formulas() == ["NaCl", "MgO", "PbS"]
    assert len(set(made.ids())) == 3


def test_estimated_volume_is_near_the_measured_one() -> None:
    made = fill("rock salt", ["O", "Mg"])
    assert made.volumes[0] / made.counts[0] == pytest.approx(4.212**3 / 8, rel=0.2)


def test_given_volumes_are_used() -> None:
    assert fill("rock salt", ["O", "Mg"], 80.0).volumes == pytest.approx([80.0])


def test_a_crystal_serves_as_prototype() -> None:
    own = prototypes().find("L1_2").with_columns(id=["mine"])
    assert fill(own, ["Pt", "Fe"]).columns["parent"].tolist() == ["mine"]


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        (["Sr", "Ti"], "takes 3 elements"),
        ("SrTiO", "Give a list of symbols"),
        ({"Ca": "Sr"}, "name a new one for each"),
    ],
)
def test_wrong_elements_are_refused(elements, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fill("Perovskite", elements)


def test_unknown_element_is_refused_by_name() -> None:
    with pytest.raises(FormulaError, match="Xx"):
        fill("rock salt", ["Xx", "O"])


def test_impossible_volume_is_refused() -> None:
    with pytest.raises(InputError, match="above zero"):
        fill("rock salt", ["O", "Mg"], -1.0)


def test_ambiguous_name_lists_what_it_stands_for() -> None:
    with pytest.raises(InputError, match="AB3C_oP20_62_c_cd_a"):
        fill("CaTiO3", ["Sr", "O", "Ti"])


def test_missing_file_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ResourceError, match="pip install"):
        module._library_file()


def test_library_shows_itself() -> None:
    assert repr(prototypes()) == "PrototypeLibrary(288 structure types)"
    assert "<table" in prototypes()._repr_html_()


@pytest.mark.parametrize("elements", [[11, 17], [None, "Cl"]])
def test_elements_that_are_no_symbols_are_refused(elements: list[object]) -> None:
    with pytest.raises(FormulaError, match="not the symbol of an element"):
        fill("CsCl", elements)  # type: ignore[arg-type]
