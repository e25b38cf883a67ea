"""How near the mapped network's decomposition energies come to the oracle's, in a real campaign.

A campaign in Mg-Si-O by CHGNet, as a user runs it. Of each of its first 50 relaxed candidates the
report compares the decomposition energy that the oracle found with what was expected before: every
prediction was made, and kept, in the round before the candidate was relaxed, by the network that
ships through the map of that round, which had seen no energy of it. The oracle's energies make the
hull on which both stand; a candidate's own formula never counts among its rivals.

These candidates are not drawn by chance: they are those that the network put lowest, and those that
it knew least of, in a system whose stable compounds are found in the first round. Errors are larger
than on crystals drawn from a database, where nearly all lie near the hull.

Unmapped stand the network's raw energies, once on a hull of the network's own energies, level with
level, and once on the oracle's, which the product refuses and which is what levels mixed by hand
give. The layers that the network began with have learned from other crystals of the system (mp36k),
so that this measures the map and the relaxation more than the chemistry; no candidate of the system
and no energy at the oracle's level of any of its compounds was learned from.

``python -m benchmarks.mapped`` takes a minute on two cores, and goes on where it was stopped
with ``--store``; ``--quick`` takes 6 candidates in half a minute and writes nothing.
"""

from __future__ import annotations

from benchmarks.harness import Headline, pin_threads, report

pin_threads()

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from materialabs.crystals.batch import Crystals
from materialabs.discovery.campaign import Campaign, discover
from materialabs.discovery.findings import Findings
from materialabs.discovery.forecasting import SHIPPED_MODEL
from materialabs.hull import Hull
from materialabs.levels import Energies
from materialabs.networks.models import load_model
from materialabs.store.store import Store

SYSTEM, CANDIDATES, BUDGET = "Mg-Si-O", 50, 72
QUICK_CANDIDATES, QUICK_BUDGET = 6, 20
AIM_SHARE = 0.7
"""Of the unmapped error."""


def campaign(store: Store, budget: int, processes: int) -> Campaign:
    """The campaign, extended until it has relaxed enough candidates."""
    return discover(SYSTEM, budget, store, processes=processes)


def compared(findings: Findings, count: int) -> list[int]:
    """Rows of the first candidates with a prediction and an energy, by the order of their calls."""
    return [
        row for row, one in enumerate(findings.good)
        if one.role == "candidate" and "predicted" in one.plan
    ][:count]  # fmt: skip


def decompositions(findings: Findings, rows: list[int]) -> dict[str, np.ndarray]:
    """Decomposition energies of candidates by each way, eV/atom."""
    chosen = [findings.good[row] for row in rows]
    cells = findings.crystals(chosen)
    level = findings.request.hull_level

    def on_oracle_hull(values: Any) -> np.ndarray:
        energies = Energies(values, "formation", level)
        return np.asarray(findings.hull.decomposition_energy(cells, energies))

    return {
        "oracle": on_oracle_hull(findings.formation.values[rows]),
        "mapped": on_oracle_hull([one.plan["predicted"] for one in chosen]),
        "unmapped": of_the_network_alone(findings, rows),
        "mixed levels": on_oracle_hull([one.plan["raw"] for one in chosen]),
    }


def of_the_network_alone(findings: Findings, rows: list[int]) -> np.ndarray:
    """Raw decomposition energies on the hull of the raw energies of all phases."""
    starts = Crystals.concat(
        [one.start.replace(columns=None, site_columns=None) for one in findings.good]
    )
    told = load_model(SHIPPED_MODEL).predict(starts, relaxed=False)
    hull = Hull(starts, told.energies())
    return np.asarray(hull.decomposition_energy(starts[rows], told.energies()[rows]))


def row_of(name: str, said: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Errors of one way."""
    gaps = said - truth
    return {
        "name": name,
        "mae_mev_per_atom": float(np.abs(gaps).mean() * 1e3),
        "median_absolute_error_mev_per_atom": float(np.median(np.abs(gaps)) * 1e3),
        "mean_error_mev_per_atom": float(gaps.mean() * 1e3),
        "largest_error_mev_per_atom": float(np.abs(gaps).max() * 1e3),
        "rank_correlation": float(spearmanr(said, truth).statistic),
    }


def main() -> None:
    """Run the campaign, or open it, and compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--store", type=Path, help="file of a campaign to open or go on with")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = options.store or Path(folder) / "lab.db"
        with Store(place, keys=place.with_suffix(".keys")) as store:
            budget = QUICK_BUDGET if options.quick else BUDGET
            findings = campaign(store, budget, options.processes).findings
    rows = compared(findings, QUICK_CANDIDATES if options.quick else CANDIDATES)
    found = decompositions(findings, rows)
    truth = found.pop("oracle")
    plans = [findings.good[row].plan for row in rows]
    energies = findings.formation.values[rows]
    inside = [
        plan["predicted_low"] <= energy <= plan["predicted_high"]
        for plan, energy in zip(plans, energies, strict=True)
    ]
    names = {
        "mapped": "mapped network on the oracle's hull",
        "unmapped": "network alone, on a hull of its own energies",
        "mixed levels": "raw energies on the oracle's hull (the product refuses this)",
    }
    lines = [row_of(names[way], said, truth) for way, said in found.items()]
    lines[0] |= {
        "candidates": len(rows),
        "interval_of_90_percent_holds": float(np.mean(inside)),
        "spread_of_the_oracles_mev_per_atom": float(truth.std() * 1e3),
    }
    if options.quick:
        print(*lines, sep="\n")
        return
    bar = lines[1]["mae_mev_per_atom"]
    report(
        "mapped",
        lines,
        Headline(lines[0]["mae_mev_per_atom"], "meV/atom", bar, AIM_SHARE * bar, False),
        f"{SYSTEM}, {findings.calls} relaxations by {findings.request.hull_level}; the bar is the "
        "error without the map",
    )


if __name__ == "__main__":
    main()
