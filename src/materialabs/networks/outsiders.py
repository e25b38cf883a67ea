"""Networks that have learned without a part of the training side, and what their errors teach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.compositions import Compositions
from materialabs.networks.calibration import Calibration
from materialabs.networks.difficulty import FEWEST, Difficulty, Traits
from materialabs.networks.ensembles import Asked, State
from materialabs.networks.heads import Head, known_of, places_of, sibling_of
from materialabs.networks.learning_tasks import Scaling
from materialabs.networks.signals import chemical_groups, signals_with_difficulty
from materialabs.networks.splits import formula_hash

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

HALVES: Final = 2
"""Parts of the training formulas, one of which an outsider does not see."""

FEWEST_TOGETHER: Final = 2
"""Outsiders that were kept from the same rows; alone, one cannot disagree."""

USUALLY_KNOWN: Final = 0.9
"""Share of the rows that know a head's value from which what is hard is learned for it."""


@dataclass(frozen=True, eq=False)
class Outsider:
    """A network that has learned without some of the training rows.

    Parameters
    ----------
    state, scaling
        Its weights, and what takes its outputs to the units of the targets.
    kept_out
        The rows of the table that it has not seen, rising.
    """

    state: State
    scaling: Scaling
    kept_out: Rows


def half_of(rows: Rows, formulas: NDArray[np.str_], number: int) -> tuple[Rows, Rows]:
    """The training rows that an outsider learns from, and those that it is kept from.

    Parameters
    ----------
    rows
        Of the training side.
    formulas
        Reduced formula of each row of the table.
    number
        Of the outsider; even and odd ones are kept from different halves.
    """
    hashes = np.array([formula_hash(f"fold {one}") for one in formulas[rows].tolist()])
    out = hashes % HALVES == number % HALVES
    return rows[~out], rows[out]


@dataclass(frozen=True, eq=False)
class Outside:
    """Rows that an outsider has not seen.

    Parameters
    ----------
    asked
        What it says of them.
    distances
        How far each is from what it has learned from, in its own features.
    """

    asked: Asked
    distances: Floats


@dataclass(frozen=True, eq=False)
class Lesson:
    """What outsiders teach of the errors of one geometry.

    Parameters
    ----------
    difficulty
        What is hard.
    calibrations
        By head, a calibration on the outsiders' crystals, which tells how strongly widths are to
        follow the likely error and how they differ by group; empty without two outsiders for each
        half.
    """

    difficulty: Difficulty
    calibrations: dict[str, Calibration]


def lesson_of(
    parts: Sequence[Outside], targets: Floats, heads: tuple[Head, ...], formulas: NDArray[np.str_]
) -> Lesson | None:
    """What is hard, and how far widths may follow it, by the errors of all outsiders.

    Outsiders that were kept from the same rows answer together, as the members of an ensemble.

    Parameters
    ----------
    parts
        What each outsider says of the rows that it has not seen.
    targets, formulas
        Of the whole table; rows of one formula belong together.
    heads
        What the columns of targets and answers are.

    Returns
    -------
    Nothing where too few errors are known, or no head's values usually are.
    """
    alike: dict[bytes, list[Outside]] = {}
    for part in parts:
        alike.setdefault(part.asked.rows.tobytes(), []).append(part)
    rows = [some[0].asked.rows for some in alike.values()]
    names = _usually_known(heads, targets[np.concatenate(rows)]) if rows else []
    if not names:
        return None
    columns = [places_of(heads)[name].start for name in names]
    ensembles = [_Ensemble.of(some, targets, columns) for some in alike.values()]
    difficulty = _difficulty(ensembles, names, columns)
    if difficulty is None:
        return None
    return Lesson(difficulty, _calibrations(ensembles, names, heads, targets, formulas))


def _usually_known(heads: tuple[Head, ...], targets: Floats) -> list[str]:
    known = known_of(heads, targets)
    least = max(USUALLY_KNOWN * len(targets), 1.0)
    return [head.name for head in heads if not head.classes and known[head.name] >= least]


@dataclass(frozen=True, eq=False)
class _Ensemble:
    """Outsiders that were kept from the same rows, asked for those of them with known values.

    Parameters
    ----------
    values
        [m, n, columns], answers of each.
    traits
        Of the rows; distances as the first outsider sees them, like a model's first member.
    truth
        [n, columns].
    rows
        [n], their places in the table.
    """

    values: Floats
    traits: Traits
    truth: Floats
    rows: Rows

    @classmethod
    def of(cls, parts: Sequence[Outside], targets: Floats, columns: Sequence[int]) -> Self:
        """Those of the rows whose values in some columns are known."""
        first = parts[0].asked
        truth = targets[first.rows]
        known = np.flatnonzero(np.isfinite(truth[:, columns]).all(axis=1))
        values = np.concatenate([one.asked.answers.values for one in parts])
        traits = Traits(
            values.mean(axis=0), first.compositions, first.volumes, parts[0].distances
        )  # fmt: skip
        return cls(values[:, known], traits.take(known), truth[known], first.rows[known])


def _difficulty(
    ensembles: Sequence[_Ensemble], names: Sequence[str], columns: Sequence[int]
) -> Difficulty | None:
    """What is hard, by the errors of some ensembles; nothing where these are few."""
    if sum(len(one.rows) for one in ensembles) < FEWEST:
        return None
    errors = [np.abs(one.traits.values - one.truth)[:, columns] for one in ensembles]
    return Difficulty.fit(
        names, Traits.concat([one.traits for one in ensembles]), np.concatenate(errors)
    )


def _calibrations(
    ensembles: Sequence[_Ensemble], names: Sequence[str], heads: tuple[Head, ...], targets: Floats,
    formulas: NDArray[np.str_],
) -> dict[str, Calibration]:  # fmt: skip
    """Calibrations that make intervals narrowest and keep their promise on outsiders' crystals.

    Each ensemble's crystals are judged by what the others teach, as new crystals will be. There are
    many more of them than were set aside for calibration, where chance rules how far widths should
    follow the likely error, and small groups have no crystals. They are judged by fewer networks,
    and by distances from half as many crystals.
    """
    places, known = places_of(heads), known_of(heads, targets)
    together = min(len(one.values) for one in ensembles)
    if together < FEWEST_TOGETHER:
        return {}
    hards = []
    for one in ensembles:
        others = [other for other in ensembles if other is not one]
        taught = _difficulty(others, names, [places[name].start for name in names])
        if taught is None:
            return {}
        seen = replace(one.traits, values=one.values[:together].mean(axis=0))
        hards.append(taught.log_errors(seen))
    values = np.concatenate([one.values[:together] for one in ensembles], axis=1)
    truth = np.concatenate([one.truth for one in ensembles])
    clusters = formulas[np.concatenate([one.rows for one in ensembles])]
    groups = chemical_groups(Compositions.concat([one.traits.compositions for one in ensembles]))
    found = {}
    for head in (head for head in heads if head.name in names):
        own, like = values[..., places[head.name].start], sibling_of(head, heads, known)
        sibling = None if like is None else values[..., places[like.name].start].mean(axis=0)
        hard = np.concatenate([one[head.name] for one in hards])
        signals = signals_with_difficulty(own.mean(axis=0), own, sibling, hard)
        found[head.name] = Calibration.fit(
            own.mean(axis=0), truth[:, places[head.name].start], signals, {}, clusters=clusters,
            levelled=groups,
        )  # fmt: skip
    return found
