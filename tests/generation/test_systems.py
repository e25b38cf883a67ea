from __future__ import annotations

import numpy as np
import pytest

from materialabs.crystals.batch import Crystals
from materialabs.crystals.symmetry import symmetry
from materialabs.crystals.volumes import estimated_volumes
from materialabs.errors import FormulaError, InputError
from materialabs.generation.mining import mined_table
from materialabs.generation.pool import ParentPool
from materialabs.generation.substitution import SubstitutionTable
from materialabs.generation.systems import INHERITED, candidates_for_system

SITES = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]


def perovskite(a: int, b: int, x: int, name: str) -> Crystals:
    return Crystals.from_arrays(
        [np.eye(3) * 4.0], [SITES], [[a, b, x, x, x]], columns={"id": [name]}
    )


def rock_salt(a: int, b: int, name: str) -> Crystals:
    cell = 2.8 * (np.ones((3, 3)) - np.eye(3))
    return Crystals.from_arrays([cell], [[[0, 0, 0], [0.5] * 3]], [[a, b]], columns={"id": [name]})


def metal(number: int, name: str) -> Crystals:
    return Crystals.from_arrays([np.eye(3) * 3], [[[0, 0, 0]]], [[number]], columns={"id": [name]})


PARENTS = Crystals.concat(
    [
        perovskite(56, 22, 8, "BaTiO3"),
        perovskite(38, 22, 8, "SrTiO3"),
        perovskite(20, 40, 8, "CaZrO3"),
        rock_salt(11, 17, "NaCl"),
        rock_salt(12, 8, "MgO"),
        metal(29, "Cu"),
    ]
)
POOL = ParentPool.of(PARENTS)


def test_the_likeliest_candidate_is_the_known_structure_type():
    best = candidates_for_system("Ba-Zr-O", POOL).crystals[0]
    assert best.reduced_formulas() == ["BaZrO3"]
    assert symmetry(best).number.tolist() == [221]


def test_candidates_hold_exactly_the_elements_of_the_system():
    found = candidates_for_system("Sr-Zr-O", POOL)
    assert set(found.crystals.compositions.systems()) == {"O-Sr-Zr"}


def test_candidates_come_most_probable_first_with_their_lineage():
    found = candidates_for_system("K-Br", POOL).crystals
    assert np.all(np.diff(found.columns["probability"]) <= 0)
    assert found.columns.row(0)["parent"] == "NaCl"
    assert set(found.columns.row(0)["substitution"].split(", ")) == {"Na -> K", "Cl -> Br"}


def test_a_family_that_holds_the_compound_already_is_left_out():
    found = candidates_for_system("Ba-Ti-O", POOL).crystals
    known = PARENTS[0].to_pymatgen()[0]
    from pymatgen.core.structure_matcher import StructureMatcher

    matcher = StructureMatcher()
    assert len(found)
    assert not any(matcher.fit(known, one) for one in found.to_pymatgen())


def test_equal_roles_are_filled_one_way():
    found = candidates_for_system("K-Br", POOL).crystals
    whole = [text == "all" for text in found.columns["orbit"]]
    salts = found[np.flatnonzero(whole)]
    pairs = [formula for formula in salts.formulas() if formula == "KBr"]
    assert len(pairs) == 1


def test_two_roles_may_be_filled_alike():
    found = candidates_for_system("Ca-O", POOL).crystals
    assert "Ca2O3" in found.reduced_formulas()


def test_a_role_may_be_shared_by_two_elements():
    found = candidates_for_system("Ba-Zr-Ti-O", POOL).crystals
    shared = found[np.flatnonzero([f == "Ba2ZrTiO6" for f in found.reduced_formulas()])]
    assert 225 in symmetry(shared).number.tolist()


def test_elements_give_alloys_of_two():
    found = candidates_for_system("Cu-Au", POOL).crystals
    assert {"Cu", "CuAu"} - set(found.reduced_formulas()) == {"Cu"}


def test_volumes_follow_the_estimate_and_the_atoms_that_stay():
    found = candidates_for_system("Ba-Zr-O", POOL).crystals[0]
    template = PARENTS[POOL.crystals.ids().index(found.columns["parent"][0])]
    assert template.reduced_formulas()[0] in ("BaTiO3", "CaZrO3")  # four of five atoms stay
    ratio = template.volumes / estimated_volumes(template.compositions)
    wanted = estimated_volumes(found.compositions) * ratio ** (INHERITED * 0.8)
    assert found.volumes == pytest.approx(wanted)


def test_nothing_of_a_volume_is_inherited_where_no_atom_stays():
    found = candidates_for_system("Cs-Br", POOL).crystals
    assert "NaCl" in found.columns["parent"]
    np.testing.assert_allclose(found.volumes, estimated_volumes(found.compositions))


def test_forms_under_pressure_lend_their_shape_and_not_their_volume():
    """BC8 and other forms of elements stand among the prototypes at the volume of a small atom."""
    from materialabs.crystals.prototypes import prototypes

    shipped = prototypes().crystals
    few = ParentPool.of(shipped[shipped.counts <= 8])
    found = candidates_for_system("Al-Fe", few, limit=500, most_atoms=8).crystals
    share = found.volumes / estimated_volumes(found.compositions)
    assert share.min() >= 0.75 - 1e-9
    assert share.max() <= 1.5 + 1e-9
    silicon = shipped[shipped.ids().index("A_cI16_206_c")]
    assert silicon.volumes < 0.5 * estimated_volumes(silicon.compositions)


def test_more_shared_roles_give_more_candidates():
    from materialabs.crystals.prototypes import prototypes

    shipped = prototypes().crystals
    pool = ParentPool.of(shipped[shipped.counts <= 8])
    counts = [
        len(candidates_for_system("Co-Ge-Y", pool, most_atoms=8, shared_roles=roles).crystals)
        for roles in (10, 200)
    ]
    assert 0 < counts[0] < counts[1]


def test_the_limit_keeps_the_first():
    everything = candidates_for_system("Ba-Zr-O", POOL)
    some = candidates_for_system("Ba-Zr-O", POOL, limit=2)
    assert some.crystals.formulas() == everything.crystals.formulas()[:2]


def test_candidates_too_large_do_not_use_up_the_limit():
    found = candidates_for_system("Ba-Zr-O", POOL, limit=3, most_atoms=5).crystals
    assert len(found) == 3
    assert found.counts.max() <= 5


def test_a_bound_on_atoms_keeps_the_order_of_those_within_it():
    every = candidates_for_system("Ba-Zr-Ti-O", POOL).crystals
    small = candidates_for_system("Ba-Zr-Ti-O", POOL, most_atoms=5).crystals
    kept = every[every.counts <= 5]
    assert small.formulas() == kept.formulas()
    assert np.allclose(small.columns["probability"], kept.columns["probability"])


def test_large_members_of_a_family_bear_witness_for_small_ones():
    cubic = Crystals.from_arrays(
        [np.eye(3) * 5.6],
        [[[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5],
          [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5], [0.5, 0.5, 0.5]]],
        [[11] * 4 + [17] * 4],
        columns={"id": ["NaCl, cubic cell"]},
    )  # fmt: skip
    pool = ParentPool.of(Crystals.concat([cubic, rock_salt(12, 8, "MgO")]))
    alone = ParentPool.of(rock_salt(12, 8, "MgO"))
    both = candidates_for_system("K-Br", pool, most_atoms=2).crystals
    one = candidates_for_system("K-Br", alone, most_atoms=2).crystals
    assert both.columns["parent"].tolist() == ["MgO"]
    assert both.columns["probability"][0] > one.columns["probability"][0]


def test_crystals_are_taken_as_well_as_a_pool():
    assert (
        candidates_for_system("K-Br", PARENTS).crystals.formulas()
        == candidates_for_system("K-Br", POOL).crystals.formulas()
    )


def test_a_table_of_ions_serves_too():
    pool = ParentPool.of(PARENTS, SubstitutionTable.gnome())
    found = candidates_for_system("Ba-Zr-O", pool).crystals[0]
    assert found.reduced_formulas() == ["BaZrO3"]


def test_a_mined_table_serves_too():
    pool = ParentPool.of(PARENTS, mined_table(PARENTS))
    assert candidates_for_system("Ba-Zr-O", pool).crystals[0].reduced_formulas() == ["BaZrO3"]


def test_a_system_without_templates_is_empty():
    assert len(candidates_for_system("Li-Na-K-Rb-Cs-Ba-Sr", POOL)) == 0


def test_parents_that_cannot_serve_are_counted():
    overlapping = Crystals.from_arrays(
        [np.eye(3) * 4], [[[0, 0, 0], [0, 0, 1e-5]]], [[6, 6]], columns={"id": ["bad"]}
    )
    pool = ParentPool.of(Crystals.concat([PARENTS, overlapping]))
    assert len(pool) == len(PARENTS)
    assert candidates_for_system("K-Br", pool).reasons["parent: no symmetry was found"] == 1
    assert "6 crystals" in repr(pool)


def test_it_keeps_what_generators_promise():
    from materialabs.generation.conformance import check_generator

    check_generator(
        lambda count, *, seed: candidates_for_system("Ba-Zr-O", POOL, limit=count),
        system="Ba-Zr-O",
        deterministic=True,
    )


def test_senseless_requests_are_refused():
    with pytest.raises(InputError, match="at most 8"):
        candidates_for_system("H-He-Li-Be-B-C-N-O-F", POOL)
    with pytest.raises(InputError, match="how many"):
        candidates_for_system("K-Br", POOL, limit=-1)
    with pytest.raises(FormulaError):
        candidates_for_system("K-Xx", POOL)
