"""What the public functions are given is what they ask for, or is refused in one sentence."""

import re
from dataclasses import replace

import numpy as np
import pytest

from plausibench import bench
from plausibench.bench.components import registry
from plausibench.bench.conformance.case import case_for
from plausibench.kernels.errors import Divergence, InputError

NETWORK = bench.make("architecture", "mlp", sizes=[6, 5, 4, 3], seed=0)
OBJECTIVE = bench.make("objective", "cross_entropy")
RULE = bench.make("rule", "feedback_alignment")
TASK = bench.make("task", "linear_regression", inputs=6, outputs=3, examples=40)


def batch():
    rng = np.random.default_rng(0)
    return bench.Batch(rng.standard_normal((8, 6)), rng.integers(0, 3, 8))


def sentence(call, *given, **named):
    """What is said of bad input: one line."""
    with pytest.raises(InputError) as caught:
        call(*given, **named)
    said = str(caught.value)
    assert said.strip()
    assert "\n" not in said
    return said


@pytest.fixture(params=registry.entries("rule"))
def stateful(request):
    """Every rule that has a state, with where it can be measured."""
    rule = bench.make("rule", request.param)
    case = case_for(rule)
    if not rule.initial_state(case.network, 0):
        pytest.skip("has no state")
    return rule, case


TOP = bench.initial_state(RULE, NETWORK)["layer3.weights"]
NAME = "layer3.weights"
STATES = {
    "one row": ({NAME: TOP[:1]}, f"{NAME} has shape (1, 3); allowed is (4, 3)"),
    "transposed": ({NAME: TOP.T}, f"{NAME} has shape (3, 4); allowed is (4, 3)"),
    "misspelt": ({"layer3.wieghts": TOP}, "'layer3.wieghts' is no entry of it"),
    "a number as name": ({3: TOP}, "3 is no entry of it"),
    "none": ({NAME: None}, f"{NAME}: None is not an array"),
    "text": ({NAME: "text"}, f"{NAME}: type <U4 is not a real number"),
    "not finite": ({NAME: TOP * np.nan}, f"{NAME} has numbers that are not finite"),
    "imaginary": ({NAME: TOP * 1j}, f"{NAME}: type complex128 has an imaginary part"),
}


class TestState:
    def measured(self, state):
        return bench.measure(RULE, NETWORK, OBJECTIVE, batch(), state=state).value("bias_squared")

    def test_lists_are_arrays(self):
        state = bench.initial_state(RULE, NETWORK)
        listed = {name: array.tolist() for name, array in state.items()}
        assert self.measured(listed) == self.measured(state) == self.measured(None)

    def test_a_state_in_double_precision_leaves_single_precision_alone(self):
        state = bench.initial_state(RULE, NETWORK)
        assert all(array.dtype == np.float64 for array in state.values())
        found = bench.estimates(RULE, NETWORK, OBJECTIVE, batch(), state=state, dtype="float32")
        assert {array.dtype for array in found.values()} == {np.dtype("float32")}

    @pytest.mark.parametrize(("change", "said"), STATES.values(), ids=STATES)
    @pytest.mark.parametrize(
        "call",
        [
            lambda state: bench.measure(RULE, NETWORK, OBJECTIVE, batch(), state=state),
            lambda state: bench.estimates(RULE, NETWORK, OBJECTIVE, batch(), state=state),
            lambda state: bench.progress(RULE, NETWORK, OBJECTIVE, batch(), state=state),
            lambda state: bench.averaging_curve(RULE, NETWORK, OBJECTIVE, batch(), state=state),
            lambda state: bench.advance(
                RULE, TASK, NETWORK, bench.make("objective", "mean_squared_error"), state=state
            ),
        ],
    )
    def test_what_does_not_fit_is_named(self, call, change, said):
        state = bench.initial_state(RULE, NETWORK)
        found = sentence(call, {**state, **change})
        assert found.startswith(f"state: {said}")
        assert "wieghts" not in found or found.endswith(f"did you mean '{NAME}'?")

    def test_one_left_out_is_named(self):
        said = "state: layer3.weights is missing; allowed is an array of shape (4, 3)"
        less = {"layer2.weights": bench.initial_state(RULE, NETWORK)["layer2.weights"]}
        assert sentence(self.measured, less) == said
        for no_dict in (3, [TOP], "state"):
            assert "is not a dict of arrays for layer2.weights (5, 4), layer3.weights (4, 3)" in (
                sentence(self.measured, no_dict)
            )

    def test_every_rule_takes_its_own_state_and_no_other(self, stateful):
        rule, case = stateful
        given = (rule, case.network, case.objective, case.batch)
        state = rule.initial_state(case.network, case.seed)
        expected = bench.estimates(*given, 2, case.seed)
        for same in (state, {name: array.tolist() for name, array in state.items()}):
            found = bench.estimates(*given, 2, case.seed, state=same)
            for name, array in expected.items():
                np.testing.assert_array_equal(found[name], array)
        for name, array in state.items():
            longer = {**state, name: np.concatenate([array, array[:1]])}
            assert f"state: {name} has shape" in sentence(bench.estimates, *given, state=longer)

    def test_a_state_that_has_learned_has_the_entries_of_the_first(self, stateful):
        """What `advance` returns can be handed to `measure`."""
        rule, _ = stateful
        task = bench.make("task", "linear_regression", inputs=6, outputs=3, examples=64)
        network = bench.make("architecture", "mlp", sizes=[6, 5, 3], seed=0)
        objective = bench.make("objective", "mean_squared_error")
        if rule.refusal(network, objective) is not None:
            pytest.skip("a rule for other networks")
        learned = bench.advance(rule, task, network, objective, steps=2)
        bench.estimates(rule, network, objective, task.batch(8), 2, state=learned)

    def test_training_whose_state_is_no_longer_finite_has_diverged(self):
        class Lost(type(RULE)):
            def advance(self, state, step):
                return {name: array * np.inf for name, array in state.items()}

        objective = bench.make("objective", "mean_squared_error")
        network = bench.make("architecture", "mlp", sizes=[6, 5, 3], seed=0)
        trained = bench.train(Lost(), TASK, network, objective, steps=1, evaluate_every=1)
        assert trained.diverged == "the state is not finite after 1 training steps"
        assert issubclass(Divergence, ArithmeticError)


class TestParameters:
    W = NETWORK.parameters

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"layer2.bias": np.array([0.3])}, "layer2.bias has shape (1,); allowed is (4,)"),
            ({"layer2.bias": 0.3}, "layer2.bias has shape (); allowed is (4,)"),
            ({"layer1.weights": W["layer1.weights"][:1]}, "layer1.weights has shape (1, 6)"),
            ({"layer1.weights": W["layer1.weights"].T}, "layer1.weights has shape (6, 5)"),
            ({"layer2.wieghts": W["layer2.weights"]}, "did you mean 'layer2.weights'?"),
            ({"layer2.bias": None}, "layer2.bias: None is not an array of numbers"),
            ({0: 0}, "parameters: 0 is not one of layer1.weights, layer1.bias"),
            ({"layer2.bias": [1, 2, [3], 4]}, "layer2.bias: no array can be made of rows"),
        ],
    )
    def test_what_does_not_fit_is_named(self, change, said):
        assert said in sentence(NETWORK.with_parameters, {**self.W, **change})
        # Put into the dict behind the network's back.
        broken = replace(NETWORK, parameters={**self.W, **change})
        for call in (bench.loss, bench.gradient):
            assert said in sentence(call, broken, OBJECTIVE, batch())
        assert said in sentence(bench.measure, RULE, broken, OBJECTIVE, batch())

    def test_one_left_out_is_named(self):
        less = {name: array for name, array in self.W.items() if name != "layer2.bias"}
        said = "parameters: layer2.bias is missing; allowed is an array of shape (4,)"
        assert sentence(NETWORK.with_parameters, less) == said
        assert "is not a dict of arrays for" in sentence(NETWORK.with_parameters, [1])

    def test_lists_and_other_types_are_arrays_of_the_network(self):
        listed = NETWORK.with_parameters({name: array.tolist() for name, array in self.W.items()})
        whole = NETWORK.with_parameters({**self.W, "layer1.bias": [0, 1, 0, -1, 0]})
        single = NETWORK.astype("float32")
        mixed = single.with_parameters({**single.parameters, "layer1.bias": self.W["layer1.bias"]})
        for network, dtype in ((listed, "float64"), (whole, "float64"), (mixed, "float32")):
            assert {array.dtype for array in network.parameters.values()} == {np.dtype(dtype)}
        np.testing.assert_array_equal(whole.parameters["layer1.bias"], [0, 1, 0, -1, 0])
        assert single.with_parameters(self.W).dtype == np.float64
        assert bench.loss(listed, OBJECTIVE, batch()) == bench.loss(NETWORK, OBJECTIVE, batch())

    def test_order_is_that_of_the_network(self):
        turned = NETWORK.with_parameters(dict(reversed(self.W.items())))
        assert list(turned.parameters) == list(self.W)

    @pytest.mark.parametrize("name", registry.entries("architecture"))
    def test_every_network_takes_its_own(self, name):
        options = {"sizes": (6, 4, 3)}
        component = registry.find("architecture", name)
        fits = "sizes" in component.__dataclass_fields__
        network = bench.make("architecture", name, **(options if fits else {}))
        same = network.with_parameters(network.parameters)
        assert list(same.parameters) == list(network.parameters)
        assert all(same.parameters[key] is array for key, array in network.parameters.items())

    def test_a_parameter_with_the_name_of_the_row_of_all(self):
        one = NETWORK.projections[0]
        named = replace(
            NETWORK,
            projections=(replace(one, name="all"), *NETWORK.projections[1:]),
            parameters={"all": self.W[one.name], **{k: self.W[k] for k in list(self.W)[1:]}},
        )
        said = sentence(bench.measure, RULE, named, OBJECTIVE, batch())
        assert said.startswith("network: 'all' is what tables call all parameters together")


@pytest.mark.parametrize("name", ["input", "constant"])
def test_a_population_with_the_name_of_where_activity_comes_from(name):
    first, *others = NETWORK.populations
    named = replace(NETWORK, populations=(replace(first, name=name), *others))
    assert sentence(bench.loss, named, OBJECTIVE, batch()).startswith(f"network: '{name}' is where")


PARTS = {
    "rule": RULE,
    "network": NETWORK,
    "objective": OBJECTIVE,
    "batch": batch(),
    "task": TASK,
}
FUNCTIONS = {
    bench.measure: ("rule", "network", "objective", "batch"),
    bench.estimates: ("rule", "network", "objective", "batch"),
    bench.progress: ("rule", "network", "objective", "batch"),
    bench.averaging_curve: ("rule", "network", "objective", "batch"),
    bench.loss: ("network", "objective", "batch"),
    bench.gradient: ("network", "objective", "batch"),
    bench.initial_state: ("rule", "network"),
    bench.advance: ("rule", "task", "network", "objective"),
    bench.budget: ("rule", "task", "network", "objective"),
    bench.train: ("rule", "task", "network", "objective"),
}
WRONG = {
    "a name": "backprop",
    "nothing": None,
    "a tuple": (np.ones((2, 6)), np.zeros(2, int)),
    "a number": 3,
    "a class": type(RULE),
    "an array": np.ones(3),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize(
    ("function", "name"),
    [(function, name) for function, names in FUNCTIONS.items() for name in names],
    ids=lambda part: getattr(part, "__name__", part),
)
def test_another_thing_in_place_of_a_component(function, name, wrong):
    given = {each: PARTS[each] for each in FUNCTIONS[function]}
    said = sentence(function, **{**given, name: wrong})
    assert said.startswith(f"{name}: ")
    assert "make one with bench." in said


@pytest.mark.parametrize(
    ("redraw", "said"),
    [
        (3, "redraw: 3 is not a set of sources out of feedback, rule, action, spike"),
        (None, "redraw: None is not a set of sources"),
        (["rule", 3], "redraw: 3 is not known"),
        ([["rule"]], r"redraw: \('rule',\) is not known"),
        ([{}], "redraw: {} is not known"),
        ("rules", "redraw: 'rules' is not known.*did you mean 'rule'"),
    ],
)
def test_sources_that_are_none(redraw, said):
    for function in (bench.measure, bench.averaging_curve, bench.estimates):
        assert re.match(said, sentence(function, RULE, NETWORK, OBJECTIVE, batch(), redraw=redraw))


@pytest.mark.parametrize(
    ("kind", "name", "options", "said"),
    [
        ("rules", "backprop", {}, "kind: 'rules' is not known; .* did you mean 'rule'?"),
        (3, "backprop", {}, "kind: 3 is not known; choose one of architecture, objective"),
        ("rule", None, {}, "rule: None is not known"),
        ("rule", ["backprop"], {}, r"rule: \['backprop'\] is not known"),
        ("rule", "node_perturbation", {"sigma": 10**5000}, ".*sigma: <int that cannot be written"),
        ("rule", "node_perturbation", {"sigma": float("inf")}, ".*sigma: inf is not a finite"),
        ("rule", "node_perturbation", {"sigma": "0.1"}, ".*sigma: '0.1' is not a finite"),
        ("rule", "node_perturbation", {"antithetic": 1}, ".*antithetic: 1 is not true or false"),
        ("architecture", "mlp", {"sizes": [10**9, 10**9]}, "architecture mlp: Unable to allocate"),
        ("architecture", "mlp", {"sizes": [10**30, 3]}, "architecture mlp: .* Maximum allowed"),
        ("architecture", "mlp", {"sizes": {6, 5}}, r".*sizes: \{5, 6\} is not a list of whole"),
        ("architecture", "mlp", {"sizes": {6: 5}}, r".*sizes: \{6: 5\} is not a list of whole"),
        ("architecture", "mlp", {"sizes": [3, 2], "seed": "0"}, ".*seed: '0' is not a whole"),
        ("objective", "weighted_sum", {"terms": [1, 2]}, ".*terms: .* is not a sum such as"),
    ],
)
def test_components_that_cannot_be_made(kind, name, options, said):
    assert re.match(said, sentence(bench.make, kind, name, **options))


def test_data_that_no_memory_holds():
    task = bench.make("task", "linear_regression", inputs=10**12)
    assert "Unable to allocate" in sentence(task.batch, 4)


@pytest.mark.parametrize("dtype", ["float16", np.float32, np.dtype("float32"), None, 32])
def test_precisions_that_are_none(dtype):
    said = sentence(bench.measure, RULE, NETWORK, OBJECTIVE, batch(), dtype=dtype)
    assert re.match("dtype: .* is not known; choose one of float64, float32", said)


@pytest.mark.parametrize("path", [3, None, b"a", ["a"]])
def test_a_plugin_that_is_no_path(path):
    assert sentence(bench.load_plugin, path).startswith("plugin: ")


@pytest.mark.parametrize("option", ["estimate", "signal_share", "double", "randomness"])
def test_an_option_with_a_name_of_ours_is_refused(tmp_path, option):
    """It would take the place of a method, and end in an error that names neither."""
    path = tmp_path / "own.py"
    path.write_text(
        "from dataclasses import dataclass\n"
        "from plausibench.rules.feedback_alignment import FeedbackAlignment\n\n"
        "@dataclass(frozen=True)\n"
        f"class Own(FeedbackAlignment):\n    {option}: float = 0.5\n"
    )
    said = sentence(bench.load_plugin, path)
    assert re.search(f"Own from .* has an option '{option}', .* every Rule .*; rename it", said)
