"""Records: one observation of one material, by calculation or by experiment.

A record's canonical JSON hashes to its id. Who contributed it and when stand in the log's entry,
not here: the same observation is the same record, whoever brings it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self, get_args

from materialabs.errors import InputError
from materialabs.levels import Level
from materialabs.store.canonical import canonical_json, significant

SCHEMA_VERSION: Final = 1
"""Version of the form below; records of old versions verify for ever."""

MethodKind = Literal["experiment", "beyond-dft", "dft", "potential", "model"]
METHOD_KINDS: Final[tuple[MethodKind, ...]] = get_args(MethodKind)
"""In the order of preference for a bare property name."""

Value = float | str | bool | list[float]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Method:
    """How a value was obtained.

    Parameters
    ----------
    kind
        One of :data:`METHOD_KINDS`.
    name, version
        The program, potential, model or instrument.
    settings
        Hash or short text of settings that change the value.
    level
        The level of theory, for calculations.
    """

    kind: MethodKind
    name: str = ""
    version: str = ""
    settings: str = ""
    level: Level | None = None

    def __post_init__(self) -> None:
        if self.kind not in METHOD_KINDS:
            kinds = ", ".join(METHOD_KINDS)
            raise InputError(f"A method is one of {kinds}, not {self.kind!r}.")

    def document(self) -> dict[str, Any]:
        """The fields that are set."""
        level = {} if self.level is None else {"level": self.level.to_dict()}
        texts = {"name": self.name, "version": self.version, "settings": self.settings}
        return {"kind": self.kind, **{k: v for k, v in texts.items() if v}, **level}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        """Read :meth:`document`'s form."""
        known = {"kind", "name", "version", "settings", "level"}
        _require_known(document, known, "a method")
        level = document.get("level")
        texts = {name: str(document.get(name, "")) for name in ("name", "version", "settings")}
        return cls(
            kind=document.get("kind", ""),
            level=None if level is None else Level.from_dict(level),
            **texts,
        )


@dataclass(frozen=True)
class Property:
    """One value of one property.

    Parameters
    ----------
    name
        Lower case with underscores, such as ``band_gap``.
    value
        A number, a text, a truth value or a list of numbers, in ``unit``.
    unit
        Named always; empty for numbers without one.
    method
        How it was obtained.
    uncertainty
        Standard uncertainty in ``unit``, where known.
    conditions
        Name to (value, unit): temperature, pressure, field.
    blob
        SHA-256 of a large value that is kept apart (a spectrum); then ``value`` is empty.
    """

    name: str
    value: Value
    unit: str
    method: Method
    uncertainty: float | None = None
    conditions: dict[str, tuple[float, str]] = field(default_factory=dict)
    blob: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InputError(
                f"The property name {self.name!r} must be lower case letters, digits and _."
            )
        if self.blob and not _HASH.fullmatch(self.blob):
            raise InputError("A blob is named by its SHA-256 in hex.")
        # What queries see is what the record keeps, to the last digit.
        object.__setattr__(self, "value", significant(self.value))
        object.__setattr__(self, "uncertainty", significant(self.uncertainty))

    def document(self) -> dict[str, Any]:
        """The fields that are set."""
        document: dict[str, Any] = {
            "name": self.name,
            "unit": self.unit,
            "method": self.method.document(),
        }
        if self.blob:
            document["blob"] = self.blob
        else:
            document["value"] = self.value
        if self.uncertainty is not None:
            document["uncertainty"] = self.uncertainty
        if self.conditions:
            document["conditions"] = {
                name: {"value": value, "unit": unit}
                for name, (value, unit) in self.conditions.items()
            }
        return document

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        """Read :meth:`document`'s form."""
        known = {"name", "unit", "method", "blob", "value", "uncertainty", "conditions"}
        _require_known(document, known, "a property")
        conditions = document.get("conditions", {})
        return cls(
            name=document["name"],
            value=document.get("value", ""),
            unit=document["unit"],
            method=Method.from_document(document["method"]),
            uncertainty=document.get("uncertainty"),
            conditions={n: (float(c["value"]), c["unit"]) for n, c in conditions.items()},
            blob=document.get("blob", ""),
        )


@dataclass(frozen=True)
class Record:
    """One observation.

    Parameters
    ----------
    properties
        What was observed; may be empty for a bare crystal.
    crystal
        SHA-256 of the crystal's blob, or empty when only the composition is known.
    composition
        Reduced formula; for a crystal it is the crystal's own.
    parents
        Ids of the records that this one was made from.
    doi
        Where it was published.
    source
        The source's own identifier, such as ``mp-149``.
    supersedes
        Id of the record that this one corrects.
    """

    properties: tuple[Property, ...]
    crystal: str = ""
    composition: str = ""
    parents: tuple[str, ...] = ()
    doi: str = ""
    source: str = ""
    supersedes: str = ""

    def __post_init__(self) -> None:
        if not self.crystal and not self.composition:
            raise InputError("A record needs a crystal or a composition.")
        hashes = [self.crystal, self.supersedes, *self.parents]
        if any(text and not _HASH.fullmatch(text) for text in hashes):
            raise InputError("Crystals, parents and superseded records are named by SHA-256.")

    def document(self) -> dict[str, Any]:
        """The fields that are set."""
        texts = {
            "crystal": self.crystal,
            "composition": self.composition,
            "doi": self.doi,
            "source": self.source,
            "supersedes": self.supersedes,
        }
        document: dict[str, Any] = {"v": SCHEMA_VERSION}
        document.update({name: text for name, text in texts.items() if text})
        if self.parents:
            document["parents"] = list(self.parents)
        if self.properties:
            document["properties"] = [one.document() for one in self.properties]
        return document

    def canonical(self) -> bytes:
        """The bytes that are hashed and kept."""
        return canonical_json(self.document())

    @property
    def id(self) -> str:
        """The record id: SHA-256 of the canonical form, in hex."""
        return record_id(self.canonical())

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        """Read :meth:`document`'s form."""
        if document.get("v") != SCHEMA_VERSION:
            raise InputError(f"A record of schema version {document.get('v')!r} is not known.")
        texts = ("crystal", "composition", "doi", "source", "supersedes")
        _require_known(document, {"v", "parents", "properties", *texts}, "a record")
        return cls(
            properties=tuple(Property.from_document(p) for p in document.get("properties", ())),
            parents=tuple(document.get("parents", ())),
            **{name: document.get(name, "") for name in texts},
        )


def record_id(canonical: bytes) -> str:
    """The id of a record's canonical bytes."""
    return hashlib.sha256(canonical).hexdigest()


def _require_known(document: dict[str, Any], known: set[str], what: str) -> None:
    unknown = sorted(set(document) - known)
    if unknown:
        raise InputError(f"{what.capitalize()} has no field {unknown[0]!r}.")
