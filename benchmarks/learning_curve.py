"""How the error of a formation energy falls with the number of crystals learned from.

Rows of mp36k, split by the MD5 of the reduced formula as in the benchmark ``energy``. From the
training side a sixteenth, an eighth, a quarter, a half and all are learned from, whole formulas in
one random order, so that each part holds those before it; 2 % of the training formulas decide
which epoch is kept and are in no part. Judged are the relaxed crystals of the test side, all of
them and those of five and more elements. The law is log(MAE) = a - b log(N), by least squares;
medians have laws of their own, since a few crystals that a network is wildly wrong about can make
up most of a mean.

Our network is one of the shipped shape, on relaxed crystals and their energy alone, 20 epochs or
2,000 steps, whichever is more: a shorter schedule than that of the networks that ship, which are
five, see unrelaxed copies and six targets, and leave 6 % of the rows to calibration. CGCNN has the
seconds that ours took with as many crystals, on one core; the trees and the linear model learn to
their end.

``python -m benchmarks.learning_curve`` takes an hour and a half the first time, half of it for
CGCNN; each fit is kept in ``--folder``, and training goes on where it was stopped (its seconds are
then those of the last run). ``--peers`` takes some of the peers.
"""

from __future__ import annotations

import argparse
import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.harness import Headline, pin_threads, report, stored_rows

pin_threads()

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import Array, Kept, chosen_peers, mp36k, options, power_law, remembered
from benchmarks.peers import CGCNN, Fit, Inputs, crystal_graphs, fit_predict
from benchmarks.up_to_four import STOPPING_PERCENT, element_counts
from materialabs.networks.splits import Split, by_formula_hash, formula_hash

Rows = NDArray[np.int64]

OURS: Final = "materialabs"
SHARES: Final = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
EPOCHS, STEPS, QUICK_STEPS = 20, 2_000, 20
BATCH, RATE, DECAY = 64, 3e-3, 0.05
WIDTH, QUICK_WIDTH, BOND_WIDTH, LAYERS = 128, 16, 48, 4
MANY_ELEMENTS: Final = 5
QUICK_ROWS: Final = 3_000
MEV: Final = 1_000.0
SEED: Final = 0


@dataclass(frozen=True)
class Table:
    """What all parts share: inputs, energies (eV/atom), the split, and the order of the rows.

    Parameters
    ----------
    inputs, energies
        Of all crystals.
    split
        Training and test side.
    order
        Rows that may be learned from; the first of them are the smaller parts.
    stopping
        Rows of the training side that decide which epoch is kept.
    digest
        Of the file.
    """

    inputs: Inputs
    energies: Array
    split: Split
    order: Rows
    stopping: Rows
    digest: str

    @classmethod
    def read(cls, arguments: argparse.Namespace) -> Table:
        """mp36k, or a part of it."""
        inputs, digest = mp36k(arguments.folder, rows=QUICK_ROWS if arguments.quick else None)
        crystals = inputs.crystals
        split = by_formula_hash(crystals.compositions)
        formulas = crystals.reduced_formulas()
        hashes = np.array([formula_hash(f"validation {formulas[row]}") for row in split.train])
        stops = hashes < STOPPING_PERCENT
        learned = split.train[~stops]
        rank = np.random.default_rng(SEED).permutation(int(split.groups.max()) + 1)
        order = learned[np.argsort(rank[split.groups[learned]], kind="stable")]
        energies = np.asarray(crystals.columns["formation_energy"], dtype=float)
        return cls(inputs, energies, split, order, split.train[stops], digest)

    def part(self, share: float) -> Rows:
        """The rows of a part, rising."""
        return np.sort(self.order[: round(share * len(self.order))])


def ours(table: Table, rows: Rows, place: Path, *, quick: bool) -> Array:
    """Energies of the test crystals by one network that has learned from some rows."""
    import torch

    from materialabs.networks.bond_network import BondNetwork, BondNetworkShape
    from materialabs.networks.examples import CrystalExamples
    from materialabs.networks.graphs import BondGraphs, bond_graphs
    from materialabs.networks.learning_tasks import Recipe, Task
    from materialabs.networks.training import Training, evaluate

    torch.set_num_threads(1)
    graphs_at = place.parent / f"graphs-{table.digest[:16]}-{len(table.inputs)}"
    if not (graphs_at / "spacing.npy").exists():
        print(f"building the graphs of {len(table.inputs)} crystals", flush=True)
        bond_graphs(table.inputs.crystals).save(graphs_at)
    graphs = BondGraphs.load(graphs_at)
    none = np.zeros(0, dtype=np.int64)
    examples = CrystalExamples(graphs, graphs.take(none), none)
    task = Task(examples, table.energies[:, None], ("energy",), rows, table.stopping)
    epochs = math.ceil((QUICK_STEPS if quick else STEPS) * BATCH / len(rows))
    recipe = Recipe(
        epochs=epochs if quick else max(EPOCHS, epochs), batch=BATCH, rate=RATE, decay=DECAY,
        precision="bfloat16", patience=10**6,
    )  # fmt: skip
    shape = BondNetworkShape(("energy",), QUICK_WIDTH if quick else WIDTH, BOND_WIDTH, LAYERS)
    torch.manual_seed(SEED)
    training = Training(BondNetwork(shape), task, recipe, place)
    best = training.run(
        lambda epoch: print(
            f"    {len(rows)} crystals, epoch {epoch.number + 1}/{recipe.epochs}: "
            f"{epoch.rows_per_second:.0f} rows/s", flush=True,
        )
    )  # fmt: skip
    training.network.load_state_dict(best)
    told = evaluate(training.network, examples, table.split.test, training.device)
    return np.asarray(training.scaling.restored(told)[:, 0])


def learned(name: str, table: Table, rows: Rows, seconds: float, quick: bool, folder: Path) -> Kept:
    """What one model says of the test crystals after it has learned from some rows.

    Parameters
    ----------
    name
        Of the model.
    table, rows
        What there is, and what is learned from.
    seconds
        Of one core, for peers that learn as long as they may.
    quick
        Few steps of a narrow network.
    folder
        Keeps what is done.
    """
    timed = name == CGCNN
    key = {
        "peer": name, "target": f"energy from {len(rows)} crystals", "data": table.digest,
        "rows": len(table.inputs), "seconds": round(seconds) if timed else 0, "quick": quick,
        "recipe": (EPOCHS, STEPS, RATE, DECAY, WIDTH, LAYERS, SEED),
    }  # fmt: skip

    def work(place: Path) -> Array:
        if name == OURS:
            return ours(table, rows, place, quick=quick)
        inputs, judged = table.inputs.take(rows), table.inputs.take(table.split.test)
        if timed:
            fit = Fit(inputs, table.energies[rows][:, None], judged, seconds, SEED)
            return crystal_graphs(fit, (False,), place)[:, 0]
        return fit_predict(name, inputs, table.energies[rows], judged, seconds, SEED)

    return remembered(folder, key, work)


def curve_row(name: str, table: Table, counts: list[int], curve: list[Kept]) -> dict[str, Any]:
    """Errors by the number of crystals, and their power laws."""
    test = table.split.test
    many = element_counts(table.inputs.crystals)[test] >= MANY_ELEMENTS
    errors = [np.abs(one.values - table.energies[test]) * MEV for one in curve]
    every = [float(error.mean()) for error in errors]
    rich = [float(error[many].mean()) for error in errors]
    middle = [float(np.median(error)) for error in errors]
    start, exponent = power_law(counts, every)
    return {
        "name": name,
        "crystals": counts,
        "mae_mev_per_atom": [round(error, 2) for error in every],
        "log_mae_of_one_crystal": start,
        "exponent": exponent,
        "many_elements_mae_mev_per_atom": [round(error, 2) for error in rich],
        "many_elements_exponent": power_law(counts, rich)[1],
        "median_mev_per_atom": [round(error, 2) for error in middle],
        "median_exponent": power_law(counts, middle)[1],
        "fit_s": [round(one.seconds, 1) for one in curve],
    }


def main() -> None:
    """Learn from each part, with each model, and write the result."""
    arguments = options("learning_curve").parse_args()
    warnings.filterwarnings("ignore")
    table = Table.read(arguments)
    parts = [table.part(share) for share in SHARES]
    counts = [len(part) for part in parts]
    mine = [learned(OURS, table, part, 0.0, arguments.quick, arguments.folder) for part in parts]
    rows = [curve_row(OURS, table, counts, mine)]
    for name in chosen_peers(arguments):
        curve = [
            learned(name, table, part, own.seconds, arguments.quick, arguments.folder)
            for part, own in zip(parts, mine, strict=True)
        ]
        rows.append(curve_row(name, table, counts, curve))
    if arguments.quick:
        for row in rows:
            print(row)
        return
    rows += stored_rows("learning_curve", [row["name"] for row in rows])
    bar = max((row["exponent"] for row in rows if row["name"] != OURS), default=0.0)
    report(
        "learning_curve",
        rows,
        Headline(rows[0]["exponent"], "power of the number of crystals", bar, bar),
        f"mp36k, {table.split.name}: {len(table.split.test)} test crystals; log(MAE) = a - b "
        "log(N) by least squares; one network of ours with a shortened schedule, on relaxed "
        "crystals alone, and CGCNN, where it is asked for, in the same time. Materials Project "
        "data, CC BY 4.0",
    )


if __name__ == "__main__":
    main()
