"""A gradient of zero, tiny or huge numbers and NaN are outcomes: measured, flagged, no errors."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plausibench import bench
from plausibench.bench.measuring.moments import Moments
from plausibench.bench.measuring.statistics import QUANTITIES, RELATIVE, quantities
from plausibench.bench.running.job import compute
from plausibench.bench.studies.benchmark.spec import Spec
from plausibench.bench.studies.benchmark.study import jobs
from plausibench.rules.estimate import Outer

CROSS_ENTROPY = bench.make("objective", "cross_entropy")
SQUARED_ERROR = bench.make("objective", "mean_squared_error")
RULES = ["backprop", "feedback_alignment", "node_perturbation", "weight_perturbation"]


def reached():
    """A network and a batch whose targets are its outputs: squared errors have no gradient."""
    network = bench.make("architecture", "mlp", sizes=[6, 5, 3], seed=0)
    inputs = np.random.default_rng(0).standard_normal((8, 6))
    return network, bench.Batch(inputs, network.forward(inputs).output.copy())


def dead():
    """Rectifiers that no input reaches."""
    network = bench.make("architecture", "mlp", sizes=[6, 5, 3], activation="relu", bias=False)
    return network, bench.Batch(np.zeros((8, 6)), np.arange(8) % 3)


def lonely():
    """A softmax of one output, whose only class is certain."""
    network = bench.make("architecture", "mlp", sizes=[6, 5, 1], seed=0)
    inputs = np.random.default_rng(0).standard_normal((8, 6))
    return network, bench.Batch(inputs, np.zeros(8, int))


SITUATIONS = {
    "target reached": (reached, SQUARED_ERROR),
    "dead rectifiers": (dead, CROSS_ENTROPY),
    "one output": (lonely, CROSS_ENTROPY),
}


def flagged(rows):
    """Every value that is unknown says why."""
    for row in rows:
        ends = [row["value"], row["low"], row["high"]]
        assert np.isfinite(ends).all() or row["flag"], row


@pytest.mark.parametrize("method", ["auto", "sampled"])
@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("name", RULES)
def test_without_a_gradient_only_absolute_values_are_known(name, situation, method):
    make, objective = SITUATIONS[situation]
    network, batch = make()
    rule = bench.make("rule", name)
    found = bench.measure(rule, network, objective, batch, 1280, method=method)
    draws = bench.estimates(rule, network, objective, batch, 1280)
    assert all(not g.any() for g in found.reference.values())
    flagged(found.rows)
    for row in found.rows:
        if row["quantity"] in RELATIVE:
            assert np.isnan([row["value"], row["low"], row["high"]]).all()
            assert "no gradient" in row["flag"]
        else:
            assert "no gradient" not in row["flag"]
    spread = sum(float(d.var(axis=0, ddof=1).sum()) for d in draws.values())
    mean2 = sum(float((d.mean(axis=0) ** 2).sum()) for d in draws.values())
    assert found.value("absolute_variance") == pytest.approx(spread, rel=1e-9, abs=1e-300)
    bias = mean2 - spread / 1280
    assert found.value("absolute_bias_squared") == pytest.approx(bias, rel=1e-6, abs=1e-12 * mean2)


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("name", RULES)
def test_curve_and_step_say_that_there_is_no_gradient(name, situation):
    make, objective = SITUATIONS[situation]
    network, batch = make()
    rule = bench.make("rule", name)
    curve = bench.averaging_curve(rule, network, objective, batch, 8)
    assert curve["cosine"].isna().all()
    assert (curve["flag"] == "no gradient").all()
    flagged(bench.progress(rule, network, objective, batch, 8).to_dict("records"))


def test_budget_without_a_gradient():
    task = bench.make("task", "digits")
    network = bench.make("architecture", "mlp", sizes=[64, 4, 10], activation="relu", seed=0)
    low = {name: np.full(w.shape, -1.0) for name, w in network.parameters.items()}
    network = network.with_parameters({**low, "layer2.bias": np.zeros(10)})
    rule = bench.make("rule", "feedback_alignment")
    found = bench.budget(rule, task, network, SQUARED_ERROR, feedbacks=3, batches=2, samples=2)
    flagged(found.to_dict("records"))


@pytest.mark.parametrize("exponent", [-200, -170, -120, -60, 0, 60, 120, 150])
def test_relative_values_do_not_depend_on_the_scale(exponent):
    """Over 350 decades, in the same bits: numbers are scaled by powers of 2."""
    generator = np.random.default_rng(0)
    g = {"w": generator.standard_normal(7), "b": generator.standard_normal(3)}

    def measured(scale):
        def update(parameters, batch, rng):
            return {
                name: np.ldexp(0.8 * array + rng.standard_normal(array.shape), scale)
                for name, array in g.items()
            }

        reference = {name: np.ldexp(array, scale) for name, array in g.items()}
        return bench.measure_function(update, g, None, 400, reference=reference)

    scale = round(exponent * np.log2(10))
    one, other = measured(0), measured(scale)
    for left, right in zip(one.rows, other.rows, strict=True):
        if left["quantity"] in RELATIVE:
            assert left == right
        else:
            with np.errstate(over="ignore", under="ignore"):
                assert right["value"] == np.ldexp(left["value"], 2 * scale)
    flagged(other.rows)
    for name in g:
        np.testing.assert_array_equal(other.mean[name], np.ldexp(one.mean[name], scale))


@pytest.mark.parametrize("scale", [-600, 450])
def test_layers_of_very_different_gradients_are_all_measured(scale):
    def update(parameters, batch, rng):
        return {
            "near": 1 + rng.standard_normal(9),
            "far": np.ldexp(1 + rng.standard_normal(9), scale),
        }

    reference = {"near": np.ones(9), "far": np.ldexp(np.ones(9), scale)}
    found = bench.measure_function(update, reference, None, 2000, reference=reference)
    assert found.value("variance", "near") == pytest.approx(1, rel=0.1)
    assert found.value("variance", "far") == pytest.approx(1, rel=0.1)
    largest = "near" if scale < 0 else "far"
    for quantity in RELATIVE:
        assert found.value(quantity) == pytest.approx(found.value(quantity, largest), rel=1e-9)


@pytest.mark.parametrize(("dtype", "scale"), [("float64", -600), ("float32", -80), ("float32", 60)])
def test_products_of_factors_are_measured_at_any_scale(dtype, scale):
    """By the inner products of post factors, which float32 could not hold at such scales."""
    network = bench.make("architecture", "mlp", sizes=(40, 60, 3), seed=0).astype(dtype)
    generator = np.random.default_rng(0)
    clean = network.forward(generator.standard_normal((4, 40)).astype(dtype))
    g = {p.name: generator.standard_normal(p.synapse.shape) for p in network.projections}
    posts = {
        p.name: generator.standard_normal((32, 4, p.size)).astype(dtype)
        for p in network.populations
    }

    def measured(power):
        moments = Moments(network, clean, {name: np.ldexp(a, power) for name, a in g.items()})
        near = {name: np.ldexp(post, power) for name, post in posts.items()}
        for index in range(3):
            estimates = {
                p.name: Outer(near[p.target], clean.presynaptic(p)) for p in network.projections
            }
            moments.add(moments.block(estimates, index, 32))
        found = {name: quantities(sums) for name, sums in moments.results()[0].items()}
        return {(name, one): found[name][one][0] for name in found for one in RELATIVE}

    tolerance = 1e-10 if dtype == "float64" else 1e-4
    near, far = measured(0), measured(scale)
    for place, value in near.items():
        assert far[place] == pytest.approx(value, rel=tolerance, abs=tolerance), place


@pytest.mark.parametrize("method", ["auto", "sampled"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ["backprop", "feedback_alignment", "node_perturbation"])
def test_a_vanishing_error_is_measured_like_any_other(name, dtype, method):
    """Linear networks: the relative values do not depend on the size of the error."""
    network = bench.make("architecture", "linear", sizes=[5, 4, 3], seed=1)
    generator = np.random.default_rng(2)
    inputs, error = generator.standard_normal((6, 5)), generator.standard_normal((6, 3))
    state = bench.initial_state(bench.make("rule", name), network)
    rule = bench.make("rule", name)
    found = []
    for power in (0, -70 if dtype == "float64" else -30):
        scaled = np.ldexp(inputs, power)
        targets = network.forward(scaled).output + np.ldexp(error, power)
        batch = bench.Batch(scaled, targets)
        if name == "node_perturbation" and power:
            continue  # its differences of losses drown in rounding
        found.append(
            bench.measure(
                rule, network, SQUARED_ERROR, batch, 320, state=state, dtype=dtype, method=method
            )
        )
    for measured in found:
        flagged(measured.rows)
        for quantity in ("bias_squared", "variance", "gain"):
            tolerance = 1e-9 if dtype == "float64" else 1e-3
            expected = found[0].value(quantity, "layer1.weights")
            assert measured.value(quantity, "layer1.weights") == pytest.approx(
                expected, rel=tolerance, abs=tolerance**2 if method == "auto" else tolerance
            )


@pytest.mark.parametrize("method", ["auto", "sampled"])
@pytest.mark.parametrize("name", RULES)
def test_weights_that_are_not_numbers_are_flagged(name, method):
    network, batch = reached()
    weights = {**network.parameters, "layer1.weights": np.full((5, 6), np.nan)}
    found = bench.measure(
        bench.make("rule", name),
        network.with_parameters(weights),
        SQUARED_ERROR,
        batch,
        320,
        method=method,
    )
    flagged(found.rows)
    whole = [row for row in found.rows if row["projection"] == "all"]
    assert {row["flag"] for row in whole} == {"not finite"}


VALUES = st.sampled_from([0.0, 1.0, -1.0, 1e-170, 1e-320, 1e150, 1e300, np.inf, np.nan, 3.0])


@given(
    st.lists(VALUES, min_size=3, max_size=3),
    st.lists(VALUES.filter(np.isfinite), min_size=3, max_size=3),
    st.lists(VALUES.filter(np.isfinite), min_size=3, max_size=3),
    st.sampled_from([1, 2, 16, 17, 40, 400]),
)
@settings(max_examples=150)
def test_what_is_unknown_is_flagged(mean, spread, reference, samples):
    """Whatever gradient and estimates are, sampled or exact."""
    g = {"a": np.array(reference[:2]), "b": np.array(reference[2:])}

    def update(parameters, batch, rng):
        with np.errstate(over="ignore"):
            drawn = np.nan_to_num(mean) + np.array(spread) * rng.choice([-1.0, 1.0], 3)
        drawn = np.clip(drawn, -1e300, 1e300)
        return {"a": drawn[:2], "b": drawn[2:]}

    found = bench.measure_function(update, g, None, samples, reference=g)
    flagged(found.rows)
    assert len(found.rows) == 3 * len(QUANTITIES)
    network = bench.make("architecture", "mlp", sizes=[1, 1], seed=0)
    batch = bench.Batch(np.ones((1, 1)), np.ones((1, 1)) * 2)
    weights = {"layer1.weights": np.array([mean[:1]]), "layer1.bias": np.array(mean[1:2])}
    with np.errstate(all="ignore"):
        exact = bench.measure(
            bench.make("rule", "backprop"), network.with_parameters(weights), SQUARED_ERROR, batch
        )
    flagged(exact.rows)


def test_a_sweep_records_silence_as_an_outcome():
    """A spiking network that is silent in its only step: nothing arrives, nothing is learned."""
    spec = Spec(
        tasks=("digits",),
        architectures=("spiking_rnn[steps=1]",),
        objectives=("cross_entropy",),
        rules=("e_prop", "surrogate_gradient"),
        hidden=(8,),
        protocols=("shared",),
        checkpoints=(0,),
        seeds=1,
        samples=64,
        averaging_samples=8,
    )
    outcomes = [compute(job) for job in jobs(spec) if not job.reason]
    assert outcomes
    for outcome in outcomes:
        assert outcome.status == "done"
        measured = pd.DataFrame(outcome.rows).query("kind == 'conditional'").to_dict("records")
        assert {row["quantity"] for row in measured} == set(QUANTITIES)
        flagged(measured)
