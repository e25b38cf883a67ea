"""Trained transfer models: formulas in, calibrated predictions out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.compositions import Compositions
from materialabs.crystals.descriptors import Descriptors
from materialabs.errors import InputError, IntegrityError, NotFound
from materialabs.networks.calibration import Calibration
from materialabs.networks.domain import Domain
from materialabs.networks.heads import Head
from materialabs.networks.inputs import as_compositions
from materialabs.networks.model_files import CARD, WEIGHTS, read_card, write_json
from materialabs.networks.weight_files import hash_of, read_tensors, write_tensors
from materialabs.predictions import Prediction
from materialabs.transfer.described import Described, describe
from materialabs.transfer.learning import Learned
from materialabs.transfer.probabilities import ClassScale
from materialabs.transfer.sources import Source, shipped
from materialabs.transfer.strategies import Networks, document_of, strategy_of

Floats = NDArray[np.float64]

SCHEMA: Final = 1
KIND: Final = "transfer"
"""What a card says that this is, so that no other model is taken for one."""

REQUIRED: Final = ("name", "conditions", "background")
"""Entries of a card that predicting and explaining read."""

Conditions = Mapping[str, float | Sequence[float]]


class TransferModel:
    """A property learned from measured values; give it formulas.

    Parameters
    ----------
    learned
        What was learned.
    sources
        What calculated crystals know, as the model reads it.
    card
        Everything that is told of the model.
    """

    def __init__(
        self, learned: Learned, sources: Sequence[Source], card: Mapping[str, Any]
    ) -> None:
        self._learned, self._sources = learned, tuple(sources)
        self.card = dict(card)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a model's folder; files that its card does not vouch for are refused."""
        place = Path(folder)
        card = read_card(place)
        if card.get("kind") != KIND:
            raise InputError(
                f"{place} holds another kind of model: materialabs predict reads it.",
                code="model.kind",
            )
        try:
            lacking = [name for name in REQUIRED if name not in card]
            if lacking:
                raise ValueError(f"its card lacks {', '.join(lacking)}")
            return cls(_learned(place, card), _sources(card), card)
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, IntegrityError):
                raise
            raise IntegrityError(
                f"{place} is not a whole model ({str(error)[:120]}): restore it.",
                code="model.broken",
            ) from None

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.card["name"])

    @property
    def model_id(self) -> str:
        """Name and the start of the weights' SHA-256: what a prediction says it is by."""
        return f"{self.name}/{self.card['files'][WEIGHTS][:8]}"

    @property
    def head(self) -> Head:
        """What is predicted."""
        return self._learned.head

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the conditions that every prediction needs."""
        return tuple(self.card["conditions"])

    @property
    def has_networks(self) -> bool:
        """Whether networks, which read formulas and not descriptors, have a say."""
        return any(isinstance(one, Networks) for one in self._learned.strategies)

    def unlearned_conditions(self, given: Conditions) -> list[str]:
        """What to say of each condition that lies outside what was learned from.

        Nothing is said of a model whose card keeps no ranges, as older ones.
        """
        said = []
        for name, (lowest, highest) in self.card.get("condition_ranges", {}).items():
            values = np.asarray(given.get(name, lowest), dtype=np.float64)
            if (values < lowest).any() or (values > highest).any():
                learned = (
                    f"from {lowest:g} to {highest:g}" if lowest < highest else f"at {lowest:g}"
                )
                said.append(f"{name} was learned {learned} only")
        return said

    def __repr__(self) -> str:
        parts = ", ".join(one["name"] for one in self.card["strategies"])
        return f"TransferModel({self.model_id}: {self.head.title} of formulas, by {parts})"

    def predict(self, formulas: Any, conditions: Conditions | None = None) -> Prediction:
        """Predict formulas, with calibrated intervals or probabilities.

        Parameters
        ----------
        formulas
            Formulas, :class:`Compositions` or crystals.
        conditions
            By name, one value for all formulas or one for each, where the model asks for them.
        """
        cells = as_compositions(formulas)
        told = self._learned.told(self.described(cells, conditions), self.model_id)
        return told.replace(ids=tuple(cells.formulas()))

    def described(
        self, compositions: Compositions, conditions: Conditions | None = None
    ) -> Described:
        """What the model sees of compositions."""
        table = condition_table(self.conditions, conditions or {}, len(compositions))
        return describe(compositions, self._sources, table)

    def means(self, described: Described) -> Floats:
        """Values [n, 1], or probabilities [n, k], of compositions that are described already."""
        return self._learned.means(described)


def load(folder: str | Path) -> TransferModel:
    """Load a model from the folder that fitting wrote."""
    return TransferModel.load(folder)


def condition_table(names: Sequence[str], given: Conditions, rows: int) -> Descriptors:
    """Conditions as a table [rows, conditions]; each of the names once, and no other."""
    missing = [name for name in names if name not in given]
    strange = [name for name in given if name not in names]
    if missing or strange:
        told = f"needs the condition {missing[0]!r}" if missing else (
            f"knows no condition {strange[0]!r}"
        )  # fmt: skip
        known = ", ".join(names) or "none"
        raise InputError(f"The model {told}; it asks for: {known}.", code="transfer.condition")
    columns = []
    for name in names:
        values = np.asarray(given[name], dtype=np.float64)
        if values.ndim and values.shape != (rows,):
            raise InputError(
                f"{values.size} values of {name!r} do not go with {rows} formulas.",
                code="transfer.condition",
            )
        if not np.isfinite(values).all():
            raise InputError(f"The condition {name!r} is not a number.", code="transfer.condition")
        columns.append(np.broadcast_to(values, (rows,)))
    table = np.stack(columns, axis=1) if columns else np.zeros((rows, 0))
    return Descriptors(table, tuple(names))


def write_model(
    folder: Path, learned: Learned, sources: Sequence[Source], card: Mapping[str, Any]
) -> TransferModel:
    """Write a model's folder; the card comes last, so that a folder with one is whole."""
    import torch

    arrays = {
        f"strategy-{number}.{name}": array
        for number, one in enumerate(learned.fitted)
        for name, array in one.to_arrays().items()
    }
    arrays["shares"], arrays["seen"] = learned.shares, learned.seen
    if learned.domain is not None:
        whole = {name: np.asarray(one) for name, one in learned.domain.to_arrays().items()}
        arrays |= {
            f"domain.{name}": one.astype(np.int32) if one.dtype.kind == "u" else one
            for name, one in whole.items()
        }
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
    write_tensors(folder / WEIGHTS, tensors, {"schema": str(SCHEMA)})
    full = {
        "schema": SCHEMA,
        "kind": KIND,
        **card,
        "head": learned.head.to_dict(),
        "strategies": [document_of(one) for one in learned.strategies],
        "trials": learned.trials,
        "calibration": None if learned.calibration is None else learned.calibration.to_dict(),
        "classes": None if learned.classes is None else learned.classes.to_dict(),
        "sources": [{"name": one.name, "sha256": one.fingerprint()} for one in sources],
        "files": {WEIGHTS: hash_of(folder / WEIGHTS)},
    }
    write_json(folder / CARD, full)
    return TransferModel(learned, sources, json.loads((folder / CARD).read_text("utf-8")))


def kept_or_learned(place: Path, learn: Callable[[], Learned]) -> Learned:
    """What an earlier run has learned and kept in a folder, or what is learned now and kept there.

    Parameters
    ----------
    place
        Of this learning alone: whoever asks again must be about to learn the same.
    learn
        Learns; it may take minutes.
    """
    if (place / CARD).is_file():
        with suppress(IntegrityError, NotFound, KeyError, TypeError, ValueError):
            return _learned(place, read_card(place))
    found = learn()
    place.mkdir(parents=True, exist_ok=True)
    write_model(place, found, (), {"name": place.name, "conditions": [], "background": []})
    return found


def _sources(card: Mapping[str, Any]) -> list[Source]:
    """The sources that a card names, the very same weights."""
    found = []
    for one in card["sources"]:
        source = shipped(str(one["name"]))
        if source.fingerprint() != one["sha256"]:
            raise IntegrityError(
                f"The source {one['name']!r} of this package is not the one that the model learned "
                "with: fit the model again.",
                code="transfer.source",
            )
        found.append(source)
    return found


def _learned(place: Path, card: Mapping[str, Any]) -> Learned:
    """What the weights of a folder hold."""
    tensors, _ = read_tensors(place / WEIGHTS, card["files"][WEIGHTS])
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    strategies = tuple(strategy_of(one) for one in card["strategies"])
    fitted = tuple(
        one.restored(_under(f"strategy-{number}.", arrays)) for number, one in enumerate(strategies)
    )
    kept = _under("domain.", arrays)
    calibration, classes = card["calibration"], card["classes"]
    return Learned(
        Head.from_dict(card["head"]), strategies, fitted, arrays["shares"],
        None if calibration is None else Calibration.from_dict(calibration),
        None if classes is None else ClassScale.from_dict(classes),
        Domain.from_arrays(kept) if kept else None,
        arrays["seen"], dict(card["trials"]),
    )  # fmt: skip


def _under(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {
        name.removeprefix(prefix): one for name, one in arrays.items() if name.startswith(prefix)
    }
