"""Trained models: crystals or compositions in, calibrated predictions out.

::

    model = load_model("energy")
    formation = model.predict(crystals)                  # relaxed crystals
    formation = model.predict(candidates, relaxed=False)  # unrelaxed candidates
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.compositions import Compositions
from materialabs.errors import InputError, NotFound
from materialabs.networks.bond_network import BondNetworkShape
from materialabs.networks.difficulty import Traits
from materialabs.networks.ensembles import Answers, BondEnsemble
from materialabs.networks.graphs import BondGraphs, bond_graphs
from materialabs.networks.heads import Head, places_of, sibling_of
from materialabs.networks.inputs import as_compositions, as_crystals, cell_volumes
from materialabs.networks.model_files import ModelFiles, read_model
from materialabs.networks.signals import chemical_groups, error_signals
from materialabs.networks.volume_trials import ONE, VolumeTrial
from materialabs.predictions import Prediction
from materialabs.progress import track

Floats = NDArray[np.float64]

CHUNK: Final = 2_000
"""Crystals whose graphs are held at once, about 50 MB."""

SHIPPED: Final = Path(__file__).parent / "weights"
"""Folder of the models that come with the package."""

UNKNOWN_SHARE: Final = 0.5
"""Of the spread of a property: the least standard deviation where the in-domain score is 0 (an
element never learned from, say) and calibration, which has seen nothing of the kind, would be too
sure, as of a metal's gap of zero. A choice, not a measurement."""

NAMES: Final = {
    "energy": ("mp36k", "formation_energy"),
    "gap": ("mp36k", "band_gap"),
    "gap_hse": ("mp36k", "band_gap_hse"),
    "elasticity": ("elasticity", "bulk_modulus"),
    "bulk_modulus": ("elasticity", "bulk_modulus"),
    "shear_modulus": ("elasticity", "shear_modulus"),
    "phonons": ("phonons", "last_phonon_peak"),
    "perovskites": ("perovskites", "heat_of_formation"),
    "oxides": ("oxides", "formation_energy_per_cation"),
    "candidates": ("candidates", "formation_energy"),
    "pupil": ("pupil", "formation_energy"),
}
"""Names of shipped models: the folder, and the head that is meant."""


class Model:
    """A trained ensemble with its calibration; give it crystals, or formulas if it reads those.

    Parameters
    ----------
    files
        What its folder holds.
    head
        The head that is meant where none is named; the first by default.
    """

    def __init__(self, files: ModelFiles, head: str | None = None) -> None:
        self._files = files
        self.card = files.card
        self.heads = {one.name: one for one in files.heads}
        self.head = head or files.heads[0].name
        self._head(self.head)
        self._places = places_of(files.heads)

    @classmethod
    def load(cls, folder: str | Path, head: str | None = None) -> Model:
        """Read a model's folder; files that its card does not vouch for are refused."""
        return cls(read_model(Path(folder)), head)

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.card["name"])

    @property
    def model_id(self) -> str:
        """Name and the start of the weights' SHA-256: what a prediction says it is by."""
        return f"{self.name}/{self.card['weights_sha256'][:8]}"

    @property
    def reads(self) -> str:
        """``"crystals"`` or ``"compositions"``."""
        return "crystals" if isinstance(self._files.ensemble.shape, BondNetworkShape) else (
            "compositions"
        )  # fmt: skip

    def __len__(self) -> int:
        """Members of the ensemble."""
        return len(self._files.ensemble)

    def __repr__(self) -> str:
        return (
            f"Model({self.model_id}: {', '.join(self.heads)} of {self.reads}, {len(self)} members)"
        )

    def _head(self, name: str) -> Head:
        if name not in self.heads:
            raise NotFound(
                f"The model {self.name!r} predicts {', '.join(self.heads)}, not {name!r}."
            )
        return self.heads[name]

    def _asked(self, heads: Sequence[str] | None) -> list[str]:
        """Names of the heads that are asked about: all where none is named."""
        return [self._head(name).name for name in heads or self.heads]

    def with_precision(self, precision: str) -> Model:
        """The same model with products in another precision, for candidates by the million.

        ``"bfloat16"`` is about twice as quick where the processor knows it; a crystal that is
        written differently then differs by about 1e-3 of the spread of the values.
        """
        ensemble = self._files.ensemble
        if not isinstance(ensemble, BondEnsemble):
            return self
        return Model(replace(self._files, ensemble=ensemble.with_precision(precision)), self.head)

    # -- predicting -----------------------------------------------------------------------------

    def predict(
        self,
        crystals: Any,
        *,
        relaxed: bool = True,
        head: str | None = None,
        chunk: int = CHUNK,
        threads: int = 1,
        progress: bool | None = False,
    ) -> Prediction:
        """Predict one quantity, with calibrated intervals.

        Parameters
        ----------
        crystals
            Crystals, pymatgen structures or ASE atoms; formulas where the model reads
            compositions.
        relaxed
            Whether the geometries are final. Candidates that are not are predicted for their
            relaxed form, at the volumes that validation has chosen, with wider intervals.
        head
            What to predict; see :attr:`heads`.
        chunk
            Crystals worked on at once, which bounds the memory.
        threads
            Threads that build graphs; torch's threads stay as they are set.
        progress
            Draw a bar or not; ``None`` draws on a terminal.
        """
        name = head or self.head
        return self.predict_heads(
            crystals, [name], relaxed=relaxed, chunk=chunk, threads=threads, progress=progress
        )[name]

    def predict_heads(
        self,
        crystals: Any,
        heads: Sequence[str] | None = None,
        *,
        relaxed: bool = True,
        chunk: int = CHUNK,
        threads: int = 1,
        progress: bool | None = False,
    ) -> dict[str, Prediction]:
        """Predict several quantities in one pass; parameters as in :meth:`predict`."""
        batch = as_crystals(crystals) if self.reads == "crystals" else as_compositions(crystals)
        names = self._asked(heads)
        parts = list(
            track(
                self.stream(_chunks(batch, chunk), names, relaxed=relaxed, threads=threads),
                label=f"predicting ({chunk} a step)",
                total=-(-len(batch) // chunk),
                show=progress,
            )
        )
        joined = {name: Prediction.concat([part[name] for part in parts]) for name in names}
        ids = tuple(batch.ids()) if isinstance(batch, Crystals) else tuple(batch.formulas())
        return {name: one.replace(ids=ids) for name, one in joined.items()}

    def stream(
        self,
        batches: Iterable[Crystals] | Iterable[Compositions],
        heads: Sequence[str] | None = None,
        *,
        relaxed: bool = True,
        threads: int = 1,
    ) -> Iterator[dict[str, Prediction]]:
        """Predictions of batch after batch, in memory that does not grow with their number."""
        names = self._asked(heads)
        ensemble = self._files.ensemble
        for batch in batches:
            if isinstance(ensemble, BondEnsemble):
                crystals = as_crystals(batch)
                near = ensemble.shape.neighbours
                graphs = bond_graphs(crystals, neighbours=near, threads=threads)
                yield self.predict_graphs(graphs, crystals.compositions, names, relaxed=relaxed)
            else:
                cells = as_compositions(batch)
                yield self._told(ensemble.answers(cells), cells, None, names)

    def predict_graphs(
        self,
        graphs: BondGraphs,
        compositions: Compositions,
        heads: Sequence[str] | None = None,
        *,
        relaxed: bool = True,
    ) -> dict[str, Prediction]:
        """Predictions of crystals whose graphs are known already.

        Parameters
        ----------
        graphs
            Of n crystals, with as many neighbours as the model's card states.
        compositions
            Of the n cells.
        heads, relaxed
            As in :meth:`predict_heads`.
        """
        names = self._asked(heads)
        ensemble = self._files.ensemble
        if not isinstance(ensemble, BondEnsemble):
            raise InputError(f"The model {self.name!r} reads formulas, not crystals.")
        volumes = cell_volumes(graphs, compositions)
        if relaxed:
            return self._told(ensemble.answers(graphs), compositions, volumes, names)
        asked = {name: self._trial(name) for name in names}
        told: dict[str, Prediction] = {}
        for trial in dict.fromkeys(asked.values()):
            mine = [name for name in names if asked[name] == trial]
            answers = trial.answers(ensemble, graphs)
            told |= self._told(answers, compositions, volumes, mine, geometry="unrelaxed")
        return told

    def _trial(self, head: str) -> VolumeTrial:
        chosen = self.card.get("volumes", {}).get(head)
        return ONE if chosen is None else VolumeTrial.from_dict(chosen)

    def _told(
        self,
        answers: Answers,
        compositions: Compositions,
        volumes: Floats | None,
        names: Sequence[str],
        *,
        geometry: str = "relaxed",
    ) -> dict[str, Prediction]:
        """Predictions of the named heads from what the members say."""
        given = cell_volumes(None, compositions) if volumes is None else volumes
        domain = self._files.domains.get(geometry)
        strange = None
        if domain is not None and len(compositions):
            strange = domain.judge(answers.features, compositions, given)
        hard: dict[str, Floats] = {}
        difficulty = self._files.difficulties.get(geometry)
        if difficulty is not None and strange is not None:
            hard = difficulty.log_errors(
                Traits(answers.values.mean(axis=0), compositions, given, strange.distance)
            )
        groups = chemical_groups(compositions)
        ensemble_spread = self._files.ensemble.scaling.spread
        told = {}
        for name in names:
            head, members = self.heads[name], answers.values[..., self._places[name]]
            score = self._score(compositions) if strange is None else strange.score
            if head.classes:
                told[name] = self._classes(head, members, score)
                continue
            raw = self._numbers(head, members[..., 0], score)
            calibration = self._files.calibrations.get((geometry, name))
            if calibration is not None and len(compositions):
                known = {} if strange is None else {
                    "distance": strange.distance, "rarity": strange.rarity,
                    "volume": strange.volume,
                }  # fmt: skip
                signals = error_signals(
                    raw.mean, members[..., 0], sibling=self._sibling(head, answers),
                    hard=hard.get(name), **known,
                )  # fmt: skip
                raw = calibration.applied(raw, signals, groups)
                usual = self._files.spreads.get((geometry, name), 0.0)
                if usual > 0:
                    raw = _widened(raw, members[..., 0].std(axis=0) / usual)
            spread = float(ensemble_spread[self._places[name].start])
            told[name] = _doubtful(raw, UNKNOWN_SHARE * spread)
        return told

    def _sibling(self, head: Head, answers: Answers) -> Floats | None:
        """What the head that is most like this one says [n]."""
        sibling = sibling_of(head, self._files.heads, self.card.get("data", {}).get("known", {}))
        if sibling is None:
            return None
        return np.asarray(answers.values[..., self._places[sibling.name].start].mean(axis=0))

    def _score(self, compositions: Compositions) -> Floats:
        """In-domain scores without a domain: 0 for an element never learned from, else unknown."""
        seen = self.card["elements"]
        total = compositions.dense(range(1, len(seen))).sum(axis=1)
        known = compositions.dense([z for z in range(1, len(seen)) if seen[z]]).sum(axis=1)
        return np.where(known < total, 0.0, np.nan)

    def _numbers(self, head: Head, members: Floats, score: Floats) -> Prediction:
        return Prediction(
            members.mean(axis=0),
            members.std(axis=0, ddof=1) if len(members) > 1 else np.zeros(members.shape[1]),
            head.predicted_unit,
            self.model_id,
            level=head.level,
            kind=head.kind,
            quantity=head.title,
            in_domain=score,
            members=members,
            bounds=head.bounds,
        )

    def _classes(self, head: Head, members: Floats, score: Floats) -> Prediction:
        """Probabilities: each member's, softened by the fitted temperature, averaged."""
        chances = probabilities(members, self._files.temperatures.get(head.name, 1.0))
        return Prediction(
            chances.mean(axis=0),
            chances.std(axis=0),
            "",
            self.model_id,
            quantity=head.title,
            in_domain=score,
            members=chances,
            classes=head.classes,
        )


def _widened(told: Prediction, ratio: Floats) -> Prediction:
    """Intervals of one width, wider where the members disagree more than they usually do [n]."""
    return told.replace(std=told.std * np.maximum(ratio, 1.0))


def _doubtful(told: Prediction, least: float) -> Prediction:
    """Intervals at least so wide where nothing like the crystal was learned from or held out."""
    unknown = told.in_domain <= 0.0
    return told.replace(std=np.where(unknown, np.maximum(told.std, least), told.std))


def probabilities(scores: Floats, temperature: float) -> Floats:
    """Probabilities of classes from scores [..., k] (softmax; Guo et al. 2017)."""
    scaled = scores / temperature
    powers = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def load_model(name_or_folder: str | Path, head: str | None = None) -> Model:
    """Load a model that comes with the package, by its name, or your own, by its folder.

    Parameters
    ----------
    name_or_folder
        ``"energy"``, ``"gap"``, ... or the folder that training wrote.
    head
        What it predicts when it is not told otherwise.
    """
    name = str(name_or_folder)
    if name in NAMES and (SHIPPED / NAMES[name][0]).is_dir():
        folder, usual = NAMES[name]
        return Model.load(SHIPPED / folder, head or usual)
    if Path(name).is_dir():
        return Model.load(name, head)
    raise NotFound(
        f"There is no model {name!r}: these come with the package: "
        f"{', '.join(shipped_names()) or 'none'}; or give the folder that training wrote.",
        code="model.missing",
    )


def shipped_names() -> list[str]:
    """Names of the models that come with the package."""
    return [name for name, (folder, _) in NAMES.items() if (SHIPPED / folder).is_dir()]


def _chunks(batch: Crystals | Compositions, size: int) -> Iterator[Any]:
    """Consecutive parts; one empty part where there is nothing."""
    if size < 1:
        raise InputError("A chunk holds at least one crystal.")
    for start in range(0, max(len(batch), 1), size):
        yield batch[start : start + size]
