"""What training reads, made once and kept on disk: graphs, and unrelaxed copies with theirs.

Everything lies in one folder, arrays as .npy files that are mapped into memory. A step that was
stopped is made again; one that is done is not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.protostructure import prototype_labels
from materialabs.errors import ResourceError
from materialabs.networks.distortions import Copies, borrowed, shaken
from materialabs.networks.examples import JITTER, CrystalExamples
from materialabs.networks.graphs import NEIGHBOURS, BondGraphs, bond_graphs
from materialabs.networks.training_data import Parts

Rows = NDArray[np.int64]

COPIES: Final = 2
"""Most unrelaxed copies of each crystal that is learned from."""

LARGEST_SHAKEN: Final = 30
"""Atoms; larger crystals have no symmetry left when shaken, and would take most of the time."""

TRAINING_SEED, HELD_OUT_SEED = 11, 12
"""Seeds of the copies that are learned from, and of those that are not."""

ENOUGH: Final = 20
"""Held-out copies in borrowed geometries; where there are fewer, shaken ones are added."""


@dataclass(frozen=True, eq=False)
class UnrelaxedCopies:
    """Graphs of unrelaxed copies, and the row that each is a copy of, rising [m]."""

    graphs: BondGraphs
    original: Rows

    def __len__(self) -> int:
        return len(self.original)

    def of(self, rows: Rows) -> UnrelaxedCopies:
        """The copies of some rows."""
        chosen = np.flatnonzero(np.isin(self.original, rows))
        return UnrelaxedCopies(self.graphs.take(chosen), self.original[chosen])


@dataclass(frozen=True, eq=False)
class Prepared:
    """Graphs of all crystals, and unrelaxed copies for each part.

    Parameters
    ----------
    relaxed
        One graph for each row.
    copies
        Copies of the rows of each part: ``train``, ``valid``, ``cal``, ``test``. Geometry is lent
        by training rows only.
    jitter
        Relative noise on the lengths that are learned from.
    """

    relaxed: BondGraphs
    copies: dict[str, UnrelaxedCopies]
    jitter: float = JITTER

    @property
    def examples(self) -> CrystalExamples:
        """What a network learns from."""
        learned = self.copies["train"]
        return CrystalExamples(self.relaxed, learned.graphs, learned.original, jitter=self.jitter)


def prepare(
    crystals: Crystals,
    parts: Parts,
    folder: Path,
    *,
    neighbours: int = NEIGHBOURS,
    threads: int = 1,
    starts: Copies | None = None,
    said: Callable[[str], None] = lambda sentence: None,
) -> Prepared:
    """Make or map what training reads.

    Parameters
    ----------
    crystals
        All rows.
    parts
        Which rows serve for what.
    folder
        Where it is kept; one folder for one table and one split.
    neighbours
        Nearest neighbours of an atom that make its bonds.
    threads
        Threads that build the graphs.
    starts
        What relaxations of some rows began with: the unrelaxed copies of these, instead of made
        ones.
    said
        Gets a sentence before each long step.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if not _whole(folder / "relaxed"):
            said(f"building the graphs of {len(crystals)} crystals")
            bond_graphs(crystals, neighbours=neighbours, threads=threads).save(folder / "relaxed")
        maker = _Copier(crystals, parts.train, folder, neighbours, threads, said, starts)
        copies = {
            "train": maker.copies("train", parts.train),
            "valid": maker.copies("valid", parts.validation),
            "cal": maker.copies("cal", parts.calibration),
            "test": maker.copies("test", parts.test),
        }
    except OSError as error:
        if isinstance(error, ResourceError):
            raise
        raise ResourceError(
            f"{folder} could not be filled ({error.strerror or error}): make room and run the "
            "same line again.",
            code="training.write",
        ) from None
    return Prepared(BondGraphs.load(folder / "relaxed"), copies)


class _Copier:
    """Makes the unrelaxed copies of one table; structure types are found once."""

    def __init__(
        self, crystals: Crystals, lenders: Rows, folder: Path, neighbours: int, threads: int,
        said: Callable[[str], None], starts: Copies | None = None,
    ) -> None:  # fmt: skip
        self.crystals, self.lenders, self.folder = crystals, lenders, folder
        self.neighbours, self.threads, self.said = neighbours, threads, said
        self.starts = starts
        self._types: Sequence[str | None] | None = None

    def copies(self, name: str, rows: Rows) -> UnrelaxedCopies:
        place = self.folder / name
        if not (_whole(place) and place.with_suffix(".npy").exists()):
            self.said(f"making unrelaxed copies for the part '{name}'")
            graphs, original = self._made(name, rows)
            order = np.argsort(original, kind="stable")
            _save_rows(place.with_suffix(".npy"), original[order])
            graphs.take(order).save(place)
        return UnrelaxedCopies(BondGraphs.load(place), np.load(place.with_suffix(".npy")))

    def _made(self, name: str, rows: Rows) -> tuple[BondGraphs, Rows]:
        if self.starts is None:
            return self._imagined(name == "train", rows)
        real = np.flatnonzero(np.isin(self.starts.original, rows))
        graphs, original = self._graphs(self.starts.crystals[real]), self.starts.original[real]
        rest = np.setdiff1d(rows, original)
        if len(rest):
            more, of = self._imagined(name == "train", rest)
            graphs = BondGraphs.concat([graphs, more])
            original = np.concatenate([original, of])
        return graphs, original

    def _imagined(self, learned: bool, rows: Rows) -> tuple[BondGraphs, Rows]:
        seed, most = (TRAINING_SEED, COPIES) if learned else (HELD_OUT_SEED, 1)
        lent = borrowed(self.crystals, rows, self.lenders, self.types, seed, copies=most)
        graphs, original = self._graphs(lent.crystals), lent.original
        if learned or len(original) < ENOUGH:
            rest = np.setdiff1d(rows, original)
            rest = rest[self.crystals.counts[rest] <= LARGEST_SHAKEN]
            moved = shaken(self.crystals, rest, seed)
            graphs = BondGraphs.concat([graphs, self._graphs(moved.crystals)])
            original = np.concatenate([original, moved.original])
        return graphs, original

    def _graphs(self, crystals: Crystals) -> BondGraphs:
        return bond_graphs(crystals, neighbours=self.neighbours, threads=self.threads)

    @property
    def types(self) -> Sequence[str | None]:
        if self._types is None:
            for place in (self.folder / "types.json", self.folder.parent / "types.json"):
                if place.exists():
                    self._types = json.loads(place.read_text(encoding="utf-8"))
                    if len(self._types or ()) == len(self.crystals):
                        return self._types
            self.said("finding the structure types")
            self._types = prototype_labels(self.crystals)
            part = self.folder / "types.json.part"
            part.write_text(json.dumps(self._types), encoding="utf-8")
            part.replace(self.folder / "types.json")
        return self._types


def _whole(folder: Path) -> bool:
    return (folder / "spacing.npy").exists()


def _save_rows(path: Path, rows: Rows) -> None:
    part = path.with_suffix(".part.npy")
    np.save(part, rows)
    part.replace(path)
