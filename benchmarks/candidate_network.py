"""What the network of candidates knows: its errors on systems that it has not learned from.

The table of relaxed candidates (:mod:`benchmarks.relaxed_candidates`) is cut by the hash of
chemical systems; those of the test side are judged here, in parts: starts of relaxations and what
they came to, and known compounds as they are; of the common elements, with one of the seldom ones,
with hydrogen; and the starts that end near the hull of the table, which a campaign looks for.

``python -m benchmarks.candidate_network`` judges the model that ships, in two minutes of one core.
``--model FOLDER`` judges another one, such as that of an older commit, and writes nothing.
"""

from __future__ import annotations

from benchmarks.harness import Headline, data_folder, pin_threads, report

pin_threads()

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.relaxed_candidates import SELDOM, RelaxedCandidates, holding
from materialabs.crystals.batch import Crystals
from materialabs.crystals.files import read
from materialabs.hull import judge
from materialabs.levels import Energies
from materialabs.networks.models import Model, load_model
from materialabs.networks.splits import TRAINING_PERCENT, formula_hash
from materialabs.oracles.chgnet_weights import chgnet_level
from materialabs.predictions import Prediction

Floats = NDArray[np.float64]
Truths = NDArray[np.bool_]

NEAR_HULL = 0.05
"""eV/atom above the hull of the table."""

BAR, AIM = 0.05, 0.03
"""eV/atom, of starts that end near the hull: what one chooses by must be of the size of what one
looks for."""


def judged_rows(crystals: Crystals) -> Truths:
    """Which crystals are of systems of the test side [n]."""
    systems = crystals.compositions.systems()
    sides = {one: formula_hash(one) >= TRAINING_PERCENT for one in set(systems)}
    return np.array([sides[one] for one in systems])


def above_hull(crystals: Crystals, energies: Floats) -> Floats:
    """Energy above the hull of all of these and of the elements [n], eV/atom."""
    told = Energies(energies, "formation", chgnet_level("pbe"))
    return np.asarray(judge(crystals.compositions, told).distance)


def figures(name: str, told: Prediction, truth: Floats) -> dict[str, Any]:
    """Errors and intervals of one part."""
    wrong = np.asarray(told.mean) - truth
    low, high = told.interval(0.9)
    return {
        "name": name,
        "crystals": len(truth),
        "mae_ev_per_atom": float(np.abs(wrong).mean()),
        "median_error_ev_per_atom": float(np.median(np.abs(wrong))),
        "bias_ev_per_atom": float(wrong.mean()),
        "share_in_90_percent_intervals": float(((low <= truth) & (truth <= high)).mean()),
        "median_std_ev_per_atom": float(np.median(told.std)),
    }


def parts_judged(model: Any, table: RelaxedCandidates, known: Crystals) -> list[dict[str, Any]]:
    """The figures of all parts."""
    ends, energies = table.with_known(known)
    count, test = len(table.starts), judged_rows(ends)
    near = above_hull(ends, energies) <= NEAR_HULL
    seldom, hydrogen = holding(ends, SELDOM), holding(ends, ["H"])
    kinds = {
        "common elements": ~seldom, "with a seldom element": seldom, "with hydrogen": hydrogen,
        "that end near the hull": near,
    }  # fmt: skip
    parts = (
        ("starts", table.starts, np.arange(len(ends)) < count, False),
        ("known compounds", ends, np.arange(len(ends)) >= count, True),
    )
    found = []
    for name, inputs, here, relaxed in parts:
        rows = np.flatnonzero(test & here)
        told = model.predict(inputs[rows], relaxed=relaxed)
        for kind, chosen in kinds.items():
            if relaxed and chosen is near:
                continue
            some = np.flatnonzero(chosen[rows])
            found.append(figures(f"{name}, {kind}", told[some], energies[rows][some]))
    return found


def main() -> None:
    """Judge a model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="folder of another model")
    options = parser.parse_args()
    model = load_model("candidates") if options.model is None else Model.load(options.model)
    known = read(str(data_folder() / "structures" / "mp36k.jsonl.gz"), progress=False)
    rows = parts_judged(model, RelaxedCandidates.load(), known)
    if options.model is not None:
        for row in rows:
            print(row)
        return
    near = next(row for row in rows if row["name"].endswith("near the hull"))
    headline = Headline(near["mae_ev_per_atom"], "eV/atom", BAR, AIM, higher_is_better=False)
    report("candidate_network", rows, headline)


if __name__ == "__main__":
    main()
