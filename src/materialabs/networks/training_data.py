"""What a model learns from: crystals or compositions, their values, and which rows serve for what.

Rows are cut four ways: to learn from, to decide when to stop, to calibrate intervals on, and to be
judged on. All rows of one reduced formula fall into the same part.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.compositions import Compositions
from materialabs.errors import InputError
from materialabs.networks.heads import Head, columns_of
from materialabs.networks.splits import Split, validation_part

Rows = NDArray[np.int64]

FEWEST: Final = 30
"""Rows; with fewer there is too little to learn from, to calibrate on and to be judged on."""

STOPPING_SHARE, CALIBRATION_SHARE = 0.05, 0.08
"""Shares of the training groups that decide when to stop, and that calibrate the intervals."""

SMALL: Final = 600
"""Training rows; below, one part of the table both stops the training and calibrates."""

SMALL_SHARE: Final = 0.15
"""Share of that part."""


@dataclass(frozen=True, eq=False)
class Parts:
    """Positions of rows, rising, by what they serve for.

    Parameters
    ----------
    train
        Learned from.
    validation
        Decide when training stops and which volumes are tried.
    calibration
        Fit the intervals; in small tables the same rows as ``validation``.
    test
        Used once, to judge.
    """

    train: Rows
    validation: Rows
    calibration: Rows
    test: Rows

    @classmethod
    def cut(cls, split: Split, seed: int = 0) -> Parts:
        """Set parts of the training side aside."""
        if len(split.train) < SMALL:
            small = validation_part(split, share=SMALL_SHARE, seed=seed)
            return cls(small.train, small.test, small.test, split.test)
        stop = validation_part(split, share=STOPPING_SHARE, seed=seed)
        rest = Split(stop.train, split.test, split.groups, split.name)
        calibrate = validation_part(
            rest, share=CALIBRATION_SHARE / (1.0 - STOPPING_SHARE), seed=seed + 1
        )
        return cls(calibrate.train, stop.test, calibrate.test, split.test)

    def counts(self) -> dict[str, int]:
        """Rows of each part."""
        return {name: len(getattr(self, name)) for name in self.__dataclass_fields__}


@dataclass(frozen=True, eq=False)
class TrainingData:
    """A table that a model learns from.

    Parameters
    ----------
    inputs
        Crystals, or compositions where no structures are known.
    targets
        float64 [n, columns of the heads]; NaN where a value is missing. Logarithms are taken and
        classes are written as 0 and 1.
    heads
        What is learned.
    parts
        Which rows serve for what.
    split
        How they were chosen, in words.
    name, credit, licence
        Of the data.
    ids
        What each row is called.
    notes
        What was left out of the table, and what one must know of the rest, in sentences.
    """

    inputs: Crystals | Compositions
    targets: NDArray[np.float64]
    heads: tuple[Head, ...]
    parts: Parts
    split: str
    name: str
    credit: str = ""
    licence: str = ""
    ids: tuple[str, ...] = field(default=())
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.targets.shape != (len(self.inputs), len(columns_of(self.heads))):
            raise InputError(
                f"{len(self.inputs)} rows with {len(columns_of(self.heads))} columns do not go "
                f"with targets {self.targets.shape}."
            )

    @property
    def compositions(self) -> Compositions:
        """Composition of each row."""
        return self.inputs.compositions if isinstance(self.inputs, Crystals) else self.inputs

    @cached_property
    def formulas(self) -> NDArray[np.str_]:
        """Reduced formula of each row [n]."""
        return np.array(self.compositions.reduced_formulas(), dtype=np.str_)

    @property
    def names(self) -> tuple[str, ...]:
        """What each row is called."""
        if self.ids:
            return self.ids
        given = self.inputs
        return tuple(given.ids()) if isinstance(given, Crystals) else tuple(self.formulas.tolist())

    @cached_property
    def inputs_hash(self) -> str:
        """SHA-256 of the crystals or compositions alone, which graphs are kept under."""
        digest = hashlib.sha256()
        if isinstance(self.inputs, Crystals):
            bare = self.inputs
            arrays: tuple[NDArray[Any], ...] = (
                bare.lattice, bare.frac, bare.numbers, bare.offsets, bare.pbc,
            )  # fmt: skip
        else:
            arrays = (self.inputs.offsets, self.inputs.elements, self.inputs.amounts)
        for array in arrays:
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    @cached_property
    def data_hash(self) -> str:
        """SHA-256 of inputs, values, heads and parts: all that decides what is learned."""
        digest = hashlib.sha256(self.inputs_hash.encode())
        digest.update(np.ascontiguousarray(self.targets).tobytes())
        digest.update(json.dumps([head.to_dict() for head in self.heads]).encode())
        for name in self.parts.__dataclass_fields__:
            digest.update(np.ascontiguousarray(getattr(self.parts, name)).tobytes())
        return digest.hexdigest()
