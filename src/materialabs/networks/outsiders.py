"""Networks that have learned without a part of the training side, and what their errors teach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.compositions import Compositions
from materialabs.networks.difficulty import FEWEST, Difficulty
from materialabs.networks.ensembles import Asked, State
from materialabs.networks.heads import Head, places_of
from materialabs.networks.learning_tasks import Scaling
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


def outside_difficulty(
    parts: Sequence[Asked], targets: Floats, heads: Sequence[Head]
) -> Difficulty | None:
    """What is hard, by the mean answers of all outsiders that were kept from the same rows.

    Parameters
    ----------
    parts
        What each outsider says of the rows that it has not seen.
    targets
        Of the whole table.
    heads
        What its columns are.

    Returns
    -------
    Nothing where too few errors are known.
    """
    alike: dict[bytes, list[Asked]] = {}
    for part in parts:
        alike.setdefault(part.rows.tobytes(), []).append(part)
    firsts = [same[0] for same in alike.values()]
    if sum(len(one.rows) for one in firsts) < FEWEST:
        return None
    values = np.concatenate([
        np.mean([one.answers.values[0] for one in same], axis=0) for same in alike.values()
    ])  # fmt: skip
    rows = np.concatenate([one.rows for one in firsts])
    places, numbers = places_of(tuple(heads)), [head.name for head in heads if not head.classes]
    columns = [places[name].start for name in numbers]
    errors = np.abs(values[:, columns] - targets[rows][:, columns])
    often = np.flatnonzero(np.isfinite(errors).mean(axis=0) >= USUALLY_KNOWN)
    known = np.flatnonzero(np.isfinite(errors[:, often]).all(axis=1))
    if not len(often) or len(known) < FEWEST:
        return None
    return Difficulty.fit(
        [numbers[place] for place in often.tolist()],
        values[known],
        Compositions.concat([one.compositions for one in firsts])[known],
        np.concatenate([one.volumes for one in firsts])[known],
        errors[np.ix_(known, often)],
    )
