"""What every benchmark shares: pinned threads, timing, data, and the result file."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PINNED = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def pin_threads() -> None:
    """Give product and peers one BLAS thread each; call before numpy is imported.

    An unpinned peer can look nine times slower on a busy machine.
    """
    for name in PINNED:
        os.environ[name] = "1"


def data_folder() -> Path:
    """The reference data; ends the run with one line when it is absent."""
    folder = Path(os.environ.get("MATERIALABS_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        sys.exit(f"No reference data at {folder}: set MATERIALABS_DATA to its folder.")
    return folder


@dataclass(frozen=True)
class Timing:
    """Seconds of repeated runs of one piece of work, and what its last run returned."""

    seconds: list[float]
    result: Any

    @property
    def median(self) -> float:
        """The middle time."""
        return sorted(self.seconds)[len(self.seconds) // 2]

    def figures(self) -> dict[str, Any]:
        """Repeats with minimum, median and maximum, for the result file."""
        return {
            "repeats": len(self.seconds),
            "min_s": min(self.seconds),
            "median_s": self.median,
            "max_s": max(self.seconds),
        }


def measure(work: Callable[[], Any], *, repeats: int = 3, warm: int = 1) -> Timing:
    """Time a piece of work several times after ``warm`` runs that are not counted."""
    for _ in range(warm):
        work()
    seconds, result = [], None
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
    return Timing(seconds, result)


@dataclass(frozen=True)
class Headline:
    """The one figure that a benchmark is judged by."""

    figure: float
    unit: str
    bar: float
    aim: float
    higher_is_better: bool = True

    @property
    def met(self) -> bool:
        """Whether the bar is reached."""
        return self.figure >= self.bar if self.higher_is_better else self.figure <= self.bar


def hardware() -> dict[str, Any]:
    """Processor, cores and versions."""
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":", 1)[1].strip() if names else model
    return {"processor": model, "cores": os.cpu_count(), "python": platform.python_version()}


def commit() -> str:
    """The commit that is measured, marked when files differ from it."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return described.stdout.strip() or "unknown"


def report(name: str, rows: list[dict[str, Any]], headline: Headline, note: str = "") -> None:
    """Write ``benchmarks/results/NAME.json`` and print the same as a table.

    Each row has ``name`` and figures whose names end in their unit.
    """
    document = {
        "name": name,
        "commit": commit(),
        "hardware": hardware(),
        "rows": rows,
        "headline": {
            "figure": round(headline.figure, 4),
            "unit": headline.unit,
            "higher_is_better": headline.higher_is_better,
            "bar": headline.bar,
            "aim": headline.aim,
            "met": headline.met,
        },
    }
    if note:
        document["note"] = note
    RESULTS.mkdir(parents=True, exist_ok=True)
    temporary = RESULTS / f".{name}.json.tmp"
    temporary.write_text(json.dumps(document, indent=1) + "\n")
    temporary.replace(RESULTS / f"{name}.json")
    for row in rows:
        figures = ", ".join(f"{key} {_short(value)}" for key, value in row.items() if key != "name")
        print(f"  {row['name']}: {figures}")
    state = "met" if headline.met else "NOT met"
    print(f"{name}: {headline.figure:.4g} {headline.unit} (bar {headline.bar:g} {state}, "
          f"aim {headline.aim:g})")  # fmt: skip


def stored_rows(
    name: str, fresh: Collection[str], part: Callable[[str], str] = str
) -> list[dict[str, Any]]:
    """Rows of the stored result that are not measured anew; each says at which commit it was.

    Parameters
    ----------
    name
        Of the benchmark.
    fresh
        What is measured anew.
    part
        What a row's name says that it belongs to; by default each row stands for itself.
    """
    path = RESULTS / f"{name}.json"
    stored = json.loads(path.read_text()) if path.exists() else {"rows": []}
    return [
        {"name": row["name"], "commit": stored["commit"]} | row
        for row in stored["rows"] if part(row["name"]) not in fresh
    ]  # fmt: skip


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
