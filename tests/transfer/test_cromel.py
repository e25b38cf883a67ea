from __future__ import annotations

import numpy as np
import pytest
import torch

from materialabs.crystals.compositions import Compositions
from materialabs.errors import InputError
from materialabs.networks.element_features import element_features
from materialabs.transfer.cromel import (
    GENERATOR_EVERY,
    RELEASED,
    FeatureEncoder,
    Generator,
    SourceTraining,
    TargetNetwork,
    Variant,
    composition_vectors,
    critic_loss,
    generator_loss,
    gradient_penalty,
    predict_target,
    prediction_loss,
    ridge_score,
    train_target,
    transferability,
)

SLOPE = torch.tensor([3.0, 4.0])


def linear(points: torch.Tensor) -> torch.Tensor:
    """A critic whose slope is (3, 4) everywhere: of length five."""
    return points @ SLOPE


def bowl(points: torch.Tensor) -> torch.Tensor:
    """A critic whose slope at a point is the point."""
    return 0.5 * (points**2).sum(dim=1)


def test_the_penalty_of_a_linear_critic_is_that_of_its_slope() -> None:
    found = gradient_penalty(linear, torch.randn(7, 2), Variant())
    assert float(found.detach()) == pytest.approx((5.0 - 1.0) ** 2, rel=1e-6)


def test_the_released_code_divides_slopes_by_the_size_of_the_batch() -> None:
    found = gradient_penalty(linear, torch.randn(10, 2), RELEASED)
    assert float(found.detach()) == pytest.approx((5.0 / 10 - 1.0) ** 2, rel=1e-6)


def test_the_critic_pays_the_distance_and_ten_penalties() -> None:
    real, made = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    found = critic_loss(linear, real, made, Variant())
    assert float(found.detach()) == pytest.approx(-3.0 + 8.0 + 10.0 * 16.0)


def test_the_penalty_is_taken_at_the_generated_points() -> None:
    real, made = torch.tensor([[9.0, 9.0]]), torch.tensor([[1.0, 0.0]])
    found = critic_loss(bowl, real, made, Variant())
    assert float(found.detach()) == pytest.approx(0.5 - 81.0)  # slope of length one: no penalty


def test_the_penalty_between_is_taken_on_the_line_to_the_structures() -> None:
    real, made = torch.tensor([[3.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    found = critic_loss(
        bowl, real, made, Variant(penalty_at="between"), share=torch.tensor([[0.5]])
    )
    assert float(found.detach()) == pytest.approx(0.5 - 4.5 + 10.0 * (2.0 - 1.0) ** 2)


def test_the_generator_pays_minus_what_the_critic_says() -> None:
    assert float(generator_loss(linear, torch.tensor([[1.0, 1.0], [0.0, 1.0]]))) == -5.5


def test_errors_are_squared_and_summed() -> None:
    found = prediction_loss(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 4.0]))
    assert float(found.detach()) == 5.0


def test_unknown_variants_are_refused() -> None:
    with pytest.raises(InputError, match="generated or between"):
        Variant(penalty_at="nowhere")


def test_structure_embeddings_have_length_one() -> None:
    found = FeatureEncoder(5)(torch.randn(4, 5))
    np.testing.assert_allclose(found.norm(dim=1).detach().numpy(), 1.0, rtol=1e-5)


def test_composition_vectors_are_mean_least_and_most_of_the_elements() -> None:
    found = composition_vectors(Compositions.parse(["Fe2O3"])).numpy()[0]
    iron, oxygen = element_features()[[26, 8]]
    expected = [0.4 * iron + 0.6 * oxygen, np.minimum(iron, oxygen), np.maximum(iron, oxygen)]
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=1e-5)


def crystals(rows: int = 256) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Structures whose features follow from composition, and a property that follows from both."""
    random = torch.Generator().manual_seed(0)
    vectors = torch.randn(rows, 6, generator=random)
    features = torch.cat([vectors[:, :3], torch.randn(rows, 2, generator=random)], dim=1)
    return features, vectors, features[:, 0] + 0.3 * features[:, 3]


def test_the_generator_steps_at_every_fifth_batch_only() -> None:
    features, vectors, targets = crystals(8)
    training = SourceTraining(FeatureEncoder(5), 6)
    steps = [training.step(features, vectors, targets) for _ in range(2 * GENERATOR_EVERY)]
    assert [number for number, one in enumerate(steps, 1) if "generator" in one] == [5, 10]


def test_the_critic_leaves_encoder_and_generator_alone() -> None:
    features, vectors, targets = crystals(8)
    training = SourceTraining(FeatureEncoder(5), 6)
    before = [one.clone() for one in training.generator.parameters()]
    training.step(features, vectors, targets)  # no step of the generator yet
    for old, new in zip(before, training.generator.parameters(), strict=True):
        assert torch.equal(old, new)


def test_the_property_is_learned_by_encoder_and_head() -> None:
    features, vectors, targets = crystals()
    torch.manual_seed(0)
    training = SourceTraining(FeatureEncoder(5), 6, seed=1)
    history = training.run(features, vectors, targets, epochs=60)
    assert history[-1]["prediction"] < 0.2 * history[0]["prediction"]


@pytest.mark.slow
def test_the_generator_draws_near_to_the_distribution_of_structures() -> None:
    """By the energy distance of Szekely and Rizzo (2013), which the training never sees."""
    features, vectors, targets = crystals()
    torch.manual_seed(0)
    training = SourceTraining(FeatureEncoder(5), 6, seed=1)

    def distance() -> float:
        drawn = torch.randn(len(vectors), 64, generator=torch.Generator().manual_seed(5))
        with torch.no_grad():
            real, made = training.encoder(features), training.generator(vectors, drawn)
        across = torch.cdist(real, made).mean()
        return float(2 * across - torch.cdist(real, real).mean() - torch.cdist(made, made).mean())

    start = distance()
    training.run(features, vectors, targets, epochs=300, batch=16)
    assert distance() < 0.75 * start


def test_a_target_is_learned_from_a_copy_and_the_generator_stays() -> None:
    torch.manual_seed(0)
    generator = Generator(6)
    before = [one.clone() for one in generator.parameters()]
    _, vectors, targets = crystals(128)
    network = train_target(generator, vectors, targets[:, None], epochs=30)
    for old, new in zip(before, generator.parameters(), strict=True):
        assert torch.equal(old, new)
    told = predict_target(network, vectors, Variant())
    assert np.corrcoef(told[:, 0], targets.numpy())[0, 1] > 0.8


def test_released_predictions_are_noisy_and_ours_are_not() -> None:
    torch.manual_seed(0)
    network = TargetNetwork(Generator(6))
    _, vectors, _ = crystals(16)
    quiet = [predict_target(network, vectors, Variant(), seed=seed) for seed in (0, 1)]
    noisy = [predict_target(network, vectors, RELEASED, seed=seed) for seed in (0, 1)]
    assert np.array_equal(*quiet) and not np.array_equal(*noisy)


def test_the_same_seed_trains_the_same_source() -> None:
    features, vectors, targets = crystals(64)
    told = []
    for _ in range(2):
        torch.manual_seed(7)
        training = SourceTraining(FeatureEncoder(5), 6, seed=3)
        told.append(training.run(features, vectors, targets, epochs=2))
    assert told[0] == told[1]


def test_the_score_is_that_of_scikit_learns_ridge() -> None:
    from sklearn.linear_model import Ridge

    random = np.random.default_rng(0)
    embedded, targets = random.normal(size=(40, 5)), random.normal(size=40)
    left = targets - Ridge(alpha=1.0).fit(embedded, targets).predict(embedded)
    assert ridge_score(embedded, targets) == pytest.approx(1.0 / np.sqrt(np.mean(left**2)))


def test_a_source_whose_embeddings_hold_the_target_scores_higher() -> None:
    _, vectors, targets = crystals(128)
    torch.manual_seed(0)
    trained = train_target(Generator(6), vectors, targets[:, None], epochs=60).generator
    fresh = Generator(6)
    values = targets.double().numpy()
    assert transferability(trained, vectors, values) > transferability(fresh, vectors, values)
