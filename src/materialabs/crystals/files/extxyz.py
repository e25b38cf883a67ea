"""Extended XYZ: frames of atoms with a line of named values above them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.columns import is_missing
from materialabs.crystals.files.ase_json import full_stress
from materialabs.crystals.files.cells import completed, fractional
from materialabs.crystals.files.entries import UNREADABLE, Entry, Parsed, Refused, numbers_of
from materialabs.crystals.files.names import columns_from, fields_from
from materialabs.crystals.files.opening import Source
from materialabs.crystals.files.plain import json_text, plain
from materialabs.elements import SYMBOLS
from materialabs.errors import FileError

_PAIR: Final = re.compile(
    r"""\s*(?:"((?:[^"\\]|\\.)*)"|([^\s=]+))"""
    r"""(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|\{([^}]*)\}|\[([^\]]*)\]|(\S*)))?"""
)
_INTEGER: Final = re.compile(r"[+-]?\d{1,18}")
_REAL: Final = re.compile(
    r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d+)?|nan|inf(?:inity)?)", re.IGNORECASE
)
_TRUTH: Final = {
    "T": True, "True": True, "TRUE": True, "true": True,
    "F": False, "False": False, "FALSE": False, "false": False,
}  # fmt: skip

_SITE_NAMES: Final = {
    "forces": "force",
    "magmoms": "magnetic_moment",
    "magmom": "magnetic_moment",
    "initial_magmoms": "magnetic_moment",
    "charges": "charge",
    "initial_charges": "charge",
    "move_mask": "fixed",
}
"""Names of columns of atoms that ASE writes, and ours."""

_WRITTEN_NAMES: Final = {"force": "forces", "magnetic_moment": "magmoms", "charge": "charges"}

_DEFAULT_PROPERTIES: Final = "species:S:1:pos:R:3"
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


def read_extxyz(source: Source) -> Iterator[Parsed]:
    """Every frame, one at a time."""
    lines = source.lines()
    index = 0
    for first in lines:
        if not first.strip():
            continue
        index += 1
        count = _count(first, index)
        comment = next(lines, "")
        if count > source.limits.sites:
            for _ in zip(range(count), lines, strict=False):
                pass
            yield Refused(
                f"frame {index}",
                f"has {count:,} atoms and at most {source.limits.sites:,} are read: "
                "raise the limit",
            )
            continue
        body = [line for _, line in zip(range(count), lines, strict=False)]
        place = f"frame {index}"
        try:
            if len(body) < count:
                raise FileError(f"ends after {len(body)} of its {count} atoms")
            entry = _frame(comment, body)
        except UNREADABLE as error:
            yield Refused.because(place, error)
            continue
        entry.place = place
        entry.columns.setdefault("id", f"{source.stem}-{index}" if index > 1 else source.stem)
        yield entry


def _count(line: str, index: int) -> int:
    text = line.strip()
    if not text.isdecimal() or len(text) > 12:
        raise FileError(f"has {text[:30]!r} where the number of atoms of frame {index} is needed")
    return int(text)


def _frame(comment: str, body: list[str]) -> Entry:
    info = read_pairs(comment)
    arrays = _arrays(str(info.pop("Properties", _DEFAULT_PROPERTIES)), body)
    positions = np.asarray(arrays.pop("pos"), dtype=float).reshape(-1, 3)
    species = arrays.pop("species", None)
    given = arrays.pop("Z", None)
    numbers = numbers_of(species) if species is not None else [int(number) for number in given]
    cell = np.zeros((3, 3))
    lattice = info.pop("Lattice", None)
    if lattice is not None:
        cell = np.asarray(lattice, dtype=float).reshape(3, 3)
    pbc = info.pop("pbc", lattice is not None)
    cell, moved = completed(cell, positions)
    notes: list[str] = []
    return Entry(
        cell,
        fractional(cell, moved),
        numbers,
        (pbc,) * 3 if isinstance(pbc, bool) else tuple(bool(one) for one in pbc),
        columns=_columns(info, len(numbers), abs(float(np.linalg.det(cell))), notes),
        site_columns=_site_columns(arrays),
        notes=notes,
    )


def _columns(info: dict[str, Any], count: int, volume: float, notes: list[str]) -> dict[str, Any]:
    """Energies are eV for the frame, stress is ASE's (positive under tension)."""
    energy = info.pop("energy", None)
    stress = info.pop("stress", None)
    virial = info.get("virial")
    moment = info.pop("magmom", None)
    columns = columns_from(info, notes)
    if energy is not None:
        columns["energy"] = float(energy) / max(count, 1)
    if stress is not None:
        columns["stress"] = full_stress(stress)
    elif virial is not None:
        columns["stress"] = -full_stress(virial) / volume
    if isinstance(moment, (int, float)):
        columns["magnetization"] = float(moment)
    return columns


def _site_columns(arrays: dict[str, Any]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for name, values in arrays.items():
        if name == "move_mask":
            mask = ~np.asarray(values, dtype=bool)
            columns["fixed"] = mask if mask.ndim == 2 else np.repeat(mask[:, None], 3, axis=1)
            continue
        ours = _SITE_NAMES.get(name, name)
        if ours not in columns or not name.startswith("initial_"):
            columns[ours] = values
    return columns


def read_pairs(comment: str) -> dict[str, Any]:
    """Named values of a comment line; a name alone is true."""
    info: dict[str, Any] = {}
    position = 0
    text = comment.strip()
    while position < len(text):
        match = _PAIR.match(text, position)
        if match is None or match.end() == position:
            break
        position = match.end()
        quoted_name, name, double, single, braced, bracketed, bare = match.groups()
        key = _unescaped(quoted_name) if quoted_name is not None else name
        value = next((v for v in (double, single, braced, bracketed, bare) if v is not None), None)
        if value is None:
            info[key] = True
        elif double is not None or single is not None:
            info[key] = _value(_unescaped(value))
        else:
            info[key] = _value(value)
    return info


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text) if "\\" in text else text


def _value(text: str) -> Any:
    """A number, a truth value, a list of either, JSON after ``_JSON``, or the text itself."""
    if text.startswith("_JSON "):
        return json.loads(text[6:])
    words = text.replace(",", " ").split()
    if not words:
        return text
    values: list[Any]
    if all(_INTEGER.fullmatch(word) for word in words):
        values = [int(word) for word in words]
    elif all(_REAL.fullmatch(word) for word in words):
        values = [float(word.replace("D", "E").replace("d", "e")) for word in words]
    elif all(word in _TRUTH for word in words):
        values = [_TRUTH[word] for word in words]
    else:
        return text
    return values[0] if len(values) == 1 else values


def _arrays(properties: str, body: list[str]) -> dict[str, Any]:
    """Columns of the atoms by name."""
    fields = properties.split(":")
    if len(fields) % 3:
        raise FileError(f"has Properties={properties[:60]!r}, which is not name:type:columns ...")
    table = [line.split() for line in body]
    arrays: dict[str, Any] = {}
    start = 0
    for name, kind, width in zip(fields[::3], fields[1::3], fields[2::3], strict=True):
        if kind not in _READERS or not width.isdecimal() or not 0 < int(width) < MOST_COLUMNS:
            raise FileError(f"has a column {name}:{kind}:{width} that is not understood")
        stop = start + int(width)
        if any(len(row) < stop for row in table):
            raise FileError(f"has an atom without the column {name!r}")
        values = [[_READERS[kind](word) for word in row[start:stop]] for row in table]
        if int(width) == 1:
            values = [row[0] for row in values]
        arrays[name] = values if kind == "S" else np.array(values, dtype=_DTYPES[kind])
        start = stop
    if "pos" not in arrays or not {"species", "Z"} & set(arrays):
        raise FileError("has no columns of species and pos")
    return arrays


MOST_COLUMNS: Final = 10_000


def _real(word: str) -> float:
    return float(word.replace("D", "E").replace("d", "e")) if "_" not in word else float("nan")


def _truth(word: str) -> bool:
    if word not in _TRUTH:
        raise FileError(f"has {word[:20]!r} where T or F is needed")
    return _TRUTH[word]


_READERS: Final[dict[str, Any]] = {"S": str, "R": _real, "I": int, "L": _truth}
_DTYPES: Final = {"R": np.float64, "I": np.int64, "L": np.bool_}


def frames_of(crystals: Crystals) -> Iterator[str]:
    """Text of one frame for each crystal."""
    for index in range(len(crystals)):
        yield _frame_text(crystals, index)


def _frame_text(crystals: Crystals, index: int) -> str:
    start, stop = int(crystals.offsets[index]), int(crystals.offsets[index + 1])
    count = stop - start
    properties, table = _table(crystals, index, start, stop)
    columns = {name: plain(value) for name, value in crystals.columns.row(index).items()}
    info: dict[str, str] = {
        "Lattice": '"' + _words(crystals.lattice[index].reshape(-1)) + '"',
        "Properties": properties,
        "pbc": '"' + " ".join("FT"[int(one)] for one in crystals.pbc[index]) + '"',
    }
    if "energy" in columns:
        info["energy"] = repr(float(columns.pop("energy")) * count)
    if "stress" in columns:
        info["stress"] = '"' + _words(np.array(columns.pop("stress")).reshape(-1)) + '"'
    if "magnetization" in columns:
        info["magmom"] = repr(float(columns.pop("magnetization")))
    for name, value in fields_from(columns).items():
        info.setdefault(_name_text(name), _value_text(value))
    pairs = " ".join(f"{name}={value}" for name, value in info.items())
    return "\n".join([str(count), pairs, *table]) + "\n"


def _table(crystals: Crystals, index: int, start: int, stop: int) -> tuple[str, list[str]]:
    """The Properties of a frame and a line for each atom."""
    properties = ["species:S:1", "pos:R:3"]
    positions = crystals.frac[start:stop] @ crystals.lattice[index]
    texts = [
        [SYMBOLS[number] for number in crystals.numbers[start:stop].tolist()],
        [_words(row) for row in positions],
    ]
    for name, column in crystals.site_columns.items():
        part = column[start:stop]
        if is_missing(part).all() or not _WORD.fullmatch(name):
            continue
        kind = {"f": "R", "i": "I", "b": "L", "O": "S"}[part.dtype.kind]
        if kind in "IL" and is_missing(part).any():
            kind, part = "R", _with_gaps(part)
        if kind == "S" and not _words_only(part):
            continue
        rows = part.reshape(stop - start, -1)
        if name == "fixed":
            name, rows = "move_mask", ~np.ma.filled(rows, False).astype(bool)
        properties.append(f"{_WRITTEN_NAMES.get(name, name)}:{kind}:{rows.shape[1]}")
        texts.append([_words(row) for row in rows])
    lines = [" ".join(parts) for parts in zip(*texts, strict=True)]
    return ":".join(properties), lines


def _with_gaps(column: NDArray[Any]) -> NDArray[np.float64]:
    values = np.ma.filled(column.astype(np.float64), np.nan)
    return np.asarray(values)


def _words_only(column: NDArray[Any]) -> bool:
    """Texts without spaces, which a column of atoms can hold."""
    return all(isinstance(text, str) and text and len(text.split()) == 1 for text in column)


def _words(values: Any) -> str:
    return " ".join(_word(value) for value in values.tolist())


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "T" if value else "F"
    return value if isinstance(value, str) else repr(value)


def _name_text(name: str) -> str:
    return name if _WORD.fullmatch(name) else _quoted(name)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _value_text(value: Any) -> str:
    """A value as it is read back: JSON wherever the plain form could mean something else."""
    if isinstance(value, bool):
        return "T" if value else "F"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str) and _WORD.fullmatch(value) and _value(value) == value:
        return value
    return _quoted("_JSON " + json_text(value))
