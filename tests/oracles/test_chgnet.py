import contextlib
import io
from dataclasses import replace

import numpy as np
import pytest
from small_crystals import copper, low_symmetry, rattled, rutile, some

from materialabs.crystals.batch import Crystals
from materialabs.crystals.files import read
from materialabs.errors import InputError, IntegrityError, NotFound
from materialabs.levels import MP2020
from materialabs.oracles import chgnet_weights
from materialabs.oracles.chgnet import ChgnetOracle
from materialabs.oracles.chgnet_compiled import evaluate_crystal
from materialabs.oracles.chgnet_graph import bond_graph, split_graph
from materialabs.oracles.chgnet_network import evaluate_graph
from materialabs.units import GPA_PER_EV_PER_CUBIC_ANGSTROM

AGREEMENT = 1e-5


@pytest.fixture(scope="module")
def oracle():
    return ChgnetOracle(device="cpu")


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def published():
    """CHGNet's own network in double precision, so that its rounding is not compared."""
    import torch

    def ask(model_name, crystals):
        import warnings

        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            from chgnet.model import CHGNet

            model = CHGNet.load(model_name=model_name, use_device="cpu", verbose=False).double()
            model.composition_model.float()
            answers = []
            for structure in crystals.to_pymatgen():
                graph = model.graph_converter(structure)
                graph.atom_frac_coord = torch.tensor(structure.frac_coords, requires_grad=True)
                graph.lattice = torch.tensor(structure.lattice.matrix, requires_grad=True)
                graph.neighbor_image = graph.neighbor_image.double()
                answers.append(model.predict_graph(graph, task="efsm"))
        return answers

    return ask


@pytest.mark.parametrize(("weights", "name"), [("pbe", "0.3.0"), ("r2scan", "r2scan")])
def test_answers_are_those_of_chgnet_itself(published, weights, name):
    crystals = some()
    found = ChgnetOracle(weights, device="cpu").evaluate(crystals)
    for row, answer in enumerate(published(name, crystals)):
        atoms = slice(crystals.offsets[row], crystals.offsets[row + 1])
        assert found.energies[row] == pytest.approx(float(answer["e"]), abs=AGREEMENT)
        np.testing.assert_allclose(found.forces[atoms], answer["f"], atol=AGREEMENT)
        stress = answer["s"] / GPA_PER_EV_PER_CUBIC_ANGSTROM
        np.testing.assert_allclose(found.stress[row], stress, atol=AGREEMENT)
        np.testing.assert_allclose(found.moments[atoms], answer["m"], atol=AGREEMENT)


@pytest.mark.slow
def test_answers_for_real_crystals_are_those_of_chgnet_itself(published, oracle, data_folder):
    everything = read(data_folder / "structures" / "mp36k.jsonl.gz")
    small = np.flatnonzero(everything.counts <= 12)
    crystals = everything.take(np.random.default_rng(2).choice(small, 40, replace=False))
    crystals = crystals.take(np.flatnonzero(oracle.evaluate(crystals).good))
    found = oracle.evaluate(crystals)
    answers = published("0.3.0", crystals)
    energies = np.array([float(answer["e"]) for answer in answers])
    np.testing.assert_allclose(found.energies, energies, atol=AGREEMENT)
    forces = np.concatenate([answer["f"] for answer in answers])
    np.testing.assert_allclose(found.forces, forces, atol=3 * AGREEMENT)


@pytest.mark.slow
def test_energies_hold_the_corrections_of_2020(oracle, data_folder):
    """Of oxides of iron the corrections are larger by far than CHGNet's errors."""
    crystals, corrected, correction = corrected_entries(data_folder)
    found = oracle.evaluate(crystals).energies
    with_them = np.abs(found - corrected).mean()
    without = np.abs(found - (corrected - correction)).mean()
    assert np.abs(correction).mean() > 0.2
    assert with_them < 0.05 < without


def corrected_entries(data_folder):
    import gzip
    import json

    from pymatgen.core import Structure

    with gzip.open(data_folder / "hulls" / "Fe_Li_O_P_entries.json.gz") as stream:
        entries = json.load(stream)
    chosen = [entry for entry in entries if len(entry["structure"]["sites"]) <= 12][:60]
    structures = [Structure.from_dict(entry["structure"]) for entry in chosen]
    count = np.array([len(structure) for structure in structures])
    energy = np.array([entry["energy"] for entry in chosen]) / count
    correction = np.array([entry["correction"] for entry in chosen]) / count
    rows = np.flatnonzero(np.abs(correction) > 0.1)
    crystals = Crystals.from_pymatgen([structures[row] for row in rows])
    return crystals, (energy + correction)[rows], correction[rows]


def test_the_compiled_network_is_the_one_for_graphics_processors():
    crystals = some()
    graph = bond_graph(crystals)
    whole = evaluate_graph(graph, "pbe", "cpu")
    parts = [evaluate_crystal(part, "pbe") for part in split_graph(graph)]
    energies = np.concatenate([part.atom_energies for part in parts])
    slopes = np.concatenate([part.slopes for part in parts])
    np.testing.assert_allclose(energies, whole.atom_energies, atol=AGREEMENT)
    np.testing.assert_allclose(slopes, whole.slopes, atol=2 * AGREEMENT)


def test_an_answer_does_not_depend_on_the_batch_to_the_last_bit(oracle):
    crystals = some()
    together = oracle.evaluate(crystals)
    for row in range(len(crystals)):
        alone = oracle.evaluate(crystals[row])
        atoms = slice(crystals.offsets[row], crystals.offsets[row + 1])
        assert alone.energies[0] == together.energies[row]
        assert np.array_equal(alone.forces, together.forces[atoms])
        assert np.array_equal(alone.stress[0], together.stress[row])


def test_graph_of_a_batch_is_split_into_those_of_its_crystals():
    crystals = some()
    for crystal, part in zip(crystals, split_graph(bond_graph(crystals)), strict=True):
        own = bond_graph(crystal)
        for name in ("first", "second", "short", "centre", "one", "other", "sign", "vectors"):
            assert np.array_equal(getattr(own, name), getattr(part, name)), name


def test_every_bond_stands_once_and_every_angle_once():
    """Copper: 12 neighbours at 2.55, 6 at 3.6, 24 at 4.41, 12 at 5.09, 24 at 5.69 angstrom."""
    graph = bond_graph(copper())
    assert len(graph.first) == 4 * (12 + 6 + 24 + 12 + 24) / 2
    assert len(graph.short) == 4 * 12 / 2
    assert len(graph.centre) == 4 * 12 * 11 / 2


def test_level_names_the_weights_and_what_they_emulate(oracle):
    assert oracle.level.emulates == MP2020
    assert len(oracle.level.weights) == 64
    assert ChgnetOracle("r2scan", device="cpu").level.emulates.functional == "r2SCAN"


def test_the_two_weights_are_two_levels(oracle):
    assert oracle.level != ChgnetOracle("r2scan", device="cpu").level


def test_unknown_weights_are_refused():
    with pytest.raises(InputError, match="pbe, r2scan"):
        ChgnetOracle("b3lyp")


def test_weights_that_are_not_the_published_bytes_are_not_read(monkeypatch):
    changed = replace(chgnet_weights.PUBLISHED["pbe"], sha256="0" * 64)
    monkeypatch.setitem(chgnet_weights.PUBLISHED, "changed", changed)
    with pytest.raises(IntegrityError, match="not the published one"):
        chgnet_weights.load_weights("changed")


def test_missing_weights_are_named(monkeypatch):
    gone = replace(chgnet_weights.PUBLISHED["pbe"], place="pretrained/none")
    monkeypatch.setitem(chgnet_weights.PUBLISHED, "gone", gone)
    with pytest.raises(NotFound, match="has no weights"):
        chgnet_weights.load_weights("gone")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(chgnet_weights, "find_spec", lambda name: None)
    chgnet_weights.load_weights.cache_clear()
    with pytest.raises(NotFound, match="pip install chgnet"):
        chgnet_weights.load_weights("pbe")


def test_an_element_beyond_the_training_data_has_no_answer_and_spares_the_others(oracle):
    curium = copper().replace(numbers=np.full(4, 96, dtype=np.uint8))
    found = oracle.evaluate(Crystals.concat([curium, copper()]))
    assert "Cm" in found.reasons[0]
    assert np.isnan(found.energies[0])
    assert found.energies[1] == oracle.evaluate(copper()).energies[0]


def test_an_atom_without_neighbours_is_a_reason(oracle):
    gas = Crystals.from_arrays([np.eye(3) * 15.0], [[[0, 0, 0]]], [[2]])
    assert "no neighbour" in oracle.evaluate(gas).reasons[0]


def test_crystals_without_short_bonds_have_forces(oracle):
    """Argon at 4 angstrom has bonds but no angles."""
    argon = rattled(copper(5.6).replace(numbers=np.full(4, 18, dtype=np.uint8)))
    assert len(bond_graph(argon).centre) == 0
    found = oracle.evaluate(argon)
    assert not found.reasons[0]
    assert np.abs(found.forces).max() > 0


def test_forces_add_up_to_nothing(oracle):
    crystal = rattled(rutile())
    np.testing.assert_allclose(oracle.evaluate(crystal).forces.sum(0), 0.0, atol=1e-9)


def test_no_crystals_give_no_answers(oracle):
    assert len(oracle.evaluate(Crystals.empty())) == 0


def test_random_cells_have_the_forces_of_their_energy(oracle):
    for seed in range(3):
        crystal = low_symmetry(seed)
        found = oracle.evaluate(crystal)
        direction = np.random.default_rng(seed).normal(size=(4, 3))
        ends = [
            oracle.evaluate(
                crystal.replace(
                    frac=crystal.frac + sign * 0.005 * direction @ np.linalg.inv(crystal.lattice[0])
                )
            ).energies[0] * 4
            for sign in (1, -1)
        ]  # fmt: skip
        slope = (ends[0] - ends[1]) / 0.01
        assert -(found.forces * direction).sum() == pytest.approx(slope, rel=5e-3, abs=5e-3)
