"""CGCNN as a peer: faster than its plain form, and the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from materialabs.crystals.batch import Crystals
from materialabs.crystals.prototypes import prototypes

pytest.importorskip("torch_geometric")

import torch
from benchmarks.cgcnn import Gate, Goal, Graphs, Layer, Network, Norm, Training, graphs_of

from benchmarks import cgcnn


@pytest.fixture(scope="module")
def crystals() -> Crystals:
    found = prototypes().crystals
    return found.take(np.flatnonzero(found.counts <= 12)[:24])


@pytest.fixture(scope="module")
def graphs(crystals: Crystals, tmp_path_factory: pytest.TempPathFactory) -> Graphs:
    return graphs_of(crystals, tmp_path_factory.mktemp("graphs"))


def test_a_layer_hears_what_cgconv_hears_on_all_bonds(graphs: Graphs) -> None:
    torch.manual_seed(0)
    batch, layer = graphs.batch(np.arange(len(graphs))), Layer()
    atom = torch.randn(len(batch.numbers), cgcnn.WIDTH)
    gaussians = torch.rand(len(batch.distance), cgcnn.GAUSSIANS)
    times = batch.count.long()
    edges = torch.stack([batch.neighbour, batch.centre]).repeat_interleave(times, 1)
    whole = layer.convolution(atom, edges, gaussians.repeat_interleave(times, 0)) - atom
    torch.testing.assert_close(layer.heard(atom, gaussians, batch), whole, atol=1e-4, rtol=1e-4)


def test_normalisation_counts_a_site_as_often_as_its_atoms() -> None:
    torch.manual_seed(0)
    values, atoms = torch.randn(5, cgcnn.WIDTH), torch.tensor([1.0, 4.0, 2.0, 1.0, 3.0])
    own, usual = Norm(), torch.nn.BatchNorm1d(cgcnn.WIDTH)
    repeated = usual(values.repeat_interleave(atoms.long(), 0))
    expected = repeated[torch.cumsum(atoms.long(), 0) - 1]
    torch.testing.assert_close(own(values, atoms), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(own.mean, usual.running_mean)


def test_the_gate_has_the_gradient_of_its_value() -> None:
    torch.manual_seed(0)
    mixed = torch.randn(6, 8, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(6, 1, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda values: Gate.apply(values, weight), [mixed])


def test_the_value_of_a_supercell_is_that_of_its_crystal(
    crystals: Crystals, graphs: Graphs, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network = Network(1).eval()
    doubled = Crystals.from_arrays(
        [one * np.array([[2.0], [1.0], [1.0]]) for one in crystals.lattice],
        [
            np.concatenate([frac / [2.0, 1.0, 1.0] + [half, 0.0, 0.0] for half in (0.0, 0.5)])
            for frac in np.split(crystals.frac, crystals.offsets[1:-1])
        ],
        [np.tile(one, 2) for one in np.split(crystals.numbers, crystals.offsets[1:-1])],
    )
    rows = np.arange(len(crystals))
    with torch.no_grad():
        plain = network(graphs.batch(rows))
        twice = network(graphs_of(doubled, tmp_path).batch(rows))
    torch.testing.assert_close(twice, plain, atol=1e-4, rtol=1e-4)


def test_unknown_targets_teach_nothing() -> None:
    goal = Goal(np.array([[1.0, 0.0], [np.nan, 1.0]]), (False, True), np.array([], dtype=int))
    values = torch.zeros(2, 2, requires_grad=True)
    goal.losses(values, torch.tensor([[1.0, 0.0], [torch.nan, 1.0]])).sum().backward()
    assert values.grad is not None and values.grad[1, 0] == 0.0 and values.grad[1, 1] != 0.0


def test_training_goes_on_where_it_was_saved(graphs: Graphs, tmp_path: Path) -> None:
    targets = np.linspace(-1.0, 1.0, len(graphs))[:, None]
    goal = Goal(targets, (False,), np.arange(0, len(graphs), 6))
    path = tmp_path / "cgcnn.pt"
    first = cgcnn.train(graphs, goal, 1.0, 0, path)
    again = Training.begun(path, 1, 0)
    assert again.steps == first.steps and again.errors == first.errors
    np.testing.assert_array_equal(
        cgcnn.predict(again, graphs, goal), cgcnn.predict(first, graphs, goal)
    )
