"""The graph network and what it learns from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from materialabs.crystals.batch import Crystals
from materialabs.errors import InputError
from materialabs.networks.bond_network import (
    FAR,
    NEAR,
    BondBatch,
    BondNetwork,
    BondNetworkShape,
    Gaussians,
    faded,
)
from materialabs.networks.element_features import TABLES, element_features
from materialabs.networks.examples import MOST_VOLUME, CrystalExamples
from materialabs.networks.graphs import bond_graphs
from tests.networks.test_graphs import NETWORK_TOLERANCE, random_crystal, rock_salt


def network(heads: tuple[str, ...] = ("energy", "gap")) -> BondNetwork:
    torch.manual_seed(5)
    return BondNetwork(BondNetworkShape(heads, 32, 16, 3, 12)).eval()


def answers(crystals: Crystals, relaxed: float = 1.0) -> np.ndarray:
    with torch.no_grad():
        return network()(BondBatch.of(bond_graphs(crystals), relaxed)).numpy()


def test_rotation_changes_nothing() -> None:
    from scipy.spatial.transform import Rotation

    crystal = random_crystal(1)
    turned = crystal.replace(lattice=crystal.lattice @ Rotation.random(rng=2).as_matrix())
    np.testing.assert_allclose(answers(turned), answers(crystal), atol=NETWORK_TOLERANCE)


def test_translation_and_periodic_images_change_nothing() -> None:
    crystal = random_crystal(2)
    moved = crystal.replace(frac=crystal.frac + np.array([0.3, -0.7, 2.1]))
    np.testing.assert_allclose(answers(moved), answers(crystal), atol=NETWORK_TOLERANCE)


def test_the_order_of_atoms_changes_nothing() -> None:
    crystal = random_crystal(3)
    order = np.random.default_rng(0).permutation(len(crystal.frac))
    mixed = crystal.replace(frac=crystal.frac[order], numbers=crystal.numbers[order])
    np.testing.assert_allclose(answers(mixed), answers(crystal), atol=NETWORK_TOLERANCE)


def test_a_crystals_answer_does_not_depend_on_its_batch() -> None:
    crystals = Crystals.concat([random_crystal(seed) for seed in range(5)])
    together = answers(crystals)
    apart = np.concatenate([answers(crystals[row]) for row in range(5)])
    np.testing.assert_allclose(together, apart, atol=NETWORK_TOLERANCE)


def molecule(box: float) -> Crystals:
    """NaCl as a pair of atoms alone in a box (angstrom)."""
    frac = [[0.0, 0.0, 0.0], [2.4 / box, 0.0, 0.0]]
    return Crystals.from_arrays([box * np.eye(3)], [frac], [[11, 17]])


def test_emptiness_around_atoms_changes_nothing() -> None:
    np.testing.assert_allclose(
        answers(molecule(13.0)), answers(molecule(17.0)), atol=NETWORK_TOLERANCE
    )
    assert np.abs(answers(molecule(4.0)) - answers(molecule(17.0))).max() > 1e-4


def test_networks_of_before_measure_lengths_by_the_spacing_and_feel_emptiness() -> None:
    document = BondNetworkShape(("energy",), 32, 16, 3, 12).document()
    assert BondNetworkShape.of(document).measure == "radii"
    del document["measure"]
    shape = BondNetworkShape.of(document)
    assert shape.measure == "spacing"
    torch.manual_seed(5)
    model = BondNetwork(shape).eval()
    with torch.no_grad():
        told = [model(BondBatch.of(bond_graphs(molecule(box)), 1.0)) for box in (13.0, 17.0)]
    assert (told[0] - told[1]).abs().max() > 1e-4
    with pytest.raises(InputError, match="relative to spacing or radii"):
        BondNetworkShape(("energy",), measure="feet")


def test_a_neighbour_fades_smoothly_with_its_relative_length() -> None:
    ratio = torch.linspace(0.5, 4.0, 200, dtype=torch.float64, requires_grad=True)
    counts = faded(ratio)
    assert counts[ratio <= NEAR].eq(1).all() and counts[ratio >= FAR].eq(0).all()
    (slope,) = torch.autograd.grad(counts.sum(), ratio)
    assert slope.max() <= 0 and slope.diff().abs().max() < 0.1


def test_geometry_and_elements_and_state_all_matter() -> None:
    salt = rock_salt()
    other = answers(salt.replace(numbers=np.array([19, 17], np.uint8)))
    larger = answers(rock_salt(6.0))
    unrelaxed = answers(salt, relaxed=0.0)
    for changed in (other, larger, unrelaxed):
        assert np.abs(changed - answers(salt)).max() > 1e-4


def test_gradients_agree_with_finite_differences() -> None:
    torch.manual_seed(0)
    model = BondNetwork(BondNetworkShape(("energy",), 8, 4, 2, 12)).double()
    batch = BondBatch.of(bond_graphs(random_crystal(4, atoms=2)), 1.0)
    lengths = batch.length.double().requires_grad_()
    fields = {
        name: value.double() if value.is_floating_point() else value
        for name, value in vars(batch).items()
    }

    def energy(length: torch.Tensor) -> torch.Tensor:
        return model(BondBatch(**fields | {"length": length})).sum()

    assert torch.autograd.gradcheck(energy, (lengths,), eps=1e-5, atol=1e-6)


def test_every_element_has_features_and_no_two_are_equal() -> None:
    features = element_features()
    assert features.shape == (119, len(TABLES))
    assert np.isfinite(features).all()
    assert len(np.unique(features[1:104], axis=0)) == 103


def test_gaussians_peak_at_their_centres() -> None:
    values = Gaussians(0.0, 3.0, 4)(torch.tensor([2.0]))
    assert values[0].argmax().item() == 2
    assert values[0, 2].item() == pytest.approx(1.0)
    assert values[0, 1].item() == pytest.approx(np.exp(-0.5))


# -- examples ------------------------------------------------------------------------------------


def examples(share: float) -> CrystalExamples:
    crystals = Crystals.concat([rock_salt(5.0), rock_salt(6.0), rock_salt(7.0)])
    copies = Crystals.concat([rock_salt(10.0), rock_salt(12.0)])
    return CrystalExamples(bond_graphs(crystals), bond_graphs(copies), np.array([0, 2]), share)


def test_rows_without_copies_are_always_shown_relaxed() -> None:
    batch = examples(1.0).batch(np.array([1, 0, 1, 2]), np.random.default_rng(0))
    assert batch.relaxed.tolist() == [1, 0, 1, 0]


def test_copies_stand_in_for_their_own_row_at_a_random_volume() -> None:
    random = np.random.default_rng(1)
    for _ in range(20):
        batch = examples(1.0).batch(np.array([2, 1, 0]), random)
        spacing = batch.spacing.numpy()
        base = np.array([12.0, 6.0, 10.0]) / 2
        assert spacing[1] == pytest.approx(base[1], rel=1e-6)
        assert np.abs(np.log((spacing / base) ** 3)).max() <= np.log(1 / 0.8) + 1e-6
        assert (spacing / base).max() <= np.cbrt(MOST_VOLUME) + 1e-6


def test_without_a_share_nothing_stands_in() -> None:
    batch = examples(0.0).batch(np.array([0, 1, 2]), np.random.default_rng(0))
    assert batch.relaxed.tolist() == [1, 1, 1]


def test_exact_rows_have_no_noise() -> None:
    first, second = (examples(0.5).exact(np.array([0])).length for _ in range(2))
    assert first.tolist() == second.tolist() == pytest.approx([2.5, 5 / np.sqrt(2)] * 2, rel=1e-6)
