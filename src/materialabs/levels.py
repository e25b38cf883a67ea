"""Levels of theory, and energies that know theirs."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from materialabs.errors import InputError, LevelError

Kind = Literal["total", "formation"]
KINDS: tuple[Kind, ...] = ("total", "formation")


def require_kind(kind: str) -> Kind:
    """Refuse what is not a kind of energies."""
    for known in KINDS:
        if kind == known:
            return known
    raise InputError(f"The kind of energies is 'total' or 'formation', not {kind!r}.")


@dataclass(frozen=True)
class Level:
    """How an energy was obtained; two energies compare only when the whole of this is equal.

    Parameters
    ----------
    functional
        Exchange-correlation functional, for example ``"PBE"`` or ``"r2SCAN"``.
    hubbard
        The +U scheme, for example ``"MP"``; empty for none.
    pseudopotentials
        The set of pseudopotentials, for example ``"PAW-PBE"``; empty when not stated.
    correction
        Correction scheme with its version, for example ``"MP2020"``; empty for none. A mixture
        that a scheme defines (``PBE(+U)/MP2020``) is one level.
    code, version
        The program, or the potential, that computed the energy.
    weights
        SHA-256 of a potential's weights; empty for DFT.
    settings
        Hash of further settings that change energies (cut-off, k-points); empty when not stated.
    emulates
        For a potential: the level that it was trained to reproduce.
    """

    functional: str
    hubbard: str = ""
    pseudopotentials: str = ""
    correction: str = ""
    code: str = ""
    version: str = ""
    weights: str = ""
    settings: str = ""
    emulates: Level | None = None

    def __post_init__(self) -> None:
        if not self.functional:
            raise InputError("A level needs a functional, for example Level('PBE').")

    def __str__(self) -> str:
        method = self.functional + ("(+U)" if self.hubbard else "")
        program = " ".join(part for part in (self.code, self.version) if part)
        parts = [
            method,
            self.correction,
            self.pseudopotentials,
            program,
            f"weights {_short(self.weights)}" if self.weights else "",
            f"settings {_short(self.settings)}" if self.settings else "",
        ]
        return "/".join(part for part in parts if part)

    @classmethod
    def parse(cls, text: str) -> Level:
        """Read a level as people write it: ``MP2020``, ``PBE``, ``PBE(+U)/MP2020``, ``r2SCAN``.

        The functional, ``(+U)`` where there is one, and after a slash the correction scheme. A
        level needs more than these when more is known; then build it field by field.
        """
        known = {"MP2020": MP2020, "MP2018": MP2018, "Alexandria": ALEXANDRIA_PBE}
        if text in known:
            return known[text]
        functional, _, correction = text.strip().partition("/")
        bare = functional.removesuffix("(+U)")
        if not bare or not all(sign.isalnum() or sign in "-+_ ()" for sign in bare + correction):
            raise InputError(
                f"The level {text!r} cannot be read: write PBE, PBE(+U)/MP2020, r2SCAN, "
                f"or one of {', '.join(known)}."
            )
        return cls(bare, hubbard="U" if bare != functional else "", correction=correction)

    def to_dict(self) -> dict[str, object]:
        """All fields that are set, for JSON."""
        document: dict[str, object] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, Level):
                value = value.to_dict()
            if value:
                document[item.name] = value
        return document

    @classmethod
    def from_dict(cls, document: dict[str, object]) -> Self:
        """Build a level from :meth:`to_dict`'s form; unknown fields are refused."""
        known = {item.name for item in fields(cls)}
        unknown = sorted(set(document) - known)
        if unknown:
            raise InputError(f"A level has no field {unknown[0]!r}; it has {sorted(known)}.")
        values = dict(document)
        emulated = values.pop("emulates", None)
        if any(not isinstance(value, str) for value in values.values()):
            raise InputError("Every field of a level except 'emulates' is a text.")
        if emulated is not None and not isinstance(emulated, dict):
            raise InputError("'emulates' is a level, written as an object.")
        return cls(
            **{name: str(value) for name, value in values.items()},
            emulates=None if emulated is None else cls.from_dict(emulated),
        )


def _short(name: str) -> str:
    """A hash by its first eight digits; a name as it is."""
    digits = set("0123456789abcdef")
    return name[:8] if set(name) <= digits else name


MP2020 = Level("PBE", hubbard="MP", correction="MP2020", pseudopotentials="PAW-PBE", code="VASP")
"""Materials Project GGA/GGA+U mixture with the corrections of Wang et al., Sci. Rep. 11 (2021)."""

MP2018 = Level("PBE", hubbard="MP", correction="MP2018", pseudopotentials="PAW-PBE", code="VASP")
"""Materials Project GGA/GGA+U mixture with the corrections in use in 2018-2019."""

ALEXANDRIA_PBE = Level(
    "PBE",
    hubbard="MP",
    correction="MP2020",
    pseudopotentials="PAW-PBE",
    code="VASP",
    settings="Alexandria",
)
"""The Alexandria database's PBE level (Schmidt et al., Adv. Mater. 35, 2210788, 2023)."""


@dataclass(frozen=True, eq=False, init=False)
class Energies:
    """Energies of a batch in eV/atom, of one kind, at one level.

    Parameters
    ----------
    values
        [n], eV/atom.
    kind
        ``"total"`` (as a calculation prints it) or ``"formation"`` (against the elements).
    level
        The level of theory of all of them.
    """

    values: NDArray[np.float64]
    kind: Kind
    level: Level

    def __init__(self, values: ArrayLike, kind: Kind, level: Level) -> None:
        array = np.array(values, dtype=np.float64)
        if array.ndim != 1:
            raise InputError(f"Energies are one number for each entry, not shape {array.shape}.")
        require_kind(kind)
        if not isinstance(level, Level):
            raise InputError(f"The level of energies is a Level, not {type(level).__name__}.")
        array.setflags(write=False)
        object.__setattr__(self, "values", array)
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "level", level)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, selection: slice | ArrayLike) -> Energies:
        chosen = selection if isinstance(selection, slice) else np.asarray(selection)
        return Energies(np.atleast_1d(self.values[chosen]), self.kind, self.level)

    def require_comparable(self, other: Energies, *, allow_emulated: bool = False) -> None:
        """Refuse to compare with energies of another kind or level.

        Parameters
        ----------
        other
            The energies to compare with.
        allow_emulated
            Admit ``other`` when its level declares that it emulates this one.
        """
        if self.kind != other.kind:
            raise LevelError(
                f"{self.kind} and {other.kind} energies cannot be mixed: "
                f"convert one of them first.",
                code="level.kind",
            )
        if self.level == other.level:
            return
        if allow_emulated and other.level.emulates == self.level:
            return
        raise LevelError(
            f"Energies at {other.level} cannot be mixed with energies at {self.level}: "
            "recompute them at one level"
            + (", or pass allow_emulated=True." if other.level.emulates == self.level else "."),
            code="level.mixed",
        )

    def concat(self, other: Energies) -> Energies:
        """Join with energies of the same kind and level."""
        self.require_comparable(other)
        return Energies(np.concatenate([self.values, other.values]), self.kind, self.level)
