"""A conformance kit for generators: whoever plugs in a generator runs it in a test.

::

    from materialabs.generation.candidates import Candidates
    from materialabs.generation.conformance import check_generator

    def shuffle(count: int, *, seed: int) -> Candidates:
        ...

    def test_my_generator_conforms():
        check_generator(shuffle, system="Li-P-S")
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.columns import is_missing
from materialabs.crystals.compositions import Compositions
from materialabs.crystals.formula_texts import parse_system
from materialabs.errors import MaterialabsError
from materialabs.generation.candidates import Candidates
from materialabs.generation.filters import SmallestDistance

LINEAGE: Final = ("generator", "parent")
"""Columns that every candidate carries: what made it, and the id of the crystal it was made
from."""

NEAREST_ALLOWED: Final = 0.5
"""Angstrom; nearer atoms overlap (the shortest bond there is, H-H, is 0.74)."""

SMALLEST_VOLUME_PER_ATOM: Final = 1.0
"""Cubic angstrom (solid hydrogen at 500 GPa still takes 1.6)."""

LARGEST_VOLUME_PER_ATOM: Final = 1000.0
"""Cubic angstrom; solid caesium takes 117, a slab with vacuum some hundreds."""

SEEDS: Final = (0, 1)
"""Two seeds: each must repeat, and one must not give what the other gives."""

DEFAULT_COUNT: Final = 16
"""Candidates asked for in a check."""


class Generator(Protocol):
    """Anything that makes candidates: called with a count and a seed."""

    def __call__(self, count: int, *, seed: int) -> Candidates:
        """Make at most ``count`` candidates; the same seed gives the same candidates."""
        ...


class ConformanceError(MaterialabsError, AssertionError):
    """A generator does not do what generators promise; the sentences say what failed."""

    default_code = "conformance"


@dataclass(frozen=True)
class Expectations:
    """What the candidates of a check must satisfy.

    Parameters
    ----------
    elements
        Atomic numbers that may occur; any by default.
    formulas
        Reduced formulas that may occur; any by default.
    nearest
        Smallest distance of two atoms, angstrom.
    """

    elements: frozenset[int] | None = None
    formulas: frozenset[str] | None = None
    nearest: float = NEAREST_ALLOWED


def check_generator(
    generator: Generator,
    *,
    count: int = DEFAULT_COUNT,
    system: str | None = None,
    formulas: Sequence[str] | None = None,
    nearest: float = NEAREST_ALLOWED,
    lineage: Sequence[str] = LINEAGE,
    deterministic: bool = False,
) -> Candidates:
    """Refuse a generator that breaks a promise, naming every promise that it breaks.

    Checked are: the type of the answer; that the count is respected and a shortfall explained;
    that every crystal is finite, neither crushed nor blown apart, without overlapping atoms and
    fully occupied; that elements and formulas are those asked for; that lineage is complete and
    names are unique; that one seed gives the same candidates twice and two seeds do not; that
    nothing asked for gives nothing.

    Parameters
    ----------
    generator
        Called as ``generator(count, seed=seed)``.
    count
        Candidates to ask for.
    system
        Chemical system whose elements alone may occur, ``"Li-P-S"``.
    formulas
        Reduced formulas that alone may occur.
    nearest
        Smallest distance of two atoms, angstrom.
    lineage
        Columns that every candidate must carry; a generator that starts from nothing has no
        parents and is checked with ``("generator",)``.
    deterministic
        The generator enumerates rather than draws, so that all seeds may give the same.

    Returns
    -------
    What the first call gave.

    Raises
    ------
    ConformanceError
        With one sentence for each promise that is broken.
    """
    expected = Expectations(
        None if system is None else frozenset(parse_system(system)),
        None if formulas is None else frozenset(Compositions.parse(formulas).reduced_formulas()),
        nearest,
    )
    answer, broken = _ask(generator, count, SEEDS[0])
    if answer is None:
        raise ConformanceError(" ".join(broken))
    broken += _check_count(answer, count) + _check_reasons(answer, count)
    if len(answer.crystals):
        broken += _check_shapes(answer.crystals) + _check_lineage(answer.crystals, lineage)
        broken += _check_contents(answer.crystals, expected)
    broken += _check_seeds(generator, answer, count, deterministic=deterministic)
    broken += _check_nothing(generator)
    if broken:
        raise ConformanceError(" ".join(broken))
    return answer


def _ask(generator: Generator, count: int, seed: int) -> tuple[Candidates | None, list[str]]:
    try:
        answer: object = generator(count, seed=seed)
    except Exception as error:  # whatever a foreign generator raises is a finding
        return None, [
            f"generator({count}, seed={seed}) raised {type(error).__name__}: {error}; what cannot "
            "be made is a reason, not an exception."
        ]
    if not isinstance(answer, Candidates):
        return None, [f"A generator gives Candidates, not {type(answer).__name__}."]
    return answer, []


def _check_count(answer: Candidates, count: int) -> list[str]:
    if len(answer.crystals) > count:
        return [f"{count} candidates were asked for and {len(answer.crystals)} came back."]
    return []


def _check_reasons(answer: Candidates, count: int) -> list[str]:
    broken = []
    for reason, times in answer.reasons.items():
        if not isinstance(reason, str) or not reason.strip() or times < 1:
            broken.append(f"{reason!r} (counted {times} times) is no reason: give a sentence.")
    if len(answer.crystals) < count and not answer.reasons:
        broken.append(
            f"Only {len(answer.crystals)} of {count} candidates came back and no reason says why."
        )
    return broken


def _check_shapes(crystals: Crystals) -> list[str]:
    """Atoms there are, in a possible volume; that numbers are finite is the batch's own promise."""
    broken = []
    if (crystals.counts == 0).any():
        return [f"{_first(crystals, crystals.counts == 0)} has no atoms."]
    each = crystals.volumes / crystals.counts
    for bad, word, limit in (
        (each < SMALLEST_VOLUME_PER_ATOM, "less", SMALLEST_VOLUME_PER_ATOM),
        (each > LARGEST_VOLUME_PER_ATOM, "more", LARGEST_VOLUME_PER_ATOM),
    ):
        if bad.any():
            broken.append(
                f"{_first(crystals, bad)} has {each[int(np.argmax(bad))]:.3g} cubic angstrom for "
                f"each atom, {word} than {limit:g}."
            )
    return broken


def _check_lineage(crystals: Crystals, lineage: Sequence[str]) -> list[str]:
    broken = []
    for name in lineage:
        column = crystals.columns.get(name)
        if column is None:
            broken.append(f"The column {name!r} is missing: lineage is {', '.join(lineage)}.")
        elif is_missing(column).any():
            broken.append(f"{_first(crystals, is_missing(column))} has no {name!r}.")
    names = crystals.ids()
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        broken.append(f"The id {twice!r} is given to two candidates.")
    return broken


def _check_contents(crystals: Crystals, expected: Expectations) -> list[str]:
    broken = []
    if crystals.disordered().any():
        broken.append(f"{_first(crystals, crystals.disordered())} has partly occupied sites.")
    crowded = ~SmallestDistance(expected.nearest)(crystals)
    if crowded.any():
        broken.append(
            f"{_first(crystals, crowded)} has atoms nearer than {expected.nearest:g} angstrom."
        )
    if expected.elements is not None:
        strange = sorted(set(crystals.compositions.present()) - expected.elements)
        if strange:
            who = _containing(crystals, strange[0])
            broken.append(f"{_first(crystals, who)} has an element outside the system asked for.")
    if expected.formulas is not None:
        other = np.array([f not in expected.formulas for f in crystals.reduced_formulas()])
        if other.any():
            formula = crystals.reduced_formulas()[int(np.argmax(other))]
            broken.append(f"{_first(crystals, other)} is {formula}, which was not asked for.")
    return broken


def _check_seeds(
    generator: Generator, answer: Candidates, count: int, *, deterministic: bool
) -> list[str]:
    again, broken = _ask(generator, count, SEEDS[0])
    if again is not None and not _same(answer, again):
        broken.append(f"seed={SEEDS[0]} gave other candidates the second time.")
    other, trouble = _ask(generator, count, SEEDS[1])
    broken += trouble
    alike = other is not None and _same(answer, other)
    if alike and len(answer.crystals) and not deterministic:
        broken.append(
            f"seed={SEEDS[1]} gave what seed={SEEDS[0]} gave: the seed is not used. Where nothing "
            "is drawn, pass deterministic=True."
        )
    return broken


def _check_nothing(generator: Generator) -> list[str]:
    answer, broken = _ask(generator, 0, SEEDS[0])
    if answer is not None and len(answer.crystals):
        broken.append(f"No candidates were asked for and {len(answer.crystals)} came back.")
    return broken


def _same(first: Candidates, second: Candidates) -> bool:
    return (
        first.reasons == second.reasons and first.crystals.to_bytes() == second.crystals.to_bytes()
    )


def _containing(crystals: Crystals, number: int) -> NDArray[np.bool_]:
    return np.asarray(crystals.compositions.dense([number])[:, 0] > 0)


def _first(crystals: Crystals, bad: NDArray[np.bool_]) -> str:
    return f"Candidate {crystals.ids()[int(np.argmax(bad))]!r}"
