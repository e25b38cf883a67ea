"""Gaussian (GTH) pseudopotentials from CP2K's file, written as Quantum ESPRESSO reads them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from materialabs.elements import atomic_number
from materialabs.errors import FileError, NotFound

CP2K_FILES: Final = (
    Path("/usr/share/cp2k/GTH_POTENTIALS"),
    Path("/usr/share/cp2k/POTENTIAL"),
    Path("/usr/local/share/cp2k/data/GTH_POTENTIALS"),
)
"""Where the Debian package ``cp2k-data`` and CP2K itself put their potentials."""

LONGEST_FILE: Final = 20_000_000
"""Bytes; CP2K's own file has half a million."""

PBE_NAME: Final = r"GTH-PBE-q\d+"
"""Name of a potential in CP2K's file; the number is that of its valence electrons."""

HGH_CODE, PBE_CODE = 10, 11
"""ABINIT's numbers (pspcod, pspxc) of separable Gaussian potentials and of PBE."""


@dataclass(frozen=True)
class GaussianPotential:
    """A dual-space Gaussian pseudopotential (Goedecker, Teter and Hutter, PRB 54, 1703, 1996).

    Parameters
    ----------
    symbol, name
        The element, and the name in the file.
    electrons
        Valence electrons.
    radius
        Of the local part, bohr.
    local
        Coefficients of the local part, hartree.
    projectors
        For each angular momentum the radius in bohr and the rows of the upper triangle of the
        coupling, hartree.
    """

    symbol: str
    name: str
    electrons: int
    radius: float
    local: tuple[float, ...]
    projectors: tuple[tuple[float, tuple[tuple[float, ...], ...]], ...]

    def to_abinit(self) -> str:
        """ABINIT's form 10, which pw.x reads from files that end in ``.gth``.

        Spin-orbit couplings, which CP2K's file does not give, are zero.
        """
        lines = [
            f"{self.symbol} {self.name}",
            f"{atomic_number(self.symbol)} {self.electrons} 010101",
            f"{HGH_CODE} {PBE_CODE} {max(len(self.projectors) - 1, 0)} 0 2001 0",
            " ".join([f"{self.radius:.8f}", str(len(self.local)), *map(_number, self.local)]),
            str(len(self.projectors)),
        ]
        for momentum, (radius, rows) in enumerate(self.projectors):
            first = rows[0] if rows else ()
            lines.append(" ".join([f"{radius:.8f}", str(len(rows)), *map(_number, first)]))
            lines += [" ".join(map(_number, row)) for row in rows[1:]]
            if momentum:
                lines += [" ".join(["0.0"] * (len(rows) - row)) for row in range(len(rows))]
        return "\n".join(lines) + "\n"


def read_cp2k(text: str, symbol: str) -> GaussianPotential:
    """The GTH-PBE potential of an element in CP2K's file: its default, or that with most electrons.

    Raises
    ------
    NotFound
        When the file holds none for this element.
    """
    lines = [line.split("#")[0].rstrip() for line in text.splitlines()]
    named: dict[str, int] = {}
    for place, line in enumerate(lines):
        words = line.split()
        if len(words) > 1 and words[0] == symbol:
            if "GTH-PBE" in words[1:]:
                return _parsed(lines[place:], symbol, words[1])
            if re.fullmatch(PBE_NAME, words[1]):
                named[words[1]] = place
    if not named:
        raise NotFound(f"There is no GTH-PBE potential for {symbol}.", code="dft.no_dataset")
    most = max(named, key=lambda name: int(name.rpartition("q")[2]))
    return _parsed(lines[named[most] :], symbol, most)


def _parsed(lines: list[str], symbol: str, name: str) -> GaussianPotential:
    try:
        return _parsed_numbers(lines, symbol, name)
    except (ValueError, IndexError) as error:
        raise FileError(f"The potential {symbol} {name} cannot be read ({error}).") from error


def _parsed_numbers(lines: list[str], symbol: str, name: str) -> GaussianPotential:
    electrons = sum(int(word) for word in lines[1].split())
    words = lines[2].split()
    local = tuple(float(word) for word in words[2 : 2 + int(words[1])])
    place, projectors = 4, []
    for _ in range(int(lines[3].split()[0])):
        head = lines[place].split()
        count = int(head[1])
        texts = [head[2:], *(line.split() for line in lines[place + 1 : place + count])]
        rows = [tuple(float(word) for word in words) for words in texts]
        if [len(row) for row in rows[:count]] != list(range(count, 0, -1)):
            raise ValueError("the couplings are no triangle")
        projectors.append((float(head[0]), tuple(rows[:count])))
        place += max(count, 1)
    return GaussianPotential(symbol, name, electrons, float(words[0]), local, tuple(projectors))


def _number(value: float) -> str:
    return f"{value:.8f}"


def cp2k_file() -> Path | None:
    """CP2K's file of potentials, where one is installed."""
    return next((path for path in CP2K_FILES if path.is_file()), None)


def elements_in(text: str) -> frozenset[str]:
    """Elements with a GTH-PBE potential in CP2K's text."""
    found = re.findall(rf"^([A-Z][a-z]?)\s+{PBE_NAME}\b", text, flags=re.MULTILINE)
    return frozenset(found)


def read_file(path: Path) -> str:
    """CP2K's file as text, refused when it is no such file."""
    if path.stat().st_size > LONGEST_FILE:
        raise FileError(f"{path} is too large to be CP2K's file of potentials.")
    return path.read_text(encoding="utf-8", errors="replace")
