"""The dendritic microcircuit: its kernel, its exact limits, and where its signal comes from."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_settling
from plausibench.architectures.dendritic import Dendritic
from plausibench.architectures.mlp import Mlp
from plausibench.architectures.network import Activity
from plausibench.kernels.errors import Divergence, InputError
from plausibench.objectives.batch import Batch
from plausibench.objectives.cross_entropy import CrossEntropy
from plausibench.objectives.mean_squared_error import MeanSquaredError
from plausibench.rules.dendritic_error import DendriticError
from plausibench.rules.estimate import form
from plausibench.rules.feedback_alignment import FeedbackAlignment
from plausibench.rules.microcircuit import LANES
from plausibench.rules.rule import Step

CANONICAL = {"leak": 0.0, "loads": False}
PAPER = {"leak": 0.1, "loads": True}
EITHER = pytest.mark.parametrize("conductances", [CANONICAL, PAPER], ids=["canonical", "paper"])
ACTIVATIONS = ["identity", "tanh", "sigmoid", "relu", "softplus"]
WEAK = 1e-4


def dendritic(sizes, seed=0, **options):
    """A network whose biases are not zero."""
    network = Dendritic(sizes, **options).build(seed)
    generator = np.random.default_rng(seed + 100)
    return network.with_parameters(
        {
            name: array if array.ndim == 2 else 0.3 * generator.standard_normal(array.shape)
            for name, array in network.parameters.items()
        }
    )


def classes(network, examples=6, seed=0):
    generator = np.random.default_rng(seed)
    inputs = generator.standard_normal((examples, network.inputs))
    return Batch(inputs, generator.integers(0, network.output.size, examples))


def estimate(rule, network, batch, objective=None, state=None, clean=None):
    """The estimate as arrays, one per parameter."""
    objective = MeanSquaredError() if objective is None else objective
    clean = network.forward(batch.inputs) if clean is None else clean
    state = rule.initial_state(network, 0) if state is None else state
    return form(network, rule.estimate(network, objective, batch, clean, state, None))


def by_layer(network, arrays):
    """Weights and bias of each layer as one vector."""
    return [
        np.concatenate([arrays[p.name].ravel() for p in network.incoming[population.name]])
        for population in network.populations
    ]


def errors(network, ours, theirs):
    """Relative error of each layer."""
    pairs = zip(by_layer(network, ours), by_layer(network, theirs), strict=True)
    return np.array([np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in pairs])


@settings(max_examples=50)
@given(
    sizes=st.lists(st.integers(1, 7), min_size=2, max_size=5),
    activation=st.sampled_from(ACTIVATIONS),
    output=st.sampled_from(ACTIVATIONS),
    leak=st.sampled_from([0.0, 0.1, 0.4]),
    loads=st.booleans(),
    bias=st.booleans(),
    nudging=st.sampled_from([1e-3, 0.1, 0.8]),
    inner=st.sampled_from([(0.8, 1.0), (0.0, 1.0), (0.3, 0.6)]),
    feedback=st.sampled_from(["symmetric", "random"]),
    target=st.booleans(),
    tolerance=st.sampled_from([1e-2, 1e-14]),
    seed=st.integers(0, 1000),
)
def test_kernel_agrees_with_its_naive_twin(
    sizes, activation, output, leak, loads, bias, nudging, inner, feedback, target, tolerance, seed
):
    options = {"activation": activation, "output": output, "bias": bias}
    network = Dendritic(sizes, leak=leak, loads=loads, **options).build(seed)
    rule = DendriticError(nudging, *inner, feedback=feedback, tolerance=tolerance, steps=400)
    generator = np.random.default_rng(seed)
    # Lateral weights away from the self-predicting state, where many terms cancel.
    state = {
        name: array + 0.05 * generator.standard_normal(array.shape)
        for name, array in rule.initial_state(network, seed).items()
    }
    inputs = generator.standard_normal((3, sizes[0]))
    targets = generator.standard_normal((3, sizes[-1])) if target else [None] * 3
    twins = [
        naive_settling.settle(network, rule, state, *pair)
        for pair in zip(inputs, targets, strict=True)
    ]
    if None in twins:
        with pytest.raises(Divergence):
            rule.settled(network, inputs, state, targets if target else None)
        return
    circuit = rule.settled(network, inputs, state, targets if target else None)
    if tolerance == 1e-2:
        # Stopped on the way, where voltages tell the steps that were taken.
        assert circuit.steps == max(twin[-1] for twin in twins)
    names = [population.name for population in network.populations]
    ours = [
        circuit.soma,
        circuit.interneuron,
        circuit.flow.drive,
        circuit.apical,
        {name: circuit.flow.activity[name] for name in names},
    ]
    for example, twin in enumerate(twins):
        for found, expected in zip(ours, twin[:-1], strict=True):
            assert list(found) == names[: len(expected)]
            for name, array in zip(names, expected, strict=False):
                np.testing.assert_allclose(found[name][example], array, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mismatch", [0.0, 0.05])
@pytest.mark.parametrize("examples", [LANES - 1, 2 * LANES + 5])
def test_examples_settle_side_by_side_as_each_alone(examples, mismatch):
    network = dendritic([5, 7, 6, 3], **PAPER)
    rule = DendriticError(mismatch=mismatch)
    state, batch = rule.initial_state(network, 0), classes(network, examples)
    targets = np.random.default_rng(1).standard_normal((examples, 3))
    together = rule.settled(network, batch.inputs, state, targets)
    steps = []
    for n in range(examples):
        alone = rule.settled(network, batch.inputs[n : n + 1], state, targets[n : n + 1])
        steps.append(alone.steps)
        for name, voltage in together.soma.items():
            np.testing.assert_array_equal(voltage[n], alone.soma[name][0])
        for name, voltage in together.apical.items():
            np.testing.assert_array_equal(voltage[n], alone.apical[name][0])
    # They do not come to rest at once, so that lanes were handed on.
    assert len(set(steps)) > 1
    assert together.steps == max(steps)


@EITHER
@pytest.mark.parametrize("feedback", ["symmetric", "random"])
def test_ideal_interneurons_save_products_and_change_nothing(conductances, feedback):
    network = dendritic([5, 7, 6, 3], **conductances)
    batch, rule = classes(network), DendriticError(feedback=feedback)
    state = rule.initial_state(network, 0)
    assert rule._wiring(network, state, rule.nudging).match.any()
    drawn = replace(rule, mismatch=0.1)
    assert not drawn._wiring(network, drawn.initial_state(network, 0), rule.nudging).match.any()
    targets = np.random.default_rng(1).standard_normal((batch.size, 3))
    circuit = rule.settled(network, batch.inputs, state, targets, np.full(batch.size, 1e-14))
    twins = [
        naive_settling.settle(network, replace(rule, tolerance=1e-13), state, *pair)
        for pair in zip(batch.inputs, targets, strict=True)
    ]
    for n, (soma, inner, basal, apical, rates, _) in enumerate(twins):
        ours = circuit.soma, circuit.interneuron, circuit.flow.drive, circuit.apical
        for mine, twin in zip(ours, (soma, inner, basal, apical), strict=True):
            for array, expected in zip(mine.values(), twin, strict=True):
                np.testing.assert_allclose(array[n], expected, rtol=0, atol=1e-12)
        for name, expected in zip(circuit.soma, rates, strict=True):
            np.testing.assert_allclose(circuit.flow.activity[name][n], expected, rtol=0, atol=1e-12)


@EITHER
@pytest.mark.parametrize("feedback", ["symmetric", "random"])
def test_estimate_agrees_with_its_naive_twin(conductances, feedback):
    network = dendritic([5, 7, 6, 3], **conductances)
    batch = classes(network)
    rule = DendriticError(feedback=feedback, scale="none", tolerance=1e-13)
    state, clean = rule.initial_state(network, 0), network.forward(batch.inputs)
    # The output is linear: the paper's target is the one-hot class itself.
    targets = np.eye(3)[batch.targets]
    updates = [
        naive_settling.update(network, rule, state, *pair)
        for pair in zip(batch.inputs, targets, strict=True)
    ]
    expected = {name: -sum(u[name] for u in updates) / batch.size for name in network.parameters}
    assert errors(network, estimate(rule, network, batch, clean=clean), expected).max() < 1e-11


class TestSelfPrediction:
    @EITHER
    @pytest.mark.parametrize("feedback", ["symmetric", "random"])
    def test_without_a_target_nothing_is_learned(self, conductances, feedback, record_figure):
        network = dendritic([8, 7, 6, 5], **conductances)
        batch, rule = classes(network), DendriticError(feedback=feedback, tolerance=1e-13)
        state, clean = rule.initial_state(network, 0), network.forward(batch.inputs)
        circuit = rule.settled(network, batch.inputs, state)
        apical = max(np.abs(array).max() for array in circuit.apical.values())
        learned = 0.0
        for population in network.populations:
            predicted = population.neurons.activate(circuit.flow.drive[population.name])
            rates = circuit.flow.activity[population.name]
            learned = max(learned, np.abs(rates - predicted).max())
            # The circuit computes what the network computes.
            np.testing.assert_allclose(rates, clean.activity[population.name], rtol=0, atol=1e-12)
        record_figure("microcircuit without target: apical voltage", apical, "1e-12")
        record_figure("microcircuit without target: update", learned, "1e-12")
        assert apical <= 1e-12
        assert learned <= 1e-12

    def test_a_target_that_is_met_teaches_nothing(self):
        network = dendritic([8, 7, 6, 5], **PAPER)
        inputs = classes(network).inputs
        batch = Batch(inputs, network.forward(inputs).output)
        found = estimate(DendriticError(scale="none", tolerance=1e-13), network, batch)
        assert max(np.abs(array).max() for array in found.values()) <= 1e-12

    @pytest.mark.parametrize("part", ["interneuron_input", "interneuron_input_bias"])
    def test_broken_it_teaches_without_a_target(self, part):
        network = dendritic([8, 7, 6, 5], **PAPER)
        inputs = classes(network).inputs
        batch = Batch(inputs, network.forward(inputs).output)
        rule = DendriticError(scale="none")
        state = rule.initial_state(network, 0)
        state[f"layer1.{part}"] = state[f"layer1.{part}"] + 0.1
        assert np.linalg.norm(estimate(rule, network, batch, state=state)["layer1.weights"]) > 1e-3

    @pytest.mark.parametrize("feedback", ["symmetric", "random"])
    def test_advance_restores_it(self, feedback):
        network = dendritic([5, 7, 6, 3], **PAPER)
        rule = DendriticError(feedback=feedback, tolerance=1e-13)
        state = rule.initial_state(network, 0)
        before = {name: array.copy() for name, array in state.items()}
        changed = dendritic([5, 7, 6, 3], seed=1, **PAPER)
        batch = classes(changed)
        clean, held = changed.forward(batch.inputs), dict.fromkeys(changed.parameters, 0.0)
        step = Step(changed, MeanSquaredError(), batch, clean, held, 0.0, None)
        advanced = rule.advance(state, step)
        for name in ("layer2.weights", "layer3.weights"):
            kept = changed.parameters[name].T if feedback == "symmetric" else before[name]
            np.testing.assert_array_equal(advanced[name], kept)
        circuit = rule.settled(changed, classes(changed).inputs, advanced)
        assert max(np.abs(array).max() for array in circuit.apical.values()) < 1e-11
        assert all(np.array_equal(state[name], before[name]) for name in before)


class TestWeakNudging:
    """With symmetric feedback the estimate tends to the gradient, each layer with slope 1."""

    @pytest.mark.parametrize(
        ("sizes", "conductances"),
        [
            ([8, 6, 5], CANONICAL),
            ([8, 7, 6, 5], CANONICAL),
            ([8, 6, 5], PAPER),
            ([8, 7, 6, 5], PAPER),
            ([8, 7, 6, 6, 5], PAPER),
        ],
    )
    @pytest.mark.parametrize(
        ("objective", "output"),
        [
            (MeanSquaredError(), "identity"),
            (CrossEntropy(), "identity"),
            (MeanSquaredError(), "sigmoid"),
        ],
    )
    def test_error_vanishes_in_proportion(
        self, sizes, conductances, objective, output, record_figure
    ):
        network = dendritic(sizes, output=output, **conductances)
        batch = classes(network)
        exact = network.gradient(objective, batch)
        distance = []
        for nudging in (10 * WEAK, WEAK):
            rule = DendriticError(nudging, tolerance=1e-14 / nudging)
            found = estimate(rule, network, batch, objective)
            distance.append(errors(network, found, exact))
        slope = np.log10(distance[0] / distance[1])
        record_figure("microcircuit: slope in nudging, worst layer", abs(slope - 1).max(), "0.05")
        record_figure("microcircuit: error at nudging 1e-4", distance[1].max(), "2e-4")
        assert abs(slope - 1).max() <= 0.05
        assert distance[1].max() <= 2e-4

    def test_strong_nudging_is_biased(self):
        network = dendritic([8, 7, 6, 5], **PAPER)
        batch = classes(network)
        exact = network.gradient(MeanSquaredError(), batch)
        assert (
            errors(network, estimate(DendriticError(nudging=0.8), network, batch), exact).min()
            > 0.05
        )

    def test_raw_scale_of_each_layer(self):
        network = dendritic([8, 7, 6, 5], **PAPER)
        batch = classes(network)
        rule = DendriticError(WEAK, interneuron_nudging=0.6, dendrite=1.3, scale="none")
        raw = by_layer(network, estimate(rule, network, batch))
        exact = by_layer(network, network.gradient(MeanSquaredError(), batch))
        # leak 0.1, basal 1, apical 0.8; no apical conductance at the top.
        top, step_down = WEAK / (1.1 + WEAK), 0.8 / 1.9 * (1 - 0.6 / (0.1 + 1.3 + 0.6))
        signal = [top * step_down**2, top * step_down, top]
        attenuation = [1 / (1.9 * 1.9 * 1.1), 1 / (1.9 * 1.1), 1 / 1.1]
        for ours, true, s, c in zip(raw, exact, signal, attenuation, strict=True):
            gain = ours @ true / (true @ true)
            assert gain == pytest.approx(s / c, rel=2e-4)
            assert ours @ true / np.linalg.norm(ours) / np.linalg.norm(true) > 1 - 1e-7
        raw, exact = np.concatenate(raw), np.concatenate(exact)
        assert raw @ exact / np.linalg.norm(raw) / np.linalg.norm(exact) < 0.99

    @EITHER
    def test_random_feedback_is_feedback_alignment(self, conductances):
        network = dendritic([8, 7, 6, 5], **conductances)
        batch, rule = classes(network), DendriticError(WEAK, feedback="random")
        exact = network.gradient(MeanSquaredError(), batch)
        found = estimate(rule, network, batch)
        aligned = estimate(FeedbackAlignment(), network, batch)
        assert errors(network, found, aligned).max() <= 2e-4
        # The negative control: it is not the gradient, but for the output layer.
        assert errors(network, found, exact)[:-1].min() > 0.5
        assert errors(network, found, exact)[-1] <= 2e-4


def test_without_hidden_layers_it_is_the_gradient_at_any_nudging():
    network = dendritic([8, 5], **PAPER)
    batch = classes(network)
    found = estimate(DendriticError(tolerance=1e-13), network, batch)
    assert errors(network, found, network.gradient(MeanSquaredError(), batch)).max() < 1e-10


class TestSignalComesFromTheCircuit:
    def test_hidden_activity_of_the_clean_pass_is_not_used(self):
        network = dendritic([8, 7, 6, 5], **PAPER)
        batch, rule = classes(network), DendriticError()
        clean = network.forward(batch.inputs)
        hidden = {population.name for population in network.hidden}

        def erased(arrays):
            return {k: np.full_like(v, np.nan) if k in hidden else v for k, v in arrays.items()}

        blind = Activity(erased(clean.drive), erased(clean.activity), clean.output)
        expected = estimate(rule, network, batch, clean=clean)
        for name, array in estimate(rule, network, batch, clean=blind).items():
            np.testing.assert_array_equal(array, expected[name])

    def test_without_top_down_synapses_only_the_output_learns(self):
        network = dendritic([8, 7, 6, 5], **PAPER)
        batch, rule = classes(network), DendriticError()
        state = rule.initial_state(network, 0)
        for name in ("layer2.weights", "layer1.interneuron_output"):
            state[name] = np.zeros_like(state[name])
        first, second, third = by_layer(network, estimate(rule, network, batch, state=state))
        assert np.abs(first).max() < 1e-9
        assert np.linalg.norm(second) > 1e-2
        assert np.linalg.norm(third) > 1e-2


@EITHER
def test_linear_circuit_rests_where_its_equations_say(conductances):
    network = dendritic([4, 6, 3], activation="identity", **conductances)
    rule = DendriticError(nudging=0.7, interneuron_nudging=0.5, dendrite=1.2, tolerance=1e-13)
    state = rule.initial_state(network, 0)
    generator = np.random.default_rng(2)
    # Any lateral weights have a state of rest, not only the self-predicting ones.
    for name in state:
        state[name] = state[name] + 0.1 * generator.standard_normal(state[name].shape)
    inputs, targets = generator.standard_normal((5, 4)), generator.standard_normal((5, 3))
    circuit = rule.settled(network, inputs, state, targets)

    g_l, g_b, g_a, g_d, g_i, g_som = conductances["leak"], 1.0, 0.8, 1.2, 0.5, 0.7
    w1, b1, w2, b2 = (
        network.parameters[f"layer{k}.{part}"] for k in (1, 2) for part in ("weights", "bias")
    )
    down, up = state["layer2.weights"], state["layer1.interneuron_input"]
    inhibition, offset = state["layer1.interneuron_output"], state["layer1.interneuron_input_bias"]
    pull = g_l + g_b + (g_a if conductances["loads"] else 0)
    one = np.eye(3)
    # Unknowns: hidden somata, output somata, interneurons.
    matrix = np.block(
        [
            [pull * np.eye(6), -g_a * down, -g_a * inhibition],
            [-g_b * w2, (g_l + g_b + g_som) * one, 0 * one],
            [-g_d * up, -g_i * one, (g_l + g_d + g_i) * one],
        ]
    )
    for example in range(5):
        drive = [g_b * (w1 @ inputs[example] + b1), g_b * b2 + g_som * targets[example]]
        rest = np.linalg.solve(matrix, np.concatenate([*drive, g_d * offset]))
        found = [circuit.soma["layer1"], circuit.soma["layer2"], circuit.interneuron["layer1"]]
        ours = np.concatenate([array[example] for array in found])
        np.testing.assert_allclose(ours, rest, rtol=0, atol=1e-10)


class TestExamplesAreIndependent:
    """Bit for bit: each example settles by itself."""

    @pytest.mark.parametrize("rows", [[4, 2, 6, 0, 5, 1, 3], [5, 1], [3]])
    def test_circuit(self, rows):
        network, rule = dendritic([8, 9, 6, 5]), DendriticError()
        inputs, state = classes(network, examples=7).inputs, rule.initial_state(network, 0)
        targets = np.random.default_rng(1).standard_normal((7, 5))
        whole = rule.settled(network, inputs, state, targets)
        part = rule.settled(network, inputs[rows], state, targets[rows])
        for ours, all_of_them in (
            (part.soma, whole.soma),
            (part.interneuron, whole.interneuron),
            (part.apical, whole.apical),
            (part.flow.drive, whole.flow.drive),
            (part.flow.activity, whole.flow.activity),
        ):
            for name, array in ours.items():
                np.testing.assert_array_equal(array, all_of_them[name][rows])

    def test_estimate(self):
        network, rule = dendritic([8, 9, 6, 5]), DendriticError()
        batch, state = classes(network, examples=7), rule.initial_state(network, 0)
        clean, rows = network.forward(batch.inputs), np.array([4, 2, 6, 0, 5, 1, 3])
        permuted = Activity(
            {name: array[rows] for name, array in clean.drive.items()},
            {name: array[rows] for name, array in clean.activity.items()},
            clean.output[rows],
        )
        objective = CrossEntropy()
        expected = rule.estimate(network, objective, batch, clean, state, None)
        found = rule.estimate(network, objective, batch.take(rows), permuted, state, None)
        for name, outer in found.items():
            np.testing.assert_array_equal(outer.post, expected[name].post[rows])
            np.testing.assert_array_equal(outer.pre, expected[name].pre[rows])


class TestDivergence:
    def strong(self):
        network = dendritic([8, 7, 6, 5])
        return network.with_parameters({k: 4 * v for k, v in network.parameters.items()})

    def test_strong_nudging_of_strong_weights_oscillates(self):
        network = self.strong()
        batch = classes(network)
        with pytest.raises(Divergence, match=r"after 500 steps of 0\.3"):
            estimate(DendriticError(steps=500), network, batch)
        weak = estimate(DendriticError(nudging=1e-3, steps=500), network, batch)
        exact = network.gradient(MeanSquaredError(), batch)
        assert errors(network, weak, exact).max() < 0.1

    def test_voltages_that_overflow_are_not_at_rest(self):
        network = dendritic([8, 7, 6, 5], activation="relu")
        with pytest.raises(Divergence):
            estimate(DendriticError(step=5.0), network, classes(network))

    def test_number_of_steps_is_kept(self):
        network, rule = dendritic([8, 7, 6, 5]), DendriticError()
        inputs, state = classes(network).inputs, rule.initial_state(network, 0)
        taken = rule.settled(network, inputs, state).steps
        assert replace(rule, steps=taken).settled(network, inputs, state).steps == taken
        with pytest.raises(Divergence):
            replace(rule, steps=taken - 1).settled(network, inputs, state)


def test_float32_is_the_rounded_float64_result():
    single = dendritic([8, 7, 6, 5]).astype("float32")
    batch, rule = classes(single), DendriticError(nudging=0.1)
    batch = Batch(batch.inputs.astype(np.float32), batch.targets)
    found = estimate(rule, single, batch)
    assert {array.dtype for array in found.values()} == {np.dtype("float32")}
    double = single.astype("float64")
    expected = estimate(rule, double, Batch(batch.inputs.astype(float), batch.targets))
    assert errors(double, found, expected).max() < 1e-6


def test_random_feedback_is_that_of_feedback_alignment():
    network = dendritic([8, 7, 6, 5])
    ours = DendriticError(feedback="random").initial_state(network, 3)
    theirs = FeedbackAlignment().initial_state(network, 3)
    for name, matrix in theirs.items():
        np.testing.assert_array_equal(ours[name], matrix)


def test_state_has_the_documented_arrays():
    network = dendritic([8, 7, 6, 5])
    expected = {}
    for (lower, n), (upper, m) in pairwise([("layer1", 7), ("layer2", 6), ("layer3", 5)]):
        expected[f"{upper}.weights"] = (n, m)
        expected[f"{lower}.interneuron_input"] = (m, n)
        expected[f"{lower}.interneuron_input_bias"] = (m,)
        expected[f"{lower}.interneuron_output"] = (n, m)
    state = DendriticError().initial_state(network, 0)
    assert {name: array.shape for name, array in state.items()} == expected
    for name in ("layer2.weights", "layer3.weights"):  # may be edited
        assert not np.shares_memory(state[name], network.parameters[name])


def test_randomness_follows_the_feedback():
    assert DendriticError().randomness() == frozenset()
    assert DendriticError(feedback="random").randomness() == {"feedback"}


def test_networks_without_apical_dendrites_are_unsupported():
    rule, objective = DendriticError(), MeanSquaredError()
    assert rule.unsupported(Dendritic([4, 3, 2]).build(), objective) is None
    reason = rule.unsupported(Mlp([4, 3, 2]).build(), objective)
    assert reason == "dendritic_error needs apical dendrites: use the dendritic architecture"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("nudging", 0),
        ("interneuron_nudging", -0.1),
        ("dendrite", 0),
        ("feedback", "symetric"),
        ("scale", "raw"),
        ("step", -0.5),
        ("tolerance", 0),
        ("steps", 0),
    ],
)
def test_refuses_bad_options(option, value):
    with pytest.raises(InputError, match=f"^{option}: "):
        DendriticError(**{option: value})
