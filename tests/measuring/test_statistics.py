"""The estimators: identities, unbiasedness, and coverage of their intervals."""

import numpy as np
import pytest

import naive
from plausibench.architectures.network import Network, Population, Projection
from plausibench.architectures.neurons import Pointwise
from plausibench.architectures.synapses import BiasSynapse
from plausibench.bench.measuring.factors import BLOCK
from plausibench.bench.measuring.moments import Moments
from plausibench.bench.measuring.statistics import (
    GROUPS,
    QUANTITIES,
    GroupSums,
    effective_dimension,
    intervals,
    quantities,
    scale_free,
)
from plausibench.rules.estimate import Dense


def group_sums(draws, reference, groups=GROUPS):
    """Sums of draws (K, P), sample k in group k mod G, and replicates (..., K, P) alike."""
    d = draws - reference
    group = np.arange(len(d)) % groups
    total = np.stack([d[group == i].sum(axis=0) for i in range(groups)])
    cross = d @ reference
    return GroupSums(
        count=np.array([(group == i).sum() for i in range(groups)], dtype=float),
        gram=total @ total.T,
        cross=total @ reference,
        squares=np.array([(d[group == i] ** 2).sum() for i in range(groups)]),
        cross_squares=np.array([(cross[group == i] ** 2).sum() for i in range(groups)]),
        reference=float(reference @ reference),
    )


def synthetic(bias, spectrum, count, generator, reference):
    """Draws with mean reference + bias and covariance diag(spectrum)."""
    noise = generator.standard_normal((count, reference.size)) * np.sqrt(spectrum)
    return reference + bias + noise


@pytest.mark.parametrize("groups", [1, 2, 20])
def test_values_follow_from_the_definitions(groups):
    generator = np.random.default_rng(0)
    reference = generator.standard_normal(7)
    draws = synthetic(0.4, np.arange(1, 8) / 7, 60, generator, reference)
    found = quantities(group_sums(draws, reference, groups))
    twin = naive.statistics(draws, reference)
    for name in QUANTITIES:
        assert found[name][0] == pytest.approx(twin[name], rel=1e-11), name


def test_squared_distance_splits_into_bias_and_variance():
    generator = np.random.default_rng(1)
    reference = generator.standard_normal(9)
    draws = synthetic(0.2, np.ones(9), 50, generator, reference)
    found = quantities(group_sums(draws, reference))
    mean_squared = ((draws - reference) ** 2).sum(axis=1).mean()
    total = found["absolute_bias_squared"][0] + found["absolute_variance"][0]
    assert total == pytest.approx(mean_squared, rel=1e-12)


def test_bias_splits_into_direction_and_magnitude():
    generator = np.random.default_rng(2)
    reference = generator.standard_normal(9)
    found = quantities(group_sums(synthetic(0.5, np.ones(9), 80, generator, reference), reference))
    m, d = found["magnitude_bias"], found["direction_bias"]
    np.testing.assert_allclose(found["bias_squared"], m**2 + 2 * (1 + m) * d, rtol=1e-10)


def test_each_left_out_group_equals_the_statistics_without_it():
    generator = np.random.default_rng(3)
    reference = generator.standard_normal(5)
    draws = synthetic(0.3, np.ones(5), 40, generator, reference)
    found = quantities(group_sums(draws, reference))
    for group in range(GROUPS):
        twin = naive.statistics(draws[np.arange(40) % GROUPS != group], reference)
        for name in QUANTITIES:
            assert found[name][1 + group] == pytest.approx(twin[name], rel=1e-9), name


def test_merging_shards_equals_the_whole():
    """All sums add up, the gram matrix of the groups' sums included."""
    generator = np.random.default_rng(4)
    reference = generator.standard_normal(6)
    draws = synthetic(0.3, np.ones(6), 96, generator, reference)
    network = Network(
        "linear",
        1,
        (Population("layer1", 6, Pointwise("identity")),),
        (Projection("bias", "constant", "layer1", BiasSynapse(6)),),
        {"bias": reference},
    )
    moments = Moments(network, network.forward(np.zeros((1, 1))), {"bias": reference})
    for index in range(len(draws) // BLOCK):
        estimates = {"bias": Dense(draws[index * BLOCK : (index + 1) * BLOCK])}
        moments.add(moments.block(estimates, index, len(estimates["bias"].array)))
    assert list(moments.count) == [16] * 6 + [0] * 14  # sample k is of group (k // 16) mod 20
    sums, mean = moments.results()
    found = quantities(sums["bias"])
    twin = naive.statistics(draws, reference)
    for name in QUANTITIES:
        assert found[name][0] == pytest.approx(twin[name], rel=1e-11), name
    np.testing.assert_allclose(mean["bias"], draws.mean(axis=0), rtol=1e-12)


def test_a_negative_value_is_not_clipped():
    generator = np.random.default_rng(5)
    reference = np.ones(40) / np.sqrt(40)
    values = [
        quantities(group_sums(synthetic(0.0, np.ones(40), 40, generator, reference), reference))[
            "bias_squared"
        ][0]
        for _ in range(40)
    ]
    assert min(values) < 0 < max(values)


def test_the_plug_in_bias_is_too_large_by_variance_over_samples():
    """Negative control: ||mean - g||^2 of an unbiased estimator shows V / K."""
    generator = np.random.default_rng(6)
    reference = np.ones(50) / np.sqrt(50)
    plug_in, corrected = [], []
    for _ in range(400):
        draws = synthetic(0.0, np.ones(50), 25, generator, reference)
        plug_in.append(((draws.mean(axis=0) - reference) ** 2).sum())
        corrected.append(quantities(group_sums(draws, reference))["bias_squared"][0])
    assert np.mean(plug_in) == pytest.approx(50 / 25, rel=0.05)
    assert abs(np.mean(corrected)) < 4 * np.std(corrected) / 20


@pytest.mark.parametrize("bias", [0.0, 0.3, 1.0])
def test_bias_and_variance_are_unbiased(bias):
    """Mean over replicates within 4 standard errors of the truth."""
    generator = np.random.default_rng(7)
    size = 12
    reference = np.ones(size) / np.sqrt(size)
    offset = bias * np.eye(size)[0]
    spectrum = np.linspace(0.5, 1.5, size)
    found = [
        quantities(group_sums(synthetic(offset, spectrum, 60, generator, reference), reference))
        for _ in range(1500)
    ]
    for name, truth in (("bias_squared", bias**2), ("variance", spectrum.sum())):
        values = np.array([one[name][0] for one in found])
        assert abs(values.mean() - truth) < 4 * values.std(ddof=1) / np.sqrt(values.size), name


@pytest.mark.parametrize("size", [1, 5, 40, 400])
def test_effective_dimension_of_white_noise_is_its_dimension(size):
    generator = np.random.default_rng(8)
    reference = np.ones(size) / np.sqrt(size)
    found = [
        1
        / effective_dimension(
            group_sums(synthetic(0, np.ones(size), 200, generator, reference), reference)
        )
        for _ in range(60)
    ]
    assert 1 / np.mean(found) == pytest.approx(size, rel=0.15)


COVERED = [
    "bias_squared",
    "variance",
    "direction_bias",
    "magnitude_bias",
    "scale_free_bias",
    "gain",
    "progress",
    "absolute_bias_squared",
    "absolute_variance",
]


def truth(reference, bias, spectrum):
    """The quantities of the distribution itself."""
    mean, g2 = reference + bias, reference @ reference
    variance = spectrum.sum()
    along, mean2 = mean @ reference, mean @ mean
    return {
        "bias_squared": bias @ bias / g2,
        "variance": variance / g2,
        "direction_bias": 1 - along / np.sqrt(g2 * mean2),
        "magnitude_bias": np.sqrt(mean2 / g2) - 1,
        "scale_free_bias": 1 - along**2 / (g2 * mean2),
        "gain": along / g2,
        "progress": along**2 / (g2 * (mean2 + variance)),
        "absolute_bias_squared": bias @ bias,
        "absolute_variance": variance,
    }


def coverage(bias_length, spectrum, samples, replicates, seed):
    """Share of replicates whose interval holds the truth, for every quantity."""
    generator = np.random.default_rng(seed)
    size = spectrum.size
    reference = np.ones(size) / np.sqrt(size)
    direction = generator.standard_normal(size)
    bias = bias_length * direction / np.linalg.norm(direction)
    true = truth(reference, bias, spectrum)
    hits = dict.fromkeys(COVERED, 0)
    for _ in range(replicates):
        draws = synthetic(bias, spectrum, samples, generator, reference)
        found = intervals(quantities(group_sums(draws, reference)))
        for name in COVERED:
            _, low, high, _ = found[name]
            hits[name] += low <= true[name] <= high
    return {name: count / replicates for name, count in hits.items()}


def test_intervals_cover_quick():
    """300 replicates; .89 lies 4.8 standard errors below .95."""
    found = coverage(0.5, np.linspace(0.5, 1.5, 16) * 4, 1000, 300, seed=9)
    assert all(share >= 0.89 for share in found.values()), found


@pytest.mark.acceptance
@pytest.mark.parametrize("shape", ["white", "decaying"])
@pytest.mark.parametrize("bias", [0.0, 0.3, 1.0])
def test_intervals_cover(shape, bias, record_figure):
    """2000 replicates, effective dimension >= 10, K = 1000: between 93 % and 99.5 %."""
    size = 20
    spectrum = np.ones(size) * 4 if shape == "white" else 4 * 0.93 ** np.arange(size)
    assert spectrum.sum() ** 2 / (spectrum**2).sum() >= 10
    found = coverage(bias, spectrum, 1000, 2000, seed=10)
    for name, share in found.items():
        record_figure(f"coverage of {name}, {shape} noise, bias {bias}", share, "0.93 to 0.995")
    assert all(0.93 <= share <= 0.995 for share in found.values()), found


NOISES = {
    "gaussian": lambda generator, shape: generator.standard_normal(shape),
    # Skewed, with a kurtosis of 58: cubes of exponential numbers would have no useful variance.
    "heavy": lambda generator, shape: (
        (generator.standard_exponential(shape) ** 1.5 - 1.3293403881791370)
        / np.sqrt(6 - 1.3293403881791370**2)
    ),
}
MEANS = [
    (-0.3, 0.0),
    (-0.05, 0.0),
    (0.025, 0.0),
    (0.05, 0.0),
    (0.1, 0.0),
    (0.15, 0.0),
    (0.2, 0.0),
    (0.6, 0.0),
    (0.05, 0.5),
    (0.1, 1.0),
    (1.0, 0.0),
    (1.0, 1.0),
]
"""Means along and across the gradient; 0.05 along it is one standard error of its mean."""


def told(law, along, across, replicates, seed=11, size=40, samples=400):
    """Ends of progress and scale-free bias in replicates, and what is true."""
    generator = np.random.default_rng(seed)
    reference, side = np.eye(size)[:2]
    mean = along * reference + across * side
    length, downhill = mean @ mean, max(along, 0.0) ** 2
    found = [
        intervals(quantities(group_sums(mean + NOISES[law](generator, (samples, size)), reference)))
        for _ in range(replicates)
    ]
    return found, {
        "progress": downhill / (length + size),
        "scale_free_bias": 1 - downhill / length,
    }


def shares(found, true):
    """Share of replicates whose interval holds the truth."""
    rounding = 1e-9
    return {
        name: np.mean(
            [one[name].low - rounding <= value <= one[name].high + rounding for one in found]
        )
        for name, value in true.items()
    }


def test_barely_resolved_gains_are_covered_quick():
    """300 replicates; .90 lies 4 standard errors below .95. Without its root, .84 are covered."""
    found = shares(*told("gaussian", 0.1, 0.0, 300))
    assert min(found.values()) >= 0.90, found


@pytest.mark.acceptance
@pytest.mark.parametrize("law", NOISES)
@pytest.mark.parametrize(("along", "across"), MEANS)
def test_progress_and_scale_free_bias_are_covered(law, along, across, record_figure):
    """From far uphill to far downhill: 2000 replicates, at least 92.5 %."""
    found = shares(*told(law, along, across, 2000))
    for name, share in found.items():
        line = f"coverage of {name}, {law} noise, mean {along} along, {across} across"
        record_figure(line, share, "at least 0.925")
    assert min(found.values()) >= 0.925, found


def test_no_replicate_is_without_a_scale_free_bias():
    """What is unresolved is an interval, so that no average leaves it out."""
    for along, across in MEANS:
        found, _ = told("heavy", along, across, 20)
        values = np.array([one["scale_free_bias"][:3] for one in found])
        assert np.isfinite(values).all()
        assert (values[:, 1] <= values[:, 0]).all()
        assert (values[:, 0] <= values[:, 2]).all()


def test_an_unresolved_slice_widens_the_interval_by_its_share():
    generator = np.random.default_rng(12)
    reference = np.eye(30)[0]
    clear = quantities(
        group_sums(synthetic(0.0, np.full(30, 1e-6), 400, generator, reference), reference)
    )
    noisy = quantities(
        group_sums(synthetic(0.0, np.full(30, 1e3), 400, generator, reference), reference)
    )
    both = scale_free({"clear": (clear, 3.0), "noisy": (noisy, 1.0)})
    assert both.value == pytest.approx(1 / 8, abs=1e-5)
    assert both.low == pytest.approx(0, abs=1e-5)
    assert both.high == pytest.approx(1 / 4, abs=1e-5)
    assert not both.resolved
    alone = scale_free({"noisy": (noisy, 1.0)})
    assert alone == (0.5, 0.0, 1.0, False)


def off(replicates, seed=13):
    """Mean direction and magnitude bias of an unbiased estimator, and their standard errors."""
    generator = np.random.default_rng(seed)
    reference, spectrum = np.eye(20)[0], np.full(20, 0.05)
    spectrum[0] = 4.0  # along the mean: without correction both are off by -V / (2 K) = -0.005
    values = []
    for _ in range(replicates):
        draws = synthetic(0, spectrum, 400, generator, reference)
        found = intervals(quantities(group_sums(draws, reference)))
        # The gain is unbiased, and takes most of its noise away from the length.
        length = found["magnitude_bias"].value - (found["gain"].value - 1)
        values.append((found["direction_bias"].value, length))
    return np.mean(values, axis=0), np.std(values, axis=0, ddof=1) / np.sqrt(replicates)


def test_direction_and_magnitude_are_right_to_first_order(record_figure):
    """What is left is of second order: less than a third of -V / (2 K |mu|^2) = -0.005."""
    mean, error = off(1000)
    record_figure("direction bias of an unbiased estimator", mean[0], "0 within 0.0015 and noise")
    assert (4 * error < 0.001).all()
    assert (abs(mean) <= 0.0015 + 4 * error).all(), (mean, error)
