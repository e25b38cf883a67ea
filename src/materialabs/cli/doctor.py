"""``materialabs doctor``: what is installed, what works, how to mend what does not."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

import typer

from materialabs.cli.options import Json
from materialabs.cli.output import print_json, print_rows
from materialabs.errors import kind_and_line

LEAST_FREE_DISK_GB = 1.0
"""Below this a campaign's store and caches will not fit."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    state: str
    detail: str
    remedy: str = ""


def doctor(
    json: Json = False,
) -> None:
    """Say what is installed, what works, and how to mend what does not."""
    findings = list(examine())
    if json:
        print_json([vars(finding) for finding in findings])
    else:
        print_rows([vars(finding) for finding in findings])
    if any(finding.state == "broken" for finding in findings):
        raise typer.Exit(1)


def examine() -> Iterator[Finding]:
    """Look at everything, one finding at a time; nothing raises."""
    yield _python()
    for package in _required():
        yield _package(package)
    for package, purpose in OPTIONAL.items():
        yield _optional(package, purpose)
    yield _disk()
    yield _cache()
    yield from _dft()
    yield from _models()
    for subject, check in SELF_CHECKS.items():
        yield _self_check(subject, check)


OPTIONAL = {
    "matscipy": "a peer in benchmarks: make bench",
    "vesin": "a peer in benchmarks: make bench",
    "pyxtal": "a peer in benchmarks: make bench",
}
"""Packages that some users want, and what for."""


def _python() -> Finding:
    return Finding("Python", "works", sys.version.split()[0])


def _required() -> list[str]:
    lines = metadata.requires("materialabs") or []
    return [line.split(">")[0].split("=")[0].strip() for line in lines if "extra ==" not in line]


def _package(name: str) -> Finding:
    try:
        return Finding(name, "works", metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(name, "broken", "not installed", f"pip install {name}")


def _optional(name: str, purpose: str) -> Finding:
    try:
        return Finding(name, "works", metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(name, "absent", "not installed (optional)", purpose)


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    if free < LEAST_FREE_DISK_GB:
        return Finding("disk", "broken", f"{free:.1f} GB free here", "free some space")
    return Finding("disk", "works", f"{free:.0f} GB free here")


def _cache() -> Finding:
    """Whether compiled kernels can be kept: numba refuses to run where they cannot."""
    for place in _cache_places():
        try:
            place.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=place):
                return Finding("kernel cache", "works", str(place))
        except OSError:
            continue
    remedy = "set NUMBA_CACHE_DIR to a folder you may write"
    return Finding("kernel cache", "broken", "no folder for kernels can be written", remedy)


def _cache_places() -> list[Path]:
    """Where numba keeps kernels, in its order: the folder told, the package, the user's cache."""
    import materialabs

    told = os.environ.get("NUMBA_CACHE_DIR")
    if told:
        return [Path(told)]
    from numba.misc.appdirs import user_cache_dir

    return [Path(materialabs.__file__).parent, Path(user_cache_dir("numba", False))]


def _dft() -> Iterator[Finding]:
    """What DFT can do here; it is optional."""
    from materialabs.oracles.dft_state import dft_state

    for one in dft_state():
        yield Finding("DFT", "works" if one.ok else "absent", one.what, one.mend)


def _models() -> Iterator[Finding]:
    """Whether the weights that ship are those that their cards name."""
    from materialabs.networks.models import shipped_names

    for name in shipped_names():
        yield _self_check(f"model {name}", partial(_model, name))


def _model(name: str) -> str:
    """Load a model; its card's hashes are checked on the way."""
    from materialabs.networks.models import load_model

    return repr(load_model(name))


def _self_check(subject: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, "works", check())
    except Exception as error:  # a doctor reports every failure and dies of none
        return Finding(subject, "broken", kind_and_line(error), "reinstall")


def _neighbours() -> str:
    """Count the first shell of copper, twelve atoms at a/sqrt(2)."""
    from ase.build import bulk

    from materialabs.crystals.batch import Crystals
    from materialabs.crystals.neighbours import neighbours

    count = len(neighbours(Crystals.from_ase(bulk("Cu", a=3.6)), 2.7).distance)
    return _expect(count == 12, f"{count} neighbours of copper in the first shell")


def _symmetry() -> str:
    """Find the space group of copper, Fm-3m."""
    from ase.build import bulk

    from materialabs.crystals.batch import Crystals
    from materialabs.crystals.symmetry import symmetry

    number = int(symmetry(Crystals.from_ase(bulk("Cu"))).number[0])
    return _expect(number == 225, f"copper has space group {number}")


def _hull() -> str:
    """Judge a phase half-way between two elements against a known line."""
    from materialabs.hull import Hull
    from materialabs.levels import Energies, Level

    level = Level("PBE")
    hull = Hull(["MgO"], Energies([-3.0], "formation", level))
    distance = float(hull.distance(["Mg3O"], Energies([-1.0], "formation", level))[0])
    return _expect(abs(distance - 0.5) < 1e-9, f"Mg3O lies {distance:.3f} eV/atom above a hull")


def _potential() -> str:
    """Compute MgO with CHGNet: -12.65 eV a formula in MP2020, the oxygen correction included."""
    from ase.build import bulk

    from materialabs.crystals.batch import Crystals
    from materialabs.oracles import ChgnetOracle

    crystal = Crystals.from_ase(bulk("MgO", "rocksalt", 4.25))
    energy = float(ChgnetOracle().energy(crystal).values[0])
    return _expect(abs(energy + 6.325) < 0.1, f"CHGNet gives MgO {energy:.2f} eV/atom")


def _expect(right: bool, statement: str) -> str:
    if not right:
        raise AssertionError(statement)
    return statement


SELF_CHECKS: dict[str, Callable[[], str]] = {
    "neighbour lists": _neighbours,
    "symmetry": _symmetry,
    "hull": _hull,
    "potential": _potential,
}
"""Small calculations with known answers."""
