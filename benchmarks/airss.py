"""Valid random crystals a second over all 230 space groups, against PyXtal.

One list of (formula, formula units, space group): three for each group, of 4 to 40 atoms in the
primitive cell, chosen by a seed among those that the group can hold. Both sides get the same
volume for every item (PyXtal's own estimate at its default factor 1.1, at the middle of its range)
and the same smallest distances by pair (PyXtal's ``Tol_matrix("atomic")``). PyXtal gets its
groups, its tolerance matrix and its lattice at the given volume ready made, and a time limit per
item. Every crystal of both is judged alike: spglib at 1e-3 must find all operations of the
requested group, and ASE no pair that is too close.

A second, harder list (one item for every third group) takes this package's volume estimate at
factor 1 and its default distances, 0.7 of the sum of covalent radii.

``python -m benchmarks.airss`` takes about four minutes; ``--quick`` some seconds on a short list
and writes nothing.
"""

from __future__ import annotations

import argparse
import random
import signal
import time
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

from benchmarks.harness import Headline, measure, pin_threads, report

pin_threads()

import numpy as np

FORMULAS = (
    "C", "Si", "NaCl", "MgO", "GaN", "TiO2", "SiO2", "Al2O3", "CaTiO3", "MgAl2O4", "Li3PS4",
    "LiFePO4", "Fe3O4", "K2SO4", "YBa2Cu3O7", "Ca3Al2Si3O12",
)  # fmt: skip
SEED = 7
PER_GROUP = 3
FEWEST_ATOMS, MOST_ATOMS = 4, 40
FACTOR = 1.1
LIMIT_S = 10.0
TIGHT_LIMIT_S = 2.0
SYMPREC = 1e-3

Item = tuple[str, int, int]
Cell = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any], bool]


class TimeUpError(Exception):
    """The peer's time limit for one item."""


def items(per_group: int, groups: range) -> list[Item]:
    """The list: (formula, formula units, space group)."""
    from materialabs.generation.site_choices import can_hold, cell_contents

    chooser = random.Random(SEED)
    possible: dict[int, list[Item]] = {number: [] for number in groups}
    for formula in FORMULAS:
        unit = sum(cell_contents(formula).values())
        for cells in range(-(-FEWEST_ATOMS // unit), MOST_ATOMS // unit + 1):
            held = can_hold(cell_contents(formula, cells))
            for number in groups:
                if held[number - 1]:
                    possible[number].append((formula, cells, number))
    return [item for number in groups for item in chooser.sample(possible[number], per_group)]


def peer_distances(symbols: list[str]) -> dict[str, float]:
    """PyXtal's smallest distance of each pair of elements."""
    from pyxtal.tolerance import Tol_matrix

    matrix = Tol_matrix(prototype="atomic")
    return {f"{a}-{b}": float(matrix.get_tol(a, b)) for a in symbols for b in symbols}


def our_distances(symbols: list[str]) -> dict[str, float]:
    """Default distances of materialabs."""
    from materialabs.elements import atomic_number
    from materialabs.generation.packing import distance_table

    table = distance_table([atomic_number(symbol) for symbol in symbols])
    return {
        f"{a}-{b}": float(table[i, j]) for i, a in enumerate(symbols) for j, b in enumerate(symbols)
    }


def peer_volume(item: Item) -> float:
    """The middle of PyXtal's range of volumes for a primitive cell, cubic angstrom."""
    from pyxtal.database.element import Element

    total = 0.0
    for symbol, count in counts_of(item).items():
        element = Element(symbol)
        mean = 0.5 * (element.covalent_radius**3 + element.vdw_radius**3)
        total += count * 4.0 / 3.0 * np.pi * mean
    return FACTOR * total


def our_volume(item: Item) -> float:
    """Volume estimate of materialabs."""
    from materialabs.crystals.compositions import Compositions
    from materialabs.crystals.volumes import estimated_volumes

    return item[1] * float(estimated_volumes(Compositions.parse([item[0]]))[0])


def counts_of(item: Item) -> dict[str, int]:
    """Atoms of each element in the primitive cell."""
    from materialabs.elements import SYMBOLS
    from materialabs.generation.site_choices import cell_contents

    return {SYMBOLS[number]: n for number, n in cell_contents(item[0], item[1]).items()}


def ours(
    wanted: list[Item], volumes: list[float], distances: dict[str, float]
) -> tuple[list[Cell | None], Counter[str]]:
    """Draw the list with this package, from texts to crystals."""
    from materialabs.generation.airss import Request, airss_requests

    requests = [
        Request(formula, cells, number, volume)
        for (formula, cells, number), volume in zip(wanted, volumes, strict=True)
    ]
    answers = airss_requests(requests, minimum_distances=distances, seed=SEED)
    cells: list[Cell | None] = [None] * len(wanted)
    crystals = answers.crystals
    for i, row in enumerate(answers.rows):
        atoms = slice(crystals.offsets[i], crystals.offsets[i + 1])
        cells[row] = (crystals.lattice[i], crystals.frac[atoms], crystals.numbers[atoms], True)
    return cells, Counter(reason for reason in answers.reasons if reason)


def peers(
    wanted: list[Item], volumes: list[float], distances: dict[str, float], limit: float
) -> tuple[list[Cell | None], Counter[str], float]:
    """Draw the list with PyXtal; cells, failures and the seconds that its calls took."""
    from pyxtal.symmetry import Group
    from pyxtal.tolerance import Tol_matrix

    matrix = Tol_matrix(*((*pair.split("-"), value) for pair, value in distances.items()))
    groups = {number: Group(number) for number in {number for _, _, number in wanted}}
    cells: list[Cell | None] = []
    failures: Counter[str] = Counter()
    spent = 0.0
    signal.signal(signal.SIGALRM, _time_up)
    for index, (item, volume) in enumerate(zip(wanted, volumes, strict=True)):
        start = time.perf_counter()
        made = None
        try:
            signal.setitimer(signal.ITIMER_REAL, limit)
            made = _one_peer(item, volume, groups[item[2]], matrix, index)
        except TimeUpError:
            failures[f"over {limit:g} s"] += 1
        except Exception as error:  # PyXtal refuses with several kinds; each is counted by name
            failures[f"{type(error).__name__}: {str(error)[:60]}"] += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        spent += time.perf_counter() - start
        if made is None:
            cells.append(None)
            continue
        atoms = made.to_ase(resort=False)
        cells.append((atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers, False))
    return cells, failures, spent


def _one_peer(item: Item, volume: float, group: Any, matrix: Any, seed: int) -> Any:
    from pyxtal import pyxtal
    from pyxtal.lattice import Lattice

    counts = counts_of(item)
    lattice = Lattice(group.lattice_type, volume * group.cellsize(), random_state=seed)
    crystal = pyxtal()
    crystal.from_random(
        3, group, list(counts), list(counts.values()), lattice=lattice, conventional=False,
        tm=matrix, random_state=seed,
    )  # fmt: skip
    return crystal


def _time_up(*_: object) -> None:
    raise TimeUpError


def judged(
    wanted: list[Item],
    volumes: list[float],
    cells: list[Cell | None],
    distances: dict[str, float],
) -> Counter[str]:
    """Verdicts on all crystals by spglib, ASE and moyopy's operations."""
    verdicts: Counter[str] = Counter()
    for item, volume, cell in zip(wanted, volumes, cells, strict=True):
        verdicts["none" if cell is None else _verdict(item, volume, cell, distances)] += 1
    return verdicts


def _verdict(item: Item, volume: float, cell: Cell, distances: dict[str, float]) -> str:
    from ase import Atoms
    from ase.neighborlist import neighbor_list

    from materialabs.generation.wyckoff import space_group

    lattice, frac, numbers, primitive = cell
    atoms = Atoms(numbers=numbers, cell=lattice, scaled_positions=frac, pbc=True)
    rows = space_group(item[2]).primitive_rows if primitive else np.eye(3)
    cells = 1.0 if primitive else 1.0 / np.linalg.det(space_group(item[2]).primitive_rows)
    held = Counter(atoms.get_chemical_symbols())
    if dict(held) != {symbol: round(n * cells) for symbol, n in counts_of(item).items()}:
        return "wrong composition"
    if abs(atoms.get_volume() / (volume * cells) - 1.0) > 1e-6:
        return "wrong volume"
    first, second, distance = neighbor_list("ijd", atoms, max(distances.values()))
    symbols = np.array(atoms.get_chemical_symbols())
    allowed = [distances[f"{a}-{b}"] for a, b in zip(symbols[first], symbols[second], strict=True)]
    if (distance < np.array(allowed) - 1e-6).any():
        return "atoms too close"
    return "valid" if _has_operations(item[2], lattice, frac, numbers, rows) else "wrong symmetry"


def _has_operations(
    number: int,
    lattice: np.ndarray[Any, Any],
    frac: np.ndarray[Any, Any],
    numbers: np.ndarray[Any, Any],
    rows: np.ndarray[Any, Any],
) -> bool:
    """Whether spglib finds all operations of the group (moyopy's) on the basis ``rows``."""
    import moyopy
    import spglib

    dataset = spglib.get_symmetry_dataset((lattice, frac, numbers), SYMPREC)
    if dataset is None:
        return False
    wanted = moyopy.operations_from_number(number)
    inverse = np.linalg.inv(rows.T)
    for rotation, translation in zip(wanted.rotations, wanted.translations, strict=True):
        turned = np.rint(inverse @ np.array(rotation, float) @ rows.T)
        same = (dataset.rotations == turned).all(axis=(1, 2))
        gaps = dataset.translations[same] - inverse @ np.array(translation)
        gaps -= np.rint(gaps)
        if not (np.linalg.norm(gaps @ lattice, axis=1) < 5 * SYMPREC).any():
            return False
    return True


def compare(
    name: str,
    wanted: list[Item],
    volume: Callable[[Item], float],
    pairs: Callable[[list[str]], dict[str, float]],
    limit: float,
    repeats: int,
) -> tuple[list[dict[str, Any]], float]:
    """Rows for both sides, and the ratio of valid crystals a second."""
    volumes = [volume(item) for item in wanted]
    distances = pairs(sorted({symbol for item in wanted for symbol in counts_of(item)}))
    timing = measure(lambda: ours(wanted, volumes, distances), repeats=repeats)
    cells, failures = timing.result
    verdicts = judged(wanted, volumes, cells, distances)
    rate = verdicts["valid"] / timing.median
    peer_cells, peer_failures, seconds = peers(wanted, volumes, distances, limit)
    peer_verdicts = judged(wanted, volumes, peer_cells, distances)
    peer_rate = peer_verdicts["valid"] / seconds
    rows = [
        {
            "name": f"{name}: materialabs",
            "items": len(wanted),
            "valid_per_s": rate,
            "valid_share": verdicts["valid"] / len(wanted),
            "verdicts": dict(verdicts),
            "failures": dict(failures),
            **timing.figures(),
        },
        {
            "name": f"{name}: PyXtal",
            "items": len(wanted),
            "valid_per_s": peer_rate,
            "valid_share": peer_verdicts["valid"] / len(wanted),
            "verdicts": dict(peer_verdicts),
            "failures": dict(peer_failures),
            "repeats": 1,
            "min_s": seconds,
            "median_s": seconds,
            "max_s": seconds,
        },
    ]
    return rows, rate / max(peer_rate, 1e-12)


def main() -> None:
    """Run both lists."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short list, and no result file")
    quick = parser.parse_args().quick
    warnings.simplefilter("ignore")
    groups = range(1, 231, 23) if quick else range(1, 231)
    wanted = items(1 if quick else PER_GROUP, groups)
    rows, ratio = compare("list", wanted, peer_volume, peer_distances, LIMIT_S, 7)
    if quick:
        for row in rows:
            print(row)
        print(f"{ratio:.0f} times as many valid crystals a second")
        return
    tight = items(1, range(1, 231, 3))
    tight_rows, tight_ratio = compare(
        "tight list", tight, our_volume, our_distances, TIGHT_LIMIT_S, 7
    )
    rows += [*tight_rows, {"name": "tight list: ratio", "times": tight_ratio}]
    report(
        "airss",
        rows,
        Headline(ratio, "times the valid crystals a second of PyXtal", 5.0, 50.0),
        note=f"peer's time limit {LIMIT_S:g} s an item, {TIGHT_LIMIT_S:g} s on the tight list",
    )


if __name__ == "__main__":
    main()
