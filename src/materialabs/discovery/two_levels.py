"""The best of a campaign at a second level of theory, each level with a hull of its own.

Energies of two levels differ by constants for each element and never stand on one hull. Like is
compared with like: for each compound the decomposition energy at the first level, on the first
level's hull, beside the one at the second level, on a hull of elements and competing phases that
were all computed at the second level.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from materialabs.crystals.batch import Crystals
from materialabs.crystals.references import reference_crystals
from materialabs.discovery import archive
from materialabs.discovery.bench import Leasing
from materialabs.discovery.budgets import Budget
from materialabs.discovery.campaign import Campaign, leasing_for
from materialabs.discovery.findings import Finding, Findings
from materialabs.discovery.forecasting import Nothing
from materialabs.discovery.oracle_choice import open_oracle, usual_settings
from materialabs.discovery.planning import PlannedRound, wanted_tasks
from materialabs.discovery.results import enthalpy
from materialabs.discovery.runner import Runner
from materialabs.discovery.watching import Silent, Watcher
from materialabs.elements import SYMBOLS
from materialabs.errors import InputError, NotFound
from materialabs.oracles.oracle import Oracle
from materialabs.store.store import Store


@dataclass(frozen=True, eq=False)
class SecondLook:
    """A campaign's best at a second level.

    Parameters
    ----------
    first
        The campaign.
    second
        The verification, as a campaign of its own.
    """

    first: Campaign
    second: Campaign

    def table(self) -> list[dict[str, Any]]:
        """One row for each compound: decomposition energies on the hull of each level, eV/atom."""
        before, after = self.first.findings, self.second.findings
        again = {one.plan.get("verifies"): one for one in after.listed}
        chosen = [one for one in before.good if one.key in again]
        wanted = [one for one in chosen if again[one.key].plan.get("wanted")]
        return [self._row(before, after, one, again[one.key]) for one in wanted]

    def _row(
        self, before: Findings, after: Findings, one: Finding, again: Finding
    ) -> dict[str, Any]:
        here, there = _energies(before, one), _energies(after, again)
        return {
            "formula": one.formula,
            "name": one.name,
            "first level": here["decomposition"],
            "second level": there["decomposition"],
            "difference": there["decomposition"] - here["decomposition"],
            "predicted": one.plan.get("distance"),
            "stable at first": bool(here["distance"] <= ON_HULL),
            "stable at second": bool(there["distance"] <= ON_HULL),
            "raw difference between levels": there["total"] - here["total"],
            "status": str(again.result["status"]),
            "remarks": "; ".join(
                str(again.result[name]) for name in ("reason", "notes", "doubts")
                if again.result.get(name)
            ),
        }  # fmt: skip

    @property
    def mean_difference(self) -> float:
        """Mean absolute difference of the decomposition energies, eV/atom."""
        gaps = [abs(row["difference"]) for row in self.table()]
        return float(np.nanmean(gaps)) if gaps else float("nan")


ON_HULL = 5e-5
"""eV/atom, as for hulls."""


def _energies(findings: Findings, one: Finding) -> dict[str, float]:
    place = next((row for row, good in enumerate(findings.good) if good.key == one.key), None)
    if place is None or findings.missing:
        nothing = float("nan")
        return {"decomposition": nothing, "distance": nothing, "total": nothing}
    energies = findings.formation[[place]]
    pressure = findings.request.constraints.pressure
    return {
        "decomposition": float(findings.hull.decomposition_energy(one.relaxed, energies)[0]),
        "distance": float(findings.distances[place]),
        "total": enthalpy(one.result["energy"], one.relaxed, pressure),
    }


def verify(
    campaign: Campaign,
    oracle: str | Oracle,
    *,
    top: int = 5,
    processes: int = 1,
    leasing: Leasing | None = None,
    watcher: Watcher | None = None,
) -> SecondLook:
    """Compute the best of a campaign again at another level, with elements and competing phases.

    Parameters
    ----------
    campaign
        Finished or not.
    oracle
        At another level, by name or an oracle.
    top
        Compounds that are taken: those found on the hull first, then the nearest to it.
    processes, leasing, watcher
        As for :func:`~materialabs.discovery.campaign.discover`.
    """
    if top < 1:
        raise InputError(f"At least one compound is verified, not {top}.")
    request = campaign.row.request
    opened = open_oracle(oracle, request.system, processes=processes) if isinstance(
        oracle, str) else oracle  # fmt: skip
    if opened.level == request.level:
        raise InputError(
            f"The campaign stands at {request.level} already: verify at another level."
        )
    plan = _plan(campaign, top)
    if not any(one["wanted"] for _, one in plan):
        raise NotFound(f"The campaign {campaign.id} has no compound with an energy to verify.")
    second = replace(
        request, level=opened.level, settings=usual_settings(opened), model="", strategy="random"
    )
    name = oracle if isinstance(oracle, str) else ""
    elements = len(request.elements)
    budget = Budget(calls=len(plan) + elements)
    chosen = sorted(str(one["verifies"]) for _, one in plan)
    text = json.dumps([second.identity, campaign.id, chosen])
    row = archive.begin(
        campaign.store, second, budget, oracle=name, verifies=campaign.id,
        identity=hashlib.sha256(text.encode()).hexdigest(),
    )  # fmt: skip
    if row.state != archive.FINISHED:
        held = leasing or leasing_for(row, name, processes)
        runner = SecondRunner(campaign.store, row, opened, Nothing(), {}, held, watcher or Silent())
        runner.plan = plan
        row = runner.run()
    return SecondLook(campaign, Campaign(campaign.store, row))


def looks(store: Store, campaign: Campaign) -> list[SecondLook]:
    """The verifications of a campaign that were begun."""
    rows = [row for row in archive.listed(store) if row.verifies == campaign.id]
    return [SecondLook(campaign, Campaign(store, row)) for row in rows]


def _plan(campaign: Campaign, top: int) -> list[tuple[Crystals, dict[str, Any]]]:
    """Relaxed crystals to compute again: the best, and what they compete with."""
    findings = campaign.findings
    if findings.missing:
        raise NotFound(f"The campaign {campaign.id} has no hull: nothing can be verified.")
    best = best_of(findings, top)
    places = {one.key: row for row, one in enumerate(findings.good)}
    rivals: set[int] = set()
    for one in best:
        for phase in findings.hull.competing_phases(one.relaxed)[0]:
            if phase < len(findings.good):
                rivals.add(phase)
    chosen = {places[one.key]: True for one in best}
    for phase in sorted(rivals):
        if len(findings.good[phase].relaxed.compositions.elements) > 1:
            chosen.setdefault(phase, False)
    return [
        (findings.good[row].relaxed, {"verifies": findings.good[row].key, "wanted": wanted,
                                      "id": findings.good[row].name})
        for row, wanted in chosen.items()
    ]  # fmt: skip


def best_of(findings: Findings, top: int) -> list[Finding]:
    """The compounds that promise most, one of each formula: found ones first, then the nearest."""
    order = sorted(
        range(len(findings.good)),
        key=lambda row: (findings.distances[row], findings.good[row].given, row),
    )
    chosen: dict[str, Finding] = {}
    for row in order:
        one = findings.good[row]
        if len(one.relaxed.compositions.elements) > 1 and not one.given:
            chosen.setdefault(one.formula, one)
    return list(chosen.values())[:top]


class SecondRunner(Runner):
    """Relaxes one list and ends."""

    plan: Sequence[tuple[Crystals, dict[str, Any]]] = ()

    def _planned(self, number: int, findings: Findings, left: int) -> PlannedRound:
        if number:
            return PlannedRound([], {})
        request = self.row.request
        symbols = [SYMBOLS[z] for z in request.elements]
        elements = reference_crystals(symbols)
        wanted = wanted_tasks(request, elements, "element", [{}] * len(elements))
        for crystal, plan in self.plan:
            wanted += wanted_tasks(request, crystal, "candidate", [plan])
        count = len(wanted)
        return PlannedRound(wanted, {"candidates": count, "origins": {"verified": count}})

    def _left(self, findings: Findings) -> int:
        return 1 if not findings.listed else 0
