"""What a round relaxes: first what the hull stands on, then the most promising candidates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.blobs import to_blobs
from materialabs.crystals.references import reference_crystals
from materialabs.discovery.acquisition import Promise, choose
from materialabs.discovery.candidates import fresh, make_candidates
from materialabs.discovery.findings import Findings
from materialabs.discovery.forecasting import (
    Forecaster,
    Judged,
    Predictor,
    distance_of,
    distances_among_all,
)
from materialabs.discovery.objectives import expected_gain, pareto_front
from materialabs.discovery.properties import Properties
from materialabs.discovery.request import CampaignRequest
from materialabs.discovery.task_keys import task_keys
from materialabs.elements import SYMBOLS
from materialabs.generation.candidates import Candidates
from materialabs.predictions import Prediction
from materialabs.store.tasks import Wanted
from materialabs.store.values import level_key

GIVEN_SHARE: Final = 0.5
"""Share of a budget in calls that crystals given beforehand may take."""

MOST_GIVEN: Final = 50
"""Crystals of prototypes and store that are relaxed at most before the first candidates."""

FAVOURED: Final = 8
"""Formulas nearest the hull, and formulas that would be taken next: random crystals are drawn for
both."""

INTERVALS: Final = (0.5, 0.68, 0.8, 0.9, 0.95)
"""Probabilities whose intervals are kept, to look later whether they held."""

KEPT_REASONS: Final = 12
"""Reasons for refused candidates that a round remembers."""


@dataclass(frozen=True, eq=False)
class PlannedRound:
    """What a round will relax, and how it came to that.

    Parameters
    ----------
    wanted
        Its tasks in order.
    document
        For JSON: how many candidates of which origin, what was refused and why.
    """

    wanted: list[Wanted]
    document: dict[str, Any]


def plan_references(
    request: CampaignRequest, templates: Crystals, known: Crystals, calls: int | None
) -> PlannedRound:
    """The first round: a reference of each element, and crystals of the system given beforehand.

    Parameters
    ----------
    request
        Of the campaign.
    templates
        Prototypes and known crystals; those that lie in the system are given.
    known
        Entries whose energies the store holds: these are not computed again.
    calls
        The budget, where it is one of calls.
    """
    symbols = [SYMBOLS[number] for number in request.elements]
    elements = reference_crystals(symbols)
    given = _given(request, templates, known)
    room = MOST_GIVEN if calls is None else int(GIVEN_SHARE * (calls - len(elements)))
    kept = given[: max(0, min(room, MOST_GIVEN))]
    crystals = [(elements, "element"), (kept, "prototype")]
    wanted = [
        one
        for part, role in crystals
        for one in wanted_tasks(request, part, role, [{} for _ in range(len(part))])
    ]
    document = {
        "candidates": len(wanted), "left_out": len(given) - len(kept),
        "origins": {"elements": len(elements), "given crystals": len(kept)},
    }  # fmt: skip
    return PlannedRound(_distinct(wanted), document)


def _given(request: CampaignRequest, templates: Crystals, known: Crystals) -> Crystals:
    """Templates that are compounds of the system itself, smallest cells first, no copies."""
    from materialabs.discovery.candidates import new_among

    inside = np.isin(templates.numbers, request.elements)
    whole = np.bincount(templates.owners, inside, minlength=len(templates)) == templates.counts
    kinds = np.diff(templates.compositions.offsets)
    rows = np.flatnonzero(whole & (kinds > 1))
    rows = rows[np.argsort(templates.counts[rows], kind="stable")]
    found = templates[rows]
    return found[new_among(found, known)]


def plan_round(
    request: CampaignRequest,
    findings: Findings,
    substituted: Candidates,
    forecaster: Forecaster,
    number: int,
    count: int,
    predictors: Mapping[str, Predictor],
) -> PlannedRound:
    """A later round: generate, predict, choose.

    Parameters
    ----------
    request, findings
        Of the campaign.
    substituted
        Candidates from templates and from stable crystals.
    forecaster
        Has learned from the findings.
    number
        Of the round.
    count
        Relaxations that may be asked for.
    predictors
        Of further properties, by name.
    """
    seen = findings.seen()
    likely = fresh(request, substituted, seen)
    favoured = _nearest(findings)
    if len(likely):
        favoured += _coming(request, findings, likely.crystals, forecaster, number)
    favoured = list(dict.fromkeys(favoured))
    made = make_candidates(request, likely, number, known=seen, favoured=favoured)
    if not len(made):
        return PlannedRound([], {"candidates": 0, "refused": _reasons(made.reasons)})
    crystals = made.crystals
    judged = forecaster.judge(crystals)
    distance = None if judged is None else distance_of(judged.energy, crystals, findings.hull)
    properties = Properties.of(request, crystals, predictors)
    gain = _gain(request, findings, distance, properties, predictors)
    promise = _promise(findings, crystals, judged, distance, gain, properties.within(request))
    choice = choose(promise, count, request.strategy, number, seed=request.seed)
    plans = [
        _lineage(crystals, row) | {"why": why} | _expected(row, judged, distance)
        | properties.row(row)
        for row, why in zip(choice.rows.tolist(), choice.reasons, strict=True)
    ]  # fmt: skip
    wanted = wanted_tasks(request, crystals[choice.rows], "candidate", plans)
    done = {one.key for one in findings.listed}
    document = {
        "candidates": len(made),
        "origins": dict(Counter(str(name) for name in made.crystals.columns["generator"])),
        "refused": _reasons(made.reasons),
        "model": "" if judged is None else judged.energy.model_id,
        "promising": 0 if distance is None else int((distance.mean <= 0.05).sum()),
    }
    return PlannedRound(_distinct([one for one in wanted if one.key not in done]), document)


def _promise(
    findings: Findings,
    crystals: Crystals,
    judged: Judged | None,
    distance: Prediction | None,
    gain: NDArray[np.float64] | None,
    within: NDArray[np.float64],
) -> Promise:
    """What is known of candidates before they are relaxed."""
    energy = None if judged is None else judged.energy
    return Promise(
        distance, crystals.compositions, gain, within, _likelihood(crystals), _compounds(findings),
        _tried(crystals, findings), distances_among_all(energy, crystals, findings.hull),
    )  # fmt: skip


def _coming(
    request: CampaignRequest,
    findings: Findings,
    likely: Crystals,
    forecaster: Forecaster,
    number: int,
) -> list[str]:
    """Formulas that would be taken next, were there nothing but candidates from templates.

    Stability decides alone here, whatever the objectives.
    """
    judged = forecaster.judge(likely)
    distance = None if judged is None else distance_of(judged.energy, likely, findings.hull)
    promise = _promise(findings, likely, judged, distance, None, np.ones(len(likely)))
    choice = choose(promise, FAVOURED, request.strategy, number, seed=request.seed)
    return likely[choice.rows].reduced_formulas()


def _nearest(findings: Findings) -> list[str]:
    """Formulas of the relaxed candidates nearest the hull."""
    order = np.argsort(findings.distances, kind="stable").tolist()
    near = [
        findings.good[place].formula
        for place in order
        if len(findings.good[place].start.compositions.elements) > 1
    ]
    return list(dict.fromkeys(near))[:FAVOURED]


def _compounds(findings: Findings) -> int:
    """Compounds with an energy: what the forecaster has learned from."""
    return sum(len(one.relaxed.compositions.elements) > 1 for one in findings.good)


def _tried(crystals: Crystals, findings: Findings) -> NDArray[np.float64]:
    """How many crystals of each candidate's formula have been relaxed [n]."""
    done = Counter(one.formula for one in findings.good)
    return np.array([done[name] for name in crystals.reduced_formulas()], dtype=np.float64)


def _likelihood(crystals: Crystals) -> NDArray[np.float64]:
    """What the generators say of their candidates, zero where they say nothing [n]."""
    told = [0.0 if value is None else float(value) for value in crystals.columns["probability"]]
    return np.nan_to_num(np.array(told, dtype=np.float64))


def _gain(
    request: CampaignRequest,
    findings: Findings,
    distance: Prediction | None,
    properties: Properties,
    predictors: Mapping[str, Predictor],
) -> NDArray[np.float64] | None:
    """Volume that each candidate is expected to add to the front, with several objectives."""
    if not request.objectives or distance is None:
        return None
    front = front_values(request, findings, predictors)
    front = front[pareto_front(front)]
    columns = [properties.turned(one) for one in request.objectives]
    means = np.stack([np.maximum(distance.mean, 0.0), *(mean for mean, _ in columns)], axis=1)
    spreads = np.stack([distance.std, *(std for _, std in columns)], axis=1)
    return expected_gain(means, spreads, front, seed=request.seed)


def front_values(
    request: CampaignRequest, findings: Findings, predictors: Mapping[str, Predictor]
) -> NDArray[np.float64]:
    """Hull distance and objectives of every good compound [n, k], smaller better."""
    rows = [
        place
        for place, one in enumerate(findings.good)
        if len(one.relaxed.compositions.elements) > 1
    ]
    crystals = findings.crystals([findings.good[row] for row in rows])
    properties = Properties.of(request, crystals, predictors, relaxed=True)
    columns = [properties.turned(one)[0] for one in request.objectives]
    return np.stack([findings.distances[rows], *columns], axis=1)


def _lineage(crystals: Crystals, row: int) -> dict[str, Any]:
    names = ("parent", "probability", "generator", "substitution")
    return {name: _plain(crystals.columns[name][row]) for name in names}


def _plain(value: Any) -> Any:
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return None if value is None else str(value)


def _expected(row: int, judged: Judged | None, distance: Prediction | None) -> dict[str, Any]:
    """What was expected of a candidate, eV/atom."""
    if judged is None or distance is None:
        return {}
    prediction, raw = judged.energy, judged.raw
    low, high = distance.low, distance.high
    return {
        "predicted": float(prediction.mean[row]),
        "predicted_std": float(prediction.std[row]),
        "predicted_low": float(prediction.low[row]),
        "predicted_high": float(prediction.high[row]),
        "raw": float(raw.mean[row]),
        "raw_level": str(raw.level),
        "distance": float(distance.mean[row]),
        "distance_std": float(distance.std[row]),
        "distance_low": float(low[row]),
        "distance_high": float(high[row]),
        "intervals": {f"{p:g}": _interval(prediction, row, p) for p in INTERVALS},
        "chance": float(distance.probability_below(0.0)[row]),
        "in_domain": _plain(float(prediction.in_domain[row])),
    }


def _interval(prediction: Prediction, row: int, probability: float) -> list[float]:
    low, high = prediction[[row]].interval(probability)
    return [float(low[0]), float(high[0])]


def wanted_tasks(
    request: CampaignRequest, crystals: Crystals, role: str, plans: Sequence[Mapping[str, Any]]
) -> list[Wanted]:
    """Crystals as tasks with their plans; the column ``id`` names them."""
    if not len(crystals):
        return []
    import json

    named = crystals.ids() if "id" in crystals.columns else [""] * len(crystals)
    bare = crystals.replace(columns=None)
    keys = task_keys(bare, request.level, request.settings)
    settings = json.dumps(request.settings.to_dict(), sort_keys=True)
    level = level_key(request.level)
    return [
        Wanted(key, blob, settings, level, role, {"id": name} | dict(plan))
        for key, blob, name, plan in zip(keys, to_blobs(bare), named, plans, strict=True)
    ]


def _distinct(wanted: list[Wanted]) -> list[Wanted]:
    return list({one.key: one for one in reversed(wanted)}.values())[::-1]


def _reasons(reasons: Counter[str]) -> dict[str, int]:
    return dict(reasons.most_common(KEPT_REASONS))
