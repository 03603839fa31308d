"""Closed forms of bias and variance, by Monte Carlo with fixed seeds.

Derivations: Werfel, Xie & Seung 2005 for perturbation; second moments of random feedback follow
from independent entries with mean 0.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from plausibench import bench
from plausibench.rules.estimate import Directional, outers
from plausibench.rules.rule import Rule

CROSS_ENTROPY = bench.make("objective", "cross_entropy")
SQUARED_ERROR = bench.make("objective", "mean_squared_error")
FOURTH_MOMENT = {"gaussian": 3.0, "rademacher": 1.0}


def cell(sizes, examples, seed=0, architecture="mlp", regression=False):
    generator = np.random.default_rng(seed + 7)
    network = bench.make("architecture", architecture, sizes=sizes, seed=seed)
    inputs = generator.standard_normal((examples, sizes[0]))
    if regression:
        return network, bench.Batch(inputs, generator.standard_normal((examples, sizes[-1])))
    return network, bench.Batch(inputs, generator.integers(0, sizes[-1], examples))


def deltas(network, objective, batch):
    """Error signals of the batch-mean loss per population, and squared presynaptic lengths."""
    clean = network.forward(batch.inputs)
    error = objective.error(clean.output, batch.targets) / batch.size
    signals = network.credit(clean, {network.output.name: error})
    lengths = {p.name: (clean.presynaptic(p) ** 2).sum(axis=1) for p in network.projections}
    return signals, lengths


def weight_perturbation_law(network, exact, law):
    """P_l |g|^2 + (k4 - 2) |g_l|^2, per parameter."""
    g2 = sum((g**2).sum() for g in exact.values())
    return {
        name: g.size * g2 + (FOURTH_MOMENT[law] - 2) * (g**2).sum() for name, g in exact.items()
    }


def node_perturbation_law(network, objective, batch, law):
    """sum_b |a_b|^2 (N_l |delta_b|^2 + (k4 - 2) |delta_lb|^2), per parameter."""
    signals, lengths = deltas(network, objective, batch)
    total = sum((signal**2).sum(axis=1) for signal in signals.values())
    return {
        p.name: float(
            lengths[p.name]
            @ (
                p.synapse.shape[0] * total
                + (FOURTH_MOMENT[law] - 2) * (signals[p.target] ** 2).sum(axis=1)
            )
        )
        for p in network.projections
    }


def row(measurement, quantity, projection):
    frame = measurement.frame
    return frame[(frame.quantity == quantity) & (frame.projection == projection)].iloc[0]


class TestPerturbation:
    @pytest.mark.parametrize("law", ["gaussian", "rademacher"])
    @pytest.mark.parametrize("sizes", [(4, 5, 3), (10, 20, 15, 4)])
    def test_variance_of_weight_perturbation(self, law, sizes, record_figure):
        network, batch = cell(sizes, examples=6)
        rule = bench.make("rule", "weight_perturbation", noise=law)
        found = bench.measure(rule, network, CROSS_ENTROPY, batch, samples=20_000, method="sampled")
        laws = weight_perturbation_law(network, bench.gradient(network, CROSS_ENTROPY, batch), law)
        laws["all"] = sum(laws.values())
        for name, theory in laws.items():
            measured = row(found, "absolute_variance", name)
            record_figure(
                f"weight perturbation {law} {sizes} {name}: variance / law",
                measured.value / theory,
                "within 5 % and twice the interval",
            )
            assert measured.value == pytest.approx(theory, rel=0.05), name
            # Twice the half-width of a 95 % interval fails once in about 2000.
            assert abs(measured.value - theory) < measured.high - measured.low, name

    @pytest.mark.parametrize("law", ["gaussian", "rademacher"])
    @pytest.mark.parametrize("sizes", [(4, 5, 3), (10, 20, 15, 4)])
    def test_variance_of_node_perturbation(self, law, sizes, record_figure):
        network, batch = cell(sizes, examples=6)
        rule = bench.make("rule", "node_perturbation", noise=law)
        found = bench.measure(rule, network, CROSS_ENTROPY, batch, samples=20_000, method="sampled")
        laws = node_perturbation_law(network, CROSS_ENTROPY, batch, law)
        laws["all"] = sum(laws.values())
        for name, theory in laws.items():
            measured = row(found, "absolute_variance", name)
            record_figure(
                f"node perturbation {law} {sizes} {name}: variance / law",
                measured.value / theory,
                "within 5 % and twice the interval",
            )
            assert measured.value == pytest.approx(theory, rel=0.05), name
            assert abs(measured.value - theory) < measured.high - measured.low, name

    @pytest.mark.acceptance
    @pytest.mark.parametrize("name", ["weight_perturbation", "node_perturbation"])
    def test_closed_forms_lie_in_their_intervals(self, name, record_figure):
        """Five widths, eight seeds: 95 % of 40 intervals cover, 31 with probability 0.9999."""
        covered = 0
        for width in (4, 8, 16, 32, 64):
            for seed in range(8):
                network, batch = cell((10, width, width, 5), examples=8, seed=seed)
                found = bench.measure(
                    *(bench.make("rule", name), network, CROSS_ENTROPY, batch, 4000, seed),
                    method="sampled",
                )
                exact = bench.gradient(network, CROSS_ENTROPY, batch)
                theory = sum(
                    (
                        weight_perturbation_law(network, exact, "gaussian")
                        if name == "weight_perturbation"
                        else node_perturbation_law(network, CROSS_ENTROPY, batch, "gaussian")
                    ).values()
                )
                measured = row(found, "absolute_variance", "all")
                covered += measured.low <= theory <= measured.high
        record_figure(f"{name}: intervals that hold the closed form", f"{covered} of 40", "31")
        assert covered >= 31

    @pytest.mark.parametrize("name", ["weight_perturbation", "node_perturbation"])
    def test_bias_is_not_resolved_from_zero(self, name):
        network, batch = cell((10, 12, 4), examples=6)
        rule = bench.make("rule", name)
        found = bench.measure(rule, network, CROSS_ENTROPY, batch, 10_000, method="sampled")
        measured = row(found, "bias_squared", "all")
        # An unbiased rule: 0 lies within twice the interval.
        assert abs(measured.value) < measured.high - measured.low

    def test_plug_in_bias_shows_variance_over_samples(self):
        """Negative control: ||mean - g||^2 is too large by (P + 1) |g|^2 / K."""
        network, batch = cell((10, 12, 4), examples=6)
        rule = bench.make("rule", "weight_perturbation")
        plug_in = []
        for seed in range(20):
            found = bench.measure(
                rule, network, CROSS_ENTROPY, batch, 500, seed=seed, method="sampled"
            )
            g2 = sum((g**2).sum() for g in found.reference.values())
            distance = sum(
                ((found.mean[name] - g) ** 2).sum() for name, g in found.reference.items()
            )
            plug_in.append(distance / g2)
        assert np.mean(plug_in) == pytest.approx((network.size + 1) / 500, rel=0.1)


@dataclass(frozen=True)
class QuadraticPerturbation(Rule):
    """Weight perturbation without baseline, or with noise on the measured loss."""

    card: ClassVar = bench.make("rule", "weight_perturbation").card
    sigma: float = 0.1
    baseline: bool = True
    measurement_noise: float = 0.0
    antithetic: bool = False

    def estimate(self, network, objective, batch, clean, state, noise):
        xi = noise.parameters(network.parameters)

        def loss(factor, name):
            moved = {n: network.parameters[n] + factor * self.sigma * xi[n] for n in xi}
            output = network.forward(batch.inputs, parameters=moved).output
            extra = noise.parameters({name: np.zeros(1)})[name][:, 0]
            exact = objective.losses(output, batch.targets).mean(axis=-1)
            return exact + self.measurement_noise * extra

        plus = loss(1, "plus")
        if self.antithetic:
            change = (plus - loss(-1, "minus")) / (2 * self.sigma)
        else:
            change = (plus - (loss(0, "minus") if self.baseline else 0)) / self.sigma
        return {name: Directional(change, drawn) for name, drawn in xi.items()}


class TestFiniteNoise:
    """A linear perceptron under squared error: the loss is quadratic in the weights."""

    network, batch = cell((3, 2), examples=4, architecture="linear", regression=True)
    size = network.size
    g2 = sum((g**2).sum() for g in bench.gradient(network, SQUARED_ERROR, batch).values())
    # Every output unit has the same Hessian, the mean outer product of the inputs.
    hessian = np.kron(np.eye(2), batch.inputs.T @ batch.inputs / batch.size)
    trace = np.trace(hessian)
    trace2 = np.trace(hessian @ hessian)
    diagonal2 = (np.diag(hessian) ** 2).sum()
    samples = 200_000

    def variance(self, rule):
        found = bench.measure(
            rule, self.network, SQUARED_ERROR, self.batch, self.samples, method="sampled"
        )
        return found.value("absolute_variance")

    @pytest.mark.parametrize("law", ["gaussian", "rademacher"])
    def test_one_sided_noise_adds_a_term_in_sigma_squared(self, law, record_figure):
        sigma = 0.7
        rule = bench.make("rule", "weight_perturbation", sigma=sigma, antithetic=False, noise=law)
        n = self.size
        if law == "gaussian":
            extra = (n + 4) * (self.trace**2 + 2 * self.trace2)
            theory = (n + 1) * self.g2 + sigma**2 / 4 * extra
        else:
            extra = n * (self.trace**2 + 2 * (self.trace2 - self.diagonal2))
            # Rademacher noise has a constant xi_i^2, so the diagonal of H is biased away.
            theory = (n - 1) * self.g2 + sigma**2 / 4 * extra
        ratio = self.variance(rule) / theory
        record_figure(f"one-sided {law}, sigma^2 term: variance / law", ratio, "within 3 %")
        assert ratio == pytest.approx(1, abs=0.03)

    def test_without_baseline(self, record_figure):
        sigma = 0.3
        loss = bench.loss(self.network, SQUARED_ERROR, self.batch)
        n = self.size
        theory = (
            (n + 1) * self.g2
            + sigma**2 / 4 * (n + 4) * (self.trace**2 + 2 * self.trace2)
            + n * loss**2 / sigma**2
            + loss * (n + 2) * self.trace
        )
        ratio = self.variance(QuadraticPerturbation(sigma=sigma, baseline=False)) / theory
        record_figure("no baseline, F^2 term: variance / law", ratio, "within 3 %")
        assert ratio == pytest.approx(1, abs=0.03)

    @pytest.mark.parametrize("antithetic", [True, False])
    def test_noise_on_the_measured_loss(self, antithetic, record_figure):
        sigma, tau, n = 0.3, 0.5, self.size
        theory = (n + 1) * self.g2 + tau**2 * n / (2 * sigma**2)
        if not antithetic:
            theory = (
                (n + 1) * self.g2
                + sigma**2 / 4 * (n + 4) * (self.trace**2 + 2 * self.trace2)
                + 2 * tau**2 * n / sigma**2
            )
        rule = QuadraticPerturbation(sigma=sigma, measurement_noise=tau, antithetic=antithetic)
        ratio = self.variance(rule) / theory
        record_figure(f"measurement noise, antithetic={antithetic}: variance / law", ratio, "3 %")
        assert ratio == pytest.approx(1, abs=0.03)


@dataclass(frozen=True)
class ScalarNodePerturbation(Rule):
    """Node perturbation with one loss for the whole batch, the costly variant."""

    card: ClassVar = bench.make("rule", "node_perturbation").card
    sigma: float = 1e-4

    def estimate(self, network, objective, batch, clean, state, noise):
        xi = noise.examples(clean.drive)
        plus, minus = (
            objective.losses(
                network.forward(
                    batch.inputs, drive_noise=xi, amplitude=s * self.sigma, clean=clean
                ).output,
                batch.targets,
            ).mean(axis=-1)
            for s in (1, -1)
        )
        change = (plus - minus) / (2 * self.sigma)
        signals = {name: change[:, None, None] * drawn for name, drawn in xi.items()}
        return outers(network, clean, signals)


def test_one_loss_for_the_batch_costs_variance(record_figure):
    network, batch = cell((6, 5, 3), examples=8)
    options = {"samples": 100_000, "method": "sampled"}
    found = bench.measure(ScalarNodePerturbation(), network, CROSS_ENTROPY, batch, **options)
    signals, lengths = deltas(network, CROSS_ENTROPY, batch)
    clean = network.forward(batch.inputs)
    total = sum((signal**2).sum() for signal in signals.values())
    for p in network.projections:
        own = (signals[p.target] ** 2).sum(axis=1)
        pre = clean.presynaptic(p)
        pairs = (pre @ pre.T) * (signals[p.target] @ signals[p.target].T)
        theory = (
            p.synapse.shape[0] * total * lengths[p.name].sum()
            + lengths[p.name] @ own
            + pairs.sum()
            - np.trace(pairs)
        )
        ratio = found.value("absolute_variance", p.name) / theory
        record_figure(f"one loss per batch, {p.name}: variance / law", ratio, "within 3 %")
        assert ratio == pytest.approx(1, abs=0.03)
    each = bench.measure(
        bench.make("rule", "node_perturbation"), network, CROSS_ENTROPY, batch, 20_000
    )
    assert found.value("variance") > 3 * each.value("variance")


def feedback_second_moments(network, objective, batch, deviations):
    """E over B of |estimate|^2 per hidden parameter, feedback alignment.

    C_L[b, b'] = delta_L^b . delta_L^b', C_l[b, b'] = s^2 (f'^b . f'^b') C_(l+1)[b, b'].
    """
    clean = network.forward(batch.inputs)
    signals, _ = deltas(network, objective, batch)
    names = [population.name for population in network.populations]
    inner = signals[names[-1]] @ signals[names[-1]].T
    moments = {}
    for index in range(len(names) - 2, -1, -1):
        population = network.populations[index]
        slope = population.neurons.slope(
            clean.drive[population.name], clean.activity[population.name]
        )
        inner = deviations[index] ** 2 * (slope @ slope.T) * inner
        for p in network.projections:
            if p.target == population.name:
                pre = clean.presynaptic(p)
                moments[p.name] = float((inner * (pre @ pre.T)).sum())
    return moments


class TestRandomFeedback:
    def measured(self, name, network, batch, redraws):
        rule = bench.make("rule", name)
        return bench.measure(
            rule, network, CROSS_ENTROPY, batch, redraws, redraw={"feedback"}, seed=1
        )

    def test_feedback_alignment(self, record_figure):
        network, batch = cell((6, 8, 7, 4), examples=5)
        found = self.measured("feedback_alignment", network, batch, 5008)
        deviations = [1 / np.sqrt(8 + 7), 1 / np.sqrt(7 + 4)]
        moments = feedback_second_moments(network, CROSS_ENTROPY, batch, deviations)
        exact = bench.gradient(network, CROSS_ENTROPY, batch)
        for name, theory in moments.items():
            ratio = found.value("absolute_variance", name) / theory
            record_figure(f"feedback alignment over B, {name}: variance / law", ratio, "4 %")
            assert ratio == pytest.approx(1, abs=0.04)
            # The mean over B is 0, so that the marginal relative bias^2 is 1.
            bias = row(found, "bias_squared", name)
            assert abs(bias.value - 1) < bias.high - bias.low
            # Mean conditional bias^2 = |g|^2 + variance over B.
            conditional = found.value("bias_squared", name) + found.value("variance", name)
            g2 = (exact[name] ** 2).sum()
            assert conditional == pytest.approx(1 + theory / g2, rel=0.04)
        assert found.value("bias_squared", "layer3.weights") == pytest.approx(0, abs=1e-25)

    def test_direct_feedback_alignment(self, record_figure):
        network, batch = cell((6, 8, 7, 4), examples=5)
        found = self.measured("direct_feedback_alignment", network, batch, 5008)
        clean = network.forward(batch.inputs)
        signals, _ = deltas(network, CROSS_ENTROPY, batch)
        top = signals["layer3"] @ signals["layer3"].T
        for p in network.projections:
            if p.target == "layer3":
                continue
            population = next(q for q in network.populations if q.name == p.target)
            slope = population.neurons.slope(clean.drive[p.target], clean.activity[p.target])
            # Entries uniform on +- N_l^(-1/2) have variance 1 / (3 N_l).
            inner = top * (slope @ slope.T) / (3 * population.size)
            pre = clean.presynaptic(p)
            theory = float((inner * (pre @ pre.T)).sum())
            ratio = found.value("absolute_variance", p.name) / theory
            record_figure(f"direct feedback alignment over B, {p.name}", ratio, "within 4 %")
            assert ratio == pytest.approx(1, abs=0.04)

    @pytest.mark.parametrize("name", ["feedback_alignment", "direct_feedback_alignment"])
    def test_held_feedback_is_all_bias(self, name):
        network, batch = cell((6, 8, 7, 4), examples=5)
        found = bench.measure(bench.make("rule", name), network, CROSS_ENTROPY, batch)
        assert found.value("variance") == 0
        assert found.value("bias_squared") > 0.05


def test_minibatches_redrawn_have_the_variance_of_sampling_without_replacement(record_figure):
    """tr Cov = (S / B) (N - B) / (N - 1), S the population variance of one example's gradient."""
    task = bench.make("task", "teacher_student", examples=60)
    network = bench.make(
        "architecture", "mlp", sizes=[task.inputs_size, 6, task.outputs_size], seed=0
    )
    full = task.full()
    exact = bench.gradient(network, SQUARED_ERROR, full)
    single = [bench.gradient(network, SQUARED_ERROR, full.take([i])) for i in range(full.size)]
    spread = sum(
        np.mean([((one[name] - exact[name]) ** 2).sum() for one in single]) for name in exact
    )
    size = 10
    theory = spread / size * (full.size - size) / (full.size - 1)
    g2 = sum((g**2).sum() for g in exact.values())
    frame = bench.budget(
        bench.make("rule", "backprop"),
        task,
        network,
        SQUARED_ERROR,
        feedbacks=250,
        batches=8,
        batch_size=size,
    ).set_index("quantity")
    ratio = frame.loc["variance_data", "value"] * g2 / theory
    record_figure("minibatch variance / law", ratio, "within 6 %")
    assert ratio == pytest.approx(1, abs=0.06)


class TestClosedForms:
    """``method="exact"`` against the laws above, and against sampling."""

    @pytest.mark.parametrize("law", ["gaussian", "rademacher"])
    def test_perturbation(self, law):
        network, batch = cell((6, 8, 7, 4), examples=5)
        exact = bench.gradient(network, CROSS_ENTROPY, batch)
        laws = {
            "weight_perturbation": weight_perturbation_law(network, exact, law),
            "node_perturbation": node_perturbation_law(network, CROSS_ENTROPY, batch, law),
        }
        for name, expected in laws.items():
            rule = bench.make("rule", name, noise=law)
            found = bench.measure(rule, network, CROSS_ENTROPY, batch, method="exact")
            assert set(found.frame["method"]) == {"closed form"}
            assert found.value("bias_squared") == 0
            for projection, theory in expected.items():
                assert found.value("absolute_variance", projection) == pytest.approx(theory)

    @pytest.mark.parametrize("name", ["feedback_alignment", "direct_feedback_alignment"])
    def test_redrawn_feedback(self, name):
        network, batch = cell((6, 8, 7, 4), examples=5)
        arguments = (bench.make("rule", name), network, CROSS_ENTROPY, batch)
        options = {"redraw": {"feedback"}}
        closed = bench.measure(*arguments, method="exact", **options)
        sampled = bench.measure(*arguments, 5008, 1, **options)
        for quantity in ("bias_squared", "variance", "gain", "progress"):
            measured = row(sampled, quantity, "all")
            # Twice the half-width of a 95 % interval fails once in about 2000.
            assert abs(measured.value - closed.value(quantity)) < measured.high - measured.low
        assert closed.value("bias_squared", "layer1.weights") == pytest.approx(1)
        assert closed.value("scale_free_bias", "layer1.weights") == 1

    def test_without_a_closed_form_it_is_refused(self):
        network, batch = cell((6, 8, 4), examples=5, architecture="dendritic")
        rule = bench.make("rule", "dendritic_error", feedback="random")
        with pytest.raises(bench.InputError, match="no closed form"):
            bench.measure(rule, network, CROSS_ENTROPY, batch, method="exact", redraw={"feedback"})
