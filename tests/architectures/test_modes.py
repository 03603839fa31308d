"""Recurrent weights made of modes: the parts of a network, and every rule in time on them."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import claims
import naive_modes
import naive_time
from plausibench import bench
from plausibench.architectures.integrate_and_fire import Surrogate
from plausibench.architectures.low_rank import Modes, ModeSynapse, truncated
from plausibench.bench.training.optimisers import make_optimiser
from plausibench.kernels.errors import InputError
from plausibench.rules.noise import Noise

OBJECTIVE = bench.make("objective", "mean_squared_error")
PARTS = ("input_modes", "scores", "output_modes")


def network(architecture="mode_rnn", sizes=(3, 6, 2), seed=0, **options):
    made = bench.make("architecture", architecture, sizes=sizes, seed=seed, **options)
    random = np.random.default_rng(seed + 100)
    moved = {
        name: 0.3 * random.standard_normal(array.shape) if name.endswith("bias") else array
        for name, array in made.parameters.items()
    }
    return made.with_parameters(moved)


def sequences(net, examples=4, steps=8, seed=0, scale=1.0):
    random = np.random.default_rng(seed)
    inputs = scale * random.standard_normal((examples, steps, net.inputs)) + (scale - 1) / 4
    targets = random.standard_normal((examples, steps, net.output.size))
    return bench.Batch(inputs, targets, random.permutation(examples))


def modes_of(net):
    weights = net.weights["layer1.recurrent"]
    return weights.input_modes, weights.scores, weights.output_modes


def by_modes(net, g):
    """Estimates of effective weights pulled back to the parameters of the modes."""
    found = naive_modes.pulled(g, *modes_of(net))
    return {f"layer1.{part}": array for part, array in zip(PARTS, found, strict=True)}


RATE, SPIKING = network(), network("spiking_mode_rnn", (4, 8, 2))
DEEP = network(sizes=(2, 5, 4, 2), modes=2, initial="original", leaking="potential")
DOUBLE = network("spiking_mode_rnn", (4, 6, 5, 2), filtering="double", adaptation=0.3, bias=True)
FIXED = network(sizes=(3, 5, 2), scores="fixed", leaking="potential", leak=0.1, bias=False)
NETWORKS = [RATE, DEEP, FIXED, SPIKING, DOUBLE]
NAMES = ["rate", "deep", "fixed", "spiking", "double"]

RULES = [
    ("backprop", {}),
    ("backpropagation_through_time", {}),
    ("real_time_recurrent_learning", {}),
    ("rflo", {}),
    ("rflo", {"feedback": "symmetric"}),
    ("e_prop", {}),
    ("e_prop", {"feedback": "random"}),
    ("e_prop", {"feedback": "adaptive"}),
    ("random_feedback_through_time", {}),
    ("node_perturbation", {}),
    ("three_factor", {}),
    ("forward_gradient", {"perturbing": "activity"}),
    ("surrogate_gradient", {}),
]
"""Rules whose estimates are those of effective weights, pulled back."""
IN_PARAMETERS = [
    ("uoro", {}),
    ("weight_perturbation", {}),
    ("weight_perturbation", {"noise": "rademacher", "antithetic": False}),
    ("forward_gradient", {}),
]
"""Rules whose noise or traces belong to parameters."""


class TestDynamics:
    @pytest.mark.parametrize("initial", ["gain_matched", "original", "singular"])
    @pytest.mark.parametrize(
        ("architecture", "options"),
        [
            ("mode_rnn", {}),
            ("mode_rnn", {"leaking": "potential"}),
            ("spiking_mode_rnn", {}),
            ("spiking_mode_rnn", {"filtering": "double", "adaptation": 0.3}),
            ("spiking_mode_rnn", {"filtering": "double_continuous"}),
        ],
    )
    def test_as_with_the_matrix_formed(self, architecture, options, initial, record_figure):
        net = network(architecture, (4, 30, 2), initial=initial, modes=4, **options)
        inputs = sequences(net, 3, 500, scale=3.0).inputs
        one, two = net.forward(inputs), net.formed().forward(inputs)
        apart = float(np.abs(one.output - two.output).max())
        record_figure(f"{architecture}, modes against matrix over 500 steps", apart, 1e-12)
        assert apart <= 1e-12
        if net.spiking:
            spikes = one.traces["layer1"]["spikes"]
            assert spikes.sum() > 500
            np.testing.assert_array_equal(spikes, two.traces["layer1"]["spikes"])

    @given(
        neurons=st.integers(1, 5),
        modes=st.integers(0, 3),
        seed=st.integers(0, 5),
        leaking=st.sampled_from(["rate", "potential"]),
    )
    @settings(max_examples=20, deadline=None)
    def test_rates(self, neurons, modes, seed, leaking):
        options = {"leak": 0.3, "leaking": leaking, "modes": min(neurons, modes)}
        net = network(sizes=(2, neurons, 2), seed=seed, **options)
        w_rec = np.zeros((neurons, neurons))
        if net.recurrent:
            w_rec = naive_modes.formed(*modes_of(net))
        names = ("layer1.weights", "layer1.bias", "layer2.weights", "layer2.bias")
        w_in, b, w_out, c = (net.parameters[name] for name in names)
        inputs = sequences(net, 2, 7, seed).inputs
        trial = {
            "rate": lambda *given: naive_time.rate_trial(*given)[2],
            "potential": naive_time.potential_trial,
        }[leaking]
        for example, x in enumerate(inputs):
            expected = trial((w_in, w_rec, b, w_out, c), x, 0.3, "tanh")
            found = net.forward(inputs).output[example::2]
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)

    def test_spikes(self):
        net = network("spiking_mode_rnn", (3, 7, 2), filtering="double", refractory=3)
        inputs = sequences(net, 2, 500, scale=3.0).inputs
        w_rec = naive_modes.formed(*modes_of(net))
        spikes = net.forward(inputs).traces["layer1"]["spikes"]
        for example, x in enumerate(inputs):
            expected, *_ = naive_time.spiking_trial(
                net.parameters["layer1.weights"], w_rec, x, "double", 3, 0.0
            )
            assert expected.sum() > 50
            np.testing.assert_array_equal(spikes[example::2], expected)

    @pytest.mark.parametrize("net", NETWORKS, ids=NAMES)
    def test_tangent_and_adjoint_agree(self, net):
        """<e, J xi> = <J^T e, xi>, through time, for drives and parameters."""
        batch = sequences(net, 3, 25, scale=2.0)
        clean, random = net.forward(batch.inputs), np.random.default_rng(2)
        error = random.standard_normal(clean.output.shape)
        drive = {name: random.standard_normal(a.shape) for name, a in clean.drive.items()}
        moved = {n: random.standard_normal(a.shape) for n, a in net.parameters.items()}
        change = net.tangent(clean, drive=drive, parameters=moved).output
        signals = net.credit(clean, {net.output.name: error})
        pulled = net.pull(clean, error)
        back = sum((signals[name] * drive[name]).sum() for name in drive)
        back += sum((pulled[name] * moved[name]).sum() for name in moved)
        assert (error * change).sum() == pytest.approx(back, rel=1e-11)

    @pytest.mark.parametrize("net", [RATE, DEEP, FIXED], ids=NAMES[:3])
    def test_differences(self, net):
        """Central differences of the loss, which err by the step's square."""
        batch, step = sequences(net), 1e-5
        exact = bench.gradient(net, OBJECTIVE, batch)
        for name, array in net.parameters.items():
            found = np.zeros(array.size)
            for n, direction in enumerate(np.eye(array.size) * step):
                up, down = (
                    bench.loss(
                        net.with_parameters(
                            {**net.parameters, name: array + sign * direction.reshape(array.shape)}
                        ),
                        OBJECTIVE,
                        batch,
                    )
                    for sign in (1, -1)
                )
                found[n] = (up - down) / (2 * step)
            error = np.linalg.norm(found - exact[name].ravel()) / np.linalg.norm(exact[name])
            assert error < 1e-7, (name, error)

    def test_spiking_gradient_is_that_of_influences(self):
        """Backpropagation with the pseudo-derivative, from derivatives carried forwards."""
        net = network("spiking_mode_rnn", (3, 4, 2), modes=2, refractory=2, sharpness=5.0)
        batch = sequences(net, 2, 30, 1, scale=4.0)
        clean = net.forward(batch.inputs)
        errors = OBJECTIVE.batch_error(clean.output, batch).reshape(30, 2, 2)
        names = ("layer1.weights", "layer1.output_modes", "layer1.scores", "layer1.input_modes")
        total, spikes = [0, 0, 0, 0], 0
        for example, x in enumerate(batch.inputs):
            own, count = naive_modes.spiking_influence(
                net.parameters["layer1.weights"],
                *modes_of(net),
                net.parameters["layer2.weights"],
                x,
                errors[:, example],
                2,
                Surrogate("fast_sigmoid", 5.0, 1.0),
            )
            total, spikes = [a + b for a, b in zip(total, own, strict=True)], spikes + count
        assert spikes == clean.traces["layer1"]["spikes"].sum() > 10
        exact = bench.gradient(net, OBJECTIVE, batch)
        for name, array in zip(names, total, strict=True):
            np.testing.assert_allclose(exact[name], array, rtol=1e-10, atol=1e-14)

    @pytest.mark.parametrize("net", NETWORKS, ids=NAMES)
    def test_single_precision(self, net):
        batch = sequences(net, 2, 20, scale=2.0)
        single = net.astype("float32")
        found = single.gradient(OBJECTIVE, batch.astype("float32"))
        assert {array.dtype.name for array in found.values()} == {"float32"}
        if not net.spiking:  # a spike at another step is another gradient
            for name, array in bench.gradient(net, OBJECTIVE, batch).items():
                apart = np.linalg.norm(found[name] - array)
                assert apart < 1e-4 * np.linalg.norm(array)

    def test_permuted_neurons_and_modes(self):
        for net in (RATE, SPIKING):
            neurons, modes = net.populations[0].size, 3
            random = np.random.default_rng(0)
            order, other = random.permutation(neurons), random.permutation(modes)
            own = net.parameters
            moved = dict(own)
            moved["layer1.weights"] = own["layer1.weights"][order]
            moved["layer2.weights"] = own["layer2.weights"][:, order]
            if "layer1.bias" in own:
                moved["layer1.bias"] = own["layer1.bias"][order]
            moved["layer1.input_modes"] = own["layer1.input_modes"][np.ix_(order, other)]
            moved["layer1.output_modes"] = own["layer1.output_modes"][np.ix_(other, order)]
            moved["layer1.scores"] = own["layer1.scores"][other]
            inputs = sequences(net, 2, 40, scale=2.0).inputs
            np.testing.assert_allclose(
                net.forward(inputs).output,
                net.with_parameters(moved).forward(inputs).output,
                atol=1e-12,
            )


class TestParameters:
    @pytest.mark.parametrize("net", NETWORKS, ids=NAMES)
    def test_gradient_is_that_of_the_matrix_pulled_back(self, net):
        batch = sequences(net, scale=2.0, steps=30)
        g = bench.gradient(net, OBJECTIVE, batch)
        full = bench.gradient(net.formed(), OBJECTIVE, batch)
        expected = {**full, **by_modes(net, full["layer1.recurrent"])}
        for name in set(g) & set(expected):
            np.testing.assert_allclose(g[name], expected[name], rtol=1e-12, atol=1e-14)

    def test_identities(self):
        """Of each mode: input modes, scores and output modes times their gradients."""
        g = bench.gradient(RATE, OBJECTIVE, sequences(RATE))
        into, scores, out = modes_of(RATE)
        expected = scores * g["layer1.scores"]
        for found in (
            (into * g["layer1.input_modes"]).sum(axis=0),
            (out * g["layer1.output_modes"]).sum(axis=1),
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-16)

    def test_descent_in_modes_is_descent_in_weights(self):
        """To first order the product of dW and G is minus the squares of the modes' gradients."""
        batch = sequences(RATE)
        g = bench.gradient(RATE, OBJECTIVE, batch)
        full = bench.gradient(RATE.formed(), OBJECTIVE, batch)["layer1.recurrent"]
        moved = {part: -g[f"layer1.{part}"] for part in PARTS}
        change = RATE.weights["layer1.recurrent"].change(moved).formed()
        squares = sum((array**2).sum() for array in moved.values())
        assert (change * full).sum() == pytest.approx(-squares, rel=1e-12)

    def test_gauge(self):
        """Another gauge of the modes is the same network, but Adam goes elsewhere from it."""
        into, scores, out = modes_of(RATE)
        other = {"layer1.input_modes": 2.0 * into, "layer1.output_modes": 0.5 * out}
        same = RATE.with_parameters({**RATE.parameters, **other, "layer1.scores": 1.0 * scores})
        batch = sequences(RATE)
        np.testing.assert_allclose(
            RATE.forward(batch.inputs).output, same.forward(batch.inputs).output, rtol=1e-12
        )
        after = []
        for net in (RATE, same):
            adam = make_optimiser("adam", 0.1)
            change, _ = adam.change(bench.gradient(net, OBJECTIVE, batch), {})
            net = net.with_parameters({n: w + change[n] for n, w in net.parameters.items()})
            after.append(net.forward(batch.inputs).output)
        assert np.abs(after[0] - after[1]).max() > 1e-3

    def test_singular_modes_are_the_matrix(self):
        net = network(sizes=(3, 7, 2), modes=7, initial="singular", recurrence=0.8)
        full = bench.make("architecture", "rate_rnn", sizes=(3, 7, 2), seed=0, recurrence=0.8)
        np.testing.assert_allclose(
            net.weights["layer1.recurrent"].formed(),
            full.parameters["layer1.recurrent"],
            atol=1e-12,
        )
        values = np.linalg.svd(full.parameters["layer1.recurrent"])[1]
        weights = truncated(full.parameters["layer1.recurrent"], 2)
        error = np.linalg.norm(weights.formed() - full.parameters["layer1.recurrent"])
        assert error == pytest.approx(np.linalg.norm(values[2:]), rel=1e-12)

    @pytest.mark.parametrize("modes", [1, 3, 10, 50])
    def test_number(self, modes):
        net = network("spiking_mode_rnn", (4, 100, 1), modes=modes)
        assert net.size - 500 == 2 * 100 * modes + modes

    @pytest.mark.parametrize("scores", ["learned", "fixed"])
    @pytest.mark.parametrize("modes", [4, 64])
    def test_first_strength(self, scores, modes):
        """Matched: variance g^2 / N whatever P; original: 1 / (N P), or 1 / (P N^2) if fixed.

        Over 20 seeds of 200 x 200 entries that share their modes the variance of the mean square
        is below 3 (2 + 6 + ...) / (20 P), so six standard errors are 0.5 for P = 4.
        """
        for initial, variance in (
            ("gain_matched", 0.49 / 200),
            ("original", 0.49 / (200 * modes) if scores == "learned" else 1 / (modes * 200**2)),
        ):
            options = {"initial": initial, "scores": scores, "modes": modes, "recurrence": 0.7}
            squares = [
                np.mean(
                    network(sizes=(1, 200, 1), seed=seed, **options)
                    .weights["layer1.recurrent"]
                    .formed()
                    ** 2
                )
                for seed in range(20)
            ]
            assert np.mean(squares) / variance == pytest.approx(1, abs=0.5)

    def test_readout_of_the_original(self):
        """Weights of variance 1 for one output, here from 400 draws: 1 +- 0.28 (four errors)."""
        net = network("spiking_mode_rnn", (4, 400, 1), initial="original")
        assert net.parameters["layer2.weights"].var() == pytest.approx(1, abs=0.28)

    def test_no_modes_are_no_recurrence(self):
        net = network("spiking_mode_rnn", (4, 6, 2), modes=0)
        assert list(net.parameters) == ["layer1.weights", "layer2.weights"]
        batch = sequences(net, scale=2.0, steps=30)
        e_prop = bench.make("rule", "e_prop")
        found = bench.estimates(e_prop, net, OBJECTIVE, batch, samples=1)
        for name, array in bench.gradient(net, OBJECTIVE, batch).items():
            np.testing.assert_allclose(found[name][0], array, rtol=1e-12)

    def test_synapse_takes_a_matrix_too(self):
        random, synapse = np.random.default_rng(0), ModeSynapse(5)
        weights = Modes(*modes_of(network(sizes=(2, 5, 2))))
        matrix, rows = weights.formed(), random.standard_normal((2, 4, 5))
        for act in (synapse.drive, synapse.feedback):
            np.testing.assert_allclose(act(weights, rows), act(matrix, rows), rtol=1e-12)
        np.testing.assert_allclose(weights.diagonal(), np.diag(matrix), rtol=1e-12)
        np.testing.assert_array_equal(synapse.transpose(weights), matrix.T)

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"modes": 4}, "modes: 4 are more than the 3 neurons of layer1.*no higher rank"),
            ({"modes": -1}, "modes: "),
            ({"initial": "gaussian"}, "initial: "),
            ({"scores": "none"}, "scores: "),
            ({"scores": "fixed", "initial": "singular"}, "scores: fixed ones are all alike"),
        ],
    )
    @pytest.mark.parametrize("architecture", ["mode_rnn", "spiking_mode_rnn"])
    def test_refusals(self, architecture, options, reason):
        with pytest.raises(InputError, match=reason):
            bench.make("architecture", architecture, sizes=[2, 3, 2], **options)


class TestRules:
    @pytest.mark.parametrize("net", NETWORKS, ids=NAMES)
    @pytest.mark.parametrize(
        ("name", "options"),
        [("rflo", {}), ("e_prop", {"feedback": "random"}), ("random_feedback_through_time", {})],
    )
    def test_state_says_whose_it_is(self, name, options, net):
        rule = bench.make("rule", name, **options)
        sizes = {each.name: each.size for each in net.populations}
        axes = rule.state_axes(net)
        for key, array in rule.initial_state(net, seed=0).items():
            assert tuple(sizes[population] for population in axes[key]) == array.shape

    @pytest.mark.parametrize(("name", "options"), RULES)
    @pytest.mark.parametrize("net", NETWORKS, ids=NAMES)
    def test_estimates_are_those_of_the_matrix_pulled_back(self, name, options, net):
        """Perturbation rules lose the digits of a difference of losses."""
        rule = bench.make("rule", name, **options)
        if rule.refusal(net, OBJECTIVE):
            pytest.skip("not for this network")
        full = net.formed()
        state = bench.initial_state(rule, net, seed=3)
        for key, array in bench.initial_state(rule, full, seed=3).items():
            np.testing.assert_array_equal(state[key], array)
        cell = (OBJECTIVE, sequences(net, steps=30, scale=2.0))
        found = bench.estimates(rule, net, *cell, samples=2, seed=1, state=state)
        expected = bench.estimates(rule, full, *cell, samples=2, seed=1, state=state)
        assert set(found) == set(net.parameters)
        rounding = 1e-9 if name in ("node_perturbation", "three_factor") else 1e-12
        for sample in range(2):
            pulled = by_modes(net, expected["layer1.recurrent"][sample])
            for key in set(found) & (set(expected) | set(pulled)):
                wanted = pulled[key] if key in pulled else expected[key][sample]
                apart = np.linalg.norm(found[key][sample] - wanted)
                assert apart <= rounding * np.linalg.norm(wanted), key

    @pytest.mark.parametrize(("name", "options"), [*RULES, *IN_PARAMETERS])
    @pytest.mark.parametrize("net", NETWORKS, ids=NAMES)
    def test_claims(self, name, options, net, record_figure):
        rule = bench.make("rule", name, **options)
        if rule.refusal(net, bench.make("objective", "cross_entropy")):
            pytest.skip("not for this network")
        inputs = sequences(net, steps=10 if not net.spiking else 30, scale=2.0).inputs
        batch = bench.Batch(inputs, np.array([0, 1, 1, 0]), np.array([3, 0, 2, 1]))
        at = claims.situation(rule, net, batch)
        for claim in rule.theory():
            with suppress(InputError):  # it does not apply there
                claims.check(claim, at, record_figure)

    @pytest.mark.parametrize("own", [False, True])
    def test_online_traces(self, own):
        """Traces of N x N synapses that go forwards, and then the modes: RFLO and e-prop."""
        net, k = network(sizes=(2, 5, 2), leak=0.3), 0.3
        batch = sequences(net, 3, 9)
        rule = bench.make("rule", "e_prop" if own else "rflo", feedback="random")
        state = bench.initial_state(rule, net, 3)
        assert set(state) == {"layer2.weights"}
        names = ("layer1.weights", "layer1.bias", "layer2.weights", "layer2.bias")
        w_in, b, w_out, c = (net.parameters[name] for name in names)
        weights = w_in, naive_modes.formed(*modes_of(net)), b, w_out, c
        errors = OBJECTIVE.batch_error(net.forward(batch.inputs).output, batch).reshape(9, 3, 2)
        each = [
            naive_time.traced(weights, x, errors[:, n], state["layer2.weights"], k, "tanh", own)
            for n, x in enumerate(batch.inputs)
        ]
        total = [sum(parts) for parts in zip(*each, strict=True)]
        expected = {"layer1.weights": total[0], "layer1.bias": total[2], **by_modes(net, total[1])}
        found = bench.estimates(rule, net, OBJECTIVE, batch, samples=1, state=state)
        for name, array in expected.items():
            np.testing.assert_allclose(found[name][0], array, rtol=1e-10, atol=1e-14)

    def test_uoro(self):
        net, rule = network(sizes=(2, 4, 2), modes=2, leak=0.3), bench.make("rule", "uoro")
        batch = sequences(net, 3, 7)
        clean = net.forward(batch.inputs)
        noise = Noise(0, np.zeros(1, np.int64), batch.keys, np.dtype(float))
        signs = noise.examples({"layer1": clean.drive["layer1"]}, "rademacher")["layer1"][0]
        errors = OBJECTIVE.batch_error(clean.output, batch).reshape(7, 3, 2)
        names = ("layer1.weights", "layer1.bias", "layer2.weights", "layer2.bias")
        w_in, b, w_out, c = (net.parameters[name] for name in names)
        weights = w_in, *modes_of(net), b, w_out, c
        each = [
            naive_modes.uoro(weights, x, errors[:, n], signs[n::3], 0.3, "tanh", rule.epsilon)
            for n, x in enumerate(batch.inputs)
        ]
        learned = ("weights", "output_modes", "scores", "input_modes", "bias")
        found = bench.estimates(rule, net, OBJECTIVE, batch, samples=1)
        for name, parts in zip(learned, zip(*each, strict=True), strict=True):
            np.testing.assert_allclose(found[f"layer1.{name}"][0], sum(parts), rtol=1e-10)

    def test_variance_of_weight_perturbation(self, record_figure):
        """P + 1 times |g|^2 for P parameters, fewer with modes than with the matrix."""
        net = network(sizes=(2, 12, 1), modes=1, bias=False)
        rule = bench.make("rule", "weight_perturbation")
        for one in (net, net.formed()):
            cell = (rule, one, OBJECTIVE, sequences(one))
            found = bench.measure(*cell, samples=8000).value("variance")
            record_figure(f"weight perturbation of {one.size} weights", found, one.size + 1)
            assert found == pytest.approx(one.size + 1, rel=0.1)
        assert net.size < net.formed().size / 2

    def test_closed_forms_are_not_claimed_of_modes(self):
        """They take every projection's post factor for a neuron's own noise."""
        rule = bench.make("rule", "node_perturbation")
        for net in (RATE, FIXED):
            with pytest.raises(InputError, match="no closed form"):
                bench.measure(rule, net, OBJECTIVE, sequences(net), method="exact")


def test_hold():
    """Rows that are shown for some steps, and a blank after them."""
    plain = bench.make("task", "row_by_row").train
    task = bench.make("task", "row_by_row", hold=3, delay=2)
    np.testing.assert_array_equal(task.train.inputs[:, :24:3], plain.inputs)
    np.testing.assert_array_equal(task.train.inputs[:, 2:24:3], plain.inputs)
    assert task.train.inputs.shape[1] == 26
    assert not task.train.inputs[:, 24:].any()
    with pytest.raises(InputError, match="hold"):
        bench.make("task", "row_by_row", hold=0)


class TestDoubleSoftmax:
    def test_floor(self):
        goal = bench.make("objective", "cross_entropy", double_softmax=True)
        sure = np.full((1, 10), -100.0)
        sure[0, 3] = 100.0
        assert goal.losses(sure, np.array([3]))[0] == pytest.approx(1.461150, abs=1e-6)
        assert goal.losses(np.zeros((1, 10)), np.array([3]))[0] == pytest.approx(np.log(10))

    @pytest.mark.parametrize("classes", [True, False])
    def test_error(self, classes):
        """Central differences, which err by the step's square."""
        goal = bench.make("objective", "cross_entropy", double_softmax=True)
        random, step = np.random.default_rng(0), 1e-5
        output = random.standard_normal((4, 5))
        targets = random.integers(0, 5, 4) if classes else random.uniform(0, 1, (4, 5))
        for n, direction in enumerate(step * np.eye(5)):
            up, down = (goal.losses(output + sign * direction, targets) for sign in (1, -1))
            np.testing.assert_allclose(
                goal.error(output, targets)[:, n], (up - down) / (2 * step), atol=1e-9
            )

    def test_refusal(self):
        with pytest.raises(InputError, match="double_softmax"):
            bench.make("objective", "cross_entropy", double_softmax=2)
