from __future__ import annotations

import numpy as np
import pytest
from hull_systems import formation, peer_entries, random_system

from materialabs.errors import FormulaError, InputError
from materialabs.hull.hull import Hull


@pytest.mark.parametrize("potential", [-3.0, -1.0, -0.1])
def test_grand_potential_distances_equal_pymatgens(potential: float) -> None:
    from pymatgen.analysis.phase_diagram import GrandPotentialPhaseDiagram, GrandPotPDEntry
    from pymatgen.core import Element

    compositions, energies = random_system(4, 80, 7)
    open_hull = Hull(compositions, energies).grand_potential({"O": potential})
    peers = peer_entries(compositions, energies)
    chempots = {Element("O"): potential}
    diagram = GrandPotentialPhaseDiagram(peers, chempots)
    found = open_hull.distance(compositions, energies)
    for row, peer in enumerate(peers[: len(compositions)]):
        expected = diagram.get_e_above_hull(GrandPotPDEntry(peer, chempots), allow_negative=True)
        assert found[row] == pytest.approx(expected, abs=1e-8)


def test_two_elements_can_be_open_at_once() -> None:
    from pymatgen.analysis.phase_diagram import GrandPotentialPhaseDiagram
    from pymatgen.core import Element

    compositions, energies = random_system(4, 80, 7)
    held = {"O": -0.4, "S": -0.3}
    hull = Hull(compositions, energies).grand_potential(held)
    diagram = GrandPotentialPhaseDiagram(
        peer_entries(compositions, energies), {Element(k): v for k, v in held.items()}
    )
    names = {entry.original_comp.reduced_formula for entry in diagram.stable_entries}
    rows = hull.hull.compositions[hull.entries_on_hull]
    assert set(rows.reduced_formulas()) == names


def test_a_metal_oxidises_when_oxygen_is_plenty() -> None:
    hull = Hull(["FeO", "Fe2O3"], formation([-1.4, -1.7]))
    assert hull.grand_potential({"O": 0.0}).decompose("FeO").reactions() == [
        "FeO + 0.25 O2 → 0.5 Fe2O3"
    ]


def test_an_oxide_is_reduced_when_oxygen_is_scarce() -> None:
    hull = Hull(["FeO", "Fe2O3"], formation([-1.4, -1.7]))
    assert hull.grand_potential({"O": -9.0}).decompose("Fe2O3").reactions() == [
        "Fe2O3 → 2 Fe + 1.5 O2"
    ]


def test_open_decompositions_conserve_all_atoms() -> None:
    compositions, energies = random_system(4, 80, 7)
    hull = Hull(compositions, energies)
    parts = hull.grand_potential({"O": -0.5}).decompose(compositions)
    oxygen = hull.symbols.index("O")
    for row, products in enumerate(parts):
        rebuilt = np.array(list(products.values())) @ hull.fractions[list(products)]
        rebuilt[oxygen] -= parts.taken_up[row, 0]
        assert rebuilt == pytest.approx(hull.fractions[row], abs=1e-9)


def test_entries_of_open_elements_alone_take_no_part() -> None:
    hull = Hull(["FeO", "O2"], formation([-1.4, 0.0])).grand_potential({"O": -1.0})
    assert len(hull.entries) == 2
    assert hull.stable.sum() == 1
    assert "open to O at -1.000 eV" in repr(hull)


def test_a_candidate_of_open_elements_alone_is_refused() -> None:
    hull = Hull(["FeO"], formation([-1.4])).grand_potential({"O": -1.0})
    with pytest.raises(InputError, match="O2 consists of open elements"):
        hull.distance("O2", formation([0.0]))


@pytest.mark.parametrize(
    ("held", "sentence"),
    [({}, "at least one open"), ({"O": np.nan}, "not a number"), ({"O": 0, "Fe": 0}, "not open")],
)
def test_what_cannot_be_open_is_refused(held: dict[str, float], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Hull(["FeO"], formation([-1.4])).grand_potential(held)


def test_an_open_element_of_another_system_is_refused() -> None:
    with pytest.raises(FormulaError, match="'N'"):
        Hull(["FeO"], formation([-1.4])).grand_potential({"N": 0.0})
