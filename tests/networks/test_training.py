"""The training loop."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from materialabs.errors import InputError, IntegrityError, PhysicsError, ResourceError
from materialabs.networks.learning_tasks import Recipe, Task
from materialabs.networks.training import Training, missing_aware_loss
from materialabs.networks.weight_files import hash_of, read_tensors, write_tensors


@dataclass
class Points:
    """Rows of numbers: the simplest examples."""

    values: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.values)

    def batch(self, rows: NDArray[np.int64], random: np.random.Generator) -> Tensor:
        noise = 0.01 * random.standard_normal((len(rows), self.values.shape[1]))
        return torch.from_numpy(self.values[rows] + noise.astype(np.float32))

    def exact(self, rows: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(self.values[rows])


SLOPES = np.array([[1.0, -2.0], [0.5, 0.0], [0.0, 3.0]])
RECIPE = Recipe(epochs=30, batch=16, rate=0.03, decay=0.0, average=0.9, patience=30)


def line_task(**changes: Any) -> Task:
    """Two exact linear laws of three inputs."""
    values = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    task = Task(
        Points(values), values @ SLOPES + 5.0, ("a", "b"), np.arange(160), np.arange(160, 200)
    )
    return replace(task, **changes)


def new_network(outputs: int = 2) -> nn.Module:
    torch.manual_seed(3)
    return nn.Linear(3, outputs)


def weights_after(training: Training) -> list[float]:
    best = training.run()
    return torch.cat([best[name].flatten() for name in sorted(best)]).tolist()


def test_a_linear_law_is_recovered() -> None:
    training = Training(new_network(), line_task(), RECIPE)
    best = training.run()
    slopes = best["weight"].double().numpy().T * training.scaling.spread
    np.testing.assert_allclose(slopes, SLOPES, atol=0.05)


def test_missing_targets_are_left_out_and_the_rest_is_learned() -> None:
    task = line_task()
    targets = task.targets.copy()
    targets[::2, 1] = np.nan
    training = Training(new_network(), line_task(targets=targets), RECIPE)
    best = training.run()
    slopes = best["weight"].double().numpy().T * training.scaling.spread
    np.testing.assert_allclose(slopes, SLOPES, atol=0.08)


def test_the_loss_of_a_missing_target_has_no_gradient() -> None:
    values = torch.tensor([[1.0], [2.0]], requires_grad=True)
    targets = torch.tensor([[0.0], [float("nan")]])
    missing_aware_loss(values, targets, torch.ones(1)).backward()
    assert values.grad is not None
    assert values.grad.flatten().tolist() == [1.0, 0.0]


def test_the_same_seed_gives_the_same_weights_bit_for_bit() -> None:
    first = weights_after(Training(new_network(), line_task(), RECIPE))
    assert weights_after(Training(new_network(), line_task(), RECIPE)) == first


def test_another_seed_gives_other_weights() -> None:
    first = weights_after(Training(new_network(), line_task(), RECIPE))
    other = Training(new_network(), line_task(), replace(RECIPE, seed=1))
    assert weights_after(other) != first


@pytest.mark.parametrize("stop", [1, 9, 10, 11, 57])
def test_a_training_stopped_anywhere_goes_on_bit_for_bit(tmp_path: Path, stop: int) -> None:
    undisturbed = weights_after(Training(new_network(), line_task(), RECIPE))
    every_step = replace(RECIPE, checkpoint_seconds=0.0)
    stopped = Training(new_network(), line_task(), every_step, tmp_path)
    learn = stopped._learn

    def until_killed(*arguments: Any) -> None:
        if stopped.step == stop:
            raise KeyboardInterrupt
        learn(*arguments)

    stopped._learn = until_killed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    resumed = Training(new_network(), line_task(), every_step, tmp_path)
    assert resumed.step == stop
    assert weights_after(resumed) == undisturbed


def test_a_finished_training_is_not_run_again(tmp_path: Path) -> None:
    first = weights_after(Training(new_network(), line_task(), RECIPE, tmp_path))
    again = Training(new_network(), line_task(), RECIPE, tmp_path)
    assert again.finished
    assert weights_after(again) == first


def test_another_trainings_checkpoint_is_refused(tmp_path: Path) -> None:
    Training(new_network(), line_task(), RECIPE, tmp_path).run()
    with pytest.raises(InputError, match="another training"):
        Training(new_network(), line_task(), replace(RECIPE, rate=0.01), tmp_path)


def test_training_stops_when_validation_no_longer_improves() -> None:
    task = line_task()
    noise = np.random.default_rng(1).normal(size=task.targets.shape)
    training = Training(new_network(), line_task(targets=noise), replace(RECIPE, patience=3))
    training.run()
    assert len(training.history) < RECIPE.epochs


def test_costly_rows_are_shown_less_often() -> None:
    costs = np.where(np.arange(200) < 100, 1.0, 10.0)
    task = line_task(costs=costs, affordable=2.0)
    shown = np.concatenate([task.order(0, epoch) for epoch in range(200)])
    often = np.bincount(shown, minlength=200)
    assert (often[:100] == 200).all()
    assert abs(often[100:160].mean() / 200 - 0.2) < 0.02
    assert task.rows_an_epoch() == pytest.approx(100 + 60 * 0.2)


def test_rows_on_both_sides_are_refused() -> None:
    with pytest.raises(InputError, match="overlap"):
        line_task(validation=np.arange(150, 170))


def test_infinite_targets_are_refused() -> None:
    targets = line_task().targets.copy()
    targets[3, 0] = np.inf
    with pytest.raises(InputError, match="finite"):
        line_task(targets=targets)


def test_a_head_without_values_is_refused_by_name() -> None:
    targets = line_task().targets.copy()
    targets[:, 1] = np.nan
    with pytest.raises(InputError, match="'b' has 0 values"):
        line_task(targets=targets)


def test_a_loss_that_is_not_a_number_ends_with_a_reason() -> None:
    network = new_network()
    with torch.no_grad():
        network.weight.fill_(float("nan"))  # type: ignore[operator, union-attr]
    with pytest.raises(PhysicsError, match="learning rate"):
        Training(network, line_task(), RECIPE).run()


def test_reduced_precision_learns_the_same_law() -> None:
    training = Training(new_network(), line_task(), replace(RECIPE, precision="bfloat16"))
    best = training.run()
    slopes = best["weight"].double().numpy().T * training.scaling.spread
    np.testing.assert_allclose(slopes, SLOPES, atol=0.15)


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(InputError, match="float32, bfloat16"):
        replace(RECIPE, precision="float8")


# -- files ---------------------------------------------------------------------------------------


def test_tensors_come_back_with_their_text(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    write_tensors(path, {"w": torch.arange(6.0).reshape(2, 3)}, {"note": "six"})
    tensors, text = read_tensors(path, hash_of(path))
    assert tensors["w"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert text == {"note": "six"}


def test_a_changed_weights_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    write_tensors(path, {"w": torch.zeros(3)}, {})
    known = hash_of(path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(IntegrityError, match="SHA-256"):
        read_tensors(path, known)


def test_a_torn_weights_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    write_tensors(path, {"w": torch.zeros(300)}, {})
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(IntegrityError, match="cannot be read"):
        read_tensors(path)


def test_no_space_left_is_said_and_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ResourceError, match="No space left"):
        write_tensors(tmp_path / "weights.safetensors", {"w": torch.zeros(3)}, {})
    assert list(tmp_path.iterdir()) == []
