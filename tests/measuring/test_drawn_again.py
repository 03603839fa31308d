"""Sums along directions too many to hold: made from directions drawn again, part by part."""

import numpy as np
import pytest

from plausibench import bench
from plausibench.bench.measuring import draws, moments
from plausibench.bench.measuring.draws import WITHIN, prepare, reference_of, sum_block, sums_of
from plausibench.rules import noise

SIZES = [6, 7, 4]
RANDOM = np.random.default_rng(0)
BATCH = bench.Batch(RANDOM.standard_normal((5, 6)), RANDOM.integers(0, 4, 5))
NETWORK = bench.make("architecture", "mlp", sizes=SIZES, bias=True, seed=3)
OBJECTIVE = bench.make("objective", "cross_entropy")
RULES = {
    "weight_perturbation": {},
    "weight_perturbation, one-sided": {"antithetic": False, "sigma": 0.1},
    "weight_perturbation, signs": {"noise": "rademacher", "sigma": 0.1},
    "forward_gradient": {},
}


@pytest.fixture(autouse=True)
def in_parts(monkeypatch):
    """Three parts of the largest parameter, drawn one sample at a time."""
    for module in (noise, moments):
        monkeypatch.setattr(module, "PART", 16)
    monkeypatch.setattr(draws, "TOGETHER", 1)


def made(name):
    return bench.make("rule", name.partition(",")[0], **RULES[name])


def results(name, samples, companion, dtype="float64"):
    """Sums over groups, and the mean."""
    setting = prepare(made(name), NETWORK, OBJECTIVE, BATCH, None, 0, dtype)
    _, reference = reference_of(setting)
    if companion:
        sums = sums_of(setting, reference, WITHIN)
    else:
        sums = moments.Moments(setting.network, setting.clean, reference)
    for index in range(-(-samples // 32)):
        sums.add(sum_block(setting, sums, index, WITHIN, min(32, samples - 32 * index)))
    return sums, *sums.results(threads=2)


@pytest.mark.parametrize("samples", [5, 33, 700])
@pytest.mark.parametrize("name", RULES)
def test_groups_are_those_of_a_twin_that_forms_every_draw(name, samples, monkeypatch):
    monkeypatch.setattr(moments, "HELD", 0)
    sums, found, mean = results(name, samples, companion=False)
    assert not sums._total
    formed = bench.estimates(made(name), NETWORK, OBJECTIVE, BATCH, samples)
    exact = bench.gradient(NETWORK, OBJECTIVE, BATCH)
    for parameter, array in formed.items():
        g = exact[parameter].reshape(-1)
        groups = np.zeros((20, g.size))
        for k, draw in enumerate(array):
            groups[k // 16 % 20] += draw.reshape(-1) - g
        groups = groups[: min(20, -(-samples // 16))]
        part = found[parameter]
        np.testing.assert_allclose(part.gram, groups @ groups.T, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(part.cross, groups @ g, rtol=1e-9, atol=1e-9)
        apart = ((array.reshape(samples, -1) - g) ** 2).sum()
        np.testing.assert_allclose(part.squares.sum(), apart, rtol=1e-12)
        np.testing.assert_allclose(mean[parameter], array.mean(axis=0), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("companion", [False, True])
@pytest.mark.parametrize("name", RULES)
def test_they_are_those_of_sums_that_are_held(name, companion, monkeypatch):
    held, one, mean = results(name, 700, companion)
    assert held._total
    monkeypatch.setattr(moments, "HELD", 0)
    drawn, other, again = results(name, 700, companion)
    assert not drawn._total
    for parameter, part in one.items():
        for what in ("gram", "cross", "squares", "cross_squares", "shared"):
            wanted, value = getattr(part, what), getattr(other[parameter], what)
            if wanted is None:
                assert value is None
                continue
            size = np.abs(wanted).max()
            # The forward gradient differs from its companion by rounding alone.
            least = 1e-28 if name == "forward_gradient" and companion else 1e-12 * size
            np.testing.assert_allclose(value, wanted, rtol=1e-9, atol=least)
    for parameter, array in mean.items():
        np.testing.assert_allclose(again[parameter], array, rtol=1e-12, atol=1e-15)


def test_in_single_precision(monkeypatch):
    _, one, _ = results("weight_perturbation", 200, companion=False, dtype="float32")
    monkeypatch.setattr(moments, "HELD", 0)
    _, other, _ = results("weight_perturbation", 200, companion=False, dtype="float32")
    for name, part in one.items():
        np.testing.assert_allclose(other[name].gram, part.gram, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("threads", [2, 3])
def test_bits_do_not_depend_on_threads(threads, monkeypatch):
    monkeypatch.setattr(moments, "HELD", 0)
    parts = made("weight_perturbation"), NETWORK, OBJECTIVE, BATCH
    one = bench.measure(*parts, 150, threads=1).frame
    assert bench.measure(*parts, 150, threads=threads).frame.equals(one)


@pytest.mark.parametrize("law", ["gaussian", "rademacher"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_part_of_noise_is_the_same_alone(law, dtype):
    draw = noise.Noise(3, np.arange(4), BATCH.keys, np.dtype(dtype))
    shape = {"weights": np.empty((7, 6))}
    whole = draw.parameters(shape, law)["weights"].reshape(4, -1)
    for start, stop in ((0, 16), (16, 32), (16, 42), (32, 42)):
        part = draw.again("weights", law)(np.array([2, 1]), start, stop)
        np.testing.assert_array_equal(part, whole[[2, 1], start:stop])


def test_parts_are_independent():
    """Correlations of 4000 pairs: below 5 standard errors of 1 / sqrt(4000)."""
    draw = noise.Noise(0, np.arange(1000), BATCH.keys, np.dtype(float))
    parts = draw.parameters({"weights": np.empty(64)})["weights"].reshape(1000, 4, 16)
    between = np.corrcoef(parts[:, :, :4].swapaxes(0, 1).reshape(4, -1))
    assert np.abs(between - np.eye(4)).max() < 5 / np.sqrt(4000)
