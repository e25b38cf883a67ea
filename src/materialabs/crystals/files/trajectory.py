"""ASE trajectories (.traj): the ULM container, read without ASE and without pickle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.files import ase_json
from materialabs.crystals.files.entries import UNREADABLE, Parsed, Refused
from materialabs.crystals.files.opening import Source
from materialabs.errors import FileError

MAGIC: Final = (b"- of Ulm", b"AFFormat")
TAG: Final = b"ASE-Trajectory"
_HEADER: Final = ("pbc", "numbers", "masses", "constraints")
"""Fields that are written with the first frame and hold for those that do not repeat them."""


def read_trajectory(source: Source) -> Iterator[Parsed]:
    """Every frame."""
    with source.seekable() as stream:
        container = _Container(stream, source.limits.entry_bytes)
        header: dict[str, Any] = {}
        for index in range(container.count):
            place = f"frame {index + 1}"
            try:
                fields = container.item(index)
                if index == 0:
                    header = {name: fields[name] for name in _HEADER if name in fields}
                whole = fields if "numbers" in fields else header | fields
                entry = ase_json.entry_from_fields(_row(whole))
            except UNREADABLE as error:
                yield Refused.because(place, error)
            else:
                entry.place = place
                name = f"{source.stem}-{index + 1}" if index else source.stem
                entry.columns.setdefault("id", name)
                yield entry


def _row(fields: dict[str, Any]) -> dict[str, Any]:
    """A frame in the form of a row of a database."""
    row = {
        name: fields[name]
        for name in ("numbers", "positions", "cell", "pbc", *ase_json.ARRAYS)
        if fields.get(name) is not None
    }
    for theirs, name in (("magmoms", "initial_magmoms"), ("charges", "initial_charges")):
        if fields.get(theirs) is not None:
            row[name] = fields[theirs]
    constraints = fields.get("constraints")
    if isinstance(constraints, str):
        row["constraints"] = json.loads(constraints)
    calculator = fields.get("calculator")
    if isinstance(calculator, dict):
        known = ("energy", "free_energy", "forces", "stress", "magmom", "magmoms", "charges")
        row |= {name: calculator[name] for name in known if calculator.get(name) is not None}
    info = fields.get("info")
    if isinstance(info, dict):
        own = info.pop(ase_json.OWN, None)
        row["data"] = {**info, **({ase_json.OWN: own} if own is not None else {})}
    return row


class _Container:
    """Items of named values and arrays at stated places of a file."""

    def __init__(self, stream: BinaryIO, longest: int) -> None:
        self._stream = stream
        self._longest = longest
        head = stream.read(48)
        if len(head) < 48 or not head.startswith(MAGIC):
            raise FileError("is not a trajectory of ASE")
        if not head[8:24].startswith(TAG):
            raise FileError("is a file of ASE or GPAW that is not a trajectory")
        self._size = stream.seek(0, 2)
        _, self.count, place = np.frombuffer(head[24:48], "<i8").tolist()
        if self.count < 0 or self.count * 8 > self._size:
            raise FileError("is a damaged trajectory: its number of frames is impossible")
        self._places = np.frombuffer(self._read(place, self.count * 8), "<i8").tolist()

    def _read(self, place: int, size: int) -> bytes:
        if place < 0 or size < 0 or place + size > self._size:
            raise FileError("is a damaged or cut trajectory: a frame lies outside the file")
        if size > self._longest:
            raise FileError(f"has a frame of more than {self._longest:,} bytes")
        self._stream.seek(place)
        return self._stream.read(size)

    def item(self, index: int) -> dict[str, Any]:
        place = self._places[index]
        (size,) = np.frombuffer(self._read(place, 8), "<i8").tolist()
        document = json.loads(self._read(place + 8, size).decode())
        if not isinstance(document, dict):
            raise FileError("has a frame that is not an object")
        little = bool(document.pop("_little_endian", True))
        return self._decoded(document, "<" if little else ">")

    def _decoded(self, document: dict[str, Any], order: str) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for name, value in document.items():
            if not name.endswith("."):
                fields[name] = ase_json._numbers(value)
            elif "ndarray" in value:
                shape, dtype, place = value["ndarray"]
                fields[name[:-1]] = self._array(shape, dtype, place, order)
            else:
                fields[name[:-1]] = self._decoded(value, order)
        return fields

    def _array(self, shape: list[int], name: str, place: int, order: str) -> NDArray[Any]:
        dtype = np.dtype(str(name)).newbyteorder(order)  # type: ignore[arg-type]
        if dtype.kind not in "biuf":
            raise FileError(f"has an array of {name!r}")
        count = int(np.prod([int(size) for size in shape], dtype=object))
        data = self._read(int(place), count * dtype.itemsize)
        return np.frombuffer(data, dtype).astype(dtype.newbyteorder("=")).reshape(shape)
