"""Networks that have learned without a part of the training side, and what their errors teach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.compositions import Compositions
from materialabs.networks.calibration import Calibration
from materialabs.networks.difficulty import FEWEST, Difficulty
from materialabs.networks.ensembles import Asked, State
from materialabs.networks.heads import Head, known_of, places_of, sibling_of
from materialabs.networks.learning_tasks import Scaling
from materialabs.networks.signals import signals_with_difficulty
from materialabs.networks.splits import formula_hash

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

HALVES: Final = 2
"""Parts of the training formulas, one of which an outsider does not see."""

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
class Lesson:
    """What outsiders teach of the errors of one geometry.

    Parameters
    ----------
    difficulty
        What is hard.
    powers
        By head, how strongly the widths of intervals are to follow the likely error.
    """

    difficulty: Difficulty
    powers: dict[str, float]


def lesson_of(
    parts: Sequence[Asked], targets: Floats, heads: tuple[Head, ...], formulas: NDArray[np.str_]
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
    Nothing where too few errors are known.
    """
    together = _Errors(_ensembles(parts), targets, heads)
    difficulty = together.difficulty(together.ensembles)
    return None if difficulty is None else Lesson(difficulty, together.powers(formulas))


def _ensembles(parts: Sequence[Asked]) -> list[Asked]:
    """The answers of those that were kept from the same rows, as the answers of one ensemble."""
    alike: dict[bytes, list[Asked]] = {}
    for part in parts:
        alike.setdefault(part.rows.tobytes(), []).append(part)
    return [
        replace(some[0], answers=replace(
            some[0].answers, values=np.concatenate([one.answers.values for one in some])
        ))
        for some in alike.values()
    ]  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Errors:
    """Ensembles of outsiders, each with the rows that none of it has seen, and the truth."""

    ensembles: list[Asked]
    targets: Floats
    heads: tuple[Head, ...]

    @cached_property
    def names(self) -> list[str]:
        """The heads whose values are usually known."""
        rows = [one.rows for one in self.ensembles]
        known = known_of(self.heads, self.targets[np.concatenate(rows)]) if rows else {}
        least = USUALLY_KNOWN * sum(map(len, rows))
        return [
            head.name for head in self.heads
            if not head.classes and known.get(head.name, 0) >= max(least, 1.0)
        ]  # fmt: skip

    def column(self, name: str) -> int:
        """Where a head's value stands."""
        return int(places_of(self.heads)[name].start)

    def known(self, one: Asked) -> Rows:
        """Places in an ensemble's rows where all of these heads are known."""
        columns = [self.column(name) for name in self.names]
        return np.flatnonzero(np.isfinite(self.targets[one.rows][:, columns]).all(axis=1))

    def difficulty(self, ensembles: Sequence[Asked]) -> Difficulty | None:
        """What is hard, by the errors of some of the ensembles."""
        known = [self.known(one) for one in ensembles]
        if not self.names or sum(map(len, known)) < FEWEST:
            return None
        columns = [self.column(name) for name in self.names]
        asked = list(zip(ensembles, known, strict=True))
        values = np.concatenate([one.answers.values.mean(axis=0)[some] for one, some in asked])
        truth = np.concatenate([self.targets[one.rows[some]] for one, some in asked])
        return Difficulty.fit(
            self.names,
            values,
            Compositions.concat([one.compositions[some] for one, some in asked]),
            np.concatenate([one.volumes[some] for one, some in asked]),
            np.abs(values - truth)[:, columns],
        )

    def powers(self, formulas: NDArray[np.str_]) -> dict[str, float]:
        """The power of the likely error by which each head's intervals are widest where they must.

        Each ensemble's crystals are judged by what the others teach, as new crystals will be. There
        are many more of them than were set aside for calibration, where chance rules this power.
        """
        seen = []
        for one in self.ensembles:
            others = self.difficulty([other for other in self.ensembles if other is not one])
            if others is None or len(one.answers.values) < 2:  # alone, it cannot disagree
                return {}
            some = self.known(one)
            values = one.answers.values[:, some]
            hard = others.log_errors(
                values.mean(axis=0), one.compositions[some], one.volumes[some]
            )  # fmt: skip
            seen.append((one.rows[some], values, hard))
        counted, found = known_of(self.heads, self.targets), {}
        for head in (head for head in self.heads if head.name in self.names):
            like = sibling_of(head, self.heads, counted)
            means, truths, signals = [], [], []
            for rows, values, hard in seen:
                own = values[..., self.column(head.name)]
                sibling = None if like is None else values[..., self.column(like.name)].mean(axis=0)
                means.append(own.mean(axis=0))
                truths.append(self.targets[rows, self.column(head.name)])
                signals.append(
                    signals_with_difficulty(means[-1], own, sibling, hard[head.name])
                )  # fmt: skip
            found[head.name] = Calibration.fit(
                np.concatenate(means),
                np.concatenate(truths),
                {name: np.concatenate([one[name] for one in signals]) for name in signals[0]},
                {},
                clusters=formulas[np.concatenate([rows for rows, _, _ in seen])],
            ).temper
        return found
