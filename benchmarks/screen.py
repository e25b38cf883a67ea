"""How many candidates a second are judged: from crystals to calibrated hull distances, on one core.

The cascade for large pools: graphs, the pupil for all, the ensemble for the promising ones, the
hull of the training crystals of mp36k. Candidates are partial substitutions of mp36k compounds
(as they come: most are far from stable), of test compounds, which no model has learned from. The
whole ensemble judges the same candidates for comparison: the recall is the share of its best 1 %
that the cascade puts among its own best 1 %, by energies to 1 meV/atom. Both are judged against the
truth on unrelaxed copies of test compounds.

Peer: CHGNet's own code, energy only, graphs included, at its best batch size, on some of the same
candidates.

``python -m benchmarks.screen`` takes about five minutes; ``--quick`` half a minute, on few
candidates, and writes nothing.
"""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any

from benchmarks.harness import Headline, data_folder, measure, pin_threads, report

pin_threads()

import numpy as np
import torch

from materialabs.crystals.batch import Crystals
from materialabs.crystals.files import read
from materialabs.crystals.protostructure import prototype_labels
from materialabs.generation.saps import saps
from materialabs.hull.patches import HullPatches
from materialabs.levels import MP2018, Energies
from materialabs.networks.cascade import HEAD, Cascade
from materialabs.networks.distortions import borrowed
from materialabs.networks.splits import by_formula_hash
from materialabs.networks.stability import distances_to_known, stability

BAR, AIM, RECALL_BAR = 20.0, 100.0, 0.99
SEED = 23
PARENTS, CANDIDATES = 300, 20_000
MOST_ATOMS = 24
BEST = 0.01
TIE_EV = 1e-3
PEER_CANDIDATES, PEER_BATCHES = 96, (4, 8, 16, 32)


def main() -> None:
    """Run cascade, ensemble and peer."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    table = read(data_folder() / "structures" / "mp36k.jsonl.gz", progress=False)
    assert isinstance(table, Crystals)
    energies = np.asarray(table.columns["formation_energy"], dtype=float)
    split = by_formula_hash(table.compositions)
    hull = HullPatches(
        table.compositions[split.train], Energies(energies[split.train], "formation", MP2018)
    )
    made = candidates(table, split.test, 1_000 if quick else CANDIDATES)
    made = made.take(np.flatnonzero(of_known_elements(made, hull)))
    cascade = Cascade.shipped()
    cascade.screen(made[:200], hull)
    timed = measure(
        lambda: cascade.screen(made, hull, best=BEST), repeats=1 if quick else 3, warm=0
    )
    quickest = len(made) / min(timed.seconds)
    begun = time.perf_counter()
    full = whole(cascade, made, hull)
    ensemble_seconds = time.perf_counter() - begun
    row = {
        "name": "materialabs cascade",
        "crystals_per_s": quickest,
        **timed.figures(),
        "recall_of_best_1_percent": recall(timed.result.distance.mean, full),
        "share_by_ensemble": float(timed.result.by_ensemble.mean()),
        "ensemble_alone_crystals_per_s": len(made) / ensemble_seconds,
        **truth(cascade, table, energies, split, hull, 300 if quick else None),
    }
    peer = chgnet(made, 8 if quick else PEER_CANDIDATES)
    row["ratio"] = quickest / peer["crystals_per_s"]
    if quick:
        print(row, peer)
        return
    report(
        "screen",
        [row, peer],
        Headline(row["ratio"], "x CHGNet", BAR, AIM),
        f"{len(made)} partial substitutions of {PARENTS} compounds of mp36k, "
        f"{made.counts.mean():.1f} atoms on average, one core; the bar also asks for a recall of "
        f"{RECALL_BAR}. Materials Project data, CC BY 4.0",
    )


def candidates(table: Crystals, rows: Any, count: int) -> Crystals:
    """Candidates of some of these rows, drawn by the seed."""
    random = np.random.default_rng(SEED)
    compounds = np.diff(table.compositions.offsets) > 1
    usable = np.intersect1d(np.flatnonzero(compounds & (table.counts <= MOST_ATOMS)), rows)
    made = saps(table.take(random.permutation(usable)[:PARENTS])).crystals
    return made.take(np.sort(random.permutation(len(made))[:count]))


def of_known_elements(crystals: Crystals, hull: HullPatches) -> Any:
    """Whether the hull knows every element of each crystal [n]."""
    cells = crystals.compositions
    strange = ~np.isin(cells.elements, hull.compositions.present())
    return np.add.reduceat(strange, cells.offsets[:-1]) == 0


def whole(cascade: Cascade, made: Crystals, hull: HullPatches) -> Any:
    """Hull distances by the ensemble alone."""
    told = cascade.ensemble.predict(made, head=HEAD, relaxed=False)
    return stability(told, distances_to_known(told, made.compositions, hull)).mean


def recall(found: Any, full: Any) -> float:
    """Share of the ensemble's best that are among as many of the cascade's best."""
    count = max(1, round(BEST * len(full)))
    wanted = np.argsort(full)[:count]
    edge = np.partition(found, count - 1)[count - 1]
    return float(np.mean(found[wanted] <= edge + TIE_EV))


def truth(
    cascade: Cascade,
    table: Crystals,
    energies: Any,
    split: Any,
    hull: HullPatches,
    most: int | None,
) -> dict[str, float]:
    """Errors of cascade and ensemble on unrelaxed copies of test compounds."""
    children = split.test if most is None else split.test[:most]
    copies = borrowed(table, children, split.train, prototype_labels(table), SEED)
    cells = copies.crystals.compositions
    true = energies[copies.original] - np.asarray(hull.energy(cells).values)
    told = cascade.screen(copies.crystals, hull, best=BEST).distance
    inside = (told.low <= true) & (true <= told.high)
    alone = whole(cascade, copies.crystals, hull)
    return {
        "test_copies": float(len(true)),
        "mae_mev_per_atom": float(np.abs(told.mean - true).mean() * 1e3),
        "interval_of_90_percent_holds": float(inside.mean()),
        "ensemble_alone_mae_mev_per_atom": float(np.abs(alone - true).mean() * 1e3),
    }


def chgnet(made: Crystals, count: int) -> dict[str, Any]:
    """CHGNet's own code: energy only, graphs included."""
    from chgnet.model import CHGNet

    model = CHGNet.load(use_device="cpu", verbose=False)
    rows = np.random.default_rng(SEED).permutation(len(made))[:count]
    structures = made.take(rows).to_pymatgen()
    rates = {}
    for size in PEER_BATCHES:
        begun = time.perf_counter()
        with torch.no_grad():
            model.predict_structure(structures, task="e", batch_size=size)
        rates[size] = count / (time.perf_counter() - begun)
    best = max(rates, key=lambda size: rates[size])
    return {
        "name": "CHGNet, energy only", "crystals_per_s": rates[best], "batch_size": best,
        "candidates": count,
    }  # fmt: skip


if __name__ == "__main__":
    main()
