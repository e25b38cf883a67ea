"""Networks that begin with what another model has learned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from materialabs.errors import InputError, IntegrityError
from materialabs.networks.assembling import assemble
from materialabs.networks.bond_network import BondNetworkShape
from materialabs.networks.composition_network import CompositionNetworkShape
from materialabs.networks.distortions import Copies
from materialabs.networks.graphs import bond_graphs
from materialabs.networks.heads import Head
from materialabs.networks.learning_tasks import Recipe, Scaling
from materialabs.networks.members import new_network, task_of, train_members
from materialabs.networks.model_files import (
    CALIBRATION,
    CARD,
    DOMAIN,
    SCHEMA,
    WEIGHTS,
    hashes_of,
    write_json,
    write_weights,
)
from materialabs.networks.models import Model
from materialabs.networks.preparing import prepare
from materialabs.networks.splits import by_formula_hash
from materialabs.networks.starting import READOUT, Start
from materialabs.networks.training_data import Parts, TrainingData
from tests.networks.made_tables import crystals_of, ionic_energies

SHAPE = BondNetworkShape(("energy",), width=16, bond_width=8, layers=1)
OTHER = replace(SHAPE, heads=("stiffness", "softness"))
RECIPE = Recipe(epochs=1, batch=8)


def model_folder(folder: Path, *, reads: str = "crystals", seed: int = 1) -> Path:
    """What :class:`Start` reads of a model: two untrained members and a card."""
    states = [new_network(SHAPE, seed + member).state_dict() for member in range(2)]
    folder.mkdir()
    write_weights(folder, states, Scaling(np.zeros(1), np.ones(1)))
    for name in (CALIBRATION, DOMAIN):
        (folder / name).write_bytes(b"{}")
    network = {"reads": reads, "shape": SHAPE.document(), "members": 2, "start": None}
    write_json(
        folder / CARD,
        {"schema": SCHEMA, "name": "learned", "network": network, "files": hashes_of(folder)},
    )
    return folder


def table() -> TrainingData:
    crystals = crystals_of(120)
    return TrainingData(
        crystals, ionic_energies(crystals)[:, None], (Head("stiffness", "GPa"),),
        Parts.cut(by_formula_hash(crystals.compositions)), "by formula", "made",
    )  # fmt: skip


def test_a_network_begins_with_the_layers_of_a_member_and_a_readout_of_its_own(
    tmp_path: Path,
) -> None:
    start = Start.of(model_folder(tmp_path / "model"))
    begun, new = new_network(OTHER, 5, start).state_dict(), new_network(OTHER, 5).state_dict()
    learned = start.states[1]  # 5 modulo two members
    for name, value in begun.items():
        same = new[name] if name.startswith(READOUT) else learned[name]
        assert torch.equal(value, same), name


def test_seeds_take_turns_among_the_members(tmp_path: Path) -> None:
    start = Start.of(model_folder(tmp_path / "model"))
    first, second, third = (new_network(OTHER, seed, start) for seed in (0, 1, 2))
    assert torch.equal(first.names.weight, third.names.weight)
    assert not torch.equal(first.names.weight, second.names.weight)
    assert not torch.equal(first.readout.score.weight, third.readout.score.weight)


def test_a_network_of_another_shape_is_refused(tmp_path: Path) -> None:
    start = Start.of(model_folder(tmp_path / "model"))
    with pytest.raises(InputError, match="another shape"):
        new_network(replace(OTHER, width=32), 0, start)
    with pytest.raises(InputError, match="another shape"):
        new_network(CompositionNetworkShape(("stiffness",)), 0, start)


def test_crystals_do_not_begin_with_a_model_of_formulas(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="reads formulas"):
        Start.of(model_folder(tmp_path / "model", reads="compositions"))


def test_weights_that_the_card_does_not_name_are_refused(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "model")
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:-1] + b"\x55")
    with pytest.raises(IntegrityError):
        Start.of(folder)


def test_a_checkpoint_that_began_otherwise_is_not_gone_on_with(tmp_path: Path) -> None:
    data = table()
    prepared = prepare(data.inputs, data.parts, tmp_path / "graphs")
    starts = [None, *(
        Start.of(model_folder(tmp_path / f"model-{seed}", seed=seed)) for seed in (1, 3)
    )]  # fmt: skip
    prints = {task_of(data, prepared, start).fingerprint(RECIPE) for start in starts}
    assert len(prints) == 3
    shape = replace(SHAPE, heads=("stiffness",))
    train_members(data, prepared, shape, [RECIPE], tmp_path / "work", start=starts[1])
    with pytest.raises(InputError, match="another training"):
        train_members(data, prepared, shape, [RECIPE], tmp_path / "work", start=starts[2])


def test_a_begun_model_says_what_it_began_with(tmp_path: Path) -> None:
    data, start = table(), Start.of(model_folder(tmp_path / "learned"))
    prepared = prepare(data.inputs, data.parts, tmp_path / "graphs")
    found = train_members(
        data, prepared, start.shape_for(("stiffness",)), [RECIPE], tmp_path / "work", start=start
    )
    assemble(data, found, prepared, tmp_path / "model", "made")
    told = Model.load(tmp_path / "model").card["network"]["start"]
    assert told == {"name": "learned", "weights_sha256": start.sha256}


def test_known_starts_are_the_unrelaxed_copies_and_others_are_made(tmp_path: Path) -> None:
    data = table()
    rows = np.sort(np.concatenate([data.parts.train[:5], data.parts.test[:2]]))
    starts = data.inputs.take(rows).scaled(1.3 * data.inputs.take(rows).volumes)
    copies = Copies(starts, rows, np.full(len(rows), -1, np.int64))
    prepared = prepare(data.inputs, data.parts, tmp_path / "graphs", starts=copies)
    for name, part in (("train", data.parts.train), ("test", data.parts.test)):
        found = prepared.copies[name]
        assert set(found.original) <= set(part)
        for place, row in enumerate(rows):
            if row not in part:
                continue
            mine = np.flatnonzero(found.original == row)
            assert len(mine) == 1
            told, meant = found.graphs.take(mine), bond_graphs(starts.take([place]))
            np.testing.assert_allclose(told.length, meant.length, rtol=1e-5)
