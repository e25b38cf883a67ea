"""What the accuracy benchmarks share: the table, kept predictions, intervals, power laws.

``python -m benchmarks.accuracy`` prints what they measured last as a table for the manual.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import RESULTS, data_folder
from benchmarks.peers import CGCNN, CHEAP, PEERS, Inputs, describe, keep

Array = NDArray[np.float64]

ALL_PEERS: Final = (*PEERS, CGCNN)
RESAMPLES: Final = 2_000
"""Bootstrap samples behind an interval."""
COVERAGE: Final = 0.95
"""Of an interval."""
EDITION: Final = 1
"""Rises when a peer changes, so that predictions of an older one are not taken for its own."""


def options(name: str) -> argparse.ArgumentParser:
    """The arguments that the accuracy benchmarks share."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}")
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / f"materialabs-{name}",
        help="where finished predictions and unfinished training are kept",
    )  # fmt: skip
    parser.add_argument(
        "--seconds", type=float, default=1_800.0, help="time of one core for each fit"
    )
    names = ", ".join(ALL_PEERS)
    parser.add_argument("--peers", default=names, help=f"of {names}")
    parser.add_argument(
        "--peers-only", action="store_true", help="leave our model out, write nothing"
    )
    parser.add_argument("--quick", action="store_true", help="seconds, on few rows; writes nothing")
    return parser


def chosen_peers(arguments: argparse.Namespace) -> list[str]:
    """The peers asked for; in a quick run only those that take seconds."""
    names = [name.strip() for name in arguments.peers.split(",") if name.strip()]
    unknown = sorted(set(names) - set(ALL_PEERS))
    if unknown:
        raise SystemExit(f"There is no peer {unknown[0]!r}; there are {', '.join(ALL_PEERS)}.")
    return [name for name in names if name in CHEAP] if arguments.quick else names


def mp36k(folder: Path, *, rows: int | None = None) -> tuple[Inputs, str]:
    """The crystals of mp36k with their descriptors, and the hash of the file.

    Parameters
    ----------
    folder
        Where the descriptors are kept.
    rows
        Only as many crystals, evenly spread over the file.
    """
    from materialabs.crystals.files import read

    path = data_folder() / "structures" / "mp36k.jsonl.gz"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    crystals: Any = read(path)
    if rows is not None:
        crystals = crystals.take(np.linspace(0, len(crystals) - 1, rows).astype(int))
    started = time.perf_counter()
    inputs = describe(crystals, folder)
    print(f"{len(inputs)} crystals described in {time.perf_counter() - started:.1f} s", flush=True)
    return inputs, digest


@dataclass(frozen=True)
class Kept:
    """Predictions of one fit, and the seconds of a core that fit and predictions took."""

    values: Array
    seconds: float


def remembered(folder: Path, key: dict[str, Any], work: Callable[[Path], Array]) -> Kept:
    """Do the work, or read what an earlier run with the same key kept.

    Parameters
    ----------
    folder
        Where predictions are kept.
    key
        All that the answer depends on.
    work
        Is given a folder of its own for unfinished work.
    """
    text = repr(sorted({**key, "edition": EDITION}.items()))
    place = folder / f"{key['peer']}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    path = place.with_suffix(".npz")
    if path.exists():
        with np.load(path, allow_pickle=False) as kept:
            return Kept(kept["values"], float(kept["seconds"]))
    started = time.process_time()
    print(f"  {key['peer']} {key.get('target', '')}", flush=True)
    values = work(place)
    seconds = time.process_time() - started
    keep(path, values=values, seconds=np.array(seconds), key=np.array(text))
    return Kept(values, seconds)


def interval(errors: Array, seed: int = 0) -> tuple[float, float]:
    """Bounds of the mean of errors, by drawing rows with replacement."""
    generator = np.random.default_rng(seed)
    means = [
        errors[generator.integers(0, len(errors), len(errors))].mean() for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(means, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return float(low), float(high)


def power_law(counts: list[int], errors: list[float]) -> tuple[float, float]:
    """(a, b) of log(error) = a - b log(count), by least squares."""
    slope, start = np.polyfit(np.log(counts), np.log(errors), 1)
    return float(start), float(-slope)


SHOWN: Final = {
    "materialabs": "materialabs",
    "cgcnn": "CGCNN",
    "forest": "random forest",
    "svr": "support vectors",
    "linear": "linear (ridge, logistic)",
}
"""Rows of the printed table and what they are called there."""
COLUMNS: Final = (
    ("energy", "energy_mae", "_mev_per_atom", ".1f", "energy, meV/atom"),
    ("energy", "unrelaxed_energy_mae", "_mev_per_atom", ".1f", "unrelaxed, meV/atom"),
    ("energy", "gap_mae", "_ev", ".3f", "gap, eV"),
    ("unseen", "auc", "", ".3f", "unseen, AUC"),
)
"""Benchmark, figure, its unit, its format, and the column's title."""


def main() -> None:
    """Print the table of models from the last results, without what was not measured."""
    paths = {name: RESULTS / f"{name}.json" for name, *_ in COLUMNS}
    results = {
        name: json.loads(path.read_text())["rows"] for name, path in paths.items() if path.exists()
    }
    columns = [column for column in COLUMNS if column[0] in results]
    measured = {row["name"] for rows in results.values() for row in rows}
    print("| model |", " | ".join(title for *_, title in columns), "|")
    print("|---|" + "---|" * len(columns))
    for name, called in SHOWN.items():
        if name not in measured:
            continue
        cells = []
        for benchmark, figure, unit, form, _ in columns:
            row = next((row for row in results[benchmark] if row["name"] == name), {})
            ends = [row.get(f"{figure}{part}{unit}") for part in ("", "_low", "_high")]
            shown = [f"{end:{form}}" for end in ends if end is not None]
            cells.append(f"{shown[0]} ({shown[1]}-{shown[2]})" if len(shown) == 3 else "")
        print(f"| {called} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
