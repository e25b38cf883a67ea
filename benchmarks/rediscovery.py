"""Rediscovery: how many oracle calls a campaign needs to find a compound that was hidden from it.

Targets follow a rule written before any run (:mod:`benchmarks.rediscovery_targets`): ten compounds
whose structure type is among the prototypes, and ten whose type is in neither prototypes nor
parents, so that partial substitution or random search must make it.

For each target every prototype of its reduced formula is withheld, formulas are enumerated from
the elements alone, and the network that predicts has seen no crystal of any target's chemical
system. Found means: the known structure (pymatgen's StructureMatcher) relaxed on the campaign's
hull. A target that the oracle itself does not put within 1 meV/atom of the hull of everything that
was relaxed in its system (elements, known compounds, the generator's candidates of its formula, all
runs) is reported as such and replaced by the next of the rule.

The figure is the number of oracle calls until the target is found, elements included, censored at
the budget. The product's campaign ends with the round that finds the target. Its peers get the very
pool of candidates that it had seen by then, the same oracle and the same budget: in random order,
and in the order of pymatgen's ion substitution with the rest in random order. Candidates of another
formula than the target's cannot be it, so that they count as calls in the peers' orders and are not
relaxed. Relaxations are kept between runs, which changes no count. Resumes where it stopped.

    python -m benchmarks.rediscovery            # an hour of one core; --targets, --seeds, --budget
    python -m benchmarks.rediscovery --quick    # one target of each kind, one seed, a small budget
"""

from __future__ import annotations

from benchmarks.harness import Headline, pin_threads, report

pin_threads()

import argparse
import json
import multiprocessing
import tempfile
import warnings
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.rediscovery_model import candidate_network_without, exchanges_without
from benchmarks.rediscovery_runs import (
    SAME,
    Listening,
    Remembering,
    Truth,
    calls_in_order,
    campaign_run,
    pymatgen_order,
    random_order,
    truth_of,
    write_json,
)
from benchmarks.rediscovery_targets import KINDS, Snapshot, Target, first_of_each_kind
from materialabs.generation import pool as generation_pool
from materialabs.generation.substitution import SubstitutionTable
from materialabs.oracles.named import oracle_by_name

EACH_KIND = 10
HIDDEN = 40
"""Targets of each kind, replacements included, whose systems the network has never seen."""

DEVELOPMENT = 10
"""The last of these, on which choices are compared (:mod:`benchmarks.rediscovery_development`)."""


FOLDER = Path(tempfile.gettempdir()) / "materialabs-rediscovery"


class Work:
    """What the processes share."""

    options: argparse.Namespace
    folder: Path
    snapshot: Snapshot
    network: Any
    oracle: Remembering


BARS = {"known type": 8, "other type": 4}
WAYS = ("campaign", "random", "pymatgen")
PEERS = WAYS[1:]


def main() -> None:
    """Run what is not done yet, then report."""
    options = _options()
    listed, table = prepared(options)
    listed = {kind: found[:-DEVELOPMENT] for kind, found in listed.items()}
    with mock.patch.object(generation_pool, "replaceability", return_value=table):
        results = searched(listed, options.targets, options.processes)
    rows, headline = judged(results, options.budget)
    if options.quick:
        print(json.dumps(rows, indent=1))
        return
    hidden_error = Work.network.card["metrics"]["unrelaxed"]["formation_energy"]
    count, error = hidden_error["crystals"], hidden_error["mae"]
    report("rediscovery", rows, headline, note=(
        f"budget {options.budget} oracle calls, {options.seeds} seeds, candidates of at most 8 "
        f"atoms; found: in more than half of the seeds; the network's error on {count} unrelaxed "
        f"crystals of the systems hidden from it: {error:.3f} eV/atom; mp36k: the Materials "
        "Project, CC BY 4.0"
    ))  # fmt: skip


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a minute, writes no result")
    parser.add_argument("--targets", type=int, default=EACH_KIND, help="of each kind")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--budget", type=int, default=60, help="oracle calls")
    parser.add_argument("--strategy", default="mixed", help="of the campaign")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "--folder", default=FOLDER,
        help="keeps network, relaxations and finished runs",
    )  # fmt: skip
    options = parser.parse_args()
    if options.quick:
        options.targets, options.seeds, options.budget = 1, 1, 16
    return options


def prepared(options: argparse.Namespace) -> tuple[dict[str, list[Target]], SubstitutionTable]:
    """What all runs share: data, network and oracle; gives targets and the table of exchanges."""
    warnings.filterwarnings("ignore")
    Work.options, Work.folder = options, Path(options.folder)
    Work.snapshot = Snapshot.read()
    listed = first_of_each_kind(Work.snapshot, HIDDEN)
    hidden = {target.system for chosen in listed.values() for target in chosen}
    Work.network = candidate_network_without(
        Work.snapshot, hidden, Work.folder, quick=options.quick
    )
    Work.oracle = Remembering(oracle_by_name("chgnet"), Work.folder / "answers")
    return listed, exchanges_without(Work.snapshot, hidden, Work.folder)


def searched(listed: dict[str, list[Target]], count: int, processes: int) -> list[dict[str, Any]]:
    """Targets in the rule's order, until enough of each kind are on the oracle's hull."""
    done: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        while True:
            wave = [
                target
                for kind in KINDS
                for target in listed[kind][len(done[kind]) :][: count - _stable(done[kind])]
            ]
            if not wave:
                return [one for kind in KINDS for one in done[kind]]
            for one in pool.map(search, wave, chunksize=1):
                done[one["target"].kind].append(one)


def _stable(found: list[dict[str, Any]]) -> int:
    return sum(one["above_hull"] <= SAME for one in found)


def search(target: Target) -> dict[str, Any]:
    """All runs of one target, unless the oracle itself does not put it on the hull."""
    truth = truth_of(target, Work.snapshot, Work.oracle)
    above, runs = truth.above_hull(), []
    if above <= SAME:
        model = Listening(Work.network)
        runs = [remembered(truth, seed, model) for seed in range(Work.options.seeds)]
        above = truth.above_hull([pair for run in runs for pair in run["relaxed"]])
    one = {"target": target, "above_hull": above, "runs": runs}
    print(told(one), flush=True)
    return one


def told(one: dict[str, Any]) -> str:
    """One target's outcome in a line."""
    target: Target = one["target"]
    if one["above_hull"] > SAME:
        return f"{target.formula} ({target.kind}): {one['above_hull']:.4f} eV/atom above, replaced"
    calls = {way: [run[way] for run in one["runs"]] for way in WAYS}
    return f"{target.formula} ({target.kind}): {calls}"


def remembered(truth: Truth, seed: int, model: Listening) -> dict[str, Any]:
    """The campaign and its peers, or what they gave when they were run with this network before."""
    options, formula = Work.options, truth.target.formula
    folder = Work.folder / f"runs-{Work.network.card['weights_sha256'][:12]}"
    path = folder / f"{formula}-{options.strategy}-{seed}-{options.budget}.json"
    if path.exists():
        found: dict[str, Any] = json.loads(path.read_text())
        return found
    run, pool = campaign_run(truth, seed, options.budget, model, Work.oracle, options.strategy)
    orders = {
        "random": random_order(pool, seed),
        "pymatgen": pymatgen_order(pool, formula, seed),
    }
    peers = {
        way: calls_in_order(order, pool, truth, run["given"], options.budget, Work.oracle)
        for way, order in orders.items()
    }
    done = run | {"campaign": run.pop("found_at"), "seed": seed, "pool": len(pool)} | peers
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, done)
    return done


def judged(results: list[dict[str, Any]], budget: int) -> tuple[list[dict[str, Any]], Headline]:
    """Rows for each target and kind, and the least of the three shares of the bar.

    These are the found targets of each kind over those that the bar asks for, and the best peer's
    mean calls over the campaign's.
    """
    rows = [_row(one, budget) for one in results]
    every = [row for row in rows if row["on_oracle_hull"]]
    shares = []
    for kind in KINDS:
        chosen = [row for row in every if row["kind"] == kind]
        found = {f"{way}_found": sum(row[f"{way}_found"] for row in chosen) for way in WAYS}
        means = {way: _mean([row[f"{way}_mean_calls"] for row in chosen]) for way in WAYS}
        shares.append(found["campaign_found"] / BARS[kind])
        rows.append({
            "name": f"all of {kind}", "targets": len(chosen), "bar_found": BARS[kind], **found,
            **{f"{way}_mean_calls": mean for way, mean in means.items()},
        })  # fmt: skip
    mean = {way: _mean([row[f"{way}_mean_calls"] for row in every]) for way in WAYS}
    saved = min(mean[way] for way in PEERS) / mean["campaign"]
    rows.append({
        "name": "all", "targets": len(every),
        **{f"{way}_mean_calls": one for way, one in mean.items()}, "best_peer_over_campaign": saved,
    })  # fmt: skip
    figure = min(*shares, saved)
    return rows, Headline(figure, "least share of the bar: found of either kind, calls", 1.0, 1.25)


def _row(one: dict[str, Any], budget: int) -> dict[str, Any]:
    target: Target = one["target"]
    stable = bool(one["above_hull"] <= SAME)
    row: dict[str, Any] = {
        "name": target.formula, "kind": target.kind, "system": target.system,
        "on_oracle_hull": stable, "above_hull_ev_per_atom": round(one["above_hull"], 5),
    }  # fmt: skip
    if not stable:
        return row | {"replaced": True}
    for way in WAYS:
        calls = [run[way] for run in one["runs"]]
        row[f"{way}_calls"] = calls
        row[f"{way}_found"] = sum(call is not None for call in calls) > len(calls) / 2
        row[f"{way}_mean_calls"] = _mean([budget if call is None else call for call in calls])
    pools = [run["pool"] for run in one["runs"]]
    return row | {"mean_pool": _mean(pools), "given": one["runs"][0]["given"]}


def _mean(values: list[float]) -> float:
    return round(float(np.mean(values)), 2) if values else float("nan")


if __name__ == "__main__":
    main()
