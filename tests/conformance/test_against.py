"""Is it that rule? Copies are known, and each kind of difference met in public code is named."""

import re
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from plausibench import bench
from plausibench.bench.components import registry
from plausibench.bench.components.selectors import select
from plausibench.bench.components.support import obstacle
from plausibench.bench.conformance.against import compare_with_rule
from plausibench.bench.conformance.against.likeness import Products, interval, sampled_law
from plausibench.bench.conformance.case import case_for
from plausibench.kernels.errors import Divergence, InputError
from plausibench.rules import BUILTIN
from plausibench.rules.estimate import form
from plausibench.rules.foreign import FunctionRule
from plausibench.rules.noise import Noise
from plausibench.rules.rule import RuleCard

OBJECTIVE = bench.make("objective", "cross_entropy")
EXAMPLES = 8


def made_network():
    network = bench.make("architecture", "mlp", sizes=[6, 5, 4, 3], activation="tanh", seed=0)
    numbers = np.random.default_rng(1)
    return network.with_parameters(
        {n: a + 0.1 * numbers.standard_normal(a.shape) for n, a in network.parameters.items()}
    )


NETWORK = made_network()
NUMBERS = np.random.default_rng(0)
BATCH = bench.Batch(NUMBERS.standard_normal((EXAMPLES, 6)), NUMBERS.integers(0, 3, EXAMPLES))


def copy_of(rule, network=NETWORK, objective=OBJECTIVE, state=None):
    """A function that answers as a rule does, with noise of its own."""
    state = rule.initial_state(network, 0) if state is None else state

    def update(parameters, batch, rng):
        at = network.with_parameters(parameters)
        draws = rule.randomness() - {"feedback"}
        seed = int(rng.integers(2**31)) if draws else 0
        noise = Noise(seed, np.zeros(1, np.int64), batch.keys, at.dtype)
        clean = at.forward(batch.inputs)
        estimates = rule.estimate(at, objective, batch, clean, state, noise)
        arrays = form(at, estimates)
        shapes = {name: array.shape for name, array in at.parameters.items()}
        return {name: array.reshape(shapes[name]) for name, array in arrays.items()}

    return update


def changed(update, change):
    """The same with each array changed: ``change(name, array, parameters)``."""

    def other(parameters, batch, rng):
        answer = update(parameters, batch, rng)
        return {name: change(name, array, parameters) for name, array in answer.items()}

    return other


def compared(update, rule, samples=400, **named):
    return compare_with_rule(update, rule, NETWORK, OBJECTIVE, BATCH, samples, **named)


ALIGNED = copy_of(registry.make("rule", "feedback_alignment"))

QUICK = ("backprop", "feedback_alignment", "node_perturbation", "attention_gated", "pepita")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.acceptance) for name in BUILTIN],
)
def test_a_true_copy_of_every_rule_is_it(name):
    rule = registry.make("rule", name)
    case = case_for(rule)
    assert obstacle(rule, case.network, case.objective) is None
    copied = copy_of(rule, case.network, case.objective)
    told = compare_with_rule(copied, name, case.network, case.objective, case.batch, 400)
    assert told.verdict == "it is", told.sentence
    assert told.factor == 1


# The kinds of difference met in public code, planted one by one


@pytest.mark.parametrize(
    ("factor", "name"),
    [
        (EXAMPLES, "8 (the sum over the batch, not its mean)"),
        (0.5, "1/2"),
        (-1.0, "-1 (a descent, not a gradient)"),
        (1 / 3, "1/3 (the mean over outputs)"),
        (0.44, "11/25 (a learning rate?)"),
    ],
)
def test_one_factor_is_named(factor, name):
    told = compared(changed(ALIGNED, lambda n, a, p: factor * a), "feedback_alignment")
    assert told.verdict == "it is"
    assert told.factor == pytest.approx(factor, rel=1e-12)
    assert f"times {name}" in told.sentence


def test_a_factor_of_some_layers():
    update = changed(ALIGNED, lambda n, a, p: a if n.startswith("layer3") else EXAMPLES * a)
    told = compared(update, "feedback_alignment")
    assert told.verdict == "it is, but for a term"
    assert told.term == (
        "factors by layer: x 8 (the sum over the batch, not its mean): layer1.weights, "
        "layer1.bias, layer2.weights, layer2.bias; x 1: layer3.weights, layer3.bias"
    ), told.term


def test_a_loss_averaged_within_a_rule_that_is_not_linear_in_it():
    rule = registry.make("rule", "predictive_coding", variant="strict")

    class Mean(type(OBJECTIVE)):
        def error(self, output, targets, *more):
            return OBJECTIVE.error(output, targets, *more) / len(output)

    told = compared(copy_of(rule, objective=Mean()), "predictive_coding[variant=strict]")
    assert told.verdict == "it is, but for a term"
    assert "averaged over the batch" in told.term


def test_why_single_examples_could_not_be_asked_for_is_noted():
    other = changed(ALIGNED, lambda n, a, p: np.cos(a))

    def update(parameters, batch, rng):
        if len(batch.inputs) == 1:
            raise ValueError("statistics need two examples")
        return other(parameters, batch, rng)

    tried = compared(update, "feedback_alignment").frame.set_index("tried")["value"]
    said = "it takes no other batch (ValueError: statistics need two examples)"
    assert tried["single examples"] == said


def test_a_decay_within_what_is_called_the_gradient():
    update = changed(ALIGNED, lambda n, a, p: a - 0.1 * p[n] if n == "layer2.weights" else a)
    told = compared(update, "feedback_alignment")
    assert told.verdict == "it is, but for a term"
    assert told.term == "layer2.weights: -0.1 times W (decay of the weights) added"


@pytest.mark.parametrize("silent", [("layer1.bias",), ("layer1.weights", "layer1.bias")])
def test_parameters_that_are_left_out(silent):
    told = compared(changed(ALIGNED, lambda n, a, p: 0 * a if n in silent else a), "backprop")
    assert told.verdict == "it is not"
    told = compared(
        changed(ALIGNED, lambda n, a, p: 0 * a if n in silent else a), "feedback_alignment"
    )
    assert told.verdict == "it is, but for a term"
    names = ", ".join(sorted(silent, reverse=True))
    assert told.term == f"{names}: it is 0 (is it left out?)"


def test_answers_that_are_all_zero():
    told = compared(changed(ALIGNED, lambda n, a, p: 0 * a), "feedback_alignment")
    assert told.verdict == "it is not"
    assert told.sentence == "It is not feedback_alignment: all its answers are 0."


def test_a_state_that_the_call_moves():
    calls = []

    def moving(parameters, batch, rng):
        calls.append(1)
        return {n: a * (1 + 0.1 * len(calls)) for n, a in ALIGNED(parameters, batch, rng).items()}

    told = compared(moving, "feedback_alignment")
    assert told.verdict == "it is not"
    assert told.term.startswith("it keeps a state")


def test_draws_from_a_global_generator():
    update = changed(
        ALIGNED,
        lambda n, a, p: a + np.random.standard_normal(a.shape),  # noqa: NPY002
    )
    told = compared(update, "feedback_alignment")
    assert told.verdict == "it is not"
    assert "global generator (numpy's np.random)" in told.term


def test_digits_of_float32():
    told = compared(changed(ALIGNED, lambda n, a, p: a.astype(np.float32)), "feedback_alignment")
    assert (told.verdict, told.term) == ("it is", "float32")


def layers(parameters):
    return [(parameters[f"layer{k}.weights"], parameters[f"layer{k}.bias"]) for k in (1, 2, 3)]


def backward(parameters, batch, slope, scale=1.0):
    """Backpropagation with a slope of one's own, by hand."""
    activity = [batch.inputs]
    drives = []
    for place, (weights, bias) in enumerate(layers(parameters)):
        drives.append(activity[-1] @ weights.T + bias)
        activity.append(np.tanh(drives[-1]) if place < 2 else drives[-1])
    post = scale * OBJECTIVE.error(activity[-1], batch.targets) / batch.size
    answer = {}
    for place in (2, 1, 0):
        answer[f"layer{place + 1}.weights"] = post.T @ activity[place]
        answer[f"layer{place + 1}.bias"] = post.sum(axis=0)
        if place:
            post = (post @ layers(parameters)[place][0]) * slope(drives[place - 1])
    return answer


def test_an_approximate_slope():
    step = 1e-3
    told = compared(
        lambda p, b, rng: backward(p, b, lambda z: (np.tanh(z + step) - np.tanh(z)) / step),
        "backprop",
    )
    assert told.verdict == "it is, but for a term"
    assert "approximate slope" in told.term


def test_a_slope_left_out():
    def update(parameters, batch, rng):
        exact = backward(parameters, batch, lambda z: 1 - np.tanh(z) ** 2)
        drive = batch.inputs @ parameters["layer1.weights"].T + parameters["layer1.bias"]
        second = np.tanh(drive) @ parameters["layer2.weights"].T + parameters["layer2.bias"]
        post = OBJECTIVE.error(
            np.tanh(second) @ parameters["layer3.weights"].T + parameters["layer3.bias"],
            batch.targets,
        )
        post = (post @ parameters["layer3.weights"]) * (1 - np.tanh(second) ** 2) / batch.size
        post = post @ parameters["layer2.weights"]  # and no slope of the first layer
        return {**exact, "layer1.weights": post.T @ batch.inputs, "layer1.bias": post.sum(axis=0)}

    told = compared(update, "backprop")
    assert told.verdict == "it is, but for a term"
    assert "the slope of its neurons is left out" in told.term


def test_one_step_less():
    """Predictive coding that has not come to rest: another number of steps is another rule."""
    selector = "predictive_coding[variant=strict,steps={}]"
    near = select("rule", selector.format(11)).make()
    told = compared(copy_of(near), selector.format(12))
    assert (told.verdict, told.term) == ("it is, but for a term", "steps=11")


def test_errors_of_the_step_before_the_values():
    """Code that finds the errors, moves the values, and then multiplies the two."""
    selector = "predictive_coding[variant=strict,steps={}]"
    before, after = (select("rule", selector.format(steps)).make() for steps in (11, 12))

    def update(parameters, batch, rng):
        network = NETWORK.with_parameters(parameters)
        clean, noise = (
            network.forward(batch.inputs),
            Noise(0, np.zeros(1, np.int64), batch.keys, float),
        )
        at = network, OBJECTIVE, batch, clean, {}, noise
        errors, values = before.estimate(*at), after.estimate(*at)
        return {
            p.name: p.synapse.outer(errors[p.name].post, values[p.name].pre)
            for p in network.projections
        }

    for steps in (11, 12):
        told = compared(update, selector.format(steps))
        assert (told.verdict, told.factor) == ("it is, but for a term", 1)
        assert told.term == "errors of step 11 beside values of step 12"
    assert compared(update, selector.format(13)).sentence.endswith(
        "no variant of ours that was tried."
    )


def test_two_options_changed():
    near = select("rule", "predictive_coding[steps=20,output=loss,reduction=mean]").make()
    told = compared(copy_of(near), "predictive_coding[steps=20]")
    assert (told.verdict, told.term) == ("it is, but for a term", "output=loss,reduction=mean")


def test_a_number_divided_by_the_batch():
    rule = "difference_target_propagation[target_step={}]"
    told = compared(copy_of(select("rule", rule.format(0.2 / 8)).make()), rule.format(0.2))
    assert (told.verdict, told.factor) == ("it is, but for a term", 1)
    assert told.term == "target_step=0.025 (0.2 over the batch of 8)"


def test_noise_in_another_place():
    sigma = 1e-3

    def update(parameters, batch, rng):
        xi = [rng.standard_normal((batch.size, len(bias))) for _, bias in layers(parameters)]

        def run(amplitude):
            activity = [batch.inputs]
            for place, (weights, bias) in enumerate(layers(parameters)):
                drive = activity[-1] @ weights.T + bias
                clean = np.tanh(drive) if place < 2 else drive
                activity.append(clean + amplitude * xi[place])
            return OBJECTIVE.losses(activity[-1], batch.targets), activity

        change = (run(sigma)[0] - run(-sigma)[0]) / (2 * sigma * batch.size)
        below = run(0.0)[1]
        answer = {}
        for place in range(3):
            post = change[:, None] * xi[place]
            answer[f"layer{place + 1}.weights"] = post.T @ below[place]
            answer[f"layer{place + 1}.bias"] = post.sum(axis=0)
        return answer

    told = compared(update, "node_perturbation", samples=8000)
    assert told.verdict == "it is, but for a term"
    assert "noise on activity, not drive" in told.term


def test_the_same_mean_with_another_variance():
    forward = copy_of(registry.make("rule", "forward_gradient"))

    def twice(parameters, batch, rng):
        one, two = (forward(parameters, batch, rng) for _ in range(2))
        return {name: (one[name] + two[name]) / 2 for name in one}

    told = compared(twice, "forward_gradient", samples=1000)
    assert told.verdict == "it is, but for a term"
    low, high = map(float, re.findall(r"\[(\S+), (\S+)\]", told.term)[0])
    assert low < 0.5 < high < 1


def test_a_factor_of_some_layers_of_what_draws():
    rule = registry.make("rule", "sign_symmetry", variant="batchwise")
    update = changed(copy_of(rule), lambda n, a, p: a if n.startswith("layer3") else 0.5 * a)
    told = compared(update, "sign_symmetry[variant=batchwise]", samples=1000)
    assert told.verdict == "it is, but for a term"
    assert told.term == (
        "factors by layer: x 1/2: layer1.weights, layer1.bias, layer2.weights, layer2.bias; "
        "x 1: layer3.weights, layer3.bias"
    )


def test_clipped_draws():
    forward = copy_of(registry.make("rule", "forward_gradient"))

    def clipped(parameters, batch, rng):
        answer = forward(parameters, batch, rng)
        length = np.sqrt(sum((a * a).sum() for a in answer.values()))
        return {name: a * min(1.0, 1.0 / length) for name, a in answer.items()}

    told = compared(clipped, "forward_gradient", samples=1000)
    assert (told.verdict, told.nearest) == ("it is not", "forward_gradient")
    assert told.term == "clips draws to a length of 1"


def test_clipped_answers_to_examples():
    """A length that no example goes beyond, seen where each is asked alone."""

    def clipped(parameters, batch, rng):
        answers = [ALIGNED(parameters, batch.take([k]), rng) for k in range(batch.size)]
        for answer in answers:
            length = np.sqrt(sum((a * a).sum() for a in answer.values()))
            for name in answer:
                answer[name] = answer[name] * min(1.0, 0.5 / length)
        return {n: sum(answer[n] for answer in answers) / len(answers) for n in answers[0]}

    told = compared(clipped, "feedback_alignment")
    assert (told.verdict, told.term) == ("it is not", "clips answers to a length of 0.5")


def test_another_rule_is_named():
    told = compared(ALIGNED, "backprop")
    assert (told.verdict, told.nearest) == ("it is not", "feedback_alignment")
    assert told.sentence.endswith("it is feedback_alignment.")


def test_what_is_no_variant_of_ours():
    told = compared(lambda p, b, rng: {n: np.sin(3 * a) for n, a in p.items()}, "backprop")
    assert told.verdict == "it is not"
    assert told.sentence.endswith("no variant of ours that was tried.")
    assert {"tried", "value"} == set(told.frame.columns)
    assert any(row["tried"] == "rule hebb" for row in told.rows)


def test_a_variant_of_another_rule_is_named():
    rule = registry.make("rule", "sign_symmetry", variant="fixed")
    state = rule.initial_state(NETWORK, 0)
    told = compared(copy_of(rule, state=state), "feedback_alignment", state=state)
    assert told.nearest == "sign_symmetry[variant=fixed]"
    assert told.sentence.endswith("it is sign_symmetry[variant=fixed].")


def test_a_rule_that_finds_no_answer_is_passed_over(monkeypatch):
    """Of the others, one may diverge on weights that are not its own."""

    def diverges(*at):
        raise Divergence("there is no answer")

    monkeypatch.setattr(type(registry.make("rule", "hebb")), "estimate", diverges)
    told = compared(ALIGNED, "backprop")
    assert told.nearest == "feedback_alignment"
    assert not any(row["tried"].startswith("rule hebb") for row in told.rows)


def test_what_is_drawn_but_not_used():
    """First weights that are then overwritten, as by a module made in each call."""

    def update(parameters, batch, rng):
        rng.standard_normal(3)
        return ALIGNED(parameters, batch, rng)

    assert compared(update, "feedback_alignment").sentence == (
        "It is feedback_alignment: what is left is 0e+00."
    )


def test_two_slips_at_once():
    """The slope left out of one layer, where another has a slope that is nearly right."""

    def slip(name, array, parameters):
        if name == "layer3.bias":
            return 0 * array
        return array + 1e-3 * np.abs(array) if name == "layer1.weights" else array

    told = compared(changed(ALIGNED, slip), "feedback_alignment")
    assert told.verdict == "it is, but for a term"
    assert "layer1.weights: up to 1e-03 is left, as of an approximate slope" in told.term
    assert "layer3.bias: it is 0 (is it left out?)" in told.term


def test_single_examples_are_asked_once():
    asked = []

    def update(parameters, batch, rng):
        asked.append(batch.size)
        return {name: np.sin(3 * array) for name, array in parameters.items()}

    compared(update, "backprop")
    assert asked.count(1) == EXAMPLES


def test_one_draws_and_the_other_does_not():
    told = compared(copy_of(registry.make("rule", "backprop")), "node_perturbation")
    assert told.verdict == "it is not"
    assert told.term == "one of the two draws"


@dataclass(frozen=True)
class Lab(FunctionRule):
    """Feedback alignment by a function that reads its weights from its state."""

    card: ClassVar[RuleCard] = replace(
        registry.make("rule", "feedback_alignment").card, summary="of a lab"
    )

    def initial_state(self, network, seed):
        return registry.make("rule", "feedback_alignment").initial_state(network, seed)

    def update(self, parameters, batch, rng, state):
        rule = registry.make("rule", "feedback_alignment")
        return copy_of(rule, state=state)(parameters, batch, rng)


def test_a_rule_brings_its_state():
    assert compared(Lab(), "feedback_alignment", seed=5).verdict == "it is"


def test_a_state_of_another_layout_is_refused():
    @dataclass(frozen=True)
    class Turned(Lab):
        def initial_state(self, network, seed):
            return {n: a.T for n, a in super().initial_state(network, seed).items()}

    with pytest.raises(InputError, match="give both the same names and layout"):
        compared(Turned(), "feedback_alignment")


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        ({"rule": "feedback_alignmnt"}, "did you mean 'feedback_alignment'"),
        ({"rule": 3}, "rule: 3 is not a rule or the selector of one"),
        ({"update": 3}, "update: 3 is not a function"),
        ({"samples": 20}, "samples: 20"),
    ],
)
def test_refusals(named, sentence):
    given = {"update": ALIGNED, "rule": "backprop", "samples": 400, **named}
    with pytest.raises(InputError, match=sentence):
        compared(given.pop("update"), given.pop("rule"), **given)


# The law of means and variances


def test_products_of_means_are_unbiased():
    """|mean|^2 without the noise in the mean, against its known value over many repetitions."""
    rng, mean, count = np.random.default_rng(0), np.array([0.3, -0.2, 0.1]), 160
    squares = []
    for _ in range(300):
        draws = mean + rng.standard_normal((count, 3))
        law = sampled_law(({"w": row} for row in draws), count)
        part = Products(law.means["w"], law.means["w"], (law.spreads["w"],) * 2)
        squares.append(part.products()[0])
    # Variance of the estimate is some 4 |mean|^2 / K + 2 P / K^2.
    error = np.sqrt((4 * 0.14 / count + 6 / count**2) / 300)
    assert np.mean(squares) == pytest.approx(0.14, abs=4 * error)


def test_spreads_are_those_of_numpy():
    draws = np.random.default_rng(0).standard_normal((200, 4)) * [1, 2, 3, 4]
    law = sampled_law(({"w": row} for row in draws), 200)
    groups = draws.reshape(20, 10, 4)
    np.testing.assert_allclose(law.means["w"], groups.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(law.spreads["w"], groups.var(axis=1, ddof=1).sum(axis=1), rtol=1e-10)


def test_intervals_cover():
    """Factor of one mean by another, of known ratio 2, in 95 % of repetitions."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(200):
        laws = [
            sampled_law(({"w": row} for row in f * np.ones(5) + rng.standard_normal((200, 5))), 200)
            for f in (2.0, 1.0)
        ]
        means, spreads = [w.means["w"] for w in laws], tuple(w.spreads["w"] for w in laws)
        part = Products(*means, spreads)

        def ratio(left_out, part=part):
            return part.products(left_out)[1] / part.products(left_out)[2]

        held += interval([part], ratio, 2.09).holds(2.0)
    assert 0.90 <= held / 200 <= 0.99
