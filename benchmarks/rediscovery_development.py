"""Choices of the product compared on systems that the rediscovery benchmark does not use.

The last ten of the forty targets of each kind that are hidden from what learns are not taken by the
benchmark. Campaigns
run to the end of their budget. Two figures compare choices: how many targets are found, and the
share of stable phases: distinct formulas within 1 meV/atom of the hull of everything that any of
the labels relaxed in a system. Single targets tell choices apart badly.

    python -m benchmarks.rediscovery_development before
    # change the product
    python -m benchmarks.rediscovery_development after

Each label keeps its runs in the folder, and only runs that all labels have made are compared.
Relaxations and networks are shared: a change of how crystals relax needs a folder of its own. Half
an hour of two cores at first. Writes no result.
"""

from __future__ import annotations

from benchmarks.harness import pin_threads

pin_threads()

import argparse
import json
import multiprocessing
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.rediscovery import DEVELOPMENT, FOLDER, Work, prepared
from benchmarks.rediscovery_runs import SAME, Listening, Truth, campaign_run, truth_of, write_json
from benchmarks.rediscovery_targets import KINDS, Target
from materialabs.generation import pool as generation_pool


def main() -> None:
    """Run what a label has not run yet, then compare all labels."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("label", help="names the choice that is in the working tree")
    parser.add_argument("--targets", type=int, default=10, help="of each kind")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--budget", type=int, default=100, help="oracle calls")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--folder", default=FOLDER)
    options = parser.parse_args()
    options.quick = False
    listed, table = prepared(options)
    chosen = [one for kind in KINDS for one in listed[kind][-DEVELOPMENT:][: options.targets]]
    with (
        mock.patch.object(generation_pool, "replaceability", return_value=table),
        multiprocessing.get_context("fork").Pool(options.processes) as pool,
    ):
        pool.map(search, chosen, chunksize=1)
    compare(chosen)


def place(label: str, target: Target, seed: int) -> Path:
    """Where a run is kept."""
    return Work.folder / "development" / label / f"{target.formula}-{seed}.json"


def search(target: Target) -> None:
    """All runs of one target."""
    options = Work.options
    seeds = [seed for seed in range(options.seeds)
             if not place(options.label, target, seed).exists()]  # fmt: skip
    if not seeds:
        return
    truth, model = truth_of(target, Work.snapshot, Work.oracle), Listening(Work.network)
    for seed in seeds:
        run, _ = campaign_run(
            truth, seed, options.budget, model, Work.oracle, "mixed", to_the_end=True
        )
        run |= {"target_energy": truth.energy, "known": truth.relaxed}
        path = place(options.label, target, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, run)
        print(f"{options.label}: {target.formula} at {run['found_at']}, "
              f"{run['cpu_seconds']:.0f} s", flush=True)  # fmt: skip


def compare(targets: list[Target]) -> None:
    """What each label found, on targets and seeds that all labels have run."""
    labels = sorted(path.name for path in (Work.folder / "development").iterdir())
    found: dict[str, list[int | None]] = {label: [] for label in labels}
    shares: dict[str, list[float]] = {label: [] for label in labels}
    for target in targets:
        for seed in range(Work.options.seeds):
            paths = [place(label, target, seed) for label in labels]
            if not all(path.exists() for path in paths):
                continue
            runs = [json.loads(path.read_text()) for path in paths]
            for label, run, share in zip(labels, runs, shares_of(target, runs), strict=True):
                found[label].append(run["found_at"])
                shares[label].append(share)
    for label in labels:
        calls = [Work.options.budget if at is None else at for at in found[label]]
        print(f"{label}: {sum(at is not None for at in found[label])} of {len(calls)} found, "
              f"{np.mean(calls):.1f} calls; share of stable phases "
              f"{np.nanmean(shares[label]):.3f}")  # fmt: skip


def shares_of(target: Target, runs: list[dict[str, Any]]) -> list[float]:
    """Share of the stable formulas of a system that each run put on the hull of all."""
    every = [tuple(pair) for run in runs for pair in (*run["relaxed"], *run["known"])]
    lowest: dict[str, float] = {}
    for formula, energy in every:
        lowest[formula] = min(lowest.get(formula, np.inf), energy)
    stable = [
        formula
        for formula, energy in lowest.items()
        if "-" in _system(formula) and _above(formula, energy, target, every) <= SAME
    ]
    own = [dict(sorted(run["relaxed"], key=lambda one: -one[1]))
           for run in runs]  # fmt: skip
    return [
        float(np.mean([one.get(formula, np.inf) <= lowest[formula] + SAME for formula in stable]))
        if stable else np.nan for one in own
    ]  # fmt: skip


def _system(formula: str) -> str:
    from materialabs.crystals.compositions import Compositions

    return str(Compositions.parse([formula]).systems()[0])


def _above(formula: str, energy: float, target: Target, every: list[Any]) -> float:
    there = Target(formula, target.system, target.crystal, target.kind)
    return Truth(there, energy, every).above_hull()


if __name__ == "__main__":
    main()
