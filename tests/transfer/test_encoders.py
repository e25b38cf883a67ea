"""CroMEL's published structure encoders, against torch_geometric where it is installed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from materialabs.crystals.batch import Crystals
from materialabs.errors import InputError
from materialabs.transfer.cromel import SourceTraining, composition_vectors
from materialabs.transfer.encoders import (
    KINDS,
    ClusterBatch,
    ClusterEncoder,
    ClusterGraphs,
    EdgeNetworkConvolution,
    GatedConvolution,
)

CUBIC = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])


def salts(spacings: tuple[float, ...] = (5.64, 4.2, 6.3)) -> Crystals:
    pairs = ([11, 17], [12, 8], [19, 17])
    return Crystals.from_arrays(
        [spacing * CUBIC for spacing in spacings], [[[0, 0, 0], [0.5, 0.5, 0.5]]] * 3, list(pairs)
    )


def chance(nodes: int = 9, edges: int = 30, width: int = 6) -> tuple[ClusterBatch, torch.Tensor]:
    """Nodes and edges drawn at random, sorted by target; node 8 hears nobody."""
    torch.manual_seed(0)
    target = torch.sort(torch.randint(0, nodes - 1, (edges,))).values
    batch = ClusterBatch(
        torch.randn(nodes, width), torch.zeros(nodes, dtype=torch.int64),
        torch.randint(0, nodes, (edges,)), target, torch.rand(edges) + 1.0, 1,
    )  # fmt: skip
    return batch, torch.randn(edges, 4)


def test_the_gated_convolution_is_that_of_torch_geometric() -> None:
    library = pytest.importorskip("torch_geometric.nn")
    batch, edges = chance()
    ours, theirs = GatedConvolution(6, 4), library.CGConv(6, dim=4)
    ours.gate.load_state_dict(theirs.lin_f.state_dict())
    ours.core.load_state_dict(theirs.lin_s.state_dict())
    index = torch.stack([batch.source, batch.target])
    torch.testing.assert_close(
        ours(batch.nodes, edges, batch), theirs(batch.nodes, index, edges), rtol=1e-5, atol=1e-6
    )


def test_the_edge_network_is_that_of_torch_geometric() -> None:
    library = pytest.importorskip("torch_geometric.nn")
    batch, edges = chance()
    ours = EdgeNetworkConvolution(6, 4)
    theirs = library.NNConv(6, 6, ours.edge, aggr="add")
    theirs.lin.weight.data, theirs.bias.data = ours.own.weight.data, ours.own.bias.data
    index = torch.stack([batch.source, batch.target])
    torch.testing.assert_close(
        ours(batch.nodes, edges, batch), theirs(batch.nodes, index, edges), rtol=1e-5, atol=1e-5
    )


def test_convolutions_are_sums_over_edges_one_by_one() -> None:
    batch, edges = chance()
    gated, network = GatedConvolution(6, 4), EdgeNetworkConvolution(6, 4)
    first, second = batch.nodes.clone(), network.own(batch.nodes)
    ends = zip(batch.source.tolist(), batch.target.tolist(), strict=True)
    for edge, (source, target) in enumerate(ends):
        both = torch.cat([batch.nodes[target], batch.nodes[source], edges[edge]])
        told = torch.sigmoid(gated.gate(both)) * torch.log1p(torch.exp(gated.core(both)))
        first[target] = first[target] + told
        matrix = network.edge(edges[edge]).view(6, 6)
        second = second.index_add(0, torch.tensor([target]), (batch.nodes[source] @ matrix)[None])
    torch.testing.assert_close(gated(batch.nodes, edges, batch), first, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(network(batch.nodes, edges, batch), second, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_embeddings_have_length_one_and_do_not_depend_on_the_batch(kind: str) -> None:
    graphs = ClusterGraphs(salts())
    torch.manual_seed(1)
    encoder = ClusterEncoder(kind, graphs.table.shape[1], 16)
    together = encoder(graphs[[0, 1, 2]])
    torch.testing.assert_close(together.norm(dim=1), torch.ones(3))
    apart = torch.cat([encoder(graphs[[row]]) for row in range(3)])
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-5)


def test_a_supercell_has_the_embedding_of_its_cell_only_where_images_are_no_nodes() -> None:
    from ase.build import make_supercell

    cell = salts()[[0]]
    large = Crystals.from_ase(make_supercell(cell.to_ase()[0], np.diag([2, 1, 1])))
    both = Crystals.concat([cell, large])
    torch.manual_seed(2)
    periodic = ClusterGraphs(both)
    encoder = ClusterEncoder("cgcnn", periodic.table.shape[1], 16)
    same = encoder(periodic[[0, 1]])
    torch.testing.assert_close(same[0], same[1], rtol=1e-4, atol=1e-5)
    released = encoder(ClusterGraphs(both, images=True)[[0, 1]])
    assert (released[0] - released[1]).abs().max() > 1e-4


def test_images_are_nodes_that_hear_nobody() -> None:
    batch = ClusterGraphs(salts()[[0]], images=True)[[0]]
    # Rock salt within 4 angstrom: 6 of the other kind at 2.82 and 12 of its own at 3.99.
    assert len(batch.distance) == 36
    assert len(batch.nodes) > 2 and set(batch.target.tolist()) == {0, 1}


@pytest.mark.parametrize("kind", KINDS)
def test_an_encoder_learns_with_its_generator(kind: str) -> None:
    crystals = salts()
    graphs = ClusterGraphs(crystals)
    vectors = composition_vectors(crystals.compositions)
    encoder = ClusterEncoder(kind, graphs.table.shape[1], 16)
    training = SourceTraining(encoder, vectors.shape[1], 16)
    history = training.run(graphs, vectors, torch.tensor([-2.0, -3.0, -2.2]), epochs=150, batch=3)
    assert history[-1]["prediction"] < 0.5 * history[0]["prediction"]


def test_other_kinds_are_refused() -> None:
    with pytest.raises(InputError, match="cgcnn or mpnn"):
        ClusterEncoder("gat", 10)
