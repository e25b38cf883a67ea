"""VASP's POSCAR and CONTCAR, of version 5 and of version 4 where the elements can be told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.columns import is_missing
from materialabs.crystals.files.cells import fractional
from materialabs.crystals.files.entries import Entry, Parsed, numbers_of
from materialabs.crystals.files.opening import Source
from materialabs.elements import SYMBOLS
from materialabs.errors import FileError, one_line

_ELEMENTS: Final = frozenset(SYMBOLS[1:]) | {"D", "T"}


def read_poscar(source: Source) -> Iterator[Parsed]:
    """The one crystal of a POSCAR."""
    lines = source.text().splitlines()
    try:
        entry = _parse(lines, source.limits.sites)
    except (ValueError, IndexError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(
            "cannot be read as a POSCAR: it ends too early"
            if isinstance(error, IndexError)
            else f"cannot be read as a POSCAR: {one_line(error)}"
        ) from None
    entry.columns["id"] = _comment_id(lines[0], source)
    yield entry


def _comment_id(comment: str, source: Source) -> str:
    """The comment of a file that was written from a batch, or the file's name."""
    text = comment.strip()
    if text.startswith("id="):
        return text[3:]
    return (
        source.path.absolute().parent.name if source.name in ("POSCAR", "CONTCAR") else source.stem
    )


def _parse(lines: list[str], most: int) -> Entry:
    lattice, stretch = _lattice(lines)
    symbols, counts, row = _atoms(lines)
    count = sum(counts)
    if count > most:
        raise FileError(f"has {count:,} atoms and at most {most:,} are read: raise the limit")
    selective = lines[row].strip()[:1] in ("s", "S")
    row += selective
    cartesian = lines[row].strip()[:1] in ("c", "C", "k", "K")
    table = [line.split() for line in lines[row + 1 : row + 1 + count]]
    if len(table) < count or any(len(cells) < 3 for cells in table):
        raise FileError(f"lists fewer positions than its {count:,} atoms")
    positions = np.array([[_number(cell) for cell in cells[:3]] for cells in table])
    positions = positions.reshape(-1, 3)
    if symbols is None:
        symbols = _symbols_beside(table, 6 if selective else 3) or _symbols_of(lines[0], counts)
    if symbols is None:
        raise FileError(
            "names no elements (the form of VASP 4): write their symbols on the line above the "
            "numbers of atoms"
        )
    frac = fractional(lattice, positions * stretch) if cartesian else positions
    site_columns: dict[str, Any] = {}
    if selective:
        site_columns["fixed"] = np.array([_flags(cells[3:6]) for cells in table])
    velocities = _velocities(lines, row + 1 + count, count)
    if velocities is not None:
        site_columns["velocity"] = velocities
    return Entry(lattice, frac, numbers_of(symbols), site_columns=site_columns)


def _number(text: str) -> float:
    """A number as Fortran writes it, ``1.0D+00``."""
    return float(text.replace("D", "E").replace("d", "e"))


def _scale(line: str) -> list[float]:
    numbers = []
    for cell in line.split()[:3]:
        try:
            numbers.append(_number(cell))
        except ValueError:
            break
    if len(numbers) not in (1, 3):
        numbers = numbers[:1]
    if not numbers or 0.0 in numbers or not np.isfinite(numbers).all():
        raise FileError(f"has {line.strip()[:30]!r} where the scale of the cell is needed")
    return numbers


def _lattice(lines: list[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The scaled cell and the scale along x, y and z, which Cartesian positions share.

    The scale is a factor, three factors, or where it is negative the volume of the cell.
    """
    if len(lines) < 7:
        raise FileError("is too short for a POSCAR")
    scale = _scale(lines[1])
    rows = [[_number(cell) for cell in line.split()[:3]] for line in lines[2:5]]
    if any(len(row) != 3 for row in rows):
        raise FileError("has a cell that is not three vectors")
    lattice = np.array(rows)
    factors = np.broadcast_to(np.array(scale), 3)
    if len(scale) == 1 and scale[0] < 0:
        volume = abs(float(np.linalg.det(lattice)))
        if not volume > 0:
            raise FileError("has a cell without volume")
        factors = np.full(3, np.cbrt(-scale[0] / volume))
    return lattice * factors, factors


def _atoms(lines: list[str]) -> tuple[list[str] | None, list[int], int]:
    """Symbols by atom, or none; numbers of atoms by kind; and the line that follows."""
    words = lines[5].split("!")[0].split("#")[0].split()
    if words and all(word.isdecimal() for word in words):
        return None, _counts(words), 6
    symbols = [re.split(r"[_/]", word)[0] for word in lines[5].split("!")[0].split()]
    counts = _counts(lines[6].split("!")[0].split("#")[0].split()[: len(symbols)])
    if len(counts) != len(symbols):
        raise FileError(f"has {len(symbols)} elements and {len(counts)} numbers of atoms")
    numbers_of(symbols)
    if sum(counts) > LARGEST_COUNT:
        return [], counts, 7
    return [s for s, n in zip(symbols, counts, strict=True) for _ in range(n)], counts, 7


LARGEST_COUNT: Final = 10_000_000
"""Atoms; a larger number is refused by its count before a list of it is made."""


def _counts(words: list[str]) -> list[int]:
    if not words or not all(word.isdecimal() and len(word) < 10 for word in words):
        raise FileError("has no numbers of atoms after its cell")
    return [int(word) for word in words]


def _symbols_beside(table: list[list[str]], column: int) -> list[str] | None:
    """Symbols that stand after the coordinates of each atom."""
    if table and all(len(cells) > column and cells[column] in _ELEMENTS for cells in table):
        return [cells[column] for cells in table]
    return None


def _symbols_of(comment: str, counts: list[int]) -> list[str] | None:
    """Symbols from the first line, where it names as many elements as there are kinds."""
    words = comment.split()
    if len(words) != len(counts) or not all(word in _ELEMENTS for word in words):
        return None
    return [word for word, number in zip(words, counts, strict=True) for _ in range(number)]


def _flags(words: list[str]) -> list[bool]:
    flags = [word.strip(".").upper()[:1] for word in words]
    if len(flags) != 3 or not set(flags) <= {"T", "F"}:
        raise FileError("has an atom without three T or F under Selective dynamics")
    return [flag == "F" for flag in flags]


def _velocities(lines: list[str], row: int, count: int) -> NDArray[np.float64] | None:
    """Velocities in angstrom/fs; those in units of the cell and time step are left out."""
    if row < len(lines) and lines[row].strip()[:1] in ("l", "L"):
        row += 8
    if row >= len(lines) or lines[row].strip()[:1] not in ("", "c", "C", "k", "K"):
        return None
    table = [line.split() for line in lines[row + 1 : row + 1 + count]]
    if len(table) < count or any(len(cells) < 3 for cells in table):
        return None
    try:
        return np.array([[_number(cell) for cell in cells[:3]] for cells in table]).reshape(-1, 3)
    except ValueError:
        return None


def poscar_of(crystals: Crystals) -> str:
    """Text of a POSCAR of the first crystal of a batch; atoms keep their order."""
    lattice, frac = crystals.lattice[0], crystals.frac
    numbers = crystals.numbers.tolist()
    starts = [i for i in range(len(numbers)) if i == 0 or numbers[i] != numbers[i - 1]]
    runs = [b - a for a, b in zip(starts, [*starts[1:], len(numbers)], strict=True)]
    name = crystals.columns.row(0).get("id")
    title = crystals.formulas()[0] if name is None else "id=" + " ".join(str(name).split())
    lines = [title, "1.0", *(_line(row) for row in lattice.tolist())]
    lines.append(" ".join(SYMBOLS[numbers[start]] for start in starts))
    lines.append(" ".join(str(run) for run in runs))
    fixed = crystals.site_columns.get("fixed")
    if fixed is not None and is_missing(fixed).all():
        fixed = None
    if fixed is not None:
        lines.append("Selective dynamics")
    lines.append("Direct")
    for index, row in enumerate(frac.tolist()):
        flags = ""
        if fixed is not None:
            held = np.ma.filled(fixed[index], False).tolist()
            flags = "  " + " ".join("F" if flag else "T" for flag in held)
        lines.append(_line(row) + flags)
    velocity = crystals.site_columns.get("velocity")
    if velocity is not None and np.isfinite(velocity).all():
        lines += ["", *(_line(row) for row in velocity.tolist())]
    return "\n".join(lines) + "\n"


def _line(numbers: list[float]) -> str:
    return "  ".join(repr(number) for number in numbers)
