"""Predictions of a batch: values, intervals, what they refer to and how far to trust them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from html import escape
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from materialabs.errors import InputError, LevelError
from materialabs.intervals import NINETY_PERCENT, IntervalShape
from materialabs.levels import Energies, Kind, Level, require_kind

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

ROWS_SHOWN: Final = 15
"""Rows of a prediction that a notebook shows."""

OUT_OF_DOMAIN: Final = 0.01
"""In-domain scores below this are flagged: fewer than 1 % of known crystals are as strange."""

EVERYWHERE: Final = (-np.inf, np.inf)


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predicted values of a batch with calibrated intervals; immutable.

    Numbers are [n]. A spectrum is [n, k] over a ``grid``, a classification [n, k] over
    ``classes``, whose values are probabilities.

    Parameters
    ----------
    mean
        [n] or [n, k], predicted values.
    std
        Same shape, standard deviation of the error: an interval of 68.27 % reaches one to either
        side when ``shape`` is calibrated.
    unit
        Unit of the values, such as ``"eV/atom"``.
    model_id
        Name and version of the model that answers.
    level
        Level of theory that is predicted, where there is one.
    kind
        For energies: ``"total"`` or ``"formation"``.
    quantity
        What is predicted, for people: ``"band gap"``.
    ids
        Names of the crystals [n]; positions by default.
    in_domain
        [n], 0 ... 1: share of crystals like those learned from that lie at least as far out;
        NaN where it is not known.
    members
        [m, n] or [m, n, k], the answers of the members of an ensemble.
    grid, grid_unit
        [k], where a spectrum is given.
    classes
        Names of the k classes.
    shape
        How many standard deviations an interval of each probability reaches; normal by default.
    rows
        [n], the row of ``shape`` for each crystal.
    bounds
        Lowest and highest value that the quantity can have; intervals are cut there.
    """

    mean: Floats
    std: Floats
    unit: str
    model_id: str
    level: Level | None = None
    kind: Kind | None = None
    quantity: str = ""
    ids: tuple[str, ...] = ()
    in_domain: Floats = None  # type: ignore[assignment] # filled in __post_init__
    members: Floats | None = None
    grid: Floats | None = None
    grid_unit: str = ""
    classes: tuple[str, ...] = ()
    shape: IntervalShape = field(default_factory=IntervalShape.normal)
    rows: Whole = None  # type: ignore[assignment] # filled in __post_init__
    bounds: tuple[float, float] = EVERYWHERE

    def __post_init__(self) -> None:
        mean = _array(self.mean, "mean")
        count = len(mean)
        if self.classes:
            object.__setattr__(self, "bounds", (0.0, 1.0))
        settings: dict[str, Any] = {
            "mean": mean,
            "std": _array(self.std, "std"),
            "in_domain": np.full(count, np.nan) if self.in_domain is None else self.in_domain,
            "rows": np.zeros(count, np.int64) if self.rows is None else self.rows,
            "grid": self.grid,
            "members": self.members,
        }
        for name, value in settings.items():
            if value is None:
                continue
            array = np.array(value, dtype=np.int64 if name == "rows" else np.float64)
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        object.__setattr__(self, "ids", tuple(map(str, self.ids)))
        object.__setattr__(self, "classes", tuple(self.classes))
        _check(self)

    # -- intervals ------------------------------------------------------------------------------

    def interval(self, probability: float) -> tuple[Floats, Floats]:
        """Low and high ends, shaped like the mean, that hold the truth with this probability."""
        reach = self.shape.reach(probability, self.rows)
        half = self.std * reach.reshape(-1, *(1,) * (self.mean.ndim - 1))
        lowest, highest = self.bounds
        middle = np.clip(self.mean, lowest, highest)
        return np.maximum(middle - half, lowest), np.minimum(middle + half, highest)

    @property
    def low(self) -> Floats:
        """Lower end of the 90 % interval."""
        return self.interval(NINETY_PERCENT)[0]

    @property
    def high(self) -> Floats:
        """Upper end of the 90 % interval."""
        return self.interval(NINETY_PERCENT)[1]

    def probability_below(self, limit: ArrayLike) -> Floats:
        """Probability that the true value is at most ``limit``, shaped like the mean.

        Errors to either side count as equally likely, as in the intervals.
        """
        gap = np.asarray(limit, dtype=np.float64) - self.mean
        rows = np.broadcast_to(self.rows.reshape(-1, *(1,) * (self.mean.ndim - 1)), gap.shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = np.where(self.std > 0, np.abs(gap) / self.std, np.where(gap == 0, 0.0, np.inf))
        inside = self.shape.probability_within(reach, rows)
        return np.asarray(0.5 + 0.5 * np.sign(gap) * inside)

    # -- what it stands for ---------------------------------------------------------------------

    @property
    def probability(self) -> Floats:
        """Probability of each class [n, k]."""
        if not self.classes:
            raise InputError(
                f"These are values in {self.unit or 'no unit'}, not classes: they have intervals, "
                "not probabilities."
            )
        return self.mean

    @property
    def labels(self) -> tuple[str, ...]:
        """The most likely class of each crystal [n]."""
        return tuple(self.classes[best] for best in self.probability.argmax(axis=1).tolist())

    @property
    def out_of_domain(self) -> NDArray[np.bool_]:
        """True for crystals unlike any that the model has learned from [n]."""
        return np.asarray(self.in_domain < OUT_OF_DOMAIN)

    def energies(self) -> Energies:
        """The values as energies that know their kind and level, ready for a hull."""
        if self.kind is None or self.level is None or self.mean.ndim != 1:
            raise LevelError(
                f"A prediction of {self.quantity or self.unit} without kind and level holds no "
                "energies: only predicted energies go on a hull.",
                code="level.kind",
            )
        return Energies(self.mean, self.kind, self.level)

    def replace(self, **changes: Any) -> Prediction:
        """A prediction with some of the fields replaced."""
        unknown = set(changes) - {item.name for item in fields(self)}
        if unknown:
            raise InputError(f"A prediction has no field {sorted(unknown)[0]!r}.")
        return Prediction(
            **{item.name: getattr(self, item.name) for item in fields(self)} | changes
        )

    # -- choosing -------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.mean)

    def __getitem__(self, selection: int | slice | ArrayLike) -> Prediction:
        if isinstance(selection, (int, np.integer)) and not -len(self) <= selection < len(self):
            raise IndexError(f"prediction {selection} of {len(self)}")
        everything = np.arange(len(self), dtype=np.int64)
        if isinstance(selection, slice):
            return self.take(everything[selection])
        chosen = np.asarray(selection)
        return self.take(
            np.atleast_1d(everything[chosen if chosen.size else chosen.astype(np.int64)])
        )

    def __iter__(self) -> Iterator[Prediction]:
        return (self[index] for index in range(len(self)))

    def take(self, positions: ArrayLike) -> Prediction:
        """The predictions at these positions, in this order."""
        chosen = np.asarray(positions, dtype=np.int64)
        return self.replace(
            mean=self.mean[chosen],
            std=self.std[chosen],
            in_domain=self.in_domain[chosen],
            rows=self.rows[chosen],
            ids=tuple(self.ids[i] for i in chosen.tolist()) if self.ids else (),
            members=None if self.members is None else self.members[:, chosen],
        )

    @classmethod
    def concat(cls, parts: Sequence[Prediction]) -> Prediction:
        """Join predictions of one quantity, unit, level and model, in order."""
        if not parts:
            raise InputError("No predictions were given to join.")
        first = parts[0]
        for part in parts[1:]:
            _require_alike(first, part)
        shape, rows = _joined_shapes(parts)
        sizes = {0 if part.members is None else len(part.members) for part in parts}
        named = all(part.ids or not len(part) for part in parts)
        return first.replace(
            mean=np.concatenate([part.mean for part in parts]),
            std=np.concatenate([part.std for part in parts]),
            in_domain=np.concatenate([part.in_domain for part in parts]),
            ids=tuple(name for part in parts for name in part.ids) if named else (),
            members=np.concatenate([p.members for p in parts if p.members is not None], axis=1)
            if len(sizes) == 1 and 0 not in sizes
            else None,
            shape=shape,
            rows=rows,
        )

    # -- looking --------------------------------------------------------------------------------

    def table(self) -> list[dict[str, Any]]:
        """One row for each crystal, ready to print or to write as JSON; NaN becomes None."""
        names = self.ids or tuple(map(str, range(len(self))))
        scores = [None if np.isnan(score) else float(score) for score in self.in_domain]
        flags = self.out_of_domain.tolist()
        return [
            {"id": name, **values, "in_domain": score, "out_of_domain": flag}
            for name, values, score, flag in zip(names, self._values(), scores, flags, strict=True)
        ]

    def _values(self) -> list[Mapping[str, Any]]:
        if self.classes:
            best = self.probability.max(axis=1).tolist()
            return [
                {"class": label, "probability": chance}
                for label, chance in zip(self.labels, best, strict=True)
            ]
        low, high = self.interval(NINETY_PERCENT)
        names = ("mean", "std", "low", "high")
        columns = [array.tolist() for array in (self.mean, self.std, low, high)]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    def __repr__(self) -> str:
        kind = f"{self.kind} " if self.kind and self.kind not in self.quantity else ""
        what = self.quantity or ("energy" if self.kind else "values")
        unit = f", {self.unit}" if self.unit else ""
        level = f" at {self.level}" if self.level else ""
        return f"Prediction({len(self)}: {kind}{what}{unit}{level}, by {self.model_id})"

    def _repr_html_(self) -> str:
        shown = self[:ROWS_SHOWN].table()
        head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in (shown or [{}])[0])
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(_text(value))}</td>" for value in row.values()) + "</tr>"
            for row in shown
        )
        left = len(self) - len(shown)
        more = f"<p>and {left} more</p>" if left else ""
        return (
            f"<p>{escape(repr(self))}</p><table><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table>{more}"
        )


def _array(values: ArrayLike, name: str) -> Floats:
    array = np.array(values, dtype=np.float64)
    if array.ndim not in (1, 2):
        raise InputError(f"The {name} of a prediction is [n] or [n, k], not {array.shape}.")
    return array


def _check(prediction: Prediction) -> None:
    """Refuse columns that do not belong together."""
    shape, count = prediction.mean.shape, len(prediction)
    wrong = [
        f"{name} {np.shape(array)}"
        for name, array, wanted in (
            ("std", prediction.std, shape),
            ("in_domain", prediction.in_domain, (count,)),
            ("rows", prediction.rows, (count,)),
            ("ids", prediction.ids, (count,) if prediction.ids else (0,)),
            ("grid", prediction.grid, shape[1:]),
            ("classes", prediction.classes, shape[1:] if prediction.classes else (0,)),
        )
        if array is not None and np.shape(array) != wanted
    ]
    if prediction.members is not None and prediction.members.shape[1:] != shape:
        wrong.append(f"members {prediction.members.shape}")
    if wrong:
        raise InputError(f"A prediction with mean {shape} does not go with {', '.join(wrong)}.")
    if len(shape) == 2 and prediction.grid is None and not prediction.classes:
        raise InputError("A prediction of shape [n, k] needs the grid or the classes of its k.")
    if not prediction.unit and not prediction.classes:
        raise InputError("A prediction names its unit; write '1' for a number without one.")
    if not prediction.model_id:
        raise InputError("A prediction names the model that made it.")
    _check_values(prediction)


def _check_values(prediction: Prediction) -> None:
    if (prediction.std < 0).any():
        raise InputError("A standard deviation is not below zero.")
    if ((prediction.in_domain < 0) | (prediction.in_domain > 1)).any():
        raise InputError("In-domain scores lie between 0 and 1.")
    if ((prediction.rows < 0) | (prediction.rows >= len(prediction.shape))).any():
        raise InputError(f"The shape of the intervals has {len(prediction.shape)} rows.")
    if prediction.kind is not None:
        require_kind(prediction.kind)
    if prediction.kind is not None and prediction.level is None:
        raise LevelError("Predicted energies need the level that they are at.", code="level.kind")
    if not prediction.bounds[0] < prediction.bounds[1]:
        raise InputError(f"The bounds {prediction.bounds} hold no value.")


def _require_alike(first: Prediction, other: Prediction) -> None:
    for name in ("quantity", "unit", "level", "kind", "model_id", "grid_unit", "classes", "bounds"):
        mine, theirs = getattr(first, name), getattr(other, name)
        if mine != theirs:
            error = LevelError if name in ("level", "kind") else InputError
            raise error(f"Predictions of {name} {mine} and {theirs} cannot be joined.")
    if not np.array_equal(
        np.zeros(0) if first.grid is None else first.grid,
        np.zeros(0) if other.grid is None else other.grid,
    ):
        raise InputError("Spectra on different grids cannot be joined.")


def _joined_shapes(parts: Sequence[Prediction]) -> tuple[IntervalShape, Whole]:
    shape = parts[0].shape
    starts: dict[int, int] = {id(shape): 0}
    for part in parts[1:]:
        if id(part.shape) not in starts:
            starts[id(part.shape)] = len(shape)
            shape = shape.joined(part.shape)
    return shape, np.concatenate([part.rows + starts[id(part.shape)] for part in parts])


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
