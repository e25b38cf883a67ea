from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hull_systems import LEVEL, compositions_of, entries, formation, random_system, total
from hypothesis import given, settings

from materialabs.crystals.compositions import Compositions
from materialabs.errors import InputError, LevelError
from materialabs.hull import geometry
from materialabs.hull import hull as hulls
from materialabs.hull.hull import Hull
from materialabs.hull.patches import HullPatches, judge
from materialabs.hull.systems import group_by_system
from materialabs.levels import MP2018, Energies, Level

CLOSE = 1e-9


def mixed(seed: int = 0) -> tuple[Compositions, Energies]:
    """Entries of many sub-systems of seven elements."""
    rng = np.random.default_rng(seed)
    amounts = rng.integers(0, 4, (300, 7)) * (rng.random((300, 7)) < 0.35)
    amounts = amounts[amounts.sum(axis=1) > 0]
    return compositions_of(amounts), formation(rng.normal(-0.6, 0.5, len(amounts)))


@given(entries(most=5))
def test_patches_equal_the_single_hull(system: tuple[Compositions, Energies]) -> None:
    count = len(system[0])
    hull, patches = Hull(*system), HullPatches(*system)
    assert patches.distances[:count] == pytest.approx(hull.distances[:count], abs=CLOSE)


@given(entries(most=5))
@settings(max_examples=25)
def test_decomposition_energies_of_patches_equal_those_of_the_single_hull(
    system: tuple[Compositions, Energies],
) -> None:
    hull = Hull(*system)
    expected = hull.decomposition_energy(*system)
    assert judge(*system).decomposition_energy == pytest.approx(expected, abs=CLOSE)


@pytest.mark.parametrize("kind", ["formation", "total"])
def test_a_hull_of_very_many_elements_answers_system_by_system(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    compositions, energies = mixed()
    if kind == "total":
        pure = Compositions.from_dicts([{number: 1.0} for number in compositions.present()])
        compositions = Compositions.concat([compositions, pure])
        found = np.concatenate([energies.values, np.zeros(len(pure))])
        energies = total(found + compositions.fractions(range(119)) @ np.arange(119.0))
    few = Hull(compositions[:200], energies[:200]) if kind == "formation" else None
    usual = Hull(compositions, energies)
    for module in (geometry, hulls):
        monkeypatch.setattr(module, "MOST_ELEMENTS", 6)
    many = Hull(compositions, energies)
    assert many.lower.facets is None
    for name in ("distances", "stable", "entries_on_hull"):
        assert getattr(many, name) == pytest.approx(getattr(usual, name), abs=CLOSE)
    assert many.energy(compositions).values == pytest.approx(
        usual.energy(compositions).values, abs=CLOSE
    )
    for name in ("distance", "decomposition_energy"):
        expected = getattr(usual, name)(compositions, energies)
        assert getattr(many, name)(compositions, energies) == pytest.approx(expected, abs=CLOSE)
    for name in ("decompose", "competing_phases"):
        expected = getattr(usual, name)(compositions).energies
        assert getattr(many, name)(compositions).energies == pytest.approx(expected, abs=CLOSE)
    if few is not None:
        part = Hull(compositions[:200], energies[:200])
        assert part.distances == pytest.approx(few.distances, abs=CLOSE)
        grown = part.insert(compositions[200:], energies[200:])
        assert grown.distance(compositions, energies) == pytest.approx(
            usual.distance(compositions, energies), abs=CLOSE
        )


def test_every_system_of_a_mixture_equals_its_own_hull() -> None:
    patches = HullPatches(*mixed())
    names = np.array(patches.compositions.systems())
    for system in np.unique(names):
        hull = patches.hull(str(system))
        rows = np.flatnonzero(names == system)
        expected = hull.distance(patches.compositions[rows], patches.energies[rows])
        assert patches.distances[rows] == pytest.approx(expected, abs=CLOSE)


def test_candidates_are_judged_in_their_own_system() -> None:
    patches = HullPatches(*mixed())
    asked, values = random_system(4, 30, 8)
    hull = patches.hull("Li-O-P-S")
    for verb in ("distance", "decomposition_energy"):
        found = getattr(patches, verb)(asked, values)
        assert found == pytest.approx(getattr(hull, verb)(asked, values), abs=CLOSE)


def test_candidates_of_a_system_without_entries_are_judged_by_its_sub_systems() -> None:
    patches = HullPatches(["LiF", "NaCl"], formation([-3.0, -2.0]))
    parts = patches.decompose(["LiNaFCl"])
    assert sorted(patches.ids[row] for row in parts.products) == ["0", "1"]
    assert parts.energies == pytest.approx([-2.5])


def test_decompositions_of_patches_conserve_atoms() -> None:
    patches = HullPatches(*mixed())
    table = patches.compositions.fractions(patches.compositions.present())
    for row, products in enumerate(patches.competing_phases(patches.compositions)):
        rebuilt = np.array(list(products.values())) @ table[list(products)]
        assert rebuilt == pytest.approx(table[row], abs=1e-9)


def test_threads_change_nothing() -> None:
    one, two = (HullPatches(*mixed(), threads=threads) for threads in (1, 2))
    assert (one.distances == two.distances).all()


def test_patches_take_total_energies() -> None:
    formulas = ["Li", "O", "F", "Li2O", "LiF"]
    patches = HullPatches(formulas, total([-1.9, -4.9, -1.8, -4.9, -4.8]))
    assert patches.stable.all()
    found = patches.distance("Li2O", total([-4.0]))
    assert found == pytest.approx([0.9])


def test_ids_and_counts_show_in_the_name() -> None:
    assert repr(HullPatches(["LiF"], formation([-3.0]))).startswith(
        "HullPatches(3 entries in 3 chemical systems, 3 stable"
    )


def test_an_element_without_entries_is_named() -> None:
    with pytest.raises(InputError, match="No entry contains Na"):
        HullPatches(["LiF"], formation([-3.0])).energy("NaF")


def test_other_levels_are_refused_by_patches() -> None:
    other = Energies([-3.0], "formation", Level("r2SCAN"))
    with pytest.raises(LevelError):
        HullPatches(["LiF"], formation([-3.0])).distance("LiF", other)


def test_a_system_without_entries_has_no_hull() -> None:
    with pytest.raises(InputError, match="No entry lies"):
        HullPatches(["LiF"], formation([-3.0])).hull("Na-Cl")


def test_compositions_of_too_many_elements_are_refused() -> None:
    crowd = Compositions.from_dicts([dict.fromkeys(range(1, 18), 1.0)])
    with pytest.raises(InputError, match="17 elements"):
        group_by_system(crowd)


def test_given_entries_alone_are_judged() -> None:
    verdict = judge(["LiF", "Li3F"], formation([-3.0, -0.1]))
    assert verdict.stable.tolist() == [True, False]
    assert len(verdict.distance) == 2


def test_a_database_that_cannot_be_solved_ends_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from materialabs.hull import mixture_kernels

    monkeypatch.setattr(mixture_kernels, "mix_in_systems", lambda *arguments: None)
    with pytest.raises(InputError, match="absurd size"):
        HullPatches(["LiF"], formation([-3.0]))


@pytest.mark.slow
def test_all_of_mp36k_is_judged_and_718_of_many_elements_are_on_the_hull(
    data_folder: Path,
) -> None:
    with gzip.open(data_folder / "structures" / "mp36k.jsonl.gz", "rt") as file:
        rows = [json.loads(line) for line in file]
    compositions = Compositions.parse([row["formula"] for row in rows])
    verdict = judge(
        compositions, Energies([row["e_form_per_atom"] for row in rows], "formation", MP2018)
    )
    many = np.diff(compositions.offsets) >= 5
    assert many.sum() == 2633
    assert (verdict.distance[many] <= 1e-6).sum() == 718


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_mixed_systems_equal_pymatgens_patched_diagram() -> None:
    from hull_systems import peer_entries
    from pymatgen.analysis.phase_diagram import PatchedPhaseDiagram

    compositions, energies = mixed(3)
    peers = peer_entries(compositions, energies)
    diagram = PatchedPhaseDiagram(peers)
    expected = [diagram.get_e_above_hull(peer, check_stable=False) for peer in peers]
    count = len(compositions)
    found = HullPatches(compositions, energies).distances[:count]
    assert found == pytest.approx(expected[:count], abs=1e-8)


def test_the_level_of_patches_is_that_of_the_energies() -> None:
    assert HullPatches(["LiF"], formation([-3.0])).energy("LiF").level == LEVEL
