"""Random sensible structures: crystals drawn inside a space group (AIRSS).

After Pickard and Needs, J. Phys.: Condens. Matter 23, 053201 (2011): a space group and Wyckoff
positions, a random cell of a sensible volume, smallest distances between atoms, and a soft-sphere
push-off that keeps the symmetry. Whether a composition fits a space group at all is decided
exactly before anything is drawn, and each failure has its reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.compositions import Compositions
from materialabs.crystals.formula_texts import parse_formula
from materialabs.crystals.volumes import estimated_volumes
from materialabs.errors import InputError, PhysicsError
from materialabs.generation.candidates import Candidates
from materialabs.generation.compression import compression, estimated_bulk_modulus
from materialabs.generation.drawing import (
    ATTEMPTS,
    Content,
    Drawing,
    draw,
)
from materialabs.generation.packing import (
    DistanceRule,
    MinimumDistances,
    check_density,
    distance_rule,
    distance_table,
)
from materialabs.generation.seeds import checked_count, checked_seed
from materialabs.generation.site_choices import (
    can_hold,
    cell_contents,
    groups_checked,
    why_impossible,
)
from materialabs.generation.slabs import checked_factors
from materialabs.generation.space_group_shares import usual_shares
from materialabs.generation.wyckoff import checked_group

VOLUME_FACTORS: Final = (0.4, 1.2)
"""Volume over the estimate; the range that GNoME draws from (Merchant et al., Nature 624, 80,
2023)."""

MOST_CELLS: Final = 8
"""Formula units tried where none are given."""

SENSIBLE_ATOMS: Final = 24
"""Atoms in the primitive cell up to which formula units are tried where none are given."""

ROUNDS: Final = 8
"""Times that a crystal which could not be drawn is tried in another space group."""


@dataclass(frozen=True)
class Request:
    """One random crystal that is wanted.

    Parameters
    ----------
    formula, cells
        Formula, and formula units in the primitive cell.
    space_group
        Number of the space group.
    volume
        Volume of the primitive cell in cubic angstrom; estimated by default.
    """

    formula: str
    cells: int
    space_group: int
    volume: float | None = None


@dataclass(frozen=True, eq=False)
class Answers:
    """What came of a list of requests.

    Parameters
    ----------
    crystals
        Those that could be drawn, in the order of the requests.
    rows
        int64 [n], the request that each crystal answers.
    reasons
        For each request why it failed, or None.
    """

    crystals: Crystals
    rows: NDArray[np.int64]
    reasons: list[str | None]


def airss(
    formula: str,
    count: int,
    *,
    cells: int | Sequence[int] | None = None,
    space_groups: int | Sequence[int] | None = None,
    usual: float = 0.0,
    volume_factors: tuple[float, float] = VOLUME_FACTORS,
    minimum_distances: MinimumDistances = None,
    pressure: float = 0.0,
    seed: int = 0,
    threads: int = 1,
) -> Crystals:
    """Draw random sensible crystals of a composition; see :func:`airss_candidates`.

    Raises
    ------
    PhysicsError
        When not one crystal could be drawn, with the most frequent reason.
    """
    candidates = airss_candidates(
        formula, count, cells=cells, space_groups=space_groups, usual=usual,
        volume_factors=volume_factors, minimum_distances=minimum_distances, pressure=pressure,
        seed=seed, threads=threads,
    )  # fmt: skip
    if count > 0 and not len(candidates):
        reason = candidates.reasons.most_common(1)[0][0]
        raise PhysicsError(
            f"No random crystal of {formula} could be drawn: {reason}. Give more volume, smaller "
            "distances or other space groups.",
            code="airss.none",
        )
    return candidates.crystals


def airss_candidates(
    formula: str,
    count: int,
    *,
    cells: int | Sequence[int] | None = None,
    space_groups: int | Sequence[int] | None = None,
    usual: float = 0.0,
    volume_factors: tuple[float, float] = VOLUME_FACTORS,
    minimum_distances: MinimumDistances = None,
    pressure: float = 0.0,
    seed: int = 0,
    threads: int = 1,
) -> Candidates:
    """Draw random sensible crystals of a composition, with the reasons for what failed.

    Each crystal gets a number of formula units and a space group that can hold them, each as
    likely unless ``usual`` says otherwise; one that cannot be drawn is tried again in another
    group.

    Parameters
    ----------
    formula
        Composition with whole amounts.
    count
        Crystals wanted; fewer come back only when :data:`ROUNDS` tries each did not suffice.
    cells
        Formula units in the primitive cell, one number or several; by default as many as
        :data:`SENSIBLE_ATOMS` atoms hold, at most :data:`MOST_CELLS`.
    space_groups
        Numbers to draw from; all 230 by default.
    usual
        Part of the crystals, 0 to 1, whose space group is drawn as often as known compounds of
        their size have it; that of the others is drawn evenly.
    volume_factors
        Range of the volume over the estimate at this pressure; drawn evenly at each attempt.
    minimum_distances
        Smallest distances by pair, angstrom: ``1.5`` for all, ``"Li-O=1.6, O-O=2.2"`` or a
        mapping; others are 0.7 of the sum of the covalent radii, less under pressure.
    pressure
        GPa; the volume follows Murnaghan's equation with an estimated bulk modulus.
    seed
        The same seed gives the same crystals, whatever the number of threads.
    threads
        Threads of the kernels.

    Returns
    -------
    Candidates
        Primitive cells with the columns ``generator`` ("airss"), ``space_group`` (asked for; the
        crystal has it or a supergroup), ``volume_factor``, ``attempts`` and ``pressure``, and
        the site column ``wyckoff``.

    Raises
    ------
    InputError
        When an argument makes no sense.
    PhysicsError
        When no space group asked for can hold the composition, or every cell is too dense.
    """
    count, seed = checked_count(count), checked_seed(seed)
    factors = checked_factors(volume_factors)
    numbers = groups_checked(space_groups)
    if not 0.0 <= usual <= 1.0:
        raise InputError(f"The part drawn from usual space groups is 0 to 1, not {usual!r}.")
    contents, reasons = _possible_contents(
        formula, _cells(formula, cells), numbers, factors[1], minimum_distances, pressure
    )
    pairs = [(i, g) for i, (_, groups) in enumerate(contents) for g in groups]
    weights = np.concatenate([_chances(content, groups, usual) for content, groups in contents])
    drawings: list[tuple[NDArray[np.int64], Drawing]] = []
    missing = np.arange(count)
    for turn in range(ROUNDS):
        if not len(missing):
            break
        rng = np.random.default_rng([seed, turn])
        chosen = np.array(pairs)[rng.choice(len(pairs), count, p=weights / weights.sum())]
        seeds = rng.integers(0, 2**64, count, dtype=np.uint64, endpoint=False)
        drawing = draw(
            [content for content, _ in contents],
            chosen[missing, 0],
            chosen[missing, 1],
            seeds[missing],
            factors,
            threads=threads,
        )
        reasons.update(reason for reason in drawing.reasons if reason is not None)
        drawings.append((missing[drawing.rows], drawing))
        missing = np.setdiff1d(missing, missing[drawing.rows], assume_unique=True)
    order = np.argsort(np.concatenate([rows for rows, _ in drawings] or [np.zeros(0, int)]))
    crystals = Crystals.concat([drawing.crystals for _, drawing in drawings])
    return Candidates(_labelled(crystals[order], pressure), reasons)


def _cells(formula: str, cells: int | Sequence[int] | None) -> list[int]:
    """Formula units to draw from."""
    if cells is None:
        atoms = sum(parse_formula(formula).values())
        return list(range(1, max(1, min(MOST_CELLS, int(SENSIBLE_ATOMS // atoms))) + 1))
    given = list(dict.fromkeys(cells)) if isinstance(cells, Iterable) else [cells]
    if not given:
        raise InputError("The list of formula units is empty: name one, or leave it out.")
    return given


def _possible_contents(
    formula: str,
    cells: Sequence[int],
    numbers: Sequence[int],
    largest_factor: float,
    minimum_distances: MinimumDistances,
    pressure: float,
) -> tuple[list[tuple[Content, list[int]]], Counter[str]]:
    """What can be drawn and in which groups, and why the rest cannot."""
    possible: list[tuple[Content, list[int]]] = []
    reasons: Counter[str] = Counter()
    rule = distance_rule(minimum_distances)
    for units in cells:
        held = can_hold(cell_contents(formula, units))
        groups = [number for number in numbers if held[number - 1]]
        refused = [number for number in numbers if not held[number - 1]]
        if len(numbers) < len(held):
            contents = cell_contents(formula, units)
            reasons.update(str(why_impossible(contents, number)) for number in refused)
        elif refused:
            reasons[_without_home(formula, units)] += len(refused)
        if groups:
            possible.append((_content(formula, units, None, rule, pressure), groups))
    if not possible:
        raise PhysicsError(next(iter(reasons)), code="airss.impossible")
    for content, _ in possible:
        check_density(
            content.counts, content.nearest, largest_factor * content.volume, f"{formula}"
        )
    return possible, reasons


def _chances(content: Content, groups: Sequence[int], usual: float) -> NDArray[np.float64]:
    """Chance of each space group that can hold a content; they add up to one."""
    even = np.full(len(groups), 1.0 / len(groups))
    known = usual_shares(sum(content.counts))[np.array(groups) - 1]
    if usual == 0.0 or not known.any():
        return even
    return np.asarray(usual * known / known.sum() + (1.0 - usual) * even)


def _without_home(formula: str, units: int) -> str:
    return f"space groups whose Wyckoff positions cannot hold {units} {formula}"


def _content(
    formula: str,
    units: int,
    volume: float | None,
    rule: DistanceRule,
    pressure: float,
) -> Content:
    """The atoms of a primitive cell, their smallest distances and their volume under pressure."""
    contents = cell_contents(formula, units)
    if volume is not None and not 0 < volume < np.inf:
        raise InputError(f"A volume is above zero cubic angstrom; got {volume!r}.")
    shrunk = 1.0
    if volume is None or pressure != 0.0:
        estimate = units * float(estimated_volumes(Compositions.parse([formula]))[0])
        modulus = estimated_bulk_modulus(estimate / sum(contents.values()))
        shrunk = float(compression(pressure, modulus))
        volume = estimate * shrunk if volume is None else volume
    nearest = distance_table(list(contents), rule, scale=shrunk ** (1.0 / 3.0))
    return Content(tuple(contents), tuple(contents.values()), nearest, volume)


def _labelled(crystals: Crystals, pressure: float) -> Crystals:
    return crystals.with_columns(
        generator=np.full(len(crystals), "airss", dtype=object),
        pressure=np.full(len(crystals), float(pressure)),
    )


def airss_requests(
    requests: Sequence[Request],
    *,
    volume_factors: tuple[float, float] = VOLUME_FACTORS,
    minimum_distances: MinimumDistances = None,
    pressure: float = 0.0,
    attempts: int = ATTEMPTS,
    seed: int = 0,
    threads: int = 1,
) -> Answers:
    """Draw one crystal for each request, or say why there is none.

    Parameters
    ----------
    requests
        Formula, formula units and space group of each; a volume that a request gives is taken as
        it is, and pressure and factors do not change it.
    volume_factors, minimum_distances, pressure, seed, threads
        As in :func:`airss_candidates`.
    attempts
        Draws for each request before it is given up.
    """
    factors = checked_factors(volume_factors)
    if attempts < 1:
        raise InputError(f"At least one attempt is needed; got {attempts}.")

    rule = distance_rule(minimum_distances)
    contents: dict[tuple[str, int, float | None], Content] = {}
    for request in requests:
        key = (request.formula, request.cells, request.volume)
        if key not in contents:
            contents[key] = _content(*key, rule, pressure)
    place = {key: index for index, key in enumerate(contents)}
    which = [place[request.formula, request.cells, request.volume] for request in requests]
    ranges = np.array([(1.0, 1.0) if r.volume is not None else factors for r in requests])
    drawing = draw(
        list(contents.values()),
        np.array(which, dtype=np.int64),
        np.array([checked_group(request.space_group) for request in requests], dtype=np.int64),
        np.random.default_rng(checked_seed(seed)).integers(
            0, 2**64, len(requests), dtype=np.uint64
        ),
        ranges.reshape(-1, 2),
        attempts=attempts,
        threads=threads,
    )
    return Answers(_labelled(drawing.crystals, pressure), drawing.rows, drawing.reasons)
