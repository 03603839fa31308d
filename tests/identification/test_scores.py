"""Scores of identification: what is explained, and where and what was found."""

import numpy as np
import pytest

from plausibench.bench.identification.scores import (
    CHANCE,
    correlation_of_means,
    explainable_variance_explained,
    explained_variance,
    kernel_correlation,
    location_errors,
    type_accuracy,
)
from plausibench.kernels.errors import InputError


class TestScores:
    def test_the_truth_explains_all_and_the_mean_nothing(self):
        mu = np.random.default_rng(0).standard_normal((50, 3))
        np.testing.assert_allclose(explained_variance(mu, mu), 1)
        np.testing.assert_allclose(explained_variance(0 * mu + mu.mean(axis=0), mu), 0, atol=1e-12)

    def test_estimates_from_repeats_are_unbiased(self):
        """Against the explained variance of the responses without noise."""
        generator = np.random.default_rng(1)
        mu = generator.standard_normal((200, 1))
        predicted = 0.8 * mu + 0.3 * generator.standard_normal((200, 1))
        truth = explained_variance(predicted, mu)[0]
        found = np.array(
            [
                explainable_variance_explained(
                    predicted, mu + generator.standard_normal((8, 200, 1))
                )[0]
                for _ in range(200)
            ]
        )
        assert abs(found.mean() - truth) < 4 * found.std() / np.sqrt(200)
        assert found.std() < 0.1

    def test_means_over_repeats_say_the_same(self):
        generator = np.random.default_rng(3)
        repeats = generator.standard_normal((4, 30, 1)) + generator.standard_normal((30, 1))
        predicted, means = generator.standard_normal((30, 1)), repeats.mean(axis=0)
        noise = repeats.var(axis=0, ddof=1).mean() / 4
        error, total = ((predicted - means) ** 2).mean(), means.var() + noise / 30
        np.testing.assert_allclose(
            explainable_variance_explained(predicted, repeats),
            1 - (error - noise) / (total - noise),
            rtol=1e-12,
        )

    def test_neurons_without_a_signal_are_unknown(self):
        """Of 4000 neurons of noise 2.5 % may pass, within 4 standard errors of that share."""
        generator = np.random.default_rng(4)
        repeats = generator.standard_normal((6, 40, 4000))
        predicted = 0.3 * generator.standard_normal((40, 4000))
        found = explainable_variance_explained(predicted, repeats)
        share = np.isfinite(found).mean()
        assert abs(share - CHANCE) < 4 * np.sqrt(CHANCE * (1 - CHANCE) / 4000)
        assert not (found > 1).any()
        assert not np.isinf(found).any()

    @pytest.mark.parametrize("value", [0.0, 0.1])
    def test_silent_neurons_are_unknown(self, value):
        generator = np.random.default_rng(5)
        repeats = generator.standard_normal((3, 20, 1)) + 9 * generator.standard_normal((20, 1))
        repeats = np.concatenate([repeats, np.full((3, 20, 1), value)], axis=2)
        repeats[2, ::3] = np.nan
        predicted = generator.standard_normal((20, 2))
        found = explainable_variance_explained(predicted, repeats)
        assert np.isfinite(found).tolist() == [True, False]
        silent = np.full((20, 1), value)
        assert np.isnan(explained_variance(predicted[:, :1], silent)).all()

    def test_no_share_is_above_1_and_their_mean_may_be_unbiased(self):
        generator = np.random.default_rng(6)
        truth = np.repeat(generator.standard_normal((50, 1)), 400, axis=1)
        repeats = truth + generator.standard_normal((4, 50, 400))
        limited, free = (
            explainable_variance_explained(truth, repeats, limited) for limited in (True, False)
        )
        assert limited.max() == 1
        np.testing.assert_array_equal(limited, np.minimum(free, 1))
        assert abs(free.mean() - 1) < 4 * free.std() / np.sqrt(400)
        assert limited.mean() < 1 - 4 * limited.std() / np.sqrt(400)

    def test_images_shown_less_often_than_others(self):
        """Unbiased, with more noise where there are fewer trials."""
        generator = np.random.default_rng(7)
        mu = generator.standard_normal((100, 1))
        predicted = 0.8 * mu + 0.3 * generator.standard_normal((100, 1))
        truth = explained_variance(predicted, mu)[0]
        trials = generator.integers(1, 7, 100)
        missing = np.arange(6)[:, None] >= trials
        found = []
        for _ in range(400):
            repeats = mu + generator.standard_normal((6, 100, 1))
            repeats[missing] = np.nan
            found.append(explainable_variance_explained(predicted, repeats)[0])
        assert abs(np.mean(found) - truth) < 4 * np.std(found) / np.sqrt(400)
        means = np.nanmean(repeats, axis=0)
        twin = np.corrcoef(predicted[:, 0], means[:, 0])[0, 1]
        assert correlation_of_means(predicted, repeats)[0] == pytest.approx(twin)

    def test_repeats_that_say_nothing_are_refused(self):
        predicted = np.zeros((3, 1))
        for change in (np.s_[:, 0], np.s_[1:]):
            repeats = np.ones((3, 3, 1))
            repeats[change] = np.nan
            with pytest.raises(InputError, match=r"repeats: .* trials that are missing"):
                explainable_variance_explained(predicted, repeats)
        with pytest.raises(InputError, match="infinite"):
            explainable_variance_explained(predicted, np.full((2, 3, 1), np.inf))

    def test_correlation_with_the_means(self):
        generator = np.random.default_rng(2)
        repeats = generator.standard_normal((4, 30, 2))
        means = repeats.mean(axis=0)
        np.testing.assert_allclose(correlation_of_means(2 * means + 1, repeats), 1)
        assert not correlation_of_means(np.ones((30, 2)), repeats).any()
        twin = np.corrcoef(repeats[0, :, 0], means[:, 0])[0, 1]
        assert correlation_of_means(repeats[0], repeats)[0] == pytest.approx(twin)

    def test_a_shift_of_all_places_is_no_error(self):
        true = np.random.default_rng(0).integers(0, 16, (9, 2))
        found = true + np.array([2, -3])
        found[0] += np.array([3, 4])
        np.testing.assert_allclose(location_errors(found, true), [5, *[0] * 8])

    def test_kernels_are_compared_over_shifts_and_signs(self):
        kernel = np.zeros((5, 5))
        kernel[1:3, 1:4] = [[1, 2, 3], [4, 5, 6]]
        moved = -2 * np.roll(kernel, (1, 1), axis=(0, 1))
        assert kernel_correlation(moved, kernel) == pytest.approx(1)
        assert kernel_correlation(0 * kernel, kernel) == 0
        other = np.random.default_rng(0).standard_normal((5, 5))
        assert kernel_correlation(other, kernel) < 0.9

    def test_types_are_told_apart_whatever_their_size_and_sign(self):
        generator = np.random.default_rng(0)
        kinds = np.arange(40) % 2
        features = np.eye(2)[kinds] + 0.1 * generator.standard_normal((40, 2))
        scale = generator.uniform(0.5, 2, (40, 1)) * generator.choice([-1, 1], (40, 1))
        assert type_accuracy(features * scale, kinds) == 1
        assert type_accuracy(generator.standard_normal((40, 2)), kinds) < 0.85

    def test_bad_shapes_are_refused(self):
        with pytest.raises(InputError, match="not the same"):
            explained_variance(np.ones((3, 2)), np.ones((3, 1)))
        for repeats in (np.ones((1, 3, 2)), np.ones((3, 2))):
            with pytest.raises(InputError, match="repeats"):
                explainable_variance_explained(np.ones((3, 2)), repeats)
        with pytest.raises(InputError, match="does not fit"):
            correlation_of_means(np.ones((4, 2)), np.ones((2, 3, 2)))
