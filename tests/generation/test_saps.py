from __future__ import annotations

import numpy as np
import pytest

from materialabs.crystals.batch import Crystals
from materialabs.crystals.symmetry import symmetry
from materialabs.crystals.volumes import estimated_volumes
from materialabs.errors import InputError
from materialabs.generation.balance import StrictBalance
from materialabs.generation.candidates import Candidates
from materialabs.generation.saps import saps, stream_saps
from materialabs.generation.substitution import SubstitutionTable
from materialabs.generation.ways import SiteChoices, WholeIons, WholeOrbits, likely_partners

SITES = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
ROOT_TWO = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
DOUBLE = 2 * np.eye(3, dtype=int)


def perovskite(a: int = 56, b: int = 22, x: int = 8, name: str = "BTO") -> Crystals:
    return Crystals.from_arrays(
        [np.eye(3) * 4.0], [SITES], [[a, b, x, x, x]], columns={"id": [name]}
    )


def rock_salt(a: int = 11, b: int = 17, name: str = "salt") -> Crystals:
    cell = 2.8 * (np.ones((3, 3)) - np.eye(3))
    return Crystals.from_arrays([cell], [[[0, 0, 0], [0.5] * 3]], [[a, b]], columns={"id": [name]})


def rows_with(found: Candidates, substitution: str) -> Crystals:
    texts = found.crystals.columns["substitution"]
    return found.crystals[np.flatnonzero([text == substitution for text in texts])]


def double_perovskite() -> Crystals:
    """Ba2TiZrO6 with rock-salt order, Fm-3m, written down by hand."""
    sites = [
        [0.25] * 3, [0.75] * 3, [0, 0, 0], [0.5] * 3,
        *([x, -x, -x] for x in (0.25, -0.25)), *([-x, x, -x] for x in (0.25, -0.25)),
        *([-x, -x, x] for x in (0.25, -0.25)),
    ]  # fmt: skip
    cell = 4.0 * (np.ones((3, 3)) - np.eye(3))
    return Crystals.from_arrays([cell], [sites], [[56, 56, 22, 40] + [8] * 6])


@pytest.mark.parametrize("matrix", [ROOT_TWO, DOUBLE])
def test_the_rock_salt_double_perovskite_is_reached_from_the_cubic_one(matrix):
    from pymatgen.core.structure_matcher import StructureMatcher

    found = saps(perovskite(), ways=[SiteChoices(supercells=[matrix], most=100)])
    swaps = {f"Ti4+ -> Zr4+ on {k} of {n}" for k, n in ((1, 2), (4, 8))}
    texts = found.crystals.columns["substitution"]
    products = found.crystals[np.flatnonzero([text in swaps for text in texts])]
    wanted = double_perovskite().to_pymatgen()[0]
    assert symmetry(double_perovskite()).number.tolist() == [225]
    matcher = StructureMatcher()
    hits = [one for one in products.to_pymatgen() if matcher.fit(one, wanted)]
    assert len(hits) == 1
    assert 225 in symmetry(products).number.tolist()


def test_the_double_perovskite_is_reached_by_every_supercell_of_two():
    found = saps(perovskite(), ways=[SiteChoices(supercells=2)])
    orders = symmetry(rows_with(found, "Ti4+ -> Zr4+ on 1 of 2")).number.tolist()
    assert sorted(orders) == [123, 123, 225]


def test_full_substitution_never_reaches_it():
    found = saps(perovskite(), ways=[WholeIons()])
    assert all(count <= 5 for count in found.crystals.counts)
    assert "Ba2ZrTiO6" not in found.crystals.reduced_formulas()


def test_whole_ion_products_are_what_pymatgen_substitutes():
    from pymatgen.core.structure_prediction.substitution_probability import SubstitutionPredictor

    found = saps(rock_salt(), ways=[WholeIons()], table=SubstitutionTable.hautier())
    predictions = SubstitutionPredictor().list_prediction(["Na+", "Cl-"])
    wanted = {
        frozenset(species.symbol for species in one["substitutions"]) for one in predictions
    } - {frozenset({"Na", "Cl"})}
    made = {frozenset(system.split("-")) for system in found.crystals.compositions.systems()}
    assert made == wanted


def test_candidates_carry_their_lineage():
    found = saps(perovskite(), ways=[WholeOrbits()])
    row = rows_with(found, "Ti4+ -> Zr4+ on 1 of 1").columns.row(0)
    gnome = SubstitutionTable.gnome()
    assert row["parent"] == "BTO"
    assert row["generator"] == "saps"
    assert row["orbit"] in ("1a", "1b")
    assert row["probability"] == gnome.probability(["Zr4+"], ["Ti4+"])


def test_candidates_come_most_probable_first():
    found = saps(perovskite())
    assert np.all(np.diff(found.crystals.columns["probability"]) <= 0)


def test_the_same_seed_gives_the_same_candidates():
    first, second = saps(perovskite(), seed=3), saps(perovskite(), seed=3)
    assert first.crystals.to_bytes() == second.crystals.to_bytes()
    assert first.reasons == second.reasons


def test_every_seed_gives_the_same_set_when_nothing_is_cut():
    texts = [
        sorted(saps(perovskite(), seed=seed).crystals.columns["substitution"]) for seed in (0, 1)
    ]
    assert texts[0] == texts[1]


def test_no_two_candidates_of_one_parent_are_the_same_crystal():
    from pymatgen.core.structure_matcher import StructureMatcher

    matcher = StructureMatcher()
    found = saps(perovskite(), ways=[SiteChoices(supercells=[DOUBLE])], threshold=0.05)
    by_formula: dict[str, list] = {}
    for formula, structure in zip(
        found.crystals.formulas(), found.crystals.to_pymatgen(), strict=True
    ):
        by_formula.setdefault(formula, []).append(structure)
    for group in list(by_formula.values())[:12]:
        assert len(matcher.group_structures(group)) == len(group)


def test_partners_that_lead_to_the_same_products_are_made_once():
    both = Crystals.concat([perovskite(56, 22, 8, "titanate"), perovskite(56, 40, 8, "zirconate")])
    found = saps(both, ways=[SiteChoices(supercells=[ROOT_TWO])])
    mixed = [
        text
        for text in found.crystals.columns["substitution"]
        if text in ("Ti4+ -> Zr4+ on 1 of 2", "Zr4+ -> Ti4+ on 1 of 2")
    ]
    assert len(mixed) == 1


def test_equal_parents_give_their_products_once():
    alone = saps(perovskite())
    twice = saps(Crystals.concat([perovskite(), perovskite(name="again")]))
    assert len(twice) == len(alone)
    assert set(twice.crystals.columns["parent"]) == {"BTO"}


def test_filling_the_equal_roles_of_rock_salt_the_other_way_round_is_no_new_product():
    table = SubstitutionTable(np.array([3, 9, 11, 17]), np.full(4, np.nan), 0.1 + 0.9 * np.eye(4))
    found = saps(rock_salt(), ways=[WholeIons()], table=table)
    assert sorted(found.crystals.reduced_formulas()) == sorted(
        ["LiF", "LiCl", "NaF", "NaLi", "ClF"]
    )


def test_known_compositions_are_left_out_and_counted():
    everything = saps(perovskite(), ways=[WholeIons()])
    known = everything.crystals.reduced_formulas()[:5]
    rest = saps(perovskite(), ways=[WholeIons()], exclude=known)
    assert not set(known) & set(rest.crystals.reduced_formulas())
    assert rest.reasons["product: known composition"] >= 5


def test_a_charge_balance_rule_decides_what_passes():
    rule = StrictBalance()
    found = saps(perovskite(), ways=[WholeIons()], charge_balance=rule)
    free = saps(perovskite(), ways=[WholeIons()])
    allowed = rule(free.crystals.compositions.reduced())
    assert len(found) == int(allowed.sum())
    assert found.reasons["product: refused by the charge-balance rule"] == int((~allowed).sum())


def test_the_limit_keeps_the_most_probable():
    everything, some = saps(perovskite()), saps(perovskite(), limit=7)
    assert len(some) == 7
    assert np.array_equal(
        some.crystals.columns["probability"], everything.crystals.columns["probability"][:7]
    )
    assert some.reasons["product: beyond the limit"] == len(everything) - 7


def test_volumes_follow_the_estimate():
    parent = perovskite()
    found = saps(parent, ways=[SiteChoices(supercells=[ROOT_TWO])], limit=50)
    estimate = estimated_volumes(found.crystals.compositions)
    scale = parent.volumes / estimated_volumes(parent.compositions)
    assert found.crystals.volumes == pytest.approx(estimate * scale)


def test_sites_stay_where_they_are():
    found = saps(perovskite(), ways=[WholeIons()], limit=3)
    assert np.allclose(found.crystals.frac, np.tile(SITES, (3, 1)))


def test_a_stream_gives_what_one_call_gives():
    parents = Crystals.concat(
        [perovskite(), perovskite(38, 40, name="SZO"), perovskite(20, 22), rock_salt()]
    )
    whole = saps(parents)
    parts = Candidates.concat(list(stream_saps(parents, chunk=1)))
    texts = [
        sorted(
            (formula, round(float(volume), 6) > 0)
            for formula, volume in zip(one.crystals.formulas(), one.crystals.volumes, strict=True)
        )
        for one in (whole, parts)
    ]
    assert texts[0] == texts[1]


def test_a_stream_of_no_parents_is_empty():
    assert [len(part) for part in stream_saps(Crystals.empty())] == [0]


def test_ions_that_the_table_lacks_are_named_and_stay():
    telluride = perovskite(56, 22, 52, "telluride")
    found = saps(telluride)
    assert found.reasons["ion: Te2- is not in the table"] == 1
    assert all("Te" in system for system in found.crystals.compositions.systems())


def test_without_free_unchanged_ions_such_a_parent_is_refused():
    found = saps(perovskite(56, 22, 52), table=SubstitutionTable.hautier())
    assert len(found) == 0
    assert found.reasons["parent: its ions are not in the table"] == 1


def test_given_oxidation_states_decide_the_ions():
    states = np.array([2.0, 4.0, -2.0, -2.0, -2.0])
    iron = perovskite(56, 26).with_site_columns(oxidation_state=states)
    found = saps(iron, ways=[WholeOrbits()])
    assert any("Fe4+ ->" in text for text in found.crystals.columns["substitution"])


def test_a_table_of_elements_asks_for_no_oxidation_states():
    from materialabs.generation.mining import replaceability

    alloy = rock_salt(28, 13, "nickel aluminide")
    found = saps(alloy, table=replaceability())
    assert "Al -> Ga" in set(found.crystals.columns["substitution"])


def test_disordered_parents_are_refused_with_a_reason():
    from materialabs.crystals.occupancy import Occupancy

    mixed = Occupancy(
        np.array([0, 2, 3]), np.array([11, 19, 17], dtype=np.uint8), np.array([0.5, 0.5, 1.0])
    )
    found = saps(rock_salt().replace(occupancy=mixed))
    assert len(found) == 0
    assert found.reasons == {"parent: partly occupied sites, take .ordered()": 1}


def test_parents_without_symmetry_give_whole_ions_alone():
    overlapping = Crystals.from_arrays(
        [np.eye(3) * 4], [[[0, 0, 0], [0, 0, 1e-5], [0.5] * 3]], [[11, 11, 8]]
    )
    found = saps(overlapping)
    assert found.reasons["parent: no symmetry was found"] == 2
    assert set(found.crystals.columns["orbit"]) == {"all"}


def test_elements_without_a_volume_are_left_out_and_counted():
    found = saps(perovskite(56, 92))
    assert 98 not in np.unique(found.crystals.numbers)


def test_many_orbits_and_many_sites_are_bounded_with_a_reason():
    points = np.stack(np.meshgrid(*[np.arange(5) / 5] * 3, indexing="ij"), -1).reshape(-1, 3)
    shaken = points + np.random.default_rng(0).normal(0, 0.01, points.shape)
    numbers = np.where(np.arange(125) % 2, 11, 17)
    large = Crystals.from_arrays([np.eye(3) * 14], [shaken], [numbers])
    table = SubstitutionTable(np.array([11, 17, 19]), np.full(3, np.nan), np.full((3, 3), 1.0))
    assert saps(large, ways=[WholeOrbits()], table=table).reasons[
        "ion: too many sets of orbits, the first are taken"
    ]
    part = saps(large[0], ways=[SiteChoices(most=10)], table=table)
    assert part.reasons["ion: sizes with too many inequivalent choices"]
    bigger = SiteChoices(supercells=[np.diag([1, 1, 2])])
    assert saps(large, ways=[bigger], table=table).reasons[
        "ion: more than 64 sites to choose among"
    ]


def test_partners_are_new_elements_each_once():
    table = SubstitutionTable.gnome()
    rows = likely_partners(table, table.row_of("Fe3+"), np.array([26, 8], np.uint8), 1e-3)
    elements = table.numbers[rows].tolist()
    assert len(set(elements)) == len(elements)
    assert not {26, 8} & set(elements)


def test_nothing_likely_gives_nothing():
    table = SubstitutionTable(np.array([11, 17]), np.full(2, np.nan), np.eye(2))
    assert len(saps(rock_salt(), table=table)) == 0


@pytest.mark.parametrize("arguments", [{"limit": -1}, {"ways": []}])
def test_senseless_requests_are_refused(arguments):
    with pytest.raises(InputError):
        saps(rock_salt(), **arguments)


def test_a_supercell_of_no_cells_is_refused():
    with pytest.raises(InputError, match="at least one cell"):
        saps(rock_salt(), ways=[SiteChoices(supercells=0)])


def test_it_keeps_what_generators_promise():
    from materialabs.generation.conformance import check_generator

    parents = Crystals.concat([perovskite(), rock_salt()])
    check_generator(lambda count, *, seed: saps(parents, limit=count, seed=seed))


def test_candidates_say_what_was_refused():
    found = saps(perovskite(56, 22, 52))
    assert "Te2-" in repr(found) or "refused" in repr(found)
    assert len(found) == len(found.crystals)
