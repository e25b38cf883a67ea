"""Training on one's own table: what is learned, what is refused, and going on after a stop."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from materialabs.crystals.batch import Crystals
from materialabs.crystals.compositions import Compositions
from materialabs.crystals.files import write
from materialabs.crystals.occupancy import Occupancy
from materialabs.errors import (
    FileError,
    InputError,
    IntegrityError,
    LevelError,
    NotFound,
    ResourceError,
)
from materialabs.networks.asking import predict
from materialabs.networks.conformance import check_model, common_crystals
from materialabs.networks.graphs import bond_graphs
from materialabs.networks.model_files import CARD, WEIGHTS
from materialabs.networks.models import Model, load_model
from materialabs.networks.splits import TRAINING_PERCENT, formula_hash
from materialabs.networks.train import PLAN, WORK, train
from materialabs.networks.weight_files import hash_of
from tests.networks.made_tables import (
    crystal_table,
    crystals_of,
    formula_table,
    ionic_energies,
    rattled,
)

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def crystal_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model of crystals with two targets, a number and a class."""
    folder = tmp_path_factory.mktemp("crystals")
    table = crystal_table(folder / "table.jsonl")
    train(
        table, ["ionic", "oxide"], out=folder / "model", members=2, epochs=12, split="random",
        credit="made for a test", licence="CC0",
    )  # fmt: skip
    return folder / "model"


@pytest.fixture(scope="module")
def formula_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model of compositions."""
    folder = tmp_path_factory.mktemp("formulas")
    table = formula_table(folder / "table.csv")
    train(table, "ionic", out=folder / "model", members=2, epochs=25, split="random", unit="eV")
    return folder / "model"


@pytest.fixture(scope="module")
def of_crystals(crystal_folder: Path) -> Model:
    return load_model(crystal_folder)


@pytest.fixture(scope="module")
def of_formulas(formula_folder: Path) -> Model:
    return load_model(formula_folder)


# -- what is learned ------------------------------------------------------------------------------


def test_a_model_of_crystals_does_better_than_the_mean(of_crystals: Model) -> None:
    figures = of_crystals.card["metrics"]["relaxed"]["ionic"]
    spread = np.abs(ionic_energies(crystals_of(90)) - ionic_energies(crystals_of(90)).mean()).mean()
    assert figures["mae"] < 0.6 * spread


def test_a_model_of_formulas_does_better_than_the_mean(of_formulas: Model) -> None:
    figures = of_formulas.card["metrics"]["relaxed"]["ionic"]
    values = ionic_energies(crystals_of(150))
    assert figures["mae"] < 0.6 * np.abs(values - values.mean()).mean()


def test_truth_values_are_learned_as_classes(of_crystals: Model) -> None:
    told = of_crystals.predict(crystals_of(90), head="oxide")
    assert told.classes == ("false", "true")
    np.testing.assert_allclose(told.probability.sum(axis=1), 1.0)
    oxides = crystals_of(90).compositions.dense([8])[:, 0] > 0
    right = np.array(told.labels) == np.where(oxides, "true", "false")
    assert right.mean() > 0.9


def test_a_trained_model_of_crystals_keeps_every_promise(of_crystals: Model) -> None:
    check_model(of_crystals, rattled(crystals_of(8)))


def test_an_element_never_seen_works_and_is_flagged(of_crystals: Model) -> None:
    crystal = crystals_of(1).replace(numbers=np.array([92, 8], np.uint8))
    told = of_crystals.predict(crystal)
    assert np.isfinite(told.mean).all() and told.out_of_domain.all()
    assert told.in_domain[0] == 0.0


def test_an_element_never_seen_is_flagged_in_a_formula(of_formulas: Model) -> None:
    told = of_formulas.predict(["UO2", "MgO"])
    assert told.out_of_domain.tolist()[0] and np.isfinite(told.mean).all()


def test_unrelaxed_candidates_get_wider_intervals_than_none(of_crystals: Model) -> None:
    told = of_crystals.predict(crystals_of(20), relaxed=False)
    assert (told.std > 0).all() and told.members is not None and len(told.members) == 2


def test_chunks_do_not_change_the_answer(of_crystals: Model) -> None:
    crystals = crystals_of(30)
    whole = of_crystals.predict(crystals)
    np.testing.assert_allclose(of_crystals.predict(crystals, chunk=7).mean, whole.mean, atol=1e-6)


def test_pymatgen_and_ase_go_in(of_crystals: Model) -> None:
    crystals = common_crystals()
    expected = of_crystals.predict(crystals).mean
    np.testing.assert_allclose(
        of_crystals.predict(crystals.to_pymatgen()).mean, expected, atol=1e-5
    )
    np.testing.assert_allclose(of_crystals.predict(crystals.to_ase()).mean, expected, atol=1e-5)


def test_nothing_gives_nothing(of_formulas: Model) -> None:
    assert len(of_formulas.predict([])) == 0


def test_crystals_are_read_as_their_formulas_by_a_model_of_formulas(of_formulas: Model) -> None:
    crystals = crystals_of(5)
    told = of_formulas.predict(crystals)
    expected = of_formulas.predict(crystals.reduced_formulas())
    np.testing.assert_allclose(told.mean, expected.mean, atol=1e-6)


def test_a_head_that_is_not_there_is_named(of_crystals: Model) -> None:
    with pytest.raises(NotFound, match="ionic, oxide, not 'gap'"):
        of_crystals.predict(crystals_of(1), head="gap")


def test_a_head_that_is_not_there_is_named_for_graphs_too(of_crystals: Model) -> None:
    graphs, cells = bond_graphs(crystals_of(1)), crystals_of(1).compositions
    with pytest.raises(NotFound, match="ionic, oxide, not 'gap'"):
        of_crystals.predict_graphs(graphs, cells, ["gap"])


def test_the_card_says_where_the_data_come_from(of_crystals: Model) -> None:
    data = of_crystals.card["data"]
    assert (data["credit"], data["licence"]) == ("made for a test", "CC0")
    assert sum(data["parts"][part] for part in ("train", "validation", "test")) == data["rows"]


def test_no_compound_is_on_both_sides_of_the_usual_split(tmp_path: Path) -> None:
    table = formula_table(tmp_path / "t.csv", 60)
    text = table.read_text().splitlines()
    table.write_text("\n".join([*text, *text[1:]]) + "\n")  # every compound twice
    model = train(table, "ionic", out=tmp_path / "m", members=1, epochs=1)
    assert model.card["data"]["parts"]["test"] % 2 == 0


def test_logarithms_are_learned_and_told_as_such(tmp_path: Path) -> None:
    moduli = [float(10 ** (1.0 + value)) for value in ionic_energies(crystals_of(60))]
    table = formula_table(tmp_path / "t.csv", 60, modulus=list(moduli))
    model = train(
        table, "modulus", out=tmp_path / "m", members=1, epochs=3, logarithm=["modulus"],
        unit="GPa", split="random",
    )  # fmt: skip
    told = model.predict(["MgO"])
    assert told.unit == "log10(GPa)" and abs(told.mean[0]) < 3.0


def test_a_table_and_structures_are_joined_by_id(tmp_path: Path) -> None:
    from materialabs.networks.labelled_tables import read_labelled

    crystal_table(tmp_path / "structures.jsonl", 40)
    table = formula_table(tmp_path / "t.csv", 40)
    head, *rows = table.read_text().splitlines()
    table.write_text("\n".join([head, *rows[::-1]]) + "\n")
    joined = read_labelled(table, tmp_path / "structures.jsonl")
    assert isinstance(joined.inputs, Crystals)
    found = np.array([float(value) for value in joined.column("ionic")])
    np.testing.assert_allclose(found, ionic_energies(joined.inputs), atol=1e-9)


def test_the_report_needs_no_network(crystal_folder: Path) -> None:
    text = (crystal_folder / "report.html").read_text()
    assert "Predicted against true" in text and "<script src" not in text
    assert "<link" not in text


# -- bad input ------------------------------------------------------------------------------------


def test_a_table_without_the_target_lists_its_columns(tmp_path: Path) -> None:
    table = formula_table(tmp_path / "t.csv", 40)
    with pytest.raises(InputError, match=r"no column 'gap'; it has 'id', 'formula', 'ionic'"):
        train(table, "gap", out=tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_a_target_of_nothing_but_nan_is_refused(tmp_path: Path) -> None:
    table = formula_table(tmp_path / "t.csv", 40, gap=["nan"] * 40)
    with pytest.raises(InputError, match="'gap' holds no value"):
        train(table, "gap", out=tmp_path / "m")


def test_rows_whose_target_is_nan_are_left_out(tmp_path: Path) -> None:
    gaps = ["NaN" if place % 4 == 0 else place / 10 for place in range(60)]
    table = formula_table(tmp_path / "t.csv", 60, gap=gaps)
    model = train(table, "gap", out=tmp_path / "m", members=1, epochs=1, split="random")
    assert model.card["data"]["rows"] == 45


def test_a_crystal_with_partial_occupancies_is_left_out(tmp_path: Path) -> None:
    crystals = crystals_of(45)
    first = crystals[0].replace(
        occupancy=Occupancy(np.arange(3), crystals.numbers[:2], np.array([0.5, 1.0]))
    )
    mixed = Crystals.concat([first, crystals[1:]])
    mixed = mixed.with_columns(ionic=ionic_energies(crystals).tolist())
    write(mixed, tmp_path / "t.json")
    model = train(
        tmp_path / "t.json", "ionic", out=tmp_path / "m", members=1, epochs=1, split="random"
    )
    assert model.card["data"]["rows"] == 44
    (note,) = model.card["data"]["notes"]
    assert note == "1 of 45 rows have no value or partly occupied sites: left out"


def test_an_infinite_target_is_named_with_its_row(tmp_path: Path) -> None:
    gaps: list[object] = [1.0] * 39 + ["inf"]
    table = formula_table(tmp_path / "t.csv", 40, gap=gaps)
    with pytest.raises(InputError, match="'gap' is 'inf' in row 40: a finite number"):
        train(table, "gap", out=tmp_path / "m")


def test_ten_rows_are_too_few(tmp_path: Path) -> None:
    table = formula_table(tmp_path / "t.csv", 10)
    with pytest.raises(InputError, match=r"10 rows have a value .* 30 are needed"):
        train(table, "ionic", out=tmp_path / "m")


def test_a_constant_target_is_refused(tmp_path: Path) -> None:
    table = formula_table(tmp_path / "t.csv", 40, gap=[1.0] * 40)
    with pytest.raises(InputError, match="Every value of 'gap' is the same"):
        train(table, "gap", out=tmp_path / "m")


def test_energies_need_kind_and_level(tmp_path: Path) -> None:
    table = formula_table(tmp_path / "t.csv", 40)
    with pytest.raises(LevelError, match="of which kind"):
        train(table, "ionic", unit="eV/atom", out=tmp_path / "m")


def test_numbers_mixed_with_texts_are_refused(tmp_path: Path) -> None:
    gaps: list[object] = [1.0] * 39 + ["large"]
    table = formula_table(tmp_path / "t.csv", 40, gap=gaps)
    with pytest.raises(InputError, match="numbers and texts such as 'large'"):
        train(table, "gap", out=tmp_path / "m")


@pytest.mark.parametrize("targets", [[], ["ionic", "ionic"]])
def test_no_target_and_one_told_twice_are_refused(targets: list[str], tmp_path: Path) -> None:
    table = formula_table(tmp_path / "t.csv", 40)
    with pytest.raises(InputError, match="at least one target, and each of them once"):
        train(table, targets, out=tmp_path / "m")


@pytest.mark.parametrize("seed", [-1, 1 << 70])
def test_a_seed_that_no_generator_takes_is_refused(seed: int, tmp_path: Path) -> None:
    table = formula_table(tmp_path / "t.csv", 40)
    with pytest.raises(InputError, match="The seed lies between 0 and 4294967295"):
        train(table, "ionic", seed=seed, out=tmp_path / "m")


def test_a_number_that_marks_a_missing_value_is_refused(tmp_path: Path) -> None:
    gaps: list[object] = [1.0] * 39 + ["1e300"]
    table = formula_table(tmp_path / "t.csv", 40, gap=gaps)
    with pytest.raises(InputError, match="'gap' is '1e300' in row 40: a finite number"):
        train(table, "gap", out=tmp_path / "m")


def test_a_constant_target_is_refused_beside_classes(tmp_path: Path) -> None:
    table = formula_table(tmp_path / "t.csv", 60, gap=[1.0] * 60)
    with pytest.raises(InputError, match="Every value of 'gap' is the same"):
        train(table, ["oxide", "gap"], out=tmp_path / "m")


def test_a_target_without_a_value_to_learn_from_is_refused(tmp_path: Path) -> None:
    formulas = crystals_of(60).reduced_formulas()
    judged = [formula_hash(formula) >= TRAINING_PERCENT for formula in formulas]
    gaps = [float(place) if tested else "" for place, tested in enumerate(judged)]
    table = formula_table(tmp_path / "t.csv", 60, gap=gaps)
    with pytest.raises(InputError, match="'gap' has no value in the rows that are learned from"):
        train(table, ["ionic", "gap"], out=tmp_path / "m")


def test_a_kind_needs_energies_an_atom(tmp_path: Path) -> None:
    table = formula_table(tmp_path / "t.csv", 40)
    with pytest.raises(InputError, match="No target is in eV/atom, and only such"):
        train(table, "ionic", unit="meV/atom", kind="formation", level="PBE", out=tmp_path / "m")


def test_only_the_energies_among_the_targets_have_the_kind(tmp_path: Path) -> None:
    table = formula_table(tmp_path / "t.csv", 40, band_gap=list(range(40)))
    model = train(
        table, ["ionic", "band_gap"], unit=["eV/atom", "eV"], kind="formation", level="PBE",
        out=tmp_path / "m", members=1, epochs=1, split="random",
    )  # fmt: skip
    assert model.predict(["MgO"], head="ionic").energies().kind == "formation"
    with pytest.raises(LevelError, match="only predicted energies go on a hull"):
        model.predict(["MgO"], head="band_gap").energies()


@pytest.mark.parametrize(
    "split", ["nonsense", "group:", "elements:none", "group:nothing", "elements:\u00b2"]
)
def test_an_unknown_split_is_refused(split: str, tmp_path: Path) -> None:
    table = formula_table(tmp_path / "t.csv", 40)
    with pytest.raises(InputError):
        train(table, "ionic", split=split, out=tmp_path / "m")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="There is no file"):
        train(tmp_path / "none.csv", "ionic")


def test_a_folder_that_trains_something_else_is_refused(tmp_path: Path) -> None:
    table = formula_table(tmp_path / "t.csv", 40)
    train(table, "ionic", out=tmp_path / "m", members=1, epochs=1, split="random")
    with pytest.raises(InputError, match="another table, split or recipe"):
        train(table, "ionic", out=tmp_path / "m", members=1, epochs=2, split="random")


@pytest.mark.parametrize("text", ["{", "\udcff", "[" * 100_000])
def test_a_folder_whose_plan_is_damaged_is_refused(text: str, tmp_path: Path) -> None:
    table = formula_table(tmp_path / "t.csv", 40)
    plan = tmp_path / "m" / WORK / PLAN
    plan.parent.mkdir(parents=True)
    plan.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match="another table, split or recipe"):
        train(table, "ionic", out=tmp_path / "m", members=1, epochs=1, split="random")


def test_no_space_left_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = formula_table(tmp_path / "t.csv", 40)
    written = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if "state" in path.name:
            written(path, data[:100])  # part of it gets through
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return written(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ResourceError, match=r"No space left on device.*make room"):
        train(table, "ionic", out=tmp_path / "m", members=1, epochs=1, split="random")
    assert not list((tmp_path / "m").rglob("*.part"))
    monkeypatch.undo()
    train(table, "ionic", out=tmp_path / "m", members=1, epochs=1, split="random")


# -- files that are not what they were ------------------------------------------------------------


@pytest.fixture
def copied(formula_folder: Path, tmp_path: Path) -> Path:
    import shutil

    place = tmp_path / "copied"
    shutil.copytree(formula_folder, place)
    return place


@pytest.mark.parametrize("name", [WEIGHTS, "calibration.json", "domain.npz"])
def test_a_changed_file_is_refused(copied: Path, name: str) -> None:
    path = copied / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(IntegrityError, match=r"SHA-256 differs"):
        load_model(copied)


def test_a_card_that_is_no_card_is_refused(copied: Path) -> None:
    (copied / CARD).write_text("{")
    with pytest.raises(IntegrityError, match="not the card of a model"):
        load_model(copied)


@pytest.mark.parametrize(
    "changes", [{"files": []}, {"network": []}, {"heads": [3]}, {"network": {"shape": "x"}}]
)
def test_a_card_of_another_form_is_refused(copied: Path, changes: dict[str, object]) -> None:
    card = json.loads((copied / CARD).read_text())
    (copied / CARD).write_text(json.dumps(card | changes))
    with pytest.raises(IntegrityError):
        load_model(copied)


@pytest.mark.parametrize("name", ["calibration.json", "domain.npz"])
def test_a_file_of_another_form_is_refused(copied: Path, name: str) -> None:
    """Its hash in the card may be right: whoever changed one changed both."""
    (copied / name).write_bytes(b"[]")
    card = json.loads((copied / CARD).read_text())
    card["files"][name] = hash_of(copied / name)
    (copied / CARD).write_text(json.dumps(card))
    with pytest.raises(IntegrityError, match="is not a whole model"):
        load_model(copied)


def test_a_folder_without_a_card_holds_no_model(copied: Path) -> None:
    (copied / CARD).unlink()
    with pytest.raises(NotFound, match="holds no model"):
        load_model(copied)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(NotFound, match="There is no model 'nonsense'"):
        load_model("nonsense")


def test_a_copied_folder_gives_the_same_answers(copied: Path, of_formulas: Model) -> None:
    told = load_model(copied).predict(["MgO", "KCl"])
    expected = of_formulas.predict(["MgO", "KCl"])
    assert np.array_equal(told.mean, expected.mean) and np.array_equal(told.std, expected.std)


# -- asking by name -------------------------------------------------------------------------------


def test_one_formula_is_asked_of_a_model_of_formulas(formula_folder: Path) -> None:
    told = predict("MgO", formula_folder)
    np.testing.assert_array_equal(told.mean, predict(["MgO"], formula_folder).mean)
    assert told.ids == ("MgO",)


def test_files_are_read_for_a_model_of_formulas_too(formula_folder: Path, tmp_path: Path) -> None:
    write(crystals_of(3), tmp_path / "c.extxyz")
    for place in (tmp_path / "c.extxyz", str(tmp_path / "*.extxyz")):
        told = predict(place, formula_folder)
        assert list(told.ids) == crystals_of(3).formulas()


# -- stopping, going on, repeating ----------------------------------------------------------------

SCRIPT = """
import sys, torch
torch.set_num_threads(1)
from materialabs.networks import members
from materialabs.networks.train import train
from dataclasses import replace
usual = members.usual_recipe
def often(*a, **k):
    return replace(usual(*a, **k), checkpoint_seconds=0.0)
import materialabs.networks.train as module
module.usual_recipe = often
train(sys.argv[1], "ionic", out=sys.argv[2], members=2, epochs=12, split="random")
"""


def run(table: Path, out: Path, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(table), str(out)],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120.0
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_training_ends_with_the_same_weights(how: signal.Signals, tmp_path: Path) -> None:
    table = formula_table(tmp_path / "t.csv")
    whole = run(table, tmp_path / "whole")
    assert whole.wait() == 0
    stopped = run(table, tmp_path / "stopped")
    wait_for(tmp_path / "stopped" / "work" / "member-1" / "state.safetensors", stopped)
    stopped.send_signal(how)
    assert stopped.wait() != 0
    assert not (tmp_path / "stopped" / CARD).exists()
    assert run(table, tmp_path / "stopped").wait() == 0
    assert hash_of(tmp_path / "stopped" / WEIGHTS) == hash_of(tmp_path / "whole" / WEIGHTS)


def test_the_same_seed_gives_the_same_weights_and_another_does_not(tmp_path: Path) -> None:
    table = crystal_table(tmp_path / "t.jsonl", 45)
    hashes = [
        train(table, "ionic", out=tmp_path / str(place), members=1, epochs=2, seed=seed,
              split="random").card["weights_sha256"]
        for place, seed in enumerate((3, 3, 4))
    ]  # fmt: skip
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_finished_folder_is_opened_at_once(tmp_path: Path) -> None:
    table = formula_table(tmp_path / "t.csv", 40)
    first = train(table, "ionic", out=tmp_path / "m", members=1, epochs=1, split="random")
    before = (tmp_path / "m" / WEIGHTS).stat().st_mtime_ns
    again = train(table, "ionic", out=tmp_path / "m", members=1, epochs=1, split="random")
    assert again.model_id == first.model_id
    assert (tmp_path / "m" / WEIGHTS).stat().st_mtime_ns == before


@pytest.mark.slow
def test_two_processes_train_what_one_does(tmp_path: Path) -> None:
    import socket

    table = formula_table(tmp_path / "t.csv")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    both = [
        run(
            table, tmp_path / "two", RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank),
            MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port),
        )
        for rank in range(2)
    ]  # fmt: skip
    assert [process.wait() for process in both] == [0, 0]
    assert run(table, tmp_path / "one").wait() == 0
    formulas = [f"{metal}O" for metal in ("Mg", "Ca", "Zn", "Ni")]
    one, two = (load_model(tmp_path / name).predict(formulas) for name in ("one", "two"))
    np.testing.assert_allclose(two.mean, one.mean, atol=2e-3)


def test_compositions_of_any_make_are_taken(of_formulas: Model) -> None:
    told = of_formulas.predict(Compositions.parse(["MgO"]))
    np.testing.assert_allclose(told.mean, of_formulas.predict("Mg2O2").mean, atol=1e-6)
