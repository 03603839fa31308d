"""Exact limits of the rules: deterministic identities, no statistics."""

import numpy as np
import pytest

import naive
from plausibench import bench


def mlp(sizes, seed=0, **options):
    """A network whose biases are not zero."""
    network = bench.make("architecture", "mlp", sizes=sizes, seed=seed, **options)
    generator = np.random.default_rng(seed + 100)
    return network.with_parameters(
        {
            name: array if array.ndim == 2 else 0.3 * generator.standard_normal(array.shape)
            for name, array in network.parameters.items()
        }
    )


def classes(inputs, outputs, examples=6, seed=0):
    generator = np.random.default_rng(seed)
    return bench.Batch(
        generator.standard_normal((examples, inputs)), generator.integers(0, outputs, examples)
    )


def relative_error(ours, theirs):
    """Largest relative distance over parameters."""
    return max(
        np.linalg.norm(ours[name] - theirs[name]) / np.linalg.norm(theirs[name]) for name in theirs
    )


def one(rule, network, objective, batch, **options):
    """The first draw of a rule."""
    drawn = bench.estimates(rule, network, objective, batch, samples=1, **options)
    return {name: array[0] for name, array in drawn.items()}


CROSS_ENTROPY = bench.make("objective", "cross_entropy")
SQUARED_ERROR = bench.make("objective", "mean_squared_error")


def test_backprop_is_the_gradient():
    network, batch = mlp([5, 7, 4, 3]), classes(5, 3)
    exact = bench.gradient(network, CROSS_ENTROPY, batch)
    assert (
        relative_error(one(bench.make("rule", "backprop"), network, CROSS_ENTROPY, batch), exact)
        == 0
    )


class TestFeedbackAlignment:
    rule = bench.make("rule", "feedback_alignment")

    @pytest.mark.parametrize("sizes", [[5, 7, 3], [5, 7, 4, 3], [5, 4, 6, 5, 3]])
    def test_with_transposed_weights_is_backprop(self, sizes, record_figure):
        network, batch = mlp(sizes), classes(5, 3)
        state = bench.initial_state(self.rule, network)
        for name in state:
            assert state[name].shape == network.parameters[name].T.shape
            state[name] = network.parameters[name].T
        found = one(self.rule, network, CROSS_ENTROPY, batch, state=state)
        error = relative_error(found, bench.gradient(network, CROSS_ENTROPY, batch))
        record_figure("feedback alignment with B = W^T against backprop", error, "1e-14")
        assert error <= 1e-14

    def test_agrees_with_its_naive_twin(self):
        network, batch = mlp([5, 7, 4, 3]), classes(5, 3)
        state = bench.initial_state(self.rule, network)
        found = one(self.rule, network, CROSS_ENTROPY, batch, state=state)
        twin = {name: np.zeros_like(array) for name, array in network.parameters.items()}
        for b in range(batch.size):
            activities, _ = naive.forward(network, batch.inputs[b])
            error = CROSS_ENTROPY.error(activities[-1][None], batch.targets[b : b + 1])[0]
            feedback = [state["layer2.weights"], state["layer3.weights"]]
            signals = naive.backpropagate(network, batch.inputs[b], error, feedback)
            for number, signal in enumerate(signals, start=1):
                twin[f"layer{number}.weights"] += (
                    np.outer(signal, activities[number - 1]) / batch.size
                )
                twin[f"layer{number}.bias"] += signal / batch.size
        assert relative_error(found, twin) < 1e-12

    def test_random_feedback_is_biased(self):
        network, batch = mlp([5, 7, 4, 3]), classes(5, 3)
        found = bench.measure(self.rule, network, CROSS_ENTROPY, batch)
        assert found.value("bias_squared", "layer1.weights") > 0.1
        assert found.value("bias_squared", "layer3.weights") == pytest.approx(0, abs=1e-28)
        assert found.value("variance") == 0


class TestDirectFeedbackAlignment:
    rule = bench.make("rule", "direct_feedback_alignment")

    def test_with_one_hidden_layer_is_feedback_alignment(self):
        network, batch = mlp([5, 7, 3]), classes(5, 3)
        state = bench.initial_state(self.rule, network)
        direct = one(self.rule, network, CROSS_ENTROPY, batch, state=state)
        other = bench.make("rule", "feedback_alignment")
        same = one(other, network, CROSS_ENTROPY, batch, state={"layer2.weights": state["layer1"]})
        for name in direct:
            np.testing.assert_array_equal(direct[name], same[name])

    def test_with_products_in_a_linear_network_is_backprop(self, record_figure):
        network = bench.make("architecture", "linear", sizes=[5, 6, 4, 3], seed=1)
        batch = classes(5, 3)
        w = network.parameters
        state = {
            "layer1": (w["layer3.weights"] @ w["layer2.weights"]).T,
            "layer2": w["layer3.weights"].T,
        }
        found = one(self.rule, network, SQUARED_ERROR, batch, state=state)
        error = relative_error(found, bench.gradient(network, SQUARED_ERROR, batch))
        record_figure("direct feedback alignment, linear, against backprop", error, "1e-13")
        assert error < 1e-13


def probabilities(network, batch):
    shifted = np.exp(network.forward(batch.inputs).output)
    return shifted / shifted.sum(axis=1, keepdims=True)


class TestAttentionGated:
    rule = bench.make("rule", "attention_gated")

    def test_enumerated_mean_is_the_gradient_of_cross_entropy(self, record_figure):
        network, batch = mlp([5, 7, 4, 3]), classes(5, 3)
        found = bench.measure(self.rule, network, CROSS_ENTROPY, batch, method="exact")
        error = relative_error(found.mean, bench.gradient(network, CROSS_ENTROPY, batch))
        record_figure("AGREL, enumerated mean against cross-entropy gradient", error, "1e-12")
        assert error < 1e-12

    def test_second_moment_and_variance_at_the_output(self):
        network, batch = mlp([5, 7, 3]), classes(5, 3, examples=1)
        found = bench.measure(self.rule, network, CROSS_ENTROPY, batch, method="exact")
        policy = probabilities(network, batch)[0]
        chance = policy[batch.targets[0]]
        target = (np.arange(3) == batch.targets[0]).astype(float)
        spread = (1 - chance) / chance - np.sum((target - policy) ** 2)
        below = network.forward(batch.inputs).activity["layer1"][0]
        assert found.value("absolute_variance", "layer2.weights") == pytest.approx(
            below @ below * spread, rel=1e-12
        )
        assert found.value("absolute_variance", "layer2.bias") == pytest.approx(spread, rel=1e-12)

    def test_enumeration_agrees_with_sampling(self):
        network, batch = mlp([5, 7, 3], seed=2), classes(5, 3, examples=2)
        options = {"samples": 20000, "seed": 3, "method": "sampled"}
        sampled = bench.measure(self.rule, network, CROSS_ENTROPY, batch, **options).frame
        exact = bench.measure(self.rule, network, CROSS_ENTROPY, batch, method="exact")
        for row in sampled[sampled["quantity"] == "variance"].itertuples():
            # The interval is at 95 %; twice its half-width fails once in 2000 rows.
            half = row.high - row.low
            assert abs(row.value - exact.value("variance", row.projection)) < half

    def test_response_to_one_action_agrees_with_the_equation(self):
        network, batch = mlp([5, 7, 3]), classes(5, 3, examples=1)
        clean = network.forward(batch.inputs)
        policy = probabilities(network, batch)[0]
        for action in range(3):
            found = self.rule.respond(network, batch, clean, {}, np.array([[action]]))
            rewarded = action == batch.targets[0]
            signal = (1 - policy[action]) / policy[action] if rewarded else -1.0
            output = -signal * (np.arange(3) == action)
            twin = naive.backpropagate(network, batch.inputs[0], output)
            np.testing.assert_allclose(found["layer2.bias"].post[0, 0], twin[1], rtol=1e-12)
            np.testing.assert_allclose(found["layer1.bias"].post[0, 0], twin[0], rtol=1e-12)


class TestBrainprop:
    def test_uniform_policy_gives_the_gradient_of_squared_error(self, record_figure):
        network, batch = mlp([5, 7, 4, 3]), classes(5, 3)
        rule = bench.make("rule", "brainprop", exploration="uniform")
        found = bench.measure(rule, network, SQUARED_ERROR, batch, method="exact")
        exact = bench.gradient(network, SQUARED_ERROR, batch)
        error = relative_error({name: 3 * mean for name, mean in found.mean.items()}, exact)
        record_figure(
            "BrainProp, n times enumerated mean against squared-error gradient", error, "1e-12"
        )
        assert error < 1e-12

    def test_uniform_policy_has_the_closed_form_of_the_variance(self):
        network, batch = mlp([5, 7, 3]), classes(5, 3, examples=1)
        rule = bench.make("rule", "brainprop", exploration="uniform")
        found = bench.measure(rule, network, SQUARED_ERROR, batch, method="exact")
        clean = network.forward(batch.inputs)
        error = (np.arange(3) == batch.targets[0]) - clean.output[0]
        spread = np.sum(error**2) / 3 - np.sum(error**2) / 9
        assert found.value("absolute_variance", "layer2.bias") == pytest.approx(spread, rel=1e-12)

    @pytest.mark.parametrize("exploration", ["max_boltzmann", "softmax", "uniform"])
    def test_unbiased_against_its_own_reference(self, exploration):
        network, batch = mlp([5, 7, 4, 3]), classes(5, 3)
        rule = bench.make("rule", "brainprop", exploration=exploration)
        found = bench.measure(rule, network, SQUARED_ERROR, batch, method="exact")
        assert found.value("bias_squared") < 1e-28
        assert found.frame["reference"].unique() == [rule.card.reference]

    def test_greedy_policy_is_biased_against_the_objective(self):
        network, batch = mlp([5, 7, 4, 3]), classes(5, 3)
        rule = bench.make("rule", "brainprop")
        found = bench.measure(rule, network, SQUARED_ERROR, batch, reference="objective")
        assert found.value("direction_bias") > 0.01


def directional_derivative(network, objective, batch, xi):
    """Exact derivative of each example's loss along noise on the drives, per sample."""
    clean = network.forward(batch.inputs)
    error = objective.error(clean.output, batch.targets)
    signals = network.credit(clean, {network.output.name: error})
    return sum((xi[name] * signals[name]).sum(axis=-1) for name in signals)


def drive_noise(network, batch, law="gaussian", samples=4, seed=0):
    """The noise that the rule saw: it depends on the seed, the population and the example."""
    from plausibench.rules.noise import Noise

    clean = network.forward(batch.inputs)
    noise = Noise(seed, np.arange(samples), batch.keys, np.dtype(float))
    return noise.examples(clean.drive, law)


class TestPerturbation:
    @pytest.mark.parametrize(("antithetic", "order"), [(True, 2), (False, 1)])
    def test_node_perturbation_tends_to_the_forward_gradient(
        self, antithetic, order, record_figure
    ):
        network, batch = mlp([5, 7, 4, 3]), classes(5, 3)
        xi = drive_noise(network, batch)
        exact = directional_derivative(network, CROSS_ENTROPY, batch, xi)
        limit = np.einsum("kb,kbn->kn", exact, xi["layer1"]) / batch.size
        errors = []
        for sigma in (1e-1, 1e-2, 1e-3):
            rule = bench.make("rule", "node_perturbation", sigma=sigma, antithetic=antithetic)
            found = bench.estimates(rule, network, CROSS_ENTROPY, batch, samples=4)["layer1.bias"]
            errors.append(np.linalg.norm(found - limit) / np.linalg.norm(limit))
        slope = np.log10(errors[1] / errors[2])
        record_figure(f"node perturbation, slope in sigma, antithetic={antithetic}", slope, order)
        assert slope == pytest.approx(order, abs=0.05)
        if antithetic:
            assert errors[-1] < 1e-5

    @pytest.mark.parametrize(("antithetic", "order"), [(True, 2), (False, 1)])
    def test_weight_perturbation_tends_to_the_forward_gradient(
        self, antithetic, order, record_figure
    ):
        network, batch = mlp([3, 4, 3]), classes(3, 3)
        exact = bench.gradient(network, CROSS_ENTROPY, batch)
        errors = []
        for sigma in (1e-2, 1e-3, 1e-4):
            rule = bench.make("rule", "weight_perturbation", sigma=sigma, antithetic=antithetic)
            found = bench.estimates(rule, network, CROSS_ENTROPY, batch, samples=4)
            noise = weight_noise(network)
            along = sum((noise[n] * exact[n]).reshape(4, -1).sum(axis=1) for n in noise)
            limit = along[:, None] * noise["layer1.bias"]
            errors.append(np.linalg.norm(found["layer1.bias"] - limit) / np.linalg.norm(limit))
        slope = np.log10(errors[0] / errors[1])
        record_figure(f"weight perturbation, slope in sigma, antithetic={antithetic}", slope, order)
        assert slope == pytest.approx(order, abs=0.05)
        if antithetic:
            assert errors[1] < 1e-5

    def test_antithetic_on_a_quadratic_has_no_sigma(self):
        network = bench.make("architecture", "linear", sizes=[5, 3], seed=0)
        generator = np.random.default_rng(0)
        batch = bench.Batch(generator.standard_normal((4, 5)), generator.standard_normal((4, 3)))
        exact = bench.gradient(network, SQUARED_ERROR, batch)["layer1.weights"]
        noise = weight_noise(network)["layer1.weights"]
        limit = np.einsum("kij,ij->k", noise, exact)[:, None, None] * noise
        for sigma in (1e-2, 1.0, 30.0):
            rule = bench.make("rule", "weight_perturbation", sigma=sigma)
            found = bench.estimates(rule, network, SQUARED_ERROR, batch, samples=4)
            error = np.abs(found["layer1.weights"] - limit).max() / np.abs(limit).max()
            assert error < 1e-9

    def test_one_sided_node_perturbation_is_reinforce_with_gaussian_units(self, record_figure):
        """Williams 1992: units z ~ N(W a + b, sigma^2), reward -F, baseline the clean reward."""
        network, batch = mlp([5, 7, 3]), classes(5, 3)
        sigma = 0.05
        rule = bench.make("rule", "node_perturbation", sigma=sigma, antithetic=False)
        found = bench.estimates(rule, network, CROSS_ENTROPY, batch, samples=4)["layer1.bias"]
        xi = drive_noise(network, batch)
        clean = network.forward(batch.inputs)
        noisy = network.forward(batch.inputs, drive_noise=xi, amplitude=sigma)
        reward = -CROSS_ENTROPY.losses(noisy.output, batch.targets)
        baseline = -CROSS_ENTROPY.losses(clean.output, batch.targets)
        score = sigma * xi["layer1"] / sigma**2  # (z - mean) / variance
        reinforce = ((reward - baseline)[..., None] * score).mean(axis=1)
        error = np.abs(found + reinforce).max() / np.abs(found).max()
        record_figure("one-sided node perturbation against gaussian REINFORCE", error, "1e-12")
        assert error < 1e-12


def weight_noise(network, samples=4, seed=0, law="gaussian"):
    """The noise that weight perturbation saw."""
    from plausibench.rules.noise import Noise

    keys = np.zeros(1, dtype=np.uint64)
    return Noise(seed, np.arange(samples), keys, np.dtype(float)).parameters(
        network.parameters, law
    )
