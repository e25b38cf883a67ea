"""64 unrelaxed candidates relaxed by CHGNet: ours against ASE's optimisers, one process a core.

The candidates are substituted crystals of 4 to 40 atoms (SAPS on mp36k, their volumes estimated by
the generator, drawn once by a seed). Everybody uses CHGNet 0.3.0, ends when every row of the forces
and of ASE's cell forces (the virial for each atom) is below 0.1 eV/angstrom, which is what CHGNet's
own StructOptimizer asks for, moves atoms and cell, and may spend 500 steps.

The peer is CHGNet's StructOptimizer taken apart: its calculator and ASE's FrechetCellFilter with
each of FIRE (its default), BFGS, LBFGS and BFGSLineSearch; one process for each core, each with one
thread, the crystals dealt out in the order of falling size. All four relax one candidate of four;
the quickest of them by wall time then relaxes all, and that is what counts. Setting up (importing,
reading weights, compiled code) is not counted for either: every process relaxes one small crystal
first.

A run takes some 10 minutes on two cores; ``--quick`` takes 4 candidates and one optimiser alone.
"""

from __future__ import annotations

from benchmarks.harness import Headline, data_folder, pin_threads, report

pin_threads()

import argparse
import contextlib
import io
import json
import os
import queue
import subprocess
import sys
import threading
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from materialabs.crystals.batch import Crystals
from materialabs.crystals.files import read
from materialabs.generation.saps import saps
from materialabs.oracles.calculator_worker import read_message, write_message
from materialabs.oracles.chgnet import ChgnetOracle
from materialabs.oracles.parallel import ParallelOracle
from materialabs.oracles.relaxation import RelaxationSettings

CANDIDATES, QUICK_CANDIDATES = 64, 4
SMALLEST, LARGEST = 4, 40
SEED = 5
PRODUCTS = 40
"""Products of a parent from which one is drawn."""

FORCE = 0.1
"""eV/angstrom: StructOptimizer's default."""

TRIAL_STEP = 4
"""One candidate of so many is relaxed by each of the peer's optimisers."""

STEPS = 500
WORSE = 1e-3
"""eV/atom above the peer's end that counts as worse."""

BAR, AIM = 2.0, 3.0
OPTIMISERS = ("FIRE", "BFGS", "LBFGS", "BFGSLineSearch")
SETTINGS = RelaxationSettings(force_tolerance=FORCE, virial_tolerance=FORCE, max_steps=STEPS)


@dataclass(frozen=True)
class Outcome:
    """What one program reached: eV/atom, convergence and force calls of each candidate."""

    seconds: float
    energies: np.ndarray
    converged: np.ndarray
    calls: np.ndarray


def candidates(count: int) -> Crystals:
    """Substituted crystals with estimated volumes, one of each parent."""
    everything = read(data_folder() / "structures" / "mp36k.jsonl.gz")
    source = np.random.default_rng(SEED)
    sizes = (everything.counts >= SMALLEST) & (everything.counts <= LARGEST)
    chosen: list[Crystals] = []
    for row in source.permutation(np.flatnonzero(sizes)):
        made = saps(everything.take([row]), limit=PRODUCTS, seed=1).crystals
        if len(made) == 0:
            continue
        one = made[int(source.integers(len(made)))]
        if SMALLEST <= one.counts[0] <= LARGEST and one.numbers.max() <= 94:
            chosen.append(one)
        if len(chosen) == count:
            break
    return Crystals.concat(chosen)


def by_product(crystals: Crystals, cores: int) -> Outcome:
    """Relax with as many processes as there are cores."""
    oracle = ParallelOracle("chgnet", processes=cores, device="cpu")
    small = crystals[np.argsort(crystals.counts)[:cores]]
    started = 0.0
    energies, converged = np.full(len(crystals), np.nan), np.zeros(len(crystals), dtype=bool)
    calls = np.zeros(len(crystals), dtype=int)
    oracle.relax(small, SETTINGS)
    started = time.perf_counter()
    for row, done in oracle.stream(crystals, SETTINGS):
        energies[row], converged[row], calls[row] = done.energy, done.converged, done.force_calls
    return Outcome(time.perf_counter() - started, energies, converged, calls)


class PeerProcess:
    """One process of the peer."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "benchmarks.relax", "--peer"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, crystal: Crystals, optimiser: str) -> tuple[float, bool, int]:
        """Relax one crystal."""
        assert self.process.stdin is not None and self.process.stdout is not None
        data = np.frombuffer(crystal.to_bytes(), dtype=np.uint8)
        write_message(self.process.stdin, {"optimiser": optimiser}, {"crystal": data})
        answer = read_message(self.process.stdout)
        if answer is None:
            raise SystemExit("The peer's process ended.")
        return answer[0]["energy"], answer[0]["converged"], answer[0]["calls"]


def by_peer(crystals: Crystals, processes: list[PeerProcess], optimiser: str) -> Outcome:
    """Deal the crystals out to the peer's processes, the largest first."""
    waiting: queue.Queue[int] = queue.Queue()
    for row in np.argsort(-crystals.counts, kind="stable"):
        waiting.put(int(row))
    energies, converged = np.full(len(crystals), np.nan), np.zeros(len(crystals), dtype=bool)
    calls = np.zeros(len(crystals), dtype=int)

    def work(process: PeerProcess) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                row = waiting.get_nowait()
                energies[row], converged[row], calls[row] = process.ask(crystals[row], optimiser)

    threads = [threading.Thread(target=work, args=(process,)) for process in processes]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Outcome(time.perf_counter() - started, energies, converged, calls)


def serve_as_peer() -> None:
    """Relax what is asked for with CHGNet's calculator and ASE; prints go to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    with contextlib.redirect_stdout(io.StringIO()):
        import torch
        from ase import optimize
        from ase.filters import FrechetCellFilter
        from chgnet.model.dynamics import CHGNetCalculator

        torch.set_num_threads(1)
        calculator = CountingCalculator.made_of(CHGNetCalculator)
    while (message := read_message(sys.stdin.buffer)) is not None:
        atoms = Crystals.from_bytes(message[1]["crystal"].tobytes()).to_ase()[0]
        atoms.calc = calculator
        calculator.calls = 0
        search = getattr(optimize, message[0]["optimiser"])(FrechetCellFilter(atoms), logfile=None)
        try:
            converged = bool(search.run(fmax=FORCE, steps=STEPS))
        except Exception as error:  # a line search may give up
            print(type(error).__name__, error, file=sys.stderr)
            converged = False
        energy = float(atoms.get_potential_energy()) / len(atoms)
        answer = {"energy": energy, "converged": converged, "calls": calculator.calls}
        write_message(answers, answer, {})


class CountingCalculator:
    """Makes CHGNet's calculator count how often it computes."""

    @staticmethod
    def made_of(kind: Any) -> Any:
        """An instance of a subclass that counts."""

        # Its class is only known at run time, since CHGNet is imported late and quietly.
        class Counting(kind):  # type: ignore[misc]
            calls = 0

            def calculate(self, *args: Any, **options: Any) -> None:
                self.calls += 1
                super().calculate(*args, **options)

        return Counting(use_device="cpu", on_isolated_atoms="ignore")


def check_agreement(crystals: Crystals) -> float:
    """Largest difference of our energies from CHGNet's own on the candidates, eV/atom."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        from chgnet.model import CHGNet

        model = CHGNet.load(use_device="cpu", verbose=False)
        found = model.predict_structure(crystals.to_pymatgen(), task="e", batch_size=1)
    theirs = np.array([float(one["e"]) for one in found])
    return float(np.abs(ChgnetOracle(device="cpu").evaluate(crystals).energies - theirs).max())


def row(name: str, outcome: Outcome, best: Outcome) -> dict[str, Any]:
    """One line of the result, held against the best peer."""
    above = outcome.energies - best.energies
    return {
        "name": name,
        "wall_s": outcome.seconds,
        "candidates_per_s": len(outcome.calls) / outcome.seconds,
        "force_calls": int(outcome.calls.sum()),
        "median_force_calls": float(np.median(outcome.calls)),
        "converged_share": float(outcome.converged.mean()),
        "share_1_mev_above_best_peer": float((above > WORSE).mean()),
        "share_1_mev_below_best_peer": float((above < -WORSE).mean()),
        "median_above_best_peer_mev_per_atom": float(np.median(above) * 1e3),
        "speed_over_best_peer": best.seconds / outcome.seconds,
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="4 candidates, and no result file")
    parser.add_argument("--candidates", type=int, default=CANDIDATES, help="fewer: no result file")
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--keep", type=Path, help="write every candidate's outcome, as JSON")
    chosen = parser.parse_args()
    if chosen.peer:
        serve_as_peer()
        return
    cores = len(os.sched_getaffinity(0))
    crystals = candidates(QUICK_CANDIDATES if chosen.quick else chosen.candidates)
    agreement = check_agreement(crystals[: QUICK_CANDIDATES * 2])
    if agreement > 1e-4:
        raise SystemExit(f"Our energies differ from CHGNet's by {agreement:.2g} eV/atom.")
    processes = [PeerProcess() for _ in range(cores)]
    small = crystals[np.argsort(crystals.counts)[:cores]]
    by_peer(small, processes, OPTIMISERS[0])
    names = OPTIMISERS[1:2] if chosen.quick else OPTIMISERS
    trial = crystals[::TRIAL_STEP]
    trials = {name: by_peer(trial, processes, name) for name in names}
    quickest = min(trials, key=lambda name: trials[name].seconds)
    best = by_peer(crystals, processes, quickest)
    for process in processes:
        process.process.kill()
        process.process.wait()
    ours = by_product(crystals, cores)
    rows = [row(f"materialabs, {cores} processes", ours, best)]
    rows.append(row(f"CHGNet with ASE {quickest}", best, best))
    rows += [
        row(f"CHGNet with ASE {name}, {len(trial)} of the candidates", peer, trials[quickest])
        for name, peer in trials.items()
    ]
    rows[0]["largest_energy_difference_ev_per_atom"] = agreement
    rows[0]["candidates"] = len(crystals)
    if chosen.keep:
        every = {"materialabs": ours, quickest: best}
        document = {
            name: {key: getattr(one, key).tolist() for key in ("energies", "converged", "calls")}
            for name, one in every.items()
        }
        chosen.keep.write_text(json.dumps(document))
    speed = best.seconds / ours.seconds
    if chosen.quick or len(crystals) < CANDIDATES:
        for line in rows:
            print("  ", line)
        print(f"{speed:.1f} times the peer on {len(crystals)} candidates")
        return
    report(
        "relax", rows, Headline(speed, "times the fastest peer", BAR, AIM),
        f"The peer's optimiser is the quickest of four on {len(trial)} of the candidates",
    )  # fmt: skip


if __name__ == "__main__":
    main()
