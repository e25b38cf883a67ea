"""From trained members to a model: volumes, calibration, domain, one look at the test side, card.

What is measured is what ships: the members are read back from the file that was written, in the
precision that it holds, before anything is fitted or judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.compositions import Compositions
from materialabs.networks import cards, domain
from materialabs.networks.bond_network import BondNetworkShape
from materialabs.networks.calibration import FEWEST as FEWEST_TO_CALIBRATE
from materialabs.networks.calibration import Calibration
from materialabs.networks.composition_network import CompositionNetworkShape
from materialabs.networks.difficulty import Traits
from materialabs.networks.domain import Domain
from materialabs.networks.ensembles import (
    Asked,
    BondEnsemble,
    CompositionEnsemble,
    State,
)
from materialabs.networks.graphs import BondGraphs
from materialabs.networks.heads import Head, known_of, places_of, sibling_of
from materialabs.networks.inputs import cell_volumes
from materialabs.networks.judging import Assembled, judged, metrics
from materialabs.networks.learning_tasks import Scaling
from materialabs.networks.model_files import (
    CARD,
    SCHEMA,
    WEIGHTS,
    hashes_of,
    read_weights,
    write_calibrations,
    write_difficulties,
    write_domains,
    write_json,
    write_weights,
)
from materialabs.networks.models import Model, probabilities
from materialabs.networks.outsiders import Lesson, Outside, Outsider, lesson_of
from materialabs.networks.preparing import Prepared, UnrelaxedCopies
from materialabs.networks.signals import (
    chemical_groups,
    error_signals,
    signals_with_difficulty,
)
from materialabs.networks.training_data import TrainingData
from materialabs.networks.volume_trials import (
    ONE,
    TrialError,
    VolumeTrial,
    at_volumes,
    chosen,
    tried,
)

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

TEMPERATURES: Final = np.geomspace(0.25, 4.0, 81)
"""What scores of classes are divided by; the best is chosen on held-out rows."""

USUAL: Final = 0.9
"""Share of held-out rows on which the members disagree no more than they usually do."""

FEWEST_TO_FOLLOW: Final = 150
"""Held-out crystals from which the widths of intervals follow the signals: what is learned of them
has about twenty parameters. With fewer, only the members' disagreement widens an interval."""

FEWEST_TRIALS: Final = 50
"""Unrelaxed validation crystals with a value; with fewer the given volume alone is used."""


@dataclass(frozen=True, eq=False)
class Members:
    """Trained members, before they are written.

    Parameters
    ----------
    shape
        Of every network.
    states
        Weights of each member.
    scaling
        What takes their outputs to the units of the targets.
    recipes, histories
        How each was trained, and what each epoch reached.
    start
        Name and SHA-256 of the model that they began with, where it was one.
    outsiders
        Networks of the same shape that have learned without a part of the training side.
    """

    shape: BondNetworkShape | CompositionNetworkShape
    states: Sequence[State]
    scaling: Scaling
    recipes: Sequence[Mapping[str, Any]]
    histories: Sequence[Sequence[Mapping[str, Any]]]
    start: Mapping[str, Any] | None = None
    outsiders: Sequence[Outsider] = ()


def assemble(
    data: TrainingData, members: Members, prepared: Prepared | None, folder: Path, name: str
) -> Assembled:
    """Write a model's folder and judge the model, once, on the test rows.

    Parameters
    ----------
    data
        The table and its parts.
    members
        What training gave.
    prepared
        Graphs and unrelaxed copies; nothing where the model reads compositions.
    folder
        Gets the files; the card comes last.
    name
        Of the model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CARD).unlink(missing_ok=True)
    write_weights(folder, members.states, members.scaling)
    states, scaling = read_weights(folder)
    builder = _Builder(data, members, states, scaling, prepared)
    fitted, trials = builder.fitted()
    write_domains(folder, fitted.domains)
    write_difficulties(
        folder, {geometry: one.difficulty for geometry, one in fitted.lessons.items()}
    )
    write_calibrations(folder, fitted.calibrations, fitted.temperatures, fitted.spreads)
    card = _card(data, members, folder, name, trials)
    write_json(folder / CARD, card)
    made = judged(Model.load(folder), data, prepared)
    write_json(folder / CARD, card | {"metrics": metrics(made, data)})
    return Assembled(Model.load(folder), made.predictions, made.rows)


@dataclass(eq=False)
class _Fitted:
    calibrations: dict[tuple[str, str], Calibration] = field(default_factory=dict)
    temperatures: dict[str, float] = field(default_factory=dict)
    spreads: dict[tuple[str, str], float] = field(default_factory=dict)
    domains: dict[str, Domain] = field(default_factory=dict)
    lessons: dict[str, Lesson] = field(default_factory=dict)


class _Builder:
    """Fits everything that stands between the members' answers and calibrated predictions."""

    def __init__(
        self, data: TrainingData, members: Members, states: Sequence[State], scaling: Scaling,
        prepared: Prepared | None,
    ) -> None:  # fmt: skip
        self.data, self.prepared = data, prepared
        self.places = places_of(data.heads)
        self.shape, self.outsiders = members.shape, members.outsiders
        self.all = self._ensemble(states, scaling)
        self.first = self._ensemble(states[:1], scaling)

    def _ensemble(
        self, states: Sequence[State], scaling: Scaling
    ) -> BondEnsemble | CompositionEnsemble:
        if isinstance(self.shape, BondNetworkShape):
            return BondEnsemble(self.shape, states, scaling)
        return CompositionEnsemble(self.shape, states, scaling)

    def fitted(self) -> tuple[_Fitted, dict[str, list[TrialError]]]:
        """Domains, calibrations and temperatures, and what each set of volumes reached."""
        found = _Fitted(lessons=self._lessons())
        parts = self.data.parts
        held = self._rows(self.all, parts.calibration)
        self._fit(found, "relaxed", self._rows(self.first, parts.train), held, ONE)
        if self.prepared is None:
            return found, {}
        trials = self._trials(self.prepared.copies["valid"])
        learned = self._learned_unrelaxed(self.prepared, self.first, parts.train)
        away = self.prepared.copies["cal"]
        answers: dict[VolumeTrial, Asked] = {}
        for head in self.data.heads:
            trial = chosen(trials[head.name]) if head.name in trials else ONE
            if trial not in answers and len(away):
                answers[trial] = self._copies(self.all, away, trial)
            if trial in answers:
                self._fit(found, "unrelaxed", learned, answers[trial], trial, only=head)
        return found, trials

    def _fit(
        self, found: _Fitted, geometry: str, learned: Asked, held: Asked, trial: VolumeTrial,
        *, only: Head | None = None,
    ) -> None:  # fmt: skip
        if geometry not in found.domains:
            kept = domain.NEARLY_ALL if geometry in found.lessons else domain.PROTOTYPES
            fitted = _domain(learned, held, kept)
            if fitted is not None:
                found.domains[geometry] = fitted
        for head in self.data.heads if only is None else (only,):
            truth = self.data.targets[held.rows, self.places[head.name]]
            known = np.flatnonzero(np.isfinite(truth).all(axis=1))
            if len(known) < FEWEST_TO_CALIBRATE:
                continue
            if head.classes:
                if geometry == "relaxed":
                    values = held.answers.values[:, known, self.places[head.name]]
                    found.temperatures[head.name] = best_temperature(values, truth[known])
                continue
            if len(known) < FEWEST_TO_FOLLOW:
                own = held.answers.values[:, known, self.places[head.name].start]
                found.spreads[geometry, head.name] = float(np.quantile(own.std(axis=0), USUAL))
            found.calibrations[geometry, head.name] = self._calibration(
                held, known, truth[known, 0], head, found.domains.get(geometry),
                found.lessons.get(geometry),
            )  # fmt: skip

    def _calibration(
        self, held: Asked, known: Rows, truth: Floats, head: Head, fitted: Domain | None,
        lesson: Lesson | None,
    ) -> Calibration:  # fmt: skip
        values = held.answers.values[:, known]
        members = values[..., self.places[head.name].start]
        cells = held.compositions[known]
        mean, clusters = members.mean(axis=0), self.data.formulas[held.rows[known]]
        if len(known) < FEWEST_TO_FOLLOW:
            return Calibration.fit(mean, truth, {}, {}, clusters=clusters)
        strange, volumes = {}, held.volumes[known]
        if fitted is not None:
            judged = fitted.judge(held.answers.features[known], cells, volumes)
            strange = {
                "distance": judged.distance, "rarity": judged.rarity, "volume": judged.volume,
            }  # fmt: skip
        near = sibling_of(head, self.data.heads, known_of(self.data.heads, self.data.targets))
        sibling = None if near is None else values[..., self.places[near.name].start].mean(axis=0)
        if lesson is None or not strange or head.name not in lesson.difficulty.heads:
            signals = error_signals(mean, members, sibling=sibling, **strange)
            return Calibration.fit(mean, truth, signals, chemical_groups(cells), clusters=clusters)
        hard = lesson.difficulty.log_errors(
            Traits(values.mean(axis=0), cells, volumes, strange["distance"])
        )
        told = signals_with_difficulty(mean, members, sibling, hard[head.name])
        like = lesson.calibrations.get(head.name)
        levelled = {} if like is None else chemical_groups(cells)
        return Calibration.fit(
            mean, truth, told, {}, clusters=clusters, levelled=levelled, like=like
        )

    def _lessons(self) -> dict[str, Lesson]:
        """What outsiders teach of errors, by geometry."""
        parts: dict[str, list[Outside]] = {"relaxed": [], "unrelaxed": []}
        for one in self.outsiders:
            ensemble = self._ensemble([one.state], one.scaling)
            seen = np.setdiff1d(self.data.parts.train, one.kept_out)
            parts["relaxed"] += _outside(
                self._rows(ensemble, seen), self._rows(ensemble, one.kept_out)
            )
            if self.prepared is not None:
                away = self.prepared.copies["train"].of(one.kept_out)
                parts["unrelaxed"] += _outside(
                    self._learned_unrelaxed(self.prepared, ensemble, seen),
                    self._copies(ensemble, away, ONE),
                )
        found = {
            geometry: lesson_of(some, self.data.targets, self.data.heads, self.data.formulas)
            for geometry, some in parts.items()
        }
        return {geometry: one for geometry, one in found.items() if one is not None}

    def _trials(self, copies: UnrelaxedCopies) -> dict[str, list[TrialError]]:
        """What each set of volumes reached for each head, where enough is known to choose."""
        if not len(copies):
            return {}
        answers, found = None, {}
        for head in self.data.heads:
            column = self.places[head.name].start
            truth = self.data.targets[copies.original, column]
            if head.classes or np.isfinite(truth).sum() < FEWEST_TRIALS:
                continue
            if answers is None:
                answers = at_volumes(self.all, copies.graphs)
            found[head.name] = tried(answers, truth, column)
        return found

    def _rows(self, ensemble: BondEnsemble | CompositionEnsemble, rows: Rows) -> Asked:
        cells = self.data.compositions[rows]
        if isinstance(ensemble, CompositionEnsemble):
            return Asked(ensemble.answers(cells), cells, cell_volumes(None, cells), rows)
        assert self.prepared is not None
        graphs = self.prepared.relaxed.take(rows)
        return Asked(ensemble.answers(graphs), cells, cell_volumes(graphs, cells), rows)

    def _copies(self, ensemble: Any, copies: UnrelaxedCopies, trial: VolumeTrial) -> Asked:
        cells = self.data.compositions[copies.original]
        volumes = cell_volumes(copies.graphs, cells)
        return Asked(trial.answers(ensemble, copies.graphs), cells, volumes, copies.original)

    def _learned_unrelaxed(self, prepared: Prepared, ensemble: Any, seen: Rows) -> Asked:
        """Copies that were learned from, and what has none as it is."""
        copies = prepared.copies["train"].of(seen)
        rest = np.setdiff1d(seen, copies.original)
        graphs = BondGraphs.concat([copies.graphs, prepared.relaxed.take(rest)])
        rows = np.concatenate([copies.original, rest])
        return self._copies(ensemble, UnrelaxedCopies(graphs, rows), ONE)


def _domain(learned: Asked, held: Asked, prototypes: int) -> Domain | None:
    if min(len(learned.rows), len(held.rows)) < domain.FEWEST:
        return None
    return Domain.fit(
        np.concatenate([learned.answers.features, held.answers.features]),
        Compositions.concat([learned.compositions, held.compositions]),
        np.concatenate([learned.volumes, held.volumes]),
        np.arange(len(learned.rows) + len(held.rows)) >= len(learned.rows),
        prototypes=prototypes,
    )


def _outside(seen: Asked, away: Asked) -> list[Outside]:
    """What an outsider says of rows that it has not seen, and how far they are from the others.

    Nothing where either are too few to tell.
    """
    known = _domain(seen, away, domain.NEARLY_ALL)
    if known is None:
        return []
    judged = known.judge(away.answers.features, away.compositions, away.volumes)
    return [Outside(away, judged.distance)]


def best_temperature(scores: Floats, truth: Floats) -> float:
    """What scores [m, n, k] are divided by so that true classes [n, k] are most likely."""
    place = truth.argmax(axis=1)
    losses = [
        -np.log(np.maximum(
            probabilities(scores, float(temperature)).mean(axis=0)[np.arange(len(place)), place],
            1e-12,
        )).mean()
        for temperature in TEMPERATURES
    ]  # fmt: skip
    return float(TEMPERATURES[int(np.argmin(losses))])


def _card(
    data: TrainingData, members: Members, folder: Path, name: str,
    trials: Mapping[str, Sequence[TrialError]],
) -> dict[str, Any]:  # fmt: skip
    learned = data.compositions[data.parts.train]
    files = hashes_of(folder)
    return {
        "schema": SCHEMA,
        "name": name,
        "files": files,
        "weights_sha256": files[WEIGHTS],
        "heads": [head.to_dict() for head in data.heads],
        "network": {
            "reads": "crystals" if isinstance(members.shape, BondNetworkShape) else "compositions",
            "shape": members.shape.document(),
            "members": len(members.states),
            "start": None if members.start is None else dict(members.start),
        },
        "data": {
            "name": data.name,
            "sha256": data.data_hash,
            "credit": data.credit,
            "licence": data.licence,
            "notes": list(data.notes),
            "rows": len(data.inputs),
            "parts": data.parts.counts(),
            "known": known_of(data.heads, data.targets),
        },
        "split": data.split,
        "elements": (learned.dense(range(119)) > 0).sum(axis=0).astype(int).tolist(),
        "volumes": {head: chosen(errors).to_dict() for head, errors in trials.items()},
        "volume_trials": {
            head: [one.trial.to_dict() | {"mae": one.error} for one in errors]
            for head, errors in trials.items()
        },
        "recipes": [dict(recipe) for recipe in members.recipes],
        "histories": [[dict(epoch) for epoch in history] for history in members.histories],
        "outsiders": [len(one.kept_out) for one in members.outsiders],
        "versions": cards.versions(),
    }
