"""A campaign's relaxations as rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from materialabs.discovery.findings import Finding, Findings


def finding_rows(findings: Findings) -> list[dict[str, Any]]:
    """One row for each relaxation, the nearest the hull first; energies in eV/atom.

    Of those that are equally near the first comes first. One that came to the same crystal as an
    earlier one names it under ``same as``.
    """
    places = {one.key: place for place, one in enumerate(findings.good)}
    rows = [_row(findings, one, places.get(one.key)) for one in findings.listed]
    return sorted(rows, key=lambda row: (np.isnan(row["above hull"]), round(row["above hull"], 4)))


def _row(findings: Findings, one: Finding, place: int | None) -> dict[str, Any]:
    known = place is not None and not findings.missing
    formation = float(findings.formation.values[place]) if known else float("nan")
    distance = float(findings.distances[place]) if known else float("nan")
    return {
        "name": one.name,
        "formula": one.formula,
        "atoms": int(one.relaxed.counts[0]),
        "status": str(one.result["status"]),
        "formation energy": formation,
        "above hull": distance,
        "same as": findings.same_as.get(one.name, ""),
        "predicted": one.plan.get("distance"),
        "role": one.role,
        "origin": origin_text(one),
        "calls": int(one.result["force_calls"] or 0),
        "reason": str(one.result["reason"] or ""),
        "worker": str(one.result["worker"]),
        "record": one.record,
    }


def origin_text(one: Finding) -> str:
    """How a crystal was made, for people."""
    plan = one.plan
    if one.role == "element":
        return "reference of the element"
    if one.role in ("prototype", "known"):
        return f"given: {plan.get('id', '')}"
    if plan.get("verifies"):
        return f"{plan.get('id')} as relaxed before"
    if plan.get("generator") == "airss":
        return "random search"
    made = f"{plan.get('parent')}" + (
        f", {plan['substitution']}" if plan.get("substitution") else ""
    )
    return f"from {made}"
