"""Which candidates to verify next: by what they promise, how unsure that is, and how unlike.

The schedule takes the confident first and a growing share of the unsure later, so that blind spots
of the model are looked into once the plain cases are done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.compositions import Compositions
from materialabs.discovery.choosing import chance_on_hull, likeliest
from materialabs.generation.balance import StrictBalance
from materialabs.hull.hull import ON_HULL
from materialabs.networks.stability import expected_improvement
from materialabs.predictions import Prediction

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

SAME_FORMULA: Final = 0.35
"""What is left of a candidate's score for each one of its formula that the batch holds."""

TRIED_FORMULA: Final = 0.6
"""The same for each one of its formula that was relaxed in an earlier round: another polymorph
seldom lies lower than those that were likelier to."""

NEAR_FORMULA: Final = 0.8
"""The same for one whose composition is near."""

NEAR: Final = 0.06
"""Distance between atomic fractions up to which compositions are near."""

FIRST_UNSURE, SHARE_STEP, MOST_UNSURE = 0.0, 0.05, 0.2
"""Share of a batch that goes to unsure candidates: in the first round, more in each, at most. About
half as large a part of them comes on the hull as of the confident ones."""

RANDOM_WORTH: Final = 0.3
"""What a random crystal is worth beside a candidate from a template of which the same is predicted:
the lowest of very many are those that the prediction takes too low, and a third as large a part of
them comes on the hull."""

UNSURE_WITHIN: Final = 0.1
"""eV/atom; farther above the hull an unsure candidate counts less: far away nearly all are unsure,
and hardly one comes near."""

UNBALANCED: Final = 0.1
"""What a candidate whose observed oxidation states cannot balance is worth beside one whose do, as
long as nothing has been learned."""

OPINION: Final = 0.05
"""Power of the generator's opinion beside a prediction that has learned nothing."""

FADES: Final = 20
"""Relaxed compounds at which that power has fallen to half."""

ENOUGH_DRAWS: Final = 16
"""Members of a prediction from which their shares tell chances."""

SCALE: Final = 0.025
"""eV/atom: a hull distance larger by this makes a candidate worth 1/e as much."""


@dataclass(frozen=True, eq=False)
class Promise:
    """What is known of the candidates before they are relaxed.

    Parameters
    ----------
    distance
        Hull distance as a prediction, eV/atom, or None where nothing predicts.
    compositions
        Of the candidates.
    gain
        Volume that each would add to the front of several objectives [n], or None.
    within
        Chance [n] that each meets the wanted ranges of properties.
    likelihood
        Chance [n] that its generator gives it; zero where it has no opinion.
    learned
        Relaxed compounds that the prediction has learned from.
    tried
        Crystals of its formula that were relaxed before [n], or None for none.
    among
        Distance [m, n], eV/atom, of each candidate above the hull that each member of the
        prediction draws of all phases and candidates, or None.
    """

    distance: Prediction | None
    compositions: Compositions
    gain: Floats | None
    within: Floats
    likelihood: Floats
    learned: int = 0
    tried: Floats | None = None
    among: Floats | None = None

    def __len__(self) -> int:
        return len(self.compositions)


@dataclass(frozen=True, eq=False)
class Choice:
    """Candidates that were chosen, in order, each with the reason.

    Parameters
    ----------
    rows
        Their positions.
    reasons
        ``"confident"``, ``"unsure"``, ``"likely"`` (by the generator) or ``"random"``.
    """

    rows: Whole
    reasons: tuple[str, ...]


def choose(promise: Promise, count: int, strategy: str, number: int, *, seed: int) -> Choice:
    """Choose a batch.

    Parameters
    ----------
    promise
        Of the candidates.
    count
        How many.
    strategy
        ``"random"``; ``"greedy"``: the lowest predicted hull distance; ``"improvement"``: what is
        likely to be on the hull of all phases and candidates, then the expected improvement;
        ``"likeliest"``: the likeliest to be stable; ``"uncertainty"``: the widest interval
        near that hull; ``"mixed"``: improvement and the likeliest in equal parts, and uncertainty,
        of candidates from templates, for a growing share.
    number
        Of the round.
    seed
        Of everything random.
    """
    if strategy == "random":
        rng = np.random.default_rng([seed, number])
        rows = np.flatnonzero(promise.within > 0)
        rows = rng.permutation(rows)[:count]
        return Choice(rows, ("random",) * len(rows))
    if promise.distance is None:  # nothing has been learned yet: go by the generator
        rows = diverse(_likely(promise), promise.compositions, count)
        return Choice(rows, ("likely",) * len(rows))
    if strategy == "likeliest" and promise.gain is None:
        allowed = np.flatnonzero(promise.within > 0)
        rows = allowed[likeliest(_chance(promise)[allowed], promise.distance.mean[allowed], count)]
        return Choice(rows, ("confident",) * len(rows))
    unsure = _unsure_count(strategy, count, number)
    sure = _sure(promise, count - unsure, strategy)
    wide = _scores(promise, "uncertainty").copy()
    if strategy != "uncertainty":
        wide[~_of_templates(promise)] = 0.0
    wide[sure] = 0.0
    others = diverse(wide, promise.compositions, unsure, beside=sure)
    if len(others) < unsure:  # too few templates are left: the confident ones fill the batch
        sure = _sure(promise, count - len(others), strategy)
        others = others[~np.isin(others, sure)]
    reasons = ("confident",) * len(sure) + ("unsure",) * len(others)
    return Choice(np.concatenate([sure, others]), reasons)


def _sure(promise: Promise, count: int, strategy: str) -> Whole:
    """Candidates that the prediction trusts; a mixed schedule trusts two opinions in equal parts.

    One is the improvement on the hull of all candidates, the other the chance to be stable: with
    few members that is the chance to lie below what is known, so that a rival that is predicted
    too low hides nothing. Where several objectives are weighed, their gain alone decides.
    """
    scores = _scores(promise, "greedy" if strategy == "greedy" else "improvement")
    if strategy != "mixed" or promise.gain is not None:
        return diverse(scores, promise.compositions, count)
    among = diverse(scores, promise.compositions, count - count // 2)
    beyond = _chance(promise)
    beyond[among] = 0.0
    others = diverse(beyond, promise.compositions, count // 2, beside=among)
    both = np.concatenate([among, others])
    scores = scores.copy()
    scores[both] = 0.0
    rest = diverse(scores, promise.compositions, count - len(both), beside=both)
    return np.concatenate([both, rest])


def _chance(promise: Promise) -> Floats:
    """Chance that each candidate is stable and has the wanted properties [n].

    From enough draws it is the share in whose hull of all it lies; from few members, the chance
    that it lies below the hull of what is known.
    """
    assert promise.distance is not None
    if promise.among is not None and len(promise.among) >= ENOUGH_DRAWS:
        chance = chance_on_hull(promise.among)
    else:
        chance = promise.distance.probability_below(ON_HULL)
    tried = np.zeros(len(promise)) if promise.tried is None else promise.tried
    return np.asarray(chance * promise.within * TRIED_FORMULA**tried * _worth_of_origin(promise))


def _of_templates(promise: Promise) -> NDArray[np.bool_]:
    """Candidates that are not random crystals [n]; all are where nothing else is there.

    Predictions of random crystals are the most unsure, and hardly one of them that is taken for
    that comes near the hull.
    """
    told = promise.likelihood > 0
    return told if told.any() else ~told


def _worth_of_origin(promise: Promise) -> Floats:
    """What candidates count beside one from a template [n]."""
    return np.where(_of_templates(promise), 1.0, RANDOM_WORTH)


def _unsure_count(strategy: str, count: int, number: int) -> int:
    if strategy == "uncertainty":
        return count
    if strategy != "mixed":
        return 0
    share = min(FIRST_UNSURE + SHARE_STEP * max(number - 1, 0), MOST_UNSURE)
    return min(count, int(np.floor(share * count + 0.5)))


def _likely(promise: Promise) -> Floats:
    """The generator's own opinion, and whether common charges balance.

    Random crystals count as the least likely of the others.
    """
    told = promise.likelihood > 0
    least = float(promise.likelihood[told].min()) if told.any() else 1.0
    balanced = np.where(StrictBalance()(promise.compositions), 1.0, UNBALANCED)
    return np.asarray(np.where(told, promise.likelihood, least) * balanced * promise.within)


def _prior(promise: Promise) -> Floats:
    """What the generator's opinion is worth beside a prediction; it fades as more is learned."""
    likely = _likely(promise)
    top = likely.max() if len(likely) else 0.0
    if top <= 0.0:
        return np.ones(len(likely))
    trust = OPINION / (1.0 + promise.learned / FADES)
    return np.asarray((np.maximum(likely, 1e-12) / top) ** trust)


def _scores(promise: Promise, how: str) -> Floats:
    """What each candidate is worth, zero or more [n]."""
    distance = promise.distance
    assert distance is not None
    above = distance.mean if promise.among is None else promise.among.mean(axis=0)
    if how == "greedy":
        worth = np.exp(-(distance.mean - distance.mean.min()) / SCALE)
    elif how == "uncertainty":
        worth = distance.std * np.exp(-np.maximum(above - UNSURE_WITHIN, 0.0) / SCALE)
    else:
        # Beyond reach of the hull the improvement is nil: the mean then still tells them apart.
        far = np.exp(-(distance.mean - distance.mean.min()) / SCALE)
        worth = expected_improvement(distance) + 1e-6 * far
        if promise.among is not None:
            worth = np.exp(-promise.among / SCALE).mean(axis=0) + 1e-3 * worth
    if how == "improvement":
        worth = worth * _prior(promise) * _worth_of_origin(promise)
    if promise.tried is not None:
        worth = worth * TRIED_FORMULA**promise.tried
    if promise.gain is not None and how != "uncertainty":
        worth = promise.gain * _worth_of_origin(promise) + 1e-6 * worth
    return np.asarray(worth * promise.within)


def diverse(
    scores: Floats, compositions: Compositions, count: int, *, beside: Whole | None = None
) -> Whole:
    """Take the best one after the other; each makes those like it worth less.

    Parameters
    ----------
    scores
        [n], zero or more; zeros are never taken.
    compositions
        Of the candidates.
    count
        How many.
    beside
        Positions that were taken before.
    """
    left = np.array(scores, dtype=np.float64)
    x = compositions.fractions(compositions.present()) if len(compositions) else np.zeros((0, 1))
    for row in [] if beside is None else beside.tolist():
        left = _less(left, x, row)
    taken: list[int] = []
    while len(taken) < count and left.size and left.max() > 0:
        best = int(np.argmax(left))
        taken.append(best)
        left = _less(left, x, best)
        left[taken] = 0.0
    return np.array(taken, dtype=np.int64)


def _less(scores: Floats, x: Floats, row: int) -> Floats:
    """Scores beside a chosen row."""
    apart = np.abs(x - x[row]).max(axis=1)
    return scores * np.where(apart < 1e-6, SAME_FORMULA, np.where(apart < NEAR, NEAR_FORMULA, 1.0))
