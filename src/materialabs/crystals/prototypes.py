"""The AFLOW prototypes as a library of crystals, and new elements put on them."""

from __future__ import annotations

import difflib
import gzip
import importlib.util
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.protostructure import canonical_prototype
from materialabs.crystals.volumes import estimated_volumes
from materialabs.elements import SYMBOLS, atomic_number
from materialabs.errors import InputError, NotFound, ResourceError

SUGGESTIONS: Final = 3
"""Nearest names that a refusal shows."""


@dataclass(frozen=True, eq=False)
class PrototypeLibrary:
    """Crystal structure types to look up by name.

    Parameters
    ----------
    crystals
        One example of each type, with the columns ``id`` (the AFLOW label; types that share one
        are numbered ``-1``, ``-2``, ...), ``aflow``, ``strukturbericht``, ``mineral``,
        ``pearson`` and ``source``; ``None`` where a type has no such name.
    """

    crystals: Crystals

    def __len__(self) -> int:
        return len(self.crystals)

    def __repr__(self) -> str:
        return f"PrototypeLibrary({len(self)} structure types)"

    def _repr_html_(self) -> str:
        return self.crystals._repr_html_()

    def find(self, name: str) -> Crystals:
        """The types that a name stands for, usually one.

        Parameters
        ----------
        name
            An AFLOW label in any equivalent writing (``"AB3_cP4_221_a_c"``), a Strukturbericht
            symbol (``"L1_2"`` or ``"L12"``), a mineral or common name (``"perovskite"``), or the
            formula of the example (``"CaTiO3"``). Small and capital letters are alike.

        Raises
        ------
        NotFound
            Naming the nearest known names.
        """
        if not isinstance(name, str) or not name.strip():
            raise InputError("Name a prototype, for example 'L1_2' or 'Perovskite'.")
        for table in self._names:
            rows = table.get(_plain(name))
            if rows:
                return self.crystals[rows]
        rows = self._canonical.get(_canonical(name) or "")
        if rows:
            return self.crystals[rows]
        raise NotFound(f"No prototype is called {name!r}{self._nearest(name)}.")

    def select(
        self,
        *,
        elements: int | None = None,
        largest: int | None = None,
        pearson: str | None = None,
    ) -> PrototypeLibrary:
        """The types that meet every condition given.

        Parameters
        ----------
        elements
            Number of different elements.
        largest
            Largest number of atoms in the example's cell.
        pearson
            Beginning of the Pearson symbol: ``"c"`` for cubic, ``"cF"`` for face-centred cubic.
        """
        kept = np.ones(len(self), dtype=bool)
        if elements is not None:
            kept &= np.diff(self.crystals.compositions.offsets) == elements
        if largest is not None:
            kept &= self.crystals.counts <= largest
        if pearson is not None:
            symbols = self.crystals.columns["pearson"]
            kept &= np.array([str(symbol).startswith(pearson) for symbol in symbols], bool)
        return PrototypeLibrary(self.crystals[kept])

    @cached_property
    def _names(self) -> tuple[dict[str, list[int]], ...]:
        """Plain name to rows: by label, by Strukturbericht, by mineral, by formula."""
        columns = self.crystals.columns
        labels = [
            [name for name in {ident, label} if name]
            for ident, label in zip(columns["id"], columns["aflow"], strict=True)
        ]
        symbols = [[symbol] if symbol else [] for symbol in columns["strukturbericht"]]
        minerals = [_spellings(name) for name in columns["mineral"]]
        formulas = [[formula] for formula in self.crystals.reduced_formulas()]
        return tuple(_index(names) for names in (labels, symbols, minerals, formulas))

    @cached_property
    def _canonical(self) -> dict[str, list[int]]:
        table: dict[str, list[int]] = {}
        for row, label in enumerate(self.crystals.columns["aflow"]):
            canonical = _canonical(label)
            if canonical is not None:
                table.setdefault(canonical, []).append(row)
        return table

    def _nearest(self, name: str) -> str:
        """The nearest names, as the end of a sentence."""
        columns = self.crystals.columns
        shown = {
            _plain(spelling): str(spelling)
            for column in ("aflow", "strukturbericht", "mineral")
            for spelling in columns[column]
            if spelling
        }
        near = difflib.get_close_matches(_plain(name), list(shown), SUGGESTIONS)
        if not near:
            return "; prototypes().crystals lists the known ones"
        return "; the nearest names are " + ", ".join(repr(shown[plain]) for plain in near)


def prototypes() -> PrototypeLibrary:
    """The 288 AFLOW prototypes that pymatgen ships.

    Source: M. J. Mehl et al., Comput. Mater. Sci. 136, S1 (2017).
    """
    return _library()


def fill(
    prototype: str | Crystals,
    elements: Sequence[str] | Mapping[str, str] | Sequence[Sequence[str]],
    volumes: ArrayLike | None = None,
) -> Crystals:
    """Put elements on a prototype's sites and scale the cell to the volume they ask for.

    Parameters
    ----------
    prototype
        A name for :meth:`PrototypeLibrary.find`, or one crystal.
    elements
        One symbol for each element of the prototype, in the alphabetical order of its own
        elements (the order of the letters in the AFLOW label), or {own element: new element};
        or a list of such lists, for as many crystals.
    volumes
        Cubic angstrom of each cell; by default :func:`estimated_volumes`.

    Returns
    -------
    Crystals
        One crystal for each assignment, with the prototype's columns and its id as ``parent``.
    """
    template = _template(prototype)
    own = sorted({SYMBOLS[number] for number in template.numbers})
    rows = _assignments(elements, own)
    place = {atomic_number(symbol): index for index, symbol in enumerate(own)}
    site = np.array([place[int(number)] for number in template.numbers])
    many = template.take(np.zeros(len(rows), np.int64))
    filled = many.replace(numbers=rows[:, site].ravel().astype(np.uint8))
    wanted = estimated_volumes(filled.compositions) if volumes is None else _volumes(volumes)
    names = np.full(len(rows), template.ids()[0], dtype=object)
    identities = [
        f"{name} {formula}" for name, formula in zip(names, filled.reduced_formulas(), strict=True)
    ]
    return filled.scaled(wanted).with_columns(parent=names, id=identities)


def _volumes(volumes: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(volumes, dtype=np.float64)
    if not np.all((values > 0) & np.isfinite(values)):
        raise InputError("Volumes are cubic angstrom above zero.")
    return values


def _template(prototype: str | Crystals) -> Crystals:
    """The one crystal that is meant."""
    found = prototypes().find(prototype) if isinstance(prototype, str) else prototype
    found.require_order("Filling a prototype")
    if len(found) != 1:
        raise InputError(
            f"{prototype!r} stands for {len(found)} prototypes; take one of them: "
            f"{', '.join(found.ids()[:10])}.",
            code="prototype.ambiguous",
        )
    return found


def _assignments(
    elements: Sequence[str] | Mapping[str, str] | Sequence[Sequence[str]], own: list[str]
) -> NDArray[np.int64]:
    """New atomic numbers [k, species], in the order of the prototype's own elements."""
    if isinstance(elements, str):
        raise InputError(f"Give a list of symbols, such as {own}, not a text.")
    if isinstance(elements, Mapping):
        if set(elements) != set(own):
            raise InputError(f"This prototype has the elements {own}: name a new one for each.")
        rows: list[Sequence[str]] = [[elements[symbol] for symbol in own]]
    elif all(isinstance(item, str) or not isinstance(item, Iterable) for item in elements):
        rows = [list(elements)]  # type: ignore[arg-type]
    else:
        rows = [list(row) for row in elements]
    wrong = next((row for row in rows if len(row) != len(own)), None)
    if wrong is not None:
        raise InputError(
            f"This prototype takes {len(own)} elements (its own are {own}); "
            f"{list(wrong)} has {len(wrong)}."
        )
    numbers = [[atomic_number(symbol) for symbol in row] for row in rows]
    return np.array(numbers, dtype=np.int64).reshape(len(rows), len(own))


# -- names ----------------------------------------------------------------------------------------


def _plain(name: str) -> str:
    """A name without case, underscores in Strukturbericht, or doubled blanks."""
    text = " ".join(str(name).split()).casefold()
    return text.replace("_", "") if len(text) <= 6 else text


def _canonical(name: str) -> str | None:
    """The canonical label; nothing for what is no label (AFLOW has ``sigma_tP30_136_bf2ij``)."""
    try:
        return canonical_prototype(name)
    except InputError:
        return None


def _spellings(mineral: str | None) -> list[str]:
    """``(Cubic) Perovskite`` answers to Perovskite too; ``Halite, Rock Salt`` to each part."""
    if not mineral:
        return []
    parts = [mineral, *mineral.split(",")]
    parts += [change for part in parts for change in (re.sub(r"\([^)]*\)", " ", part), _bare(part))]
    return [part for part in parts if part.strip()]


def _bare(name: str) -> str:
    return name.replace("(", "").replace(")", "")


def _index(names: Sequence[Sequence[str]]) -> dict[str, list[int]]:
    table: dict[str, list[int]] = {}
    for row, spellings in enumerate(names):
        for plain in {_plain(name) for name in spellings}:
            table.setdefault(plain, []).append(row)
    return table


# -- reading --------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _library() -> PrototypeLibrary:
    """Read pymatgen's file without importing pymatgen."""
    with gzip.open(_library_file(), "rt") as file:
        entries: list[dict[str, Any]] = json.load(file)
    tags = [entry["tags"] for entry in entries]
    labels = [tag["aflow"] for tag in tags]
    return PrototypeLibrary(
        Crystals.from_arrays(
            [entry["snl"]["lattice"]["matrix"] for entry in entries],
            [[site["abc"] for site in entry["snl"]["sites"]] for entry in entries],
            [[_element(site) for site in entry["snl"]["sites"]] for entry in entries],
            columns={
                "id": _distinct(labels),
                "aflow": labels,
                "strukturbericht": [_given(tag["strukturbericht"]) for tag in tags],
                "mineral": [_given(tag["mineral"]) for tag in tags],
                "pearson": [tag["pearson"] for tag in tags],
                "source": ["AFLOW prototypes, shipped by pymatgen"] * len(tags),
            },
        )
    )


def _library_file() -> Path:
    package = importlib.util.find_spec("pymatgen.analysis")
    folders = [] if package is None else list(package.submodule_search_locations or [])
    for folder in folders:
        file = Path(folder) / "prototypes" / "aflow_prototypes.json.gz"
        if file.exists():
            return file
    raise ResourceError("pymatgen's AFLOW prototypes are not installed: pip install -U pymatgen.")


def _element(site: dict[str, Any]) -> int:
    return atomic_number(site["species"][0]["element"])


def _given(name: str) -> str | None:
    """A name without the file's quoting; nothing where it has none."""
    text = name.replace("\\", "").strip('" ')
    return None if text in ("", "None") else text


def _distinct(labels: list[str]) -> list[str]:
    """Number the labels that occur more than once."""
    seen: dict[str, int] = {}
    names = []
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        names.append(label if labels.count(label) == 1 else f"{label}-{seen[label]}")
    return names
