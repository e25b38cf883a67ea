"""The conformance kit passes an honest generator and catches each kind of broken one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from materialabs.crystals.batch import Crystals
from materialabs.crystals.occupancy import Occupancy
from materialabs.errors import MaterialabsError
from materialabs.generation.candidates import Candidates
from materialabs.generation.conformance import ConformanceError, check_generator

ROCKSALT = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2


@dataclass(frozen=True)
class Honest:
    """Draw rock-salt cells of varied size; each field breaks one promise."""

    spoil: Callable[[Crystals], Crystals] = field(default=lambda crystals: crystals)
    reasons: Counter[Any] = field(default_factory=Counter)
    extra: int = 0
    seeded: bool = True
    ignores_seed: bool = False
    generous: bool = False

    def __call__(self, count: int, *, seed: int) -> Candidates:
        seed = None if not self.seeded else 0 if self.ignores_seed else seed  # type: ignore[assignment]
        random = np.random.default_rng(seed)
        total = max(count + self.extra, 1 if self.generous else 0)
        sizes = random.uniform(5.0, 6.0, total)
        made = Crystals.from_arrays(
            [ROCKSALT * size for size in sizes],
            [[[0, 0, 0], [0.5, 0.5, 0.5]]] * total,
            [[11, 17]] * total,
            columns={
                "id": [f"c{i}" for i in range(total)],
                "generator": ["test"] * total,
                "parent": ["NaCl"] * total,
            },
        )
        return Candidates(self.spoil(made) if total else made, self.reasons)


def broken(generator: Any, **options: Any) -> str:
    with pytest.raises(ConformanceError) as caught:
        check_generator(generator, **options)
    return str(caught.value)


def with_partner(number: int) -> Callable[[Crystals], Crystals]:
    def spoil(crystals: Crystals) -> Crystals:
        numbers = crystals.numbers.copy()
        numbers[1] = number
        return crystals.replace(numbers=numbers)

    return spoil


def test_an_honest_generator_passes() -> None:
    answer = check_generator(Honest(), system="Na-Cl", formulas=["NaCl"], nearest=2.0)
    assert len(answer) == 16


def test_the_error_is_an_assertion_and_one_of_ours() -> None:
    assert issubclass(ConformanceError, AssertionError)
    assert issubclass(ConformanceError, MaterialabsError)


def test_an_exception_is_reported_with_its_message() -> None:
    def fails(count: int, *, seed: int) -> Candidates:
        raise ZeroDivisionError("no cell")

    assert "raised ZeroDivisionError: no cell" in broken(fails)


def test_a_wrong_answer_is_named() -> None:
    assert "gives Candidates, not list" in broken(lambda count, *, seed: [])


def test_too_many_candidates_are_noticed() -> None:
    assert "16 candidates were asked for and 18 came back" in broken(Honest(extra=2))


def test_too_few_without_a_reason_are_noticed() -> None:
    assert "Only 14 of 16 candidates came back and no reason" in broken(Honest(extra=-2))


def test_too_few_with_a_reason_pass() -> None:
    check_generator(Honest(extra=-2, reasons=Counter({"too crowded": 2})))


def test_none_at_all_with_a_reason_passes() -> None:
    check_generator(Honest(extra=-16, reasons=Counter({"the space group has no such orbit": 1})))


@pytest.mark.parametrize("reasons", [Counter({"": 2}), Counter({3: 1}), Counter({"ok": 0})])
def test_a_reason_is_a_sentence_that_counts(reasons: Counter[Any]) -> None:
    assert "is no reason: give a sentence" in broken(Honest(extra=-2, reasons=reasons))


def test_a_crushed_cell_is_noticed() -> None:
    found = broken(Honest(lambda c: c.replace(lattice=c.lattice * 0.2)))
    assert "cubic angstrom for each atom, less than 1" in found


def test_a_cell_blown_apart_is_noticed() -> None:
    found = broken(Honest(lambda c: c.replace(lattice=c.lattice * 10)))
    assert "cubic angstrom for each atom, more than 1000" in found


def test_a_crystal_without_atoms_is_noticed() -> None:
    def empty_first(crystals: Crystals) -> Crystals:
        offsets = crystals.offsets.copy()
        offsets[1:] = offsets[1:] - 2
        return crystals.replace(
            frac=crystals.frac[2:],
            numbers=crystals.numbers[2:],
            offsets=offsets,
            site_columns=None,
        )

    assert "Candidate 'c0' has no atoms" in broken(Honest(empty_first))


def test_overlapping_atoms_are_noticed() -> None:
    found = broken(Honest(lambda c: c.replace(frac=c.frac * 0.1)))
    assert "Candidate 'c0' has atoms nearer than 0.5 angstrom" in found


def test_the_smallest_distance_can_be_asked_for() -> None:
    assert "nearer than 4 angstrom" in broken(Honest(), nearest=4.0)


def test_partly_occupied_sites_are_noticed() -> None:
    def share(crystals: Crystals) -> Crystals:
        full = Occupancy.full(crystals.numbers)
        return crystals.replace(occupancy=replace(full, fractions=full.fractions * 0.9))

    assert "has partly occupied sites" in broken(Honest(share))


@pytest.mark.parametrize("name", ["generator", "parent"])
def test_missing_lineage_is_noticed(name: str) -> None:
    def forget(crystals: Crystals) -> Crystals:
        left = {key: value for key, value in crystals.columns.items() if key != name}
        return crystals.replace(columns=left)

    assert f"The column '{name}' is missing" in broken(Honest(forget))


def test_a_hole_in_the_lineage_is_noticed() -> None:
    def forget_one(crystals: Crystals) -> Crystals:
        parents = [None, *crystals.columns["parent"].tolist()[1:]]
        return crystals.with_columns(parent=parents)

    assert "Candidate 'c0' has no 'parent'" in broken(Honest(forget_one))


def test_a_generator_that_starts_from_nothing_needs_no_parents() -> None:
    def forget(crystals: Crystals) -> Crystals:
        left = {key: value for key, value in crystals.columns.items() if key != "parent"}
        return crystals.replace(columns=left)

    check_generator(Honest(forget), lineage=("generator",))


def test_a_name_given_twice_is_noticed() -> None:
    found = broken(Honest(lambda c: c.with_columns(id=["same"] * len(c))))
    assert "The id 'same' is given to two candidates" in found


def test_a_foreign_element_is_noticed() -> None:
    found = broken(Honest(with_partner(35)), system="Na-Cl")
    assert "Candidate 'c0' has an element outside the system" in found


def test_a_formula_not_asked_for_is_noticed() -> None:
    found = broken(Honest(with_partner(35)), formulas=["NaCl"])
    assert "Candidate 'c0' is NaBr, which was not asked for" in found


def test_a_generator_that_does_not_repeat_is_noticed() -> None:
    assert "seed=0 gave other candidates the second time" in broken(Honest(seeded=False))


def test_an_unused_seed_is_noticed() -> None:
    assert "the seed is not used" in broken(Honest(ignores_seed=True))


def test_a_generator_that_enumerates_may_ignore_the_seed() -> None:
    check_generator(Honest(ignores_seed=True), deterministic=True)


def test_candidates_that_nobody_asked_for_are_noticed() -> None:
    assert "No candidates were asked for and 1 came back" in broken(Honest(generous=True))


def test_every_broken_promise_is_named_at_once() -> None:
    found = broken(Honest(lambda c: c.replace(frac=c.frac * 0.1), extra=1, ignores_seed=True))
    for part in ("came back", "nearer", "seed is not used"):
        assert part in found


def test_trouble_on_a_later_call_is_noticed() -> None:
    calls = []

    def once(count: int, *, seed: int) -> Candidates:
        calls.append(seed)
        if len(calls) > 1:
            raise RuntimeError("spent")
        return Honest()(count, seed=seed)

    assert "raised RuntimeError: spent" in broken(once)
