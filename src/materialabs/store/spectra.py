"""Values that are many numbers: spectra over a grid, forces, stress.

Up to :data:`INLINE_BYTES` of canonical JSON stand in the record itself; more are a blob that the
record names by its SHA-256.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from materialabs.errors import InputError, IntegrityError
from materialabs.store.canonical import canonical_json
from materialabs.store.records import Method, Property
from materialabs.store.store import Store

INLINE_BYTES: Final = 4096
"""Of canonical JSON that a record holds itself."""

EVEN: Final = 1e-9
"""Steps of a grid that differ by less than this share of a step are even."""

GRID_CONDITIONS: Final = ("grid_start", "grid_step")
"""Conditions that state the even grid of a spectrum inside a record."""


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Numbers over a grid.

    Parameters
    ----------
    values
        [n], in ``unit``.
    grid
        [n], in ``grid_unit``; empty for a list of numbers without a grid.
    unit, grid_unit
        Named always.
    """

    values: NDArray[np.float64]
    grid: NDArray[np.float64]
    unit: str
    grid_unit: str = ""


def spectrum_property(
    name: str,
    values: ArrayLike,
    grid: ArrayLike,
    unit: str,
    grid_unit: str,
    method: Method,
    *,
    conditions: Mapping[str, tuple[float, str]] | None = None,
) -> tuple[Property, dict[bytes, bytes]]:
    """A spectrum, such as a density of states, as a property, and the blob that it may need.

    Parameters
    ----------
    name
        Such as ``dos``.
    values, grid
        [n] each, in ``unit`` and ``grid_unit``; the grid rises.
    method
        How it was obtained.
    conditions
        Name to (value, unit).

    Returns
    -------
    The property, and the blob by its SHA-256 (empty when the property holds the numbers).
    """
    numbers, points = _finite(values, name), _finite(grid, f"grid of {name}")
    if numbers.ndim != 1 or numbers.shape != points.shape or len(points) < 2:
        raise InputError(f"The spectrum {name} needs as many values as points of its grid.")
    steps = np.diff(points)
    if not (steps > 0).all():
        raise InputError(f"The grid of {name} must rise from point to point.")
    held = dict(conditions or {})
    step = (points[-1] - points[0]) / len(steps)
    if np.abs(steps - step).max() <= EVEN * step and _is_short(numbers):
        held |= {
            "grid_start": (float(points[0]), grid_unit),
            "grid_step": (float(step), grid_unit),
        }
        return Property(name, numbers.tolist(), unit, method, conditions=held), {}
    document = {
        "grid": points.tolist(), "grid_unit": grid_unit, "unit": unit, "values": numbers.tolist()
    }  # fmt: skip
    return _blob_property(name, document, unit, method, held)


def list_property(
    name: str, values: ArrayLike, unit: str, method: Method
) -> tuple[Property, dict[bytes, bytes]]:
    """Numbers without a grid (forces [3n] row by row, a stress [9]) as a property."""
    numbers = _finite(values, name).reshape(-1)
    if _is_short(numbers):
        return Property(name, numbers.tolist(), unit, method), {}
    return _blob_property(name, {"unit": unit, "values": numbers.tolist()}, unit, method, {})


def _finite(values: ArrayLike, name: str) -> NDArray[np.float64]:
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"The {name} is not a list of numbers.") from error
    if not np.isfinite(numbers).all():
        raise InputError(f"The {name} holds values that are not finite.")
    return numbers


def _is_short(numbers: NDArray[np.float64]) -> bool:
    return len(canonical_json(numbers.tolist())) <= INLINE_BYTES


def _blob_property(
    name: str,
    document: dict[str, Any],
    unit: str,
    method: Method,
    conditions: dict[str, tuple[float, str]],
) -> tuple[Property, dict[bytes, bytes]]:
    content = canonical_json(document)
    digest = hashlib.sha256(content).digest()
    one = Property(name, "", unit, method, conditions=conditions, blob=digest.hex())
    return one, {digest: content}


def read_spectrum(store: Store, one: Property) -> Spectrum:
    """The numbers behind a property, wherever they are kept."""
    if one.blob:
        try:
            document = json.loads(store.content(bytes.fromhex(one.blob)))
            grid = np.array(document.get("grid", []), dtype=float)
            values = np.array(document["values"], dtype=float)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise IntegrityError(f"The blob {one.blob} is not a spectrum.") from error
        return Spectrum(values, grid, one.unit, str(document.get("grid_unit", "")))
    if not isinstance(one.value, list):
        raise InputError(f"The property {one.name} is not a spectrum.")
    values = np.array(one.value, dtype=float)
    if not set(GRID_CONDITIONS) <= set(one.conditions):
        return Spectrum(values, np.zeros(0), one.unit)
    (start, grid_unit), (step, _) = (one.conditions[name] for name in GRID_CONDITIONS)
    grid = np.asarray(start + step * np.arange(len(values)), dtype=np.float64)
    return Spectrum(values, grid, one.unit, grid_unit)
