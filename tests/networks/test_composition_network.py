"""The composition network: invariances, batches, and that it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from materialabs.crystals.compositions import Compositions
from materialabs.elements import ELECTRONEGATIVITY
from materialabs.errors import InputError
from materialabs.networks.composition_network import (
    CompositionBatch,
    CompositionExamples,
    CompositionNetwork,
    CompositionNetworkShape,
    composition_batch,
)

SHAPE = CompositionNetworkShape(("energy", "gap"), width=32, layers=2)
FORMULAS = ["Fe2O3", "Si", "Li3PS4", "CoMo3", "KAlSi3O8", "Fe2O3"]


def network(seed: int = 0, shape: CompositionNetworkShape = SHAPE) -> CompositionNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return CompositionNetwork(shape).eval()


def values(batch: CompositionBatch) -> np.ndarray:
    with torch.no_grad():
        return network()(batch).numpy()


def of(formulas: list[str]) -> np.ndarray:
    return values(composition_batch(Compositions.parse(formulas)))


def test_every_composition_gets_one_value_for_each_head() -> None:
    assert of(FORMULAS).shape == (len(FORMULAS), 2)


def test_equal_compositions_get_equal_values_and_others_do_not() -> None:
    found = of(FORMULAS)
    np.testing.assert_allclose(found[0], found[5], rtol=1e-6)
    assert len({round(float(value), 5) for value in found[:5, 0]}) == 5


def test_formula_unit_does_not_matter() -> None:
    np.testing.assert_allclose(of(["Fe4O6", "Li6P2S8"]), of(["Fe2O3", "Li3PS4"]), atol=1e-6)


def test_company_in_the_batch_does_not_matter() -> None:
    together = of(FORMULAS)
    for formula, value in zip(FORMULAS, together, strict=True):
        np.testing.assert_allclose(of([formula])[0], value, atol=1e-5)


@settings(max_examples=20)
@given(order=st.permutations(range(4)))
def test_order_of_the_elements_does_not_matter(order: list[int]) -> None:
    batch = composition_batch(Compositions.parse(["KAlSi3O8"]))
    turned = CompositionBatch(batch.numbers[:, order], batch.fractions[:, order])
    np.testing.assert_allclose(values(turned), values(batch), atol=1e-5)


def test_unused_places_do_not_matter() -> None:
    batch = composition_batch(Compositions.parse(["Li3PS4"]))
    wider = CompositionBatch(
        torch.nn.functional.pad(batch.numbers, (0, 3)),
        torch.nn.functional.pad(batch.fractions, (0, 3)),
    )
    np.testing.assert_allclose(values(wider), values(batch), atol=1e-5)


def test_trace_of_an_element_hardly_changes_the_value() -> None:
    pure, doped, half = of(["GaN", "GaNMg0.0000001", "GaNMg"])
    assert np.abs(doped - pure).max() < 0.01 * np.abs(half - pure).max()


def test_unseen_element_is_predicted_by_its_place_in_the_periodic_table() -> None:
    assert np.isfinite(of(["OgF2", "PoO2"])).all()


def test_same_seed_makes_the_same_network() -> None:
    batch = composition_batch(Compositions.parse(FORMULAS))
    with torch.no_grad():
        assert torch.equal(network(3)(batch), network(3)(batch))
        assert not torch.equal(network(3)(batch), network(4)(batch))


def test_rows_are_taken_in_order_without_unused_columns() -> None:
    batch = composition_batch(Compositions.parse(FORMULAS)).take([1, 0])
    assert batch.numbers.tolist() == [[14, 0], [8, 26]]
    np.testing.assert_allclose(batch.fractions, [[1, 0], [0.6, 0.4]], atol=1e-7)


def test_no_rows_make_an_empty_batch() -> None:
    batch = composition_batch(Compositions.parse(FORMULAS)).take([])
    assert len(batch) == 0 and values(batch).shape == (0, 2)


def test_batch_moves_to_a_device() -> None:
    batch = composition_batch(Compositions.parse(FORMULAS)).to("cpu")
    assert batch.numbers.device.type == "cpu" and len(batch) == len(FORMULAS)


def test_gradients_are_finite_for_pure_elements_and_mixtures() -> None:
    model = network().train()
    model(composition_batch(Compositions.parse(FORMULAS))).sum().backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    assert all(one is not None and torch.isfinite(one).all() for one in gradients)


def test_network_learns_a_property_of_held_out_compositions() -> None:
    """Mean electronegativity less its spread: learnt from 400 random binaries and ternaries."""
    generator = np.random.default_rng(0)
    rows = [
        dict(zip(generator.choice(np.arange(3, 57), size, replace=False).tolist(),
                 generator.integers(1, 5, size).astype(float).tolist(), strict=True))
        for size in generator.integers(2, 4, 500)
    ]  # fmt: skip
    table = np.nan_to_num(ELECTRONEGATIVITY, nan=2.0)
    truth = []
    for row in rows:
        share = np.array(list(row.values())) / sum(row.values())
        level = table[list(row)]
        mean = share @ level
        truth.append(mean - share @ np.abs(level - mean))
    targets = torch.tensor(np.array(truth) - np.mean(truth), dtype=torch.float32)
    batch = composition_batch(Compositions.from_dicts(rows))
    model = network(0, CompositionNetworkShape(("level",), width=32, layers=1)).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    train, test = batch.take(np.arange(400)), batch.take(np.arange(400, 500))
    for _ in range(80):
        optimiser.zero_grad()
        (model(train)[:, 0] - targets[:400]).abs().mean().backward()
        optimiser.step()
    with torch.no_grad():
        error = (model.eval()(test)[:, 0] - targets[400:]).abs().mean()
    assert error < 0.35 * targets[400:].abs().mean()


def test_examples_give_the_same_rows_to_learn_from_and_to_judge() -> None:
    examples = CompositionExamples(composition_batch(Compositions.parse(FORMULAS)))
    learned = examples.batch(np.array([2, 1]), np.random.default_rng(0))
    judged = examples.exact(np.array([2, 1]))
    assert len(examples) == len(FORMULAS)
    assert torch.equal(learned.numbers, judged.numbers) and len(learned) == 2


def test_shape_is_kept_as_plain_values() -> None:
    document = SHAPE.document()
    assert CompositionNetworkShape(**document | {"heads": tuple(document["heads"])}) == SHAPE


def test_width_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(InputError, match="multiple"):
        CompositionNetworkShape(("energy",), width=30, views=4)


def test_empty_composition_is_refused() -> None:
    with pytest.raises(InputError, match="without elements"):
        composition_batch(Compositions.from_dicts([{}]))
