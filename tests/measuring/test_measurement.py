"""Measuring: agreement with individual draws, determinism, what it leaves alone, refusals."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive
from plausibench import bench
from plausibench.bench.measuring.deviations import deviations, products, sum_posts
from plausibench.bench.measuring.factors import RUN
from plausibench.bench.measuring.moments import Moments
from plausibench.bench.measuring.statistics import GROUPS, QUANTITIES
from plausibench.rules.estimate import Outer

CROSS_ENTROPY = bench.make("objective", "cross_entropy")
SQUARED_ERROR = bench.make("objective", "mean_squared_error")

CASES = [
    ("backprop", {}, "mlp", CROSS_ENTROPY),
    ("feedback_alignment", {}, "mlp", CROSS_ENTROPY),
    ("direct_feedback_alignment", {}, "mlp", CROSS_ENTROPY),
    ("weight_perturbation", {}, "mlp", CROSS_ENTROPY),
    ("weight_perturbation", {"noise": "rademacher", "antithetic": False}, "mlp", SQUARED_ERROR),
    ("node_perturbation", {}, "mlp", CROSS_ENTROPY),
    ("node_perturbation", {"noise": "rademacher", "antithetic": False}, "mlp", SQUARED_ERROR),
    ("attention_gated", {}, "mlp", CROSS_ENTROPY),
    ("brainprop", {"exploration": "softmax"}, "mlp", SQUARED_ERROR),
    ("dendritic_error", {}, "dendritic", CROSS_ENTROPY),
]
NAMES = [f"{rule}-{'-'.join(map(str, options.values()))}" for rule, options, _, _ in CASES]


def cell(architecture="mlp", sizes=(6, 7, 5, 3), examples=5, seed=0):
    generator = np.random.default_rng(seed + 50)
    network = bench.make("architecture", architecture, sizes=sizes, seed=seed)
    inputs = generator.standard_normal((examples, sizes[0]))
    return network, bench.Batch(inputs, generator.integers(0, sizes[-1], examples))


def flat(arrays, samples):
    return np.concatenate([array.reshape(samples, -1) for array in arrays.values()], axis=1)


def agree(frame, draws, reference):
    """Compare every number of a measurement with the definition applied to the draws."""
    samples = len(next(iter(draws.values())))
    group = np.arange(samples) // RUN % GROUPS
    parts = {
        name: (a.reshape(samples, -1), reference[name].reshape(-1)) for name, a in draws.items()
    }
    parts["all"] = (flat(draws, samples), np.concatenate([g for _, g in parts.values()]))
    twins = {name: naive.measured(*part, group) for name, part in parts.items()}
    twins["all"]["scale_free_bias"] = naive.scale_free(
        [part for name, part in parts.items() if name != "all"], group
    )
    for row in frame.itertuples():
        twin = np.array(twins[row.projection][row.quantity])
        found = np.array([row.value, row.low, row.high])
        np.testing.assert_array_equal(np.isnan(found), np.isnan(twin))
        if not np.isfinite(twin).all():
            assert "unresolved" in row.flag
        # Relative to the quantity, or to the size of what was subtracted to get it.
        g = parts[row.projection][1]
        least = np.array([twins[row.projection]["variance"][0] / samples, 1e-3])
        if row.quantity.startswith("absolute"):
            least *= g @ g
        for one, expected in zip(found, twin, strict=True):
            if np.isfinite(expected):
                scale = np.nanmax([abs(expected), *least])
                assert abs(one - expected) <= 1e-9 * scale, (row, twin)


@pytest.mark.parametrize(("name", "options", "architecture", "objective"), CASES, ids=NAMES)
def test_measure_agrees_with_individual_draws(name, options, architecture, objective):
    network, batch = cell(architecture)
    rule = bench.make("rule", name, **options)
    draws = bench.estimates(rule, network, objective, batch, samples=200, seed=3)
    found = bench.measure(rule, network, objective, batch, samples=200, seed=3, method="sampled")
    if rule.randomness() & {"rule", "action"}:
        assert (found.frame["samples"] == 200).all()
        agree(found.frame, draws, found.reference)
    else:
        # A deterministic rule has one draw: all are equal, and bias is their distance.
        for projection, array in draws.items():
            assert (array == array[0]).all()
            d = (array[0] - found.reference[projection]).reshape(-1)
            assert found.value("absolute_bias_squared", projection) == pytest.approx(
                d @ d, rel=1e-9
            )
            assert found.value("variance", projection) == 0


@pytest.mark.parametrize("sizes", [(6, 7, 5, 3), (40, 60, 50, 3)], ids=["formed", "by Gram"])
def test_sums_of_outer_products_agree_with_formed_ones(sizes):
    network, batch = cell(sizes=sizes, examples=4)
    rule = bench.make("rule", "node_perturbation")
    draws = bench.estimates(rule, network, CROSS_ENTROPY, batch, samples=64, seed=1)
    found = bench.measure(rule, network, CROSS_ENTROPY, batch, samples=64, seed=1, method="sampled")
    agree(found.frame, draws, found.reference)


def test_gram_is_used_where_it_pays():
    """For the bias, which it does not pay for alone, once the weights have paid for it."""
    network, batch = cell(sizes=(40, 60, 50, 3), examples=4)
    generator = np.random.default_rng(0)
    clean = network.forward(batch.inputs)
    references = {p.name: generator.standard_normal(p.synapse.shape) for p in network.projections}
    moments = Moments(network, clean, references)
    posts = {p.name: generator.standard_normal((32, 4, p.size)) for p in network.populations}
    together = {p.name: Outer(posts[p.target], clean.presynaptic(p)) for p in network.projections}
    apart = {name: replace(one, post=one.post.copy()) for name, one in together.items()}
    for estimates, shared in ((together, True), (apart, False)):
        found = moments.block(estimates, 0, 20)
        unformed = {name: total.unformed for total in found.totals for name in total.names}
        assert len(found.totals) == (3 if shared else 6)
        for p in network.projections:
            assert unformed[p.name] == (shared or len(p.synapse.shape) == 2)
        d = {
            p.name: p.synapse.outer(posts[p.target], clean.presynaptic(p))[:20].reshape(20, -1)
            - references[p.name].reshape(-1)
            for p in network.projections
        }
        cross = [d[name] @ references[name].reshape(-1) for name in d]
        runs = [slice(0, 16), slice(16, 20)]
        np.testing.assert_array_equal(found.count, [16, 4])
        squares = [[(one[run] ** 2).sum() for one in d.values()] for run in runs]
        np.testing.assert_allclose(found.squares, squares, rtol=1e-12)
        crosses = [[(one[run] ** 2).sum() for one in [*cross, sum(cross)]] for run in runs]
        np.testing.assert_allclose(found.cross_squares, crosses, rtol=1e-10)


SAMPLES = st.integers(1, 9)
SIZES = st.one_of(st.integers(1, 40), st.integers(1020, 1040), st.integers(2040, 2060))


ORIGINS = st.sampled_from([0.0, 1.0])


@given(SAMPLES, SIZES, ORIGINS, st.integers(0, 2**31), st.booleans())
def test_deviation_kernel_agrees_with_its_twin(samples, size, origin, seed, single):
    generator = np.random.default_rng(seed)
    dtype = np.float32 if single else np.float64
    directions = generator.standard_normal((samples, size)).astype(dtype)
    coefficients = generator.standard_normal(samples)
    reference = generator.standard_normal(size)
    total, squares, cross = np.full((3, size), 7.0), np.empty(samples), np.empty(samples)
    deviations(coefficients, directions, reference, origin, 4, total, squares, cross)
    d = coefficients[:, None] * directions.astype(float) - origin * reference
    runs = [d[first : first + 4].sum(axis=0) for first in range(0, samples, 4)]
    np.testing.assert_allclose(total[: len(runs)], runs, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(squares, (d * d).sum(axis=1), rtol=1e-12)
    np.testing.assert_allclose(cross, d @ reference, rtol=1e-11, atol=1e-11)


@given(SIZES, st.integers(0, 2**31))
def test_kernel_of_products_agrees_with_its_twin(size, seed):
    mean, reference = np.random.default_rng(seed).standard_normal((2, size))
    d = mean - reference
    expected = [d @ d, mean @ reference, mean @ mean, reference @ reference]
    np.testing.assert_allclose(products(mean, reference), expected, rtol=1e-12, atol=1e-11)


@given(SAMPLES, SIZES, st.integers(1, 80), ORIGINS, st.integers(0, 2**31), st.booleans())
def test_kernel_over_post_factors_agrees_with_its_twin(
    samples, size, examples, origin, seed, single
):
    generator = np.random.default_rng(seed)
    dtype = np.float32 if single else np.float64
    factors = generator.standard_normal((samples + 1, size)).astype(dtype)
    pairs = generator.standard_normal((samples + 1, examples)).astype(dtype)
    along, grams = (generator.standard_normal((2, n)) for n in (size, examples))
    lengths, places = generator.random(2), np.array([3, 1])
    total = np.full((3, size), 7.0)
    squares, cross = np.full((2, samples, 4), 7.0)
    sum_posts(factors, pairs, along, grams, lengths, places, origin, 4, total, squares, cross)
    valid = factors[:samples].astype(float)
    for run, first in enumerate(range(0, samples, 4)):
        expected = valid[first : first + 4].sum(axis=0)
        np.testing.assert_allclose(total[run], expected, rtol=1e-12, atol=1e-12)
    inner = valid @ along.T
    length = pairs[:samples].astype(float) @ grams.T
    expected = length - 2 * origin * inner + origin**2 * lengths
    np.testing.assert_allclose(squares[:, places], expected, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(cross[:, places], inner - origin * lengths, rtol=1e-11, atol=1e-11)
    assert (squares[:, [0, 2]] == 7).all()
    assert (cross[:, [0, 2]] == 7).all()


@pytest.mark.parametrize(("name", "options", "architecture", "objective"), CASES, ids=NAMES)
def test_same_bits_with_any_number_of_threads_and_samples(name, options, architecture, objective):
    network, batch = cell(architecture)
    rule = bench.make("rule", name, **options)
    arguments = (rule, network, objective, batch)
    one = bench.measure(*arguments, samples=150, method="sampled").frame
    two = bench.measure(*arguments, samples=150, method="sampled", threads=2).frame
    assert one.equals(two)
    long = bench.estimates(*arguments, samples=37)
    short = bench.estimates(*arguments, samples=5)
    for projection in long:
        np.testing.assert_array_equal(long[projection][:5], short[projection])


@pytest.mark.parametrize(("name", "options", "architecture", "objective"), CASES, ids=NAMES)
def test_order_of_the_batch_does_not_matter(name, options, architecture, objective):
    network, batch = cell(architecture)
    rule = bench.make("rule", name, **options)
    shuffled = batch.take(np.array([3, 0, 4, 1, 2]))
    ours = bench.estimates(rule, network, objective, batch, samples=3)
    theirs = bench.estimates(rule, network, objective, shuffled, samples=3)
    for projection, array in ours.items():
        np.testing.assert_allclose(theirs[projection], array, rtol=1e-9, atol=1e-12)


def test_measuring_changes_nothing():
    network, batch = cell()
    rule = bench.make("rule", "feedback_alignment")
    state = bench.initial_state(rule, network)
    before = {name: array.copy() for name, array in {**state, **network.parameters}.items()}
    bench.measure(rule, network, CROSS_ENTROPY, batch, state=state, redraw={"feedback"}, samples=20)
    for name, array in {**state, **network.parameters}.items():
        np.testing.assert_array_equal(array, before[name])


def test_single_precision_is_close():
    network, batch = cell()
    rule = bench.make("rule", "node_perturbation", sigma=0.03)
    arguments = (rule, network, CROSS_ENTROPY, batch)
    assert (
        bench.estimates(*arguments, samples=2, dtype="float32")["layer1.bias"].dtype == np.float32
    )
    single = bench.measure(*arguments, samples=500, dtype="float32")
    double = bench.measure(*arguments, samples=500)
    assert single.value("variance") == pytest.approx(double.value("variance"), rel=1e-3)


def test_frame_has_the_documented_columns():
    network, batch = cell()
    rule = bench.make("rule", "node_perturbation")
    frame = bench.measure(rule, network, CROSS_ENTROPY, batch, samples=4000).frame
    wanted = {"projection", "quantity", "value", "low", "high", "samples", "redrawn", "reference"}
    assert wanted <= set(frame.columns)
    assert set(frame["projection"]) == {"all", *network.parameters}
    assert set(frame["quantity"]) == set(QUANTITIES)
    assert set(frame["redrawn"]) == {"rule"}
    assert (frame["low"] <= frame["value"]).all()
    assert (frame["value"] <= frame["high"]).all()


def test_doubtful_intervals_are_flagged():
    rule = bench.make("rule", "node_perturbation")
    network, batch = cell(sizes=(2, 1), examples=1)
    narrow = bench.measure(rule, network, SQUARED_ERROR, batch, samples=2000).frame
    assert narrow["flag"].str.contains("low dimension").all()
    network, batch = cell(sizes=(30, 40, 5), examples=16)
    few = bench.measure(rule, network, CROSS_ENTROPY, batch, samples=200).frame
    assert few["flag"].str.contains("few samples").all()
    enough = bench.measure(rule, network, CROSS_ENTROPY, batch, samples=1000).frame
    assert (enough.loc[enough["projection"] == "all", "flag"] == "").all()


def test_no_measurement_is_without_a_scale_free_bias():
    """Else those that happen to have one would be a selection. It holds 0: there is no bias."""
    rule = bench.make("rule", "weight_perturbation")
    network, batch = cell()
    held = []
    for seed in range(200):
        found = bench.measure(rule, network, CROSS_ENTROPY, batch, 320, seed, threads=1)
        rows = [row for row in found.rows if row["quantity"] == "scale_free_bias"]
        ends = np.array([(row["value"], row["low"], row["high"]) for row in rows])
        assert np.isfinite(ends).all()
        whole = next(row for row in rows if row["projection"] == "all")
        held.append(whole["low"] <= 1e-6 and whole["high"] >= 0)
    assert np.mean(held) >= 0.9


def test_noise_of_a_rule_does_not_depend_on_its_options():
    """A comparison between noise levels, or between rules, is paired."""
    network, batch = cell()
    small, large = (
        bench.estimates(
            bench.make("rule", "node_perturbation", sigma=sigma), network, CROSS_ENTROPY, batch
        )
        for sigma in (1e-4, 1e-3)
    )
    np.testing.assert_allclose(small["layer1.bias"], large["layer1.bias"], rtol=1e-3, atol=1e-6)


REFUSED = [
    ({"samples": 0}, "samples: 0"),
    ({"samples": 2.5}, "samples: 2.5"),
    ({"method": "exakt"}, "did you mean 'exact'"),
    ({"dtype": "float16"}, "dtype: 'float16'"),
    ({"redraw": {"init"}}, "redraw: 'init'"),
    ({"redraw": {"data"}}, "bench.budget"),
    ({"redraw": {"rul"}}, "did you mean 'rule'"),
    ({"reference": "mine"}, "reference: 'mine'"),
    ({"threads": 0}, "threads: 0"),
]


@pytest.mark.parametrize(("options", "words"), REFUSED)
def test_bad_arguments_are_refused(options, words):
    network, batch = cell()
    rule = bench.make("rule", "node_perturbation")
    with pytest.raises(bench.InputError) as refused:
        bench.measure(rule, network, CROSS_ENTROPY, batch, **options)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_parts_that_do_not_fit_are_refused():
    network, batch = cell()
    rule = bench.make("rule", "node_perturbation")
    wide = bench.Batch(np.zeros((2, 9)), np.zeros(2, dtype=int))
    with pytest.raises(bench.InputError, match="inputs: shape"):
        bench.measure(rule, network, CROSS_ENTROPY, wide)
    high = bench.Batch(np.zeros((2, 6)), np.array([0, 3]))
    with pytest.raises(bench.InputError, match="class 3"):
        bench.measure(rule, network, CROSS_ENTROPY, high)
    with pytest.raises(bench.InputError, match="apical"):
        bench.measure(bench.make("rule", "dendritic_error"), network, CROSS_ENTROPY, batch)
    with pytest.raises(bench.InputError, match="softmax"):
        bench.measure(bench.make("rule", "attention_gated"), network, SQUARED_ERROR, batch)


TOLD = """
with open("/proc/self/status") as told:
    print(1024 * next(int(line.split()[1]) for line in told if line.startswith("VmHWM")))
"""
SMALL = """
import sys
from plausibench import bench
task = bench.make("task", "digits")
network = bench.make("architecture", "mlp", sizes=[64, 32, 10], seed=0)
rule = bench.make("rule", "node_perturbation")
objective = bench.make("objective", "cross_entropy")
bench.measure(rule, network, objective, task.batch(16, seed=0), samples=int(sys.argv[1]))
"""
LARGE = """
import sys
import numpy as np
from plausibench import bench
from plausibench.bench.measuring import draws, moments
moments.HELD, draws.TOGETHER = int(sys.argv[2]), 1
network = bench.make("architecture", "mlp", sizes=[784, 1024, 10], seed=0)
batch = bench.Batch(np.ones((2, 784)), np.zeros(2, dtype=int))
parts = bench.make("rule", "weight_perturbation"), network, bench.make("objective", "cross_entropy")
bench.measure(*parts, batch, samples=int(sys.argv[1]), threads=1)
"""


def peak_memory(code, *options):
    """Bytes of a process that runs code. Its ru_maxrss would begin at that of these tests."""
    if not Path("/proc/self/status").exists():
        pytest.skip("memory is looked up where Linux tells it")
    command = [sys.executable, "-c", code + TOLD, *map(str, options)]
    return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def test_memory_along_directions_does_not_grow_with_groups(record_figure):
    """20 groups of 814,090 numbers are 130 MB; those of a part are 42 MB."""
    options = ((32, 0), (320, 0), (320, 1 << 28))
    few, many, kept = (peak_memory(LARGE, *each) for each in options)
    record_figure("peak memory, 20 groups of 814,090 numbers against two", many - few, "< 60 MB")
    assert many - few < 60e6 < 90e6 < kept - few


@pytest.mark.parametrize("samples", [20_000, pytest.param(100_000, marks=pytest.mark.acceptance)])
def test_memory_does_not_grow_with_samples(samples, record_figure):
    ratio = peak_memory(SMALL, samples) / peak_memory(SMALL, 1000)
    record_figure(f"peak memory, {samples} samples against 1000", ratio, "within 5 %")
    assert ratio < 1.05
