"""VASP's vasprun.xml: the last ionic step with energy, forces, stress, and what theory it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from xml.etree.ElementTree import Element
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.files.entries import Entry, Parsed, numbers_of
from materialabs.crystals.files.opening import BLOCK, Source
from materialabs.crystals.files.pymatgen_json import FUNCTIONALS, hubbard_text
from materialabs.errors import FileError, one_line
from materialabs.units import GPA_PER_EV_PER_CUBIC_ANGSTROM

_HEAVY: Final = frozenset(
    {
        "kpoints", "dos", "eigenvalues", "projected", "projected_kpoints_opt", "dielectricfunction",
        "primitive_cell", "orbital_magnetization", "electronic_dipole", "dynmat",
    }
)  # fmt: skip
"""Parts that are passed over unread."""

_REPEATED: Final = frozenset({"calculation", "scstep"})
"""Parts of which only the last is kept."""

DEEPEST: Final = 100
"""Levels of nested tags; VASP writes about ten."""

KBAR: Final = 0.1 / GPA_PER_EV_PER_CUBIC_ANGSTROM
"""eV/angstrom^3 in one kbar."""

_GGA: Final = {
    "PE": "PBE", "PS": "PBEsol", "RP": "RPBE", "RE": "revPBE", "AM": "AM05", "91": "PW91",
    "CA": "LDA", "OR": "optPBE", "BO": "optB88", "MK": "optB86b", "B3": "B3LYP",
}  # fmt: skip
"""VASP's GGA tags."""

_FAMILIES: Final = {"PAW_PBE": "PBE", "PAW_GGA": "PW91", "PAW_LDA": "LDA", "PAW": "LDA",
                    "US": "LDA"}  # fmt: skip
"""First word of a POTCAR's title, which decides where no GGA tag does."""

_DISPERSION: Final = {
    1: "D2", 10: "D2", 11: "D3", 12: "D3(BJ)", 13: "D4", 2: "TS", 20: "TS", 21: "TS-HI",
    202: "MBD", 263: "MBD-rsSCF", 4: "dDsC",
}  # fmt: skip
"""VASP's IVDW tags."""

_NONE: Final = ("", "--", "none", "None", "NONE")


def read_vasprun(source: Source) -> Iterator[Parsed]:
    """The last ionic step of a calculation."""
    reader = _Reader()
    with source.open() as stream:
        while block := stream.read(BLOCK):
            reader.feed(block)
        root = reader.close()
    try:
        entry = _entry(root, reader.counts)
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"is not a complete vasprun.xml: {one_line(error)}") from None
    plain = source.name.lower() in ("vasprun.xml", "vasprun.relax.xml", "vasprun.static.xml")
    entry.columns["id"] = source.path.absolute().parent.name if plain else source.stem
    yield entry


class _Reader:
    """Build the tree of a vasprun.xml without its heavy parts; declarations are refused."""

    def __init__(self) -> None:
        self.counts = {"calculation": 0, "scstep": 0}
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._data
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.EntityDeclHandler = self._refuse
        self._stack: list[Element] = []
        self._root: Element | None = None
        self._skipped = 0
        self._depth = 0

    def feed(self, data: bytes) -> None:
        try:
            self._parser.Parse(data, False)
        except FileError:
            raise
        except (expat.ExpatError, LookupError, ValueError) as error:  # an unknown encoding, too
            raise FileError(f"is not valid XML: {one_line(error)}") from None

    def close(self) -> Element:
        try:
            self._parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise FileError(f"is cut short, the run did not finish: {one_line(error)}") from None
        if self._root is None or self._root.tag != "modeling":
            raise FileError("is XML, but not a vasprun.xml of VASP")
        return self._root

    def _refuse(self, *_: Any) -> None:
        raise FileError("declares a document type or entities, which VASP never writes")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise FileError("is nested too deeply")
        if self._skipped or name in _HEAVY:
            self._skipped += 1
            return
        element = Element(name, attributes)
        if name in _REPEATED:
            self.counts[name] += 1
            if name == "calculation":
                self.counts["scstep"] = 0
        if self._stack:
            parent = self._stack[-1]
            if name in _REPEATED:
                for earlier in parent.findall(name):
                    parent.remove(earlier)
            parent.append(element)
        elif self._root is None:
            self._root = element
        self._stack.append(element)

    def _end(self, _: str) -> None:
        self._depth -= 1
        if self._skipped:
            self._skipped -= 1
        else:
            self._stack.pop()

    def _data(self, text: str) -> None:
        if not self._skipped and self._stack and not len(self._stack[-1]):
            self._stack[-1].text = (self._stack[-1].text or "") + text


def _entry(root: Element, counts: dict[str, int]) -> Entry:
    symbols = [
        row[0].text.strip()  # type: ignore[union-attr] # a row without text is refused
        for row in root.findall("atominfo/array[@name='atoms']/set/rc")
    ]
    step = root.find("calculation")
    if step is None:
        raise FileError("holds no ionic step: the run ended before its first")
    structure = step.find("structure")
    if structure is None:
        raise FileError("holds an ionic step without a structure: the run did not finish it")
    lattice = _vectors(structure.find("crystal/varray[@name='basis']"))
    frac = _vectors(structure.find("varray[@name='positions']"))
    if lattice is None or frac is None:
        raise FileError("holds a structure without a cell or positions")
    settings = _settings(root)
    columns = _energies(step, settings, len(symbols), abs(float(np.linalg.det(lattice))))
    columns |= _theory(root, settings) | _convergence(settings, counts)
    site_columns: dict[str, Any] = {}
    forces = _vectors(step.find("varray[@name='forces']"))
    if forces is not None:
        site_columns["force"] = forces
    fixed = root.find("structure[@name='initialpos']/varray[@name='selective']")
    if fixed is not None and len(fixed) == len(symbols):
        site_columns["fixed"] = np.array(
            [[word != "T" for word in (row.text or "").split()] for row in fixed]
        )
    return Entry(lattice, frac, numbers_of(symbols), columns=columns, site_columns=site_columns)


def _vectors(varray: Element | None) -> NDArray[np.float64] | None:
    if varray is None:
        return None
    return np.array([[float(word) for word in (row.text or "").split()] for row in varray])


def _settings(root: Element) -> dict[str, Any]:
    """Parameters of the run, those of the INCAR over those that VASP filled in."""
    settings: dict[str, Any] = {}
    for part in ("parameters", "incar"):
        section = root.find(part)
        for item in () if section is None else section.iter():
            name = item.get("name")
            if name and item.tag in ("i", "v"):
                settings[name.strip()] = _value(item)
    return settings


def _value(item: Element) -> Any:
    kind, words = item.get("type"), (item.text or "").split()
    if kind == "string":
        return " ".join(words)
    if kind == "logical":
        return bool(words) and words[0].strip(".").upper().startswith("T")
    numbers = []
    for word in words:
        try:
            numbers.append(int(word) if kind == "int" else float(word))
        except ValueError:
            return " ".join(words)
    if item.tag == "v":
        return numbers
    return numbers[0] if numbers else None


def _number(parent: Element | None, path: str) -> float | None:
    found = None if parent is None else parent.find(path)
    return None if found is None or not found.text else float(found.text)


def _energies(step: Element, settings: dict[str, Any], atoms: int, volume: float) -> dict[str, Any]:
    """Energy extrapolated to no smearing, and stress.

    The energy block of an ionic step holds the enthalpy where PSTRESS is set, and a wrong
    extrapolation; the last electronic step has the right one, but lacks the dispersion energy.
    So the extrapolation of the latter is added to the free energy of the former, less PV.
    """
    columns: dict[str, Any] = {}
    free = _number(step, "energy/i[@name='e_fr_energy']")
    last = step.find("scstep/energy")
    zero, free_last = (_number(last, f"i[@name='{n}']") for n in ("e_0_energy", "e_fr_energy"))
    if free is not None:
        pressure = settings.get("PSTRESS") or 0.0
        energy = free - float(pressure) * KBAR * volume
        if zero is not None and free_last is not None:
            energy += zero - free_last
        columns["energy"] = energy / atoms
    stress = _vectors(step.find("varray[@name='stress']"))
    if stress is not None:
        columns["stress"] = -KBAR * stress
    return columns


def _theory(root: Element, settings: dict[str, Any]) -> dict[str, Any]:
    titles, elements = [], []
    for row in root.findall("atominfo/array[@name='atomtypes']/set/rc"):
        cells = [(cell.text or "").strip() for cell in row]
        elements.append(cells[1])
        titles.append(" ".join(cells[4].split()))
    columns: dict[str, Any] = {
        "code": "VASP",
        "pseudopotentials": ", ".join(titles),
        "functional": functional_of(settings, titles),
        "hubbard": _hubbard(settings, elements),
    }
    version = root.find("generator/i[@name='version']")
    if version is not None and version.text:
        columns["code_version"] = version.text.strip()
    cutoff = settings.get("ENMAX", settings.get("ENCUT"))
    if isinstance(cutoff, float):
        columns["cutoff_energy_ev"] = cutoff
    return columns


def functional_of(settings: dict[str, Any], titles: list[str]) -> str:
    """Name of the exchange-correlation functional.

    Parameters
    ----------
    settings
        VASP's parameters by tag.
    titles
        Titles of the POTCARs, ``PAW_PBE Fe_pv 02Aug2007``.
    """
    tag = str(settings.get("GGA", "--")).upper()
    families = {title.split()[0] for title in titles if title}
    base = _GGA.get(tag, tag if tag not in ("", "--", "NONE") else "")
    if not base:
        named = {_FAMILIES.get(family, "") for family in families}
        base = named.pop() if len(named) == 1 else ""
    meta = str(settings.get("METAGGA", "--"))
    if meta not in _NONE:
        base = FUNCTIONALS.get(meta.upper(), meta.upper())
    if settings.get("LHFCALC"):
        base = _hybrid(base, settings)
    dispersion = settings.get("IVDW") or 0
    if dispersion:
        base += f"-{_DISPERSION.get(dispersion, f'IVDW{dispersion}')}"
    if settings.get("LUSE_VDW"):
        base += "-vdW"
    return base or "unknown"


def _hybrid(base: str, settings: dict[str, Any]) -> str:
    exact = settings.get("AEXX", 0.25)
    screening = settings.get("HFSCREEN", 0.0) or 0.0
    if exact == 1.0:
        return "HF"
    if base in ("PBE", "") and exact == 0.25:
        if 0.2 <= screening <= 0.21:
            return "HSE06"
        if screening == 0.3:
            return "HSE03"
        if screening == 0.0:
            return "PBE0"
    return f"{base or 'hybrid'}(AEXX={exact:g},HFSCREEN={screening:g})"


def _hubbard(settings: dict[str, Any], elements: list[str]) -> str:
    if not settings.get("LDAU"):
        return ""
    values = settings.get("LDAUU") or []
    exchange = settings.get("LDAUJ") or [0.0] * len(values)
    # the rotationally invariant form (LDAUTYPE 2) depends on U - J alone (Dudarev, 1998)
    return hubbard_text(
        {e: float(u) - float(j) for e, u, j in zip(elements, values, exchange, strict=False)}
    )


def _convergence(settings: dict[str, Any], counts: dict[str, int]) -> dict[str, Any]:
    """Whether the last electronic cycle and the relaxation ended before their limits."""
    most_steps = settings.get("NELM")
    most_moves = settings.get("NSW") or 0
    columns: dict[str, Any] = {}
    if isinstance(most_steps, int):
        columns["converged_electronic"] = 0 < counts["scstep"] < most_steps
    columns["converged_ionic"] = most_moves <= 1 or counts["calculation"] < most_moves
    return columns
