"""Whether a compound was known before, and to whom: no crystal is called new without saying that.

Three questions are asked of each list: does it hold the formula, a crystal of the same structure
type and elements (protostructure), and the very structure (atoms match)? What is said is what was
compared, not more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from sqlalchemy import select

from materialabs.crystals.batch import Crystals
from materialabs.crystals.files import ReadReport, read, stream
from materialabs.crystals.protostructure import protostructure_labels, prototype_labels
from materialabs.crystals.prototypes import prototypes
from materialabs.errors import FileError
from materialabs.store import schema
from materialabs.store.database import reading
from materialabs.store.store import Store

RELATIVES: Final = 5
"""Relatives of a compound that are named."""

LABEL_WITHIN: Final = 0.05
"""Angstrom within which the symmetry of relaxed crystals is looked for."""


@dataclass(frozen=True, eq=False)
class KnownList:
    """Crystals that compounds are compared with.

    Parameters
    ----------
    name
        For people.
    crystals
        Ordered ones.
    """

    name: str
    crystals: Crystals

    @cached_property
    def formulas(self) -> list[str]:
        """Reduced formulas."""
        return self.crystals.reduced_formulas()


@dataclass(frozen=True)
class Comparison:
    """What one list holds of one compound.

    Parameters
    ----------
    where
        Name of the list.
    size
        How many crystals it has.
    formula, protostructure, structure
        Ids of crystals that share each with the compound.
    """

    where: str
    size: int
    formula: tuple[str, ...]
    protostructure: tuple[str, ...]
    structure: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What was found, with what was compared."""
        if self.structure:
            return f"the structure is in {self.where} ({self.structure[0]})"
        if self.protostructure:
            return (
                f"{self.where} holds the formula in this structure type "
                f"({self.protostructure[0]}), with atoms elsewhere"
            )
        if self.formula:
            return f"{self.where} holds the formula in another structure ({self.formula[0]})"
        return f"not among the {self.size:,} crystals of {self.where}"


def known_lists(store: Store, known_until: int, files: Sequence[str]) -> list[KnownList]:
    """What compounds of a campaign are compared with: prototypes, the store before, own lists."""
    lists = [KnownList("the prototype library", prototypes().crystals)]
    before = _before(store, known_until)
    if len(before):
        lists.append(KnownList("the store before this campaign", before))
    return lists + [read_list(path) for path in files]


def read_list(path: str) -> KnownList:
    """The ordered crystals of a list of one's own.

    Raises
    ------
    FileError
        When it is not there, cannot be read, or holds no ordered crystal.
    """
    _require_there(path)
    crystals = read([path], progress=False)
    ordered = crystals[~crystals.disordered()]
    if not len(ordered):
        raise _without_order(path)
    return KnownList(Path(path).name, ordered)


def require_lists(paths: Sequence[str]) -> None:
    """Refuse lists that :func:`read_list` could not read; each is read to its first good batch."""
    for path in paths:
        _require_there(path)
        batches = stream([path], report=ReadReport(), progress=False)
        if not any((~batch.disordered()).any() for batch in batches):
            raise _without_order(path)


def _require_there(path: str) -> None:
    if not Path(path).exists():
        raise FileError(f"There is no file {path} of known crystals.")


def _without_order(path: str) -> FileError:
    return FileError(
        f"{path} holds no crystal whose sites are all full, so that nothing can be compared with "
        "it: `materialabs convert --ordered` makes them whole."
    )


def _before(store: Store, known_until: int) -> Crystals:
    records, structures = schema.records, schema.structures
    query = (
        select(structures.c.id)
        .where(
            structures.c.disordered.is_(False), structures.c.dimensions == 3,
            structures.c.id.in_(
                select(records.c.crystal_id).where(
                    records.c.id <= known_until, records.c.crystal_id.is_not(None)
                )
            ),
        )
        .order_by(structures.c.id)
    )  # fmt: skip
    with reading(store.engine) as connection:
        ids = [row.id for row in connection.execute(query)]
    return store.crystals(ids) if ids else Crystals.empty()


def compare(crystal: Crystals, lists: Sequence[KnownList]) -> list[Comparison]:
    """What each list holds of one compound."""
    from materialabs.generation.matching import match

    formula = crystal.reduced_formulas()[0]
    label = protostructure_labels(crystal, LABEL_WITHIN)[0]
    found = []
    for known in lists:
        rows = [row for row, name in enumerate(known.formulas) if name == formula]
        same = known.crystals[np.array(rows, dtype=np.int64)]
        names = same.ids()
        labels = protostructure_labels(same, LABEL_WITHIN) if rows else []
        alike: list[bool] = []
        if rows:
            alike = match(_bare(same), _bare(crystal.take([0] * len(rows)))).same.tolist()
        found.append(
            Comparison(
                known.name,
                len(known.crystals),
                tuple(names),
                tuple(n for n, one in zip(names, labels, strict=True) if one and one == label),
                tuple(n for n, one in zip(names, alike, strict=True) if one),
            )
        )
    return found


def relatives(crystal: Crystals, lists: Sequence[KnownList]) -> list[str]:
    """Known crystals of the same structure type, the nearest in elements first."""
    (label,) = prototype_labels(crystal, LABEL_WITHIN)
    if label is None:
        return []
    own = set(crystal.numbers.tolist())
    ranked: list[tuple[int, str]] = []
    for known in lists:
        kinds = len(own)
        counts = np.diff(known.crystals.compositions.offsets)
        rows = np.flatnonzero(counts == kinds)
        anonymous = _anonymous(known.crystals[rows])
        rows = rows[np.array([one == _anonymous(crystal)[0] for one in anonymous], dtype=bool)]
        chosen = known.crystals[rows]
        labels = prototype_labels(chosen, LABEL_WITHIN) if len(chosen) else []
        for place, one in enumerate(labels):
            if one == label:
                shared = len(own & set(chosen[place].numbers.tolist()))
                text = f"{chosen[place].reduced_formulas()[0]} ({chosen.ids()[place]})"
                ranked.append((-shared, text))
    return list(dict.fromkeys(text for _, text in sorted(ranked)))[:RELATIVES]


def _anonymous(crystals: Crystals) -> list[tuple[float, ...]]:
    return [tuple(sorted(one.values())) for one in crystals.compositions.reduced()]


def _bare(crystals: Crystals) -> Crystals:
    return crystals.replace(columns=None, site_columns=None)
