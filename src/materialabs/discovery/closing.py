"""What a round found, in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from materialabs.discovery.findings import Finding, Findings
from materialabs.discovery.results import usable


def round_report(findings: Findings, number: int) -> dict[str, Any]:
    """Figures of a round for its row, the report and the terminal.

    Energies in eV/atom. ``error`` is the mean absolute difference between what was predicted before
    a relaxation and what came; ``raw_error`` the same without the map between levels.
    """
    mine = [one for one in findings.listed if one.round == number]
    statuses = Counter(str(one.result["status"]) for one in mine)
    document: dict[str, Any] = {
        "relaxed": len(mine),
        "reused": sum(one.reused for one in mine),
        "failed": sum(not usable(one.result) for one in mine),
        "statuses": dict(statuses),
        "force_calls": sum(int(one.result["force_calls"] or 0) for one in mine),
        "seconds": float(sum(one.result["seconds"] or 0.0 for one in mine)),
        "calls_so_far": findings.calls,
    }
    if findings.missing:
        return document | {"stable": 0, "found": 0, "new_stable": [], "stable_formulas": []}
    stable = [one.formula for one in findings.stable]
    new = [one.formula for one in findings.found if one.round == number]
    return (
        document
        | {
            "stable": len(stable),
            "found": len(findings.found),
            "stable_formulas": stable,
            "new_stable": new,
        }
        | prediction_errors(findings, mine)
    )


def prediction_errors(findings: Findings, chosen: Sequence[Finding]) -> dict[str, Any]:
    """How far predictions were off, eV/atom, and how often the interval held the truth."""
    pairs = predicted_pairs(findings, chosen)
    if not pairs:
        return {}
    predicted = np.array([one["predicted"] for one in pairs])
    truth = np.array([one["truth"] for one in pairs])
    inside = [one["low"] <= one["truth"] <= one["high"] for one in pairs]
    raw = np.array([np.nan if one["raw"] is None else one["raw"] for one in pairs])
    found: dict[str, Any] = {
        "pairs": len(pairs),
        "error": float(np.abs(predicted - truth).mean()),
        "inside_90": float(np.mean(inside)),
    }
    if np.isfinite(raw).all():
        found["raw_error"] = float(np.abs(raw - truth).mean())
    return found


def predicted_pairs(findings: Findings, chosen: Sequence[Finding]) -> list[dict[str, Any]]:
    """Predictions beside what the oracle said, formation energies in eV/atom, by finding."""
    places = {one.key: place for place, one in enumerate(findings.good)}
    pairs = []
    for one in chosen:
        place = places.get(one.key)
        if place is None or "predicted" not in one.plan:
            continue
        pairs.append(
            {
                "name": one.name,
                "formula": one.formula,
                "predicted": one.plan["predicted"],
                "low": one.plan["predicted_low"],
                "high": one.plan["predicted_high"],
                "std": one.plan["predicted_std"],
                "raw": one.plan["raw"],
                "truth": float(findings.formation.values[place]),
                "distance": one.plan["distance"],
                "true_distance": float(findings.distances[place]),
                "round": one.round,
            }
        )
    return pairs
