"""How many of the good ones a campaign finds while it labels 5 % of a pool.

Simulated campaigns on two pools whose labels are all known and hidden: perovskites with a heat of
formation of at most 0.2 eV/atom (114 of 7,572), and entries of Li-Fe-P-O on the hull of all (40 of
943). A tenth of the budget is labelled at random, which counts; nine rounds of a tenth each follow.
All choosers of a seed start from the same labels. See `acceleration_tasks` for what they are told.

Peers are greedy regressions. They are given the inputs as they are (one-hot sites; fractions), and,
in rows of their own, descriptors that the product makes (properties of elements, charges; structure
of the unrelaxed copies). The headline is the smaller of the two pools' ratios of shares found, the
product's against the best peer's: of the perovskites the best on one-hot sites, with the ratio to
the best on our descriptors beside it; of the entries the best on either. The aim, nine tenths found
in both pools, is written as the ratio that it takes.

    python -m benchmarks.acceleration            # an hour on one core; finished campaigns are kept
    python -m benchmarks.acceleration --quick    # one seed, few choosers
"""

from __future__ import annotations

from benchmarks.harness import Headline, pin_threads, report

pin_threads()

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.acceleration_choosers import (
    Asked,
    Chooser,
    Greedy,
    InFamily,
    InSystem,
    OfOpinion,
    at_random,
    forest,
    process,
    ridge,
)
from benchmarks.acceleration_tasks import (
    FamilyTask,
    Task,
    entries,
    network_opinion,
    perovskites,
)
from benchmarks.peers import keep

SHARE = 0.05
"""Of the pool that is labelled."""

ROUNDS = 10
"""Equal parts of the budget, the first at random."""

SEEDS = 20
EDITION = 2
"""Rises when a chooser or a pool changes, so that no campaign of before is taken for a new one."""

OURS = "likeliest"
"""The strategy that the headline is of."""

STRATEGIES = (OURS, "improvement", "greedy", "mixed", "uncertainty")
PEERS = {"ridge": ridge, "forest": forest, "process": process}
INPUTS = {"plain": "inputs as they are", "described": "our descriptors"}
BAR = 1.15
AIM = 0.9
"""Share of the targets found, in both pools."""


@dataclass(frozen=True)
class Run:
    """What one chooser found over all seeds.

    Parameters
    ----------
    found
        Share of the targets after each round [seeds, rounds].
    half
        Labels until half of them were found, NaN where they were not [seeds].
    seconds
        Of one campaign, on average, processor time.
    """

    found: np.ndarray
    half: np.ndarray
    seconds: float

    @property
    def final(self) -> float:
        """Mean share found at the end."""
        return float(self.found[:, -1].mean())


def simulate(task: Task, chooser: Chooser, seed: int, ends: np.ndarray) -> np.ndarray:
    """One campaign: rows in the order in which they were labelled."""
    rng = np.random.default_rng([seed, 0])
    known = rng.permutation(len(task))[: ends[0]]
    for number, end in enumerate(ends[1:], start=1):
        left = np.setdiff1d(np.arange(len(task)), known)
        asked = Asked(known, left, int(end) - len(known), number, seed)
        chosen = np.asarray(chooser(task, asked))
        spare = np.setdiff1d(np.arange(len(left)), chosen)  # a strategy may leave places empty
        filled = np.concatenate([chosen, rng.permutation(spare)])[: asked.count]
        known = np.concatenate([known, left[filled]])
    return known


def ends_of_rounds(task: Task) -> np.ndarray:
    """Labels at the end of each round."""
    budget = int(SHARE * len(task))
    return np.round(np.linspace(0, budget, ROUNDS + 1)).astype(int)[1:]


def run(
    task: Task, name: str, make: Callable[[], Chooser], seeds: range, folder: Path | None = None
) -> Run:
    """Campaigns of one chooser; those that a folder holds are read."""
    ends, found, half, spent = ends_of_rounds(task), [], [], 0.0
    for seed in seeds:
        order, seconds = campaign(task, name, make, seed, folder)
        hits = np.cumsum(task.hits[order]) / task.hits.sum()
        found.append(hits[ends - 1])
        reached = np.flatnonzero(hits >= 0.5)
        half.append(reached[0] + 1 if len(reached) else np.nan)
        spent += seconds
    return Run(np.array(found), np.array(half, dtype=float), spent / len(seeds))


def campaign(
    task: Task, name: str, make: Callable[[], Chooser], seed: int, folder: Path | None
) -> tuple[np.ndarray, float]:
    """The order in which one campaign labelled, and its seconds."""
    place = None if folder is None else folder / (
        f"{EDITION}-{task.name}-{name}-{seed}.npz".replace(" ", "_").replace(",", "")
    )  # fmt: skip
    if place is not None and place.exists():
        with np.load(place, allow_pickle=False) as kept:
            return kept["order"], float(kept["seconds"])
    began = time.process_time()
    order = simulate(task, make(), seed, ends_of_rounds(task))
    seconds = time.process_time() - began
    if place is not None:
        keep(place, order=order, seconds=np.array(seconds))
    return order, seconds


def perfect(task: Task, seeds: range) -> float:
    """Share that a chooser finds who knows all labels, after the same random start."""
    ends = ends_of_rounds(task)
    shares = []
    for seed in seeds:
        first = np.random.default_rng([seed, 0]).permutation(len(task))[: ends[0]]
        more = min(int(ends[-1] - ends[0]), int(task.hits.sum() - task.hits[first].sum()))
        shares.append((task.hits[first].sum() + more) / task.hits.sum())
    return float(np.mean(shares))


def choosers(task: Task, strategies: tuple[str, ...]) -> dict[str, Callable[[], Chooser]]:
    """All who choose in a task, by name."""
    ours = InFamily if isinstance(task, FamilyTask) else InSystem
    named: dict[str, Callable[[], Chooser]] = {"random": lambda: at_random}
    for table, words in INPUTS.items():
        for name, model in PEERS.items():
            named[f"{name}, {words}"] = partial(Greedy, model, table)
    named |= {f"surrogate, {one}": partial(ours, one) for one in strategies}
    if isinstance(task, FamilyTask) and len(strategies) > 1:
        opinions = network_opinion(task.crystals)
        named |= {
            "network alone": partial(OfOpinion, opinions),
            f"surrogate that hears the network, {OURS}": partial(InFamily, OURS, opinions),
        }
    return named


def row(task: Task, name: str, done: Run, best: float) -> dict[str, Any]:
    """Figures of one chooser."""
    final = done.found[:, -1]
    half = np.nanmedian(done.half) if np.isfinite(done.half).sum() * 2 > len(final) else None
    return {
        "name": f"{task.name}: {name}",
        "found_percent": 100 * done.final,
        "found_min_percent": 100 * float(final.min()),
        "found_median_percent": 100 * float(np.median(final)),
        "found_max_percent": 100 * float(final.max()),
        "times_random": done.final / SHARE,
        "share_of_perfect": done.final / best,
        "labels": int(ends_of_rounds(task)[-1]),
        "labels_until_half": None if half is None else float(half),
        "by_round_percent": (100 * done.found.mean(axis=0)).round(1).tolist(),
        "seconds_per_campaign": done.seconds,
        "repeats": len(final),
    }


def compared(task: Task, runs: dict[str, Run]) -> dict[str, Any]:
    """Ratios of the product's share to the best peer's, on the plain inputs and on any.

    One-hot sites are all that is told of a perovskite; of an entry the unrelaxed crystal is told
    too, which only the descriptors show a peer, so that there the best peer of all counts.
    """
    ours = runs[f"surrogate, {OURS}"].final
    peers = {name: one.final for name, one in runs.items() if name.startswith(tuple(PEERS))}
    plain = {name: share for name, share in peers.items() if name.endswith(INPUTS["plain"])}
    judged = plain if isinstance(task, FamilyTask) else peers
    best, best_of_all = (max(among, key=lambda name: among[name]) for among in (judged, peers))
    return {
        "name": f"{task.name}: product against the best peer",
        "found_share": ours,
        "best_peer": best,
        "ratio": ours / peers[best],
        "best_peer_with_any_descriptors": best_of_all,
        "ratio_to_that": ours / peers[best_of_all],
    }


def main() -> None:
    """Run all and report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    usual = Path(tempfile.gettempdir()) / "materialabs-acceleration"
    parser.add_argument("--folder", type=Path, default=usual)
    options = parser.parse_args()
    folder = None if options.quick else options.folder
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    tasks: list[Task] = [perovskites(), entries("Fe_Li_O_P_entries.json.gz")]
    strategies = STRATEGIES[:1] if options.quick else STRATEGIES
    seeds = range(1 if options.quick else options.seeds)
    rows, ratios = [], []
    for task in tasks:
        best = perfect(task, seeds)
        runs = {}
        for name, make in choosers(task, strategies).items():
            if options.quick and name.startswith("forest"):
                continue
            runs[name] = run(task, name, make, seeds, folder)
            rows.append(row(task, name, runs[name], best))
            print(f"{task.name}: {name}: {runs[name].final:.3f}", flush=True)
        rows.append({"name": f"{task.name}: perfect chooser", "found_percent": 100 * best,
                     "targets": int(task.hits.sum()), "pool": len(task)})  # fmt: skip
        ratios.append(compared(task, runs))
    rows += ratios
    smallest = min(one["ratio"] for one in ratios)
    aim = max(AIM * one["ratio"] / one["found_share"] for one in ratios)
    if options.quick:
        print(json.dumps(rows, indent=1))
        return
    report("acceleration", rows,
           Headline(smallest, "times the share that the best peer finds", BAR, aim),
           note=__doc__.split("\n\n")[1] + " " + __doc__.split("\n\n")[2])  # fmt: skip


if __name__ == "__main__":
    main()
