"""Companions: the twin of each, what is measured with them, and what is refused."""

from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace

import naive_companions
import numpy as np
import pytest

import naive
from plausibench import bench
from plausibench.bench.conformance import checks
from plausibench.bench.conformance.case import Case
from plausibench.bench.conformance.companion import check_companion
from plausibench.bench.measuring.draws import WITHIN, companion_of, prepare
from plausibench.bench.measuring.factors import RUN
from plausibench.bench.measuring.statistics import GROUPS, QUANTITIES, RELATIVE, Ends, blurred
from plausibench.kernels.streams import stream
from plausibench.rules.companions import PROBES
from plausibench.rules.estimate import Dense, Outer, difference, form
from plausibench.rules.node_perturbation import NodePerturbation
from plausibench.rules.noise import Noise, Shared

CROSS_ENTROPY = bench.make("objective", "cross_entropy")
SQUARED_ERROR = bench.make("objective", "mean_squared_error")
DIGITS = bench.make("task", "digits").batch(32, seed=0)


def mlp(sizes=(6, 7, 5, 3), seed=0, **options):
    """A network whose biases are not zero."""
    network = bench.make("architecture", "mlp", sizes=sizes, seed=seed, **options)
    random = np.random.default_rng(seed + 1)
    return network.with_parameters(
        {
            name: w + 0.3 * random.standard_normal(w.shape) * (w.ndim == 1)
            for name, w in network.parameters.items()
        }
    )


def batch_for(network, examples=5, seed=0, keys=None):
    random = np.random.default_rng(seed + 50)
    inputs = random.standard_normal((examples, network.inputs))
    keys = random.permutation(50)[:examples] if keys is None else keys
    return bench.Batch(inputs, random.integers(0, network.output.size, examples), keys)


def rate_rnn():
    network = bench.make("architecture", "rate_rnn", sizes=(3, 5, 2), seed=0)
    random = np.random.default_rng(100)
    return network.with_parameters(
        {
            name: w if w.ndim == 2 else 0.3 * random.standard_normal(w.shape)
            for name, w in network.parameters.items()
        }
    )


def sequences(network, examples=4, steps=6):
    random = np.random.default_rng(0)
    inputs = random.standard_normal((examples, steps, network.inputs))
    targets = random.standard_normal((examples, steps, network.output.size))
    return bench.Batch(inputs, targets, random.permutation(examples))


def companion_at(rule, network, objective, batch, state=None):
    """The companion, and the noise of three samples."""
    clean = network.forward(batch.inputs)
    state = rule.initial_state(network, 0) if state is None else state
    noise = Noise(7, np.arange(3), batch.keys, network.dtype)
    return rule.companion(network, objective, batch, clean, state), noise, clean


def subtracted(companion, network, draws):
    """What is subtracted from the estimates, the odd part too, ``(S, *shape)`` per parameter."""
    found = form(network, companion.estimate(draws))
    if companion.odd is None:
        return found
    return {name: found[name] + one for name, one in form(network, companion.odd(draws)).items()}


def assert_twin(found, twins):
    for name, array in found.items():
        for one, twin in zip(array, twins, strict=True):
            scale = np.abs(twin[name]).max()
            np.testing.assert_allclose(one, twin[name], rtol=1e-9, atol=1e-9 * scale)


NOISES = pytest.mark.parametrize("noise", ["gaussian", "rademacher"])
SIDES = pytest.mark.parametrize("antithetic", [True, False])
GOALS = pytest.mark.parametrize("objective", ["cross_entropy", "mean_squared_error"])


class TestTwins:
    """Each estimate is that of plain loops on the same noise; rounding is below 1e-9."""

    @NOISES
    @SIDES
    @GOALS
    def test_weight_perturbation(self, noise, antithetic, objective):
        network, goal = mlp(), bench.make("objective", objective)
        batch = batch_for(network)
        rule = bench.make(
            "rule", "weight_perturbation", sigma=0.1, antithetic=antithetic, noise=noise
        )
        companion, draws, _ = companion_at(rule, network, goal, batch)
        xi = draws.parameters(network.parameters, noise)
        twins = [
            naive_companions.weight_perturbation(
                *(network, objective, batch, {n: a[k] for n, a in xi.items()}, 0.1, antithetic)
            )
            for k in range(3)
        ]
        assert_twin(subtracted(companion, network, draws), twins)
        assert (companion.odd is None) == antithetic

    @NOISES
    @SIDES
    @GOALS
    def test_node_perturbation(self, noise, antithetic, objective):
        network, goal = mlp(), bench.make("objective", objective)
        batch = batch_for(network)
        rule = bench.make(
            "rule", "node_perturbation", sigma=0.1, antithetic=antithetic, noise=noise
        )
        companion, draws, clean = companion_at(rule, network, goal, batch)
        xi = draws.examples(clean.drive, noise)
        twins = [
            naive_companions.node_perturbation(
                *(network, objective, batch, {n: a[k] for n, a in xi.items()}, 0.1, antithetic)
            )
            for k in range(3)
        ]
        assert_twin(subtracted(companion, network, draws), twins)
        assert (companion.odd is None) == antithetic

    @NOISES
    @pytest.mark.parametrize("sizes", [(6, 7, 5, 3), (6, 4)])
    @pytest.mark.parametrize("name", ["activity", "decorrelated"])
    def test_activity_node_perturbation(self, name, sizes, noise):
        network = mlp(sizes)
        batch = batch_for(network)
        rule = bench.make("rule", f"{name}_node_perturbation", sigma=0.1, noise=noise)
        random, state, matrices = np.random.default_rng(3), None, None
        if name == "decorrelated":
            state = {
                source: np.eye(len(m)) + 0.3 * random.standard_normal(m.shape)
                for source, m in rule.initial_state(network, 0).items()
            }
            matrices = list(state.values())
        companion, draws, clean = companion_at(rule, network, CROSS_ENTROPY, batch, state)
        own = Noise(stream(0, "companion"), np.arange(PROBES), batch.keys, draws.dtype)
        xi, probes = (each.examples(clean.drive, noise) for each in (draws, own))
        several = [{n: a[k] for n, a in probes.items()} for k in range(PROBES)]
        twins = [
            naive_companions.activity_node_perturbation(
                *(network, "cross_entropy", batch, {n: a[k] for n, a in xi.items()}),
                several,
                matrices,
            )
            for k in range(3)
        ]
        assert_twin(subtracted(companion, network, draws), twins)

    @pytest.mark.parametrize("perturbing", ["weights", "activity"])
    def test_forward_gradient_has_itself(self, perturbing):
        network = mlp()
        batch = batch_for(network)
        rule = bench.make("rule", "forward_gradient", perturbing=perturbing)
        companion, draws, clean = companion_at(rule, network, CROSS_ENTROPY, batch)
        own = rule.estimate(network, CROSS_ENTROPY, batch, clean, {}, draws)
        for name, array in form(network, own).items():
            scale = np.abs(array).max()
            found = form(network, companion.estimate(draws))[name]
            np.testing.assert_allclose(found, array, rtol=1e-10, atol=1e-13 * scale)

    @NOISES
    @pytest.mark.parametrize("baseline", ["clean", "running"])
    @pytest.mark.parametrize(("delay", "decay"), [(0, 0.0), (1, 0.5), (2, 1.0)])
    def test_three_factor(self, delay, decay, baseline, noise):
        network = mlp()
        batch = batch_for(network)
        options = {"delay": delay, "decay": decay, "baseline": baseline, "noise": noise}
        rule = bench.make("rule", "three_factor", sigma=0.1, **options)
        state = {"baseline": np.array([0.7])} if baseline == "running" else {}
        companion, draws, clean = companion_at(rule, network, CROSS_ENTROPY, batch, state)
        xi = draws.examples(clean.drive, noise)
        twins = [
            naive_companions.three_factor(
                *(network, "cross_entropy", batch, {n: a[k] for n, a in xi.items()}, rule),
                0.7 if baseline == "running" else None,
            )
            for k in range(3)
        ]
        assert_twin(subtracted(companion, network, draws), twins)

    @pytest.mark.parametrize(
        ("name", "options"),
        [
            ("node_perturbation", {}),
            ("three_factor", {"delay": 2, "decay": 0.7}),
            ("three_factor", {"delay": 6, "decay": 1.0, "noise": "rademacher"}),
        ],
    )
    def test_in_time(self, name, options):
        network = rate_rnn()
        batch, steps = sequences(network), 6
        rule = bench.make("rule", name, sigma=0.1, **options)
        companion, draws, clean = companion_at(rule, network, SQUARED_ERROR, batch)
        xi = draws.examples(clean.drive, rule.noise)
        names = [f"layer1.{each}" for each in ("weights", "recurrent", "bias")]
        names += ["layer2.weights", "layer2.bias"]
        weights = [network.parameters[each] for each in names]
        leak = network.population("layer1").neurons.leak
        # Node perturbation, antithetic, has all of the trial in its trace, and no even part.
        whole = SimpleNamespace(delay=steps, decay=1.0, sigma=0.1)
        twins = []
        for k in range(3):
            total = [0.0] * 5
            for b, x in enumerate(batch.inputs):
                own = [xi[each][k, b :: batch.size] for each in ("layer1", "layer2")]
                given = (weights, x, own, batch.targets[b], np.full(steps, 1 / steps))
                if name == "three_factor":
                    one = naive_companions.three_factor_in_time(*given, leak, "tanh", rule)
                else:
                    one = naive_companions.straight_in_time(*given, leak, "tanh", whole)
                total = [t + part / batch.size for t, part in zip(total, one, strict=True)]
            twins.append(dict(zip(names, total, strict=True)))
        assert_twin(subtracted(companion, network, draws), twins)


RULES = [
    ("weight_perturbation", {"sigma": 0.3}),
    ("weight_perturbation", {"sigma": 0.3, "antithetic": False, "noise": "rademacher"}),
    ("node_perturbation", {"sigma": 0.3}),
    ("node_perturbation", {"sigma": 0.3, "antithetic": False, "noise": "rademacher"}),
    ("activity_node_perturbation", {"sigma": 0.3}),
    ("decorrelated_node_perturbation", {"sigma": 0.3, "antithetic": False}),
    ("three_factor", {"sigma": 0.3}),
    ("three_factor", {"sigma": 0.3, "baseline": "running"}),
]
IDS = ["-".join(map(str, (name, *options.values()))) for name, options in RULES]
EVERY = pytest.mark.parametrize(("name", "options"), RULES, ids=IDS)


def rows(arrays, samples):
    return {name: array.reshape(samples, -1) for name, array in arrays.items()}


def agree(rule, network, objective, batch, samples=200, seed=3, state=None, dtype="float64"):
    """Compare every number of a measurement with the definitions, applied to single draws."""
    options = {"state": state, "dtype": dtype}
    found = bench.measure(rule, network, objective, batch, samples, seed, **options)
    assert set(found.frame["method"]) == {"companion"}
    setting = prepare(rule, network, objective, batch, state, seed, dtype)
    companion = companion_of(setting, WITHIN)
    noise = Noise(seed, np.arange(samples), batch.keys, setting.network.dtype)
    beside = rows(form(setting.network, companion.estimate(noise)), samples)
    odd = {name: np.zeros_like(array) for name, array in beside.items()}
    if companion.odd is not None:
        odd = rows(form(setting.network, companion.odd(noise)), samples)
    draws = rows(
        bench.estimates(rule, network, objective, batch, samples, seed, **options), samples
    )
    extra = objective.penalty_gradient(network.parameters)
    mean = {name: array.reshape(-1) for name, array in companion.mean.items()}
    g = {name: array.reshape(-1) for name, array in found.reference.items()}
    known = companion.variance or dict.fromkeys(g)
    group = np.arange(samples) // RUN % GROUPS
    slices = {name: [name] for name in g} | {"all": list(g)}
    parts = {}
    for part, names in slices.items():
        e = np.concatenate([draws[n] - np.ravel(extra.get(n, 0.0)) - beside[n] for n in names], 1)
        c = np.concatenate([beside[n] for n in names], axis=1)
        h = np.concatenate([odd[n] for n in names], axis=1)
        e = e - h
        m = np.concatenate([mean[n] for n in names])
        own = np.concatenate([g[n] for n in names])
        added = np.concatenate(
            [np.broadcast_to(np.ravel(extra.get(n, 0.0)), g[n].shape) for n in names]
        )
        exact = None if companion.variance is None else sum(known[n] for n in names)

        def variance(keep, e=e, c=c, h=h, m=m, exact=exact):
            one, two, three = e[keep], c[keep], h[keep]
            of_it = two.var(axis=0, ddof=1).sum() if exact is None else exact
            # Of the odd part, which does not go with the companion, the mean is 0.
            shared = 2 * (one * (two - m)).sum() + (three * (three + 2 * one)).sum()
            return of_it + one.var(axis=0, ddof=1).sum() + shared / len(one)

        parts[part] = (e + m + added, own, variance)
    twins = {name: naive.measured(*part[:2], group, part[2]) for name, part in parts.items()}
    twins["all"]["scale_free_bias"] = naive.scale_free(
        [part[:2] for name, part in parts.items() if name != "all"], group
    )
    for row in found.frame.itertuples():
        draws_of, own, _ = parts[row.projection]
        twin = np.array(twins[row.projection][row.quantity])
        error = sum(companion.floor.get(n, 0.0) for n in slices[row.projection]) ** 0.5
        if not row.quantity.startswith("absolute"):
            error /= np.sqrt(own @ own)
        twin = np.array(blurred(row.quantity, Ends(*twin), error)[0][:3])
        g2 = own @ own
        spread = draws_of.var(axis=0).sum() / samples / g2
        least = 1e-7 * spread * (g2 if row.quantity.startswith("absolute") else 1) + 1e-12
        for one, expected in zip((row.value, row.low, row.high), twin, strict=True):
            assert np.isnan(one) == np.isnan(expected), row
            if np.isfinite(expected):
                assert abs(one - expected) <= 1e-7 * abs(expected) + least, (row, twin)
    return found


class TestMeasurement:
    @EVERY
    def test_agrees_with_individual_draws(self, name, options):
        network = mlp()
        agree(bench.make("rule", name, **options), network, CROSS_ENTROPY, batch_for(network))

    @pytest.mark.parametrize("sizes", [(6, 7, 5, 3), (40, 60, 50, 3)], ids=["formed", "by Gram"])
    def test_sums_of_outer_products_agree_with_formed_ones(self, sizes):
        network = mlp(sizes)
        rule = bench.make("rule", "node_perturbation", sigma=0.3)
        agree(rule, network, CROSS_ENTROPY, batch_for(network, 4), samples=96)

    @pytest.mark.parametrize("name", ["weight_perturbation", "node_perturbation", "three_factor"])
    def test_in_time(self, name):
        """The mean of three-factor learning, whose trace decays, is not the gradient."""
        network = rate_rnn()
        rule = bench.make("rule", name, sigma=0.3)
        agree(rule, network, SQUARED_ERROR, sequences(network))

    def test_penalties_are_in_the_mean_of_the_companion(self):
        network = mlp()
        both = bench.make("objective", "weighted_sum", terms="cross_entropy+0.5*weight_decay")
        rule = bench.make("rule", "node_perturbation", sigma=0.3)
        agree(rule, network, both, batch_for(network))

    def test_examples_with_one_key_share_their_noise(self):
        """Then the variance of the companion is not that of its law, and it is sampled."""
        network = mlp()
        batch = batch_for(network, keys=[3, 3, 5, 5, 8])
        for name in ("node_perturbation", "three_factor"):
            rule = bench.make("rule", name, sigma=0.3)
            assert companion_of(prepare(rule, network, CROSS_ENTROPY, batch, None, 0), WITHIN)
            agree(rule, network, CROSS_ENTROPY, batch)

    def test_extreme_numbers_have_a_unit_of_their_own(self):
        """Losses of 1e-240 and 1e120 times their size give what those of size 1 give.

        Of examples that share their noise, where the variance of the companion is never known: its
        law squares.
        """

        @dataclass(frozen=True)
        class Scaled(type(SQUARED_ERROR)):
            times: float = 1.0

            def losses(self, output, targets):
                return self.times * SQUARED_ERROR.losses(output, targets)

            def error(self, output, targets):
                return self.times * SQUARED_ERROR.error(output, targets)

        network = mlp()
        rule = bench.make("rule", "node_perturbation", sigma=0.3, antithetic=False)
        batch = batch_for(network, keys=[3, 3, 5, 5, 8])
        plain, tiny, huge = (
            bench.measure(rule, network, Scaled(times), batch, samples=96)
            for times in (1.0, 2.0**-800, 2.0**400)
        )
        for quantity in RELATIVE:
            for other in (tiny, huge):
                assert other.value(quantity) == pytest.approx(plain.value(quantity), rel=1e-9)

    @EVERY
    def test_agrees_with_plain_sampling_within_intervals(self, name, options):
        """Seven quantities of two measurements; each differs by chance once in about 10,000."""
        network = mlp()
        batch, rule = batch_for(network), bench.make("rule", name, **options)
        paired, plain = (
            bench.measure(rule, network, CROSS_ENTROPY, batch, 4000, seed=5, method=method)
            for method in ("auto", "sampled")
        )
        for quantity in QUANTITIES:
            one, two = (
                next(
                    row
                    for row in found.rows
                    if row["projection"] == "all" and row["quantity"] == quantity
                )
                for found in (paired, plain)
            )
            if "unresolved" in two["flag"]:
                continue
            half = np.hypot(*((row["high"] - row["low"]) / 2 for row in (one, two)))
            # Twice the half-width of a 95 % interval is 4 standard errors.
            assert abs(one["value"] - two["value"]) < 2 * half, quantity

    @EVERY
    def test_any_number_of_threads_gives_the_same_bits(self, name, options):
        network = mlp()
        batch, rule = batch_for(network), bench.make("rule", name, **options)
        one, two = (
            bench.measure(rule, network, CROSS_ENTROPY, batch, 150, threads=count)
            for count in (1, 2)
        )
        assert one.frame.equals(two.frame)

    @pytest.mark.parametrize("name", ["weight_perturbation", "node_perturbation"])
    def test_one_sided_noise_has_the_bias_of_both_sides(self, name):
        """What it has besides is odd: no bias, and a variance that grows as sigma^2."""
        network = mlp()
        batch, added = batch_for(network), []
        for sigma in (0.03, 0.003):
            both, alone = (
                bench.measure(
                    bench.make("rule", name, sigma=sigma, antithetic=antithetic),
                    *(network, CROSS_ENTROPY, batch, 320),
                )
                for antithetic in (True, False)
            )
            for quantity in ("bias_squared", "gain", "magnitude_bias"):
                assert alone.value(quantity) == pytest.approx(both.value(quantity), rel=1e-7)
            added.append(alone.value("variance") - both.value("variance"))
        # On the same draws, so that only higher orders are apart.
        assert added[0] / added[1] == pytest.approx(100, rel=0.1)

    def test_sampled_and_exact_do_not_use_it(self):
        network = mlp()
        cell = (bench.make("rule", "node_perturbation"), network, CROSS_ENTROPY, batch_for(network))
        methods = {
            asked: set(bench.measure(*cell, samples=64, method=asked).frame["method"])
            for asked in ("auto", "sampled", "exact")
        }
        assert methods == {"auto": {"companion"}, "sampled": {"sampled"}, "exact": {"closed form"}}

    def test_noise_that_is_held_has_no_companion(self):
        network = mlp()
        cell = (bench.make("rule", "node_perturbation"), network, CROSS_ENTROPY, batch_for(network))
        held = bench.measure(*cell, samples=64, redraw={"feedback"})
        assert set(held.frame["method"]) == {"exact"}

    def test_few_samples_are_flagged_below_a_whole_run_in_each_group(self):
        network = mlp()
        cell = (bench.make("rule", "node_perturbation"), network, CROSS_ENTROPY, batch_for(network))
        for samples, few in ((RUN * GROUPS - 1, True), (RUN * GROUPS, False)):
            flags = bench.measure(*cell, samples=samples).frame["flag"]
            assert flags.str.contains("few samples").all() == few

    def test_the_line_says_so(self):
        network = mlp()
        cell = (bench.make("rule", "node_perturbation"), network, CROSS_ENTROPY, batch_for(network))
        assert "method companion" in repr(bench.measure(*cell, samples=320))


class TestRounding:
    def cell(self, sigma):
        network = bench.make("architecture", "mlp", sizes=(64, 32, 32, 10), seed=0)
        return bench.make("rule", "node_perturbation", sigma=sigma), network, CROSS_ENTROPY, DIGITS

    def bias(self, found):
        return next(
            row
            for row in found.rows
            if row["projection"] == "all" and row["quantity"] == "bias_squared"
        )

    def test_float32_is_flagged_below_its_floor(self):
        """At sigma = 1e-3 the squared bias, 4e-12, is below what rounding may make."""
        row = self.bias(bench.measure(*self.cell(1e-3), samples=320, dtype="float32"))
        assert "rounding" in row["flag"]
        assert row["low"] < 0 < 1e-9 < row["high"]

    def test_float32_agrees_with_float64_above_it(self):
        one, two = (
            self.bias(bench.measure(*self.cell(0.1), samples=320, dtype=dtype))
            for dtype in ("float32", "float64")
        )
        assert "rounding" not in one["flag"]
        assert one["value"] == pytest.approx(two["value"], rel=1e-3)

    @pytest.mark.parametrize("sigma", [1e-3, 1e-2])
    @pytest.mark.parametrize("name", ["node_perturbation", "weight_perturbation"])
    def test_the_floor_is_that_of_the_losses(self, name, sigma):
        """Bias that rounding makes, float32 against float64 on the same noise, lies below it."""
        _, network, objective, batch = self.cell(sigma)
        rule = bench.make("rule", name, sigma=sigma)
        single, double = network.astype("float32"), network.astype("float32").astype("float64")
        totals, floors = [], []
        for net in (single, double):
            own = batch.astype("float32").astype(net.dtype)
            companion, _, clean = companion_at(rule, net, objective, own)
            noise = Noise(1, np.arange(256), own.keys, np.dtype("float32"))
            if net is double:
                drawn = noise
                noise = SimpleNamespace(
                    examples=lambda *given, drawn=drawn: {
                        n: a.astype(float) for n, a in drawn.examples(*given).items()
                    },
                    parameters=lambda *given, drawn=drawn: {
                        n: a.astype(float) for n, a in drawn.parameters(*given).items()
                    },
                    again=drawn.again,
                )
            formed = form(net, rule.estimate(net, objective, own, clean, {}, noise))
            totals.append({n: a.astype(float) for n, a in formed.items()})
            floors.append(companion.floor)
        for n, floor in floors[0].items():
            d = (totals[0][n] - totals[1][n]).reshape(256, -1)
            bias = ((d.sum(axis=0) ** 2).sum() - (d * d).sum()) / (256 * 255)
            assert bias < floor
            assert floors[1][n] < 1e-16 * floor  # eps^2 of the types

    def test_a_fixed_point_is_as_precise_as_it_settles(self):
        """Activity is known to 1e-13: divided by 1e-6, that tells no squared bias below 1e-14."""
        network = bench.make("architecture", "hopfield", sizes=(6, 5, 3), seed=0)
        for sigma, told in ((1e-3, True), (1e-6, False)):
            rule = bench.make("rule", "weight_perturbation", sigma=sigma)
            found = bench.measure(rule, network, CROSS_ENTROPY, batch_for(network, 32), 640)
            row = self.bias(found)
            assert (row["low"] > 0) == ("rounding" not in row["flag"]) == told

    def test_intervals_are_widened_by_what_rounding_may_do(self):
        """|beta + r|^2 is within (|beta| + |r|)^2."""
        for size, error in ((1.0, 0.1), (1e-4, 0.1), (0.0, 1e-3)):
            wide, most = blurred("bias_squared", Ends(size, size, size), error)
            assert wide.high == pytest.approx((np.sqrt(size) + error) ** 2)
            assert wide.low <= max(np.sqrt(size) - error, 0.0) ** 2
            assert most
        assert blurred("variance", Ends(1.0, 0.5, 1.5), 0.1) == (Ends(1.0, 0.5, 1.5), False)
        assert not blurred("gain", Ends(1.0, 0.5, 1.5), 0.1)[1]


class TestShared:
    def test_noise_is_drawn_once_and_is_that_of_the_samples(self):
        arrays = {"a": np.zeros((4, 3)), "b": np.zeros((4, 2))}
        plain = Noise(0, np.arange(5), np.arange(4, dtype=np.uint64), np.dtype(float))
        shared = Shared(0, np.arange(5), np.arange(4, dtype=np.uint64), np.dtype(float))
        for draw, law in (("examples", "gaussian"), ("parameters", "rademacher")):
            first, again = (getattr(shared, draw)(arrays, law) for _ in range(2))
            for name, array in getattr(plain, draw)(arrays, law).items():
                np.testing.assert_array_equal(first[name], array)
                assert again[name] is first[name]
        other = replace(shared, seed=1).examples(arrays)
        assert not np.array_equal(other["a"], shared.examples(arrays)["a"])
        # Another law is another noise.
        other = shared.examples(arrays, "rademacher")
        assert not np.array_equal(other["a"], shared.examples(arrays)["a"])

    def test_differences_keep_what_factors_have_in_common(self):
        network = mlp()
        clean = network.forward(batch_for(network).inputs)
        random = np.random.default_rng(0)
        posts = [
            {p.name: random.standard_normal((2, 5, p.size)) for p in network.populations}
            for _ in range(2)
        ]
        one, two = (
            {p.name: Outer(post[p.target], clean.presynaptic(p)) for p in network.projections}
            for post in posts
        )
        found = difference(network, one, two)
        assert all(isinstance(each, Outer) for each in found.values())
        assert found["layer1.weights"].post is found["layer1.bias"].post
        wide = {name: replace(each, pre=2 * each.pre) for name, each in two.items()}
        assert all(isinstance(each, Dense) for each in difference(network, one, wide).values())
        for other, times in ((two, 1), (wide, 2)):
            apart = form(network, difference(network, one, other))
            for name, array in form(network, one).items():
                expected = array - times * form(network, two)[name]
                np.testing.assert_allclose(apart[name], expected, rtol=1e-12, atol=1e-12)


@dataclass(frozen=True)
class Wrong(NodePerturbation):
    """Node perturbation with a companion that is broken in one place."""

    def companion(self, *given):
        return self.broken(super().companion(*given), *given)

    def broken(self, companion, network, objective, batch, clean, state):
        return companion


class Longer(Wrong):
    def broken(self, companion, *given):
        """A tenth longer than its mean says."""
        return replace(companion, mean={n: a / 1.1 for n, a in companion.mean.items()})


class Wider(Wrong):
    def broken(self, companion, *given):
        return replace(companion, variance={n: 1.5 * v for n, v in companion.variance.items()})


class Elsewhere(Wrong):
    def broken(self, companion, network, *given):
        """From draws of its own."""

        def estimate(noise):
            other = Noise(noise.seed + 1, noise.samples, noise.keys, noise.dtype)
            return companion.estimate(other)

        return replace(companion, estimate=estimate)


class Writes(Wrong):
    def broken(self, companion, network, objective, batch, clean, state):
        """Changes the noise that the rule has still to use."""

        def estimate(noise):
            found = companion.estimate(noise)
            for drawn in noise.examples(clean.drive).values():
                drawn *= 2
            return found

        return replace(companion, estimate=estimate)


class Skewed(Wrong):
    def broken(self, companion, *given):
        """A part that should change its sign with the noise, and does not."""
        return replace(companion, odd=companion.estimate)


class Together(Wrong):
    def broken(self, companion, network, *given):
        """A sample that depends on those drawn with it."""

        def estimate(noise):
            return {
                name: Outer(one.post - one.post.mean(axis=0), one.pre)
                for name, one in companion.estimate(noise).items()
            }

        return replace(companion, estimate=estimate)


class TestCheck:
    network = mlp((6, 5, 4, 3))
    case = Case(network, CROSS_ENTROPY, batch_for(network, 8))

    @EVERY
    def test_companions_of_the_rules_pass(self, name, options):
        """Each of some ten z-tests fails by chance once in 150,000 seeds; the seed is fixed."""
        assert check_companion(bench.make("rule", name, **options), self.case).status == "passed"

    @pytest.mark.parametrize(
        ("rule", "reason"),
        [
            (Longer(), "its mean is not"),
            (Wider(), "its variance is not"),
            (Elsewhere(), "it does not go with the estimates"),
            (Skewed(), "the mean of its odd part is not 0"),
            (Writes(), "one of the two is another without the other"),
            (Together(), "one of the two is another without the other"),
        ],
        ids=lambda given: type(given).__name__,
    )
    def test_broken_ones_fail(self, rule, reason):
        found = check_companion(rule, self.case)
        assert found.status == "failed"
        assert reason in found.reason

    def test_rules_without_one_are_not_asked(self):
        found = check_companion(bench.make("rule", "backprop"), self.case)
        assert found.status == "not applicable"

    def test_it_is_one_of_the_checks(self):
        named = dict(checks(Longer(), self.case))
        with pytest.raises(AssertionError, match="its mean is not the one it says"):
            named["companion"]()
        dict(checks(Wrong(), self.case))["companion"]()

    @pytest.mark.parametrize("lost", ["mean", "variance"])
    def test_what_does_not_fit_is_refused_in_one_sentence(self, lost):
        class Short(Wrong):
            def broken(self, companion, *given):
                kept = dict(getattr(companion, lost))
                kept.popitem()
                return replace(companion, **{lost: kept})

        with pytest.raises(
            bench.InputError, match=r"Short\.companion: mean and variance do not fit"
        ):
            bench.measure(Short(), self.network, CROSS_ENTROPY, self.case.batch, samples=32)


def test_a_wrong_mean_is_a_bias():
    """Control: a companion that is a tenth longer than it says makes a relative bias² of 0.0083."""
    network = mlp()
    found = bench.measure(Longer(), network, CROSS_ENTROPY, batch_for(network), samples=320)
    assert found.value("bias_squared") == pytest.approx((1 - 1 / 1.1) ** 2, rel=1e-3)


def test_a_rule_that_errs_is_measured_with_the_companion_of_another():
    """How far it is, only the intervals tell: 4 standard errors here, by chance once in 10,000."""

    class Twice(NodePerturbation):
        def estimate(self, *given):
            found = super().estimate(*given)
            return {name: Outer(2 * one.post, one.pre) for name, one in found.items()}

    network = mlp()
    found = bench.measure(Twice(), network, CROSS_ENTROPY, batch_for(network), samples=2000)
    rows_of = {row["quantity"]: row for row in found.rows if row["projection"] == "all"}
    own = bench.measure(
        NodePerturbation(), network, CROSS_ENTROPY, batch_for(network), method="exact"
    )
    for quantity, value in (
        ("gain", 2.0),
        ("bias_squared", 1.0),
        ("variance", 4 * own.value("variance")),
    ):
        row = rows_of[quantity]
        assert abs(row["value"] - value) < row["high"] - row["low"]
    assert partial(Twice)().companion.__func__ is NodePerturbation.companion


def ends(found, quantity="bias_squared"):
    """Value and half-width of the interval for the whole net."""
    row = next(
        row for row in found.rows if row["projection"] == "all" and row["quantity"] == quantity
    )
    return row["value"], (row["high"] - row["low"]) / 2


@pytest.mark.acceptance
class TestPrecision:
    """Digits, 64-32-32-10 tanh, cross-entropy, at initialisation, 32 images."""

    network = bench.make("architecture", "mlp", sizes=(64, 32, 32, 10), seed=0)
    cell = (network, CROSS_ENTROPY, DIGITS)

    def measured(self, samples, name, seed=0, method="auto", **options):
        rule = bench.make("rule", name, **options)
        return bench.measure(rule, *self.cell, samples, seed, method=method)

    def plainly(self, half, name, **options):
        """Draws that plain sampling would take, at least: its half-width goes as 1 / K at best."""
        _, plain = ends(self.measured(2560, name, method="sampled", **options))
        return f"{2560 * plain / half:.1e}"

    @pytest.mark.parametrize(("sigma", "about"), [(1e-3, 3.8e-12), (1e-2, 3.8e-8), (0.1, 3.5e-4)])
    def test_node_perturbation(self, sigma, about, record_figure):
        """``about``: a prototype, each within 15 %; apart by chance less than once in 100."""
        value, half = ends(self.measured(256, "node_perturbation", sigma=sigma))
        line = f"node perturbation, sigma {sigma}, 256 draws"
        record_figure(f"{line}: bias²", f"{value:.2e} ± {half:.1e}", f"{about:.1e} ± 15 %")
        record_figure(f"{line}: half-width over bias²", half / value, "at most 0.2")
        plain = self.plainly(half, "node_perturbation", sigma=sigma)
        record_figure(f"{line}: draws of plain sampling", plain, "")
        assert half <= 0.2 * value
        assert abs(value - about) <= half + 0.15 * about

    @pytest.mark.parametrize(("sigma", "widest"), [(1e-3, 3e-9), (1e-2, 3e-5)])
    def test_weight_perturbation(self, sigma, widest, record_figure):
        value, half = ends(self.measured(256, "weight_perturbation", sigma=sigma))
        line = f"weight perturbation, sigma {sigma}, 256 draws"
        record_figure(f"{line}: bias²", f"{value:.2e} ± {half:.1e}", f"half-width {widest}")
        plain = self.plainly(half, "weight_perturbation", sigma=sigma)
        record_figure(f"{line}: draws of plain sampling", plain, "")
        assert half <= widest

    def test_weight_perturbation_of_a_wide_net(self, record_figure):
        network = bench.make("architecture", "mlp", sizes=(784, 256, 128, 10), seed=0)
        cell = (network, CROSS_ENTROPY, batch_for(network, 32))
        rule = bench.make("rule", "weight_perturbation")
        value, half = ends(bench.measure(rule, *cell, 64))
        _, plain = ends(bench.measure(rule, *cell, 320, method="sampled"))
        line = "weight perturbation, 784-256-128-10, 64 draws"
        record_figure(f"{line}: bias²", f"{value:.1e} ± {half:.1e}", "half-width 1e-4")
        record_figure(f"{line}: draws of plain sampling", f"{320 * plain / half:.1e}", "")
        assert half <= 1e-4

    @pytest.mark.parametrize("antithetic", [True, False])
    @pytest.mark.parametrize("name", ["node_perturbation", "weight_perturbation"])
    def test_bias_falls_as_sigma_to_the_fourth(self, name, antithetic, record_figure):
        """Over three decades, each value from other draws; by chance it fails once in 20."""
        samples, sigmas, logs, errors = 64_000, np.logspace(-5, -2, 4), [], []
        for seed, sigma in enumerate(sigmas):
            options = {"sigma": float(sigma), "antithetic": antithetic}
            value, half = ends(self.measured(samples, name, seed, **options))
            logs.append(np.log(value))
            errors.append(half / value)
        x = np.log(sigmas) - np.log(sigmas).mean()
        slope = float(x @ logs / (x @ x))
        half = float(np.sqrt(((x * errors) ** 2).sum()) / (x @ x))
        side = "antithetic" if antithetic else "one-sided"
        line = f"{name}, {side}: slope of bias² in sigma, {samples} draws each"
        record_figure(line, f"{slope:.4f} ± {half:.4f}", "4")
        assert abs(slope - 4) <= half
        assert half < 0.05

    @pytest.mark.parametrize(
        ("name", "options"),
        [
            ("node_perturbation", {"sigma": 0.1}),
            ("node_perturbation", {"antithetic": False}),
            ("weight_perturbation", {"sigma": 0.01}),
            ("activity_node_perturbation", {}),
            ("three_factor", {}),
        ],
        ids=lambda given: "-".join(map(str, given.values())) if isinstance(given, dict) else given,
    )
    def test_intervals_cover(self, name, options, record_figure):
        """320 draws, 100 seeds, against 64,000 draws.

        Intervals of 96 % leave the band of the squared bias for 7 % of sets of seeds.
        """
        truth = self.measured(64_000, name, 1000, **options)
        covered = dict.fromkeys(RELATIVE, 0)
        for seed in range(100):
            found = self.measured(320, name, seed, **options)
            for quantity in RELATIVE:
                value, half = ends(found, quantity)
                covered[quantity] += abs(value - truth.value(quantity)) <= half
        for quantity, count in covered.items():
            line = f"{name} {options}: intervals that hold {quantity}"
            record_figure(line, f"{count} of 100", "93 to 99" if "squared" in quantity else "90")
        assert 93 <= covered["bias_squared"] <= 99
        assert min(covered.values()) >= 90
