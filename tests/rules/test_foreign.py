"""Rules that are functions of the weights: run like any other, and refused where they err."""

import weakref
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

import naive
from plausibench import bench
from plausibench.bench.conformance.suite import run_checks
from plausibench.kernels.errors import InputError
from plausibench.rules.foreign import FunctionRule, from_step
from plausibench.rules.rule import RuleCard

CARD = RuleCard(
    summary="weight perturbation of a lab",
    family="perturbation",
    equation="(F(W + sigma xi) - F(W)) / sigma xi",
    randomness=frozenset({"rule"}),
    unbiased=True,
    bias_order=2,
    exact_when="in expectation as sigma -> 0",
    variance_law="grows with the number of weights",
    synapse_knows="its own noise, one global scalar",
    cites="Author 2026",
)
SIGMA = 1e-4


def forward(parameters, inputs):
    """Logits of a tanh network of any number of layers."""
    layers = [name.removesuffix(".weights") for name in parameters if name.endswith(".weights")]
    activity = inputs
    for layer in layers:
        drive = activity @ parameters[f"{layer}.weights"].T + parameters[f"{layer}.bias"]
        activity = drive if layer == layers[-1] else np.tanh(drive)
    return activity


def loss(parameters, batch):
    logits = forward(parameters, batch.inputs)
    shifted = logits - logits.max(axis=1, keepdims=True)
    normal = np.log(np.exp(shifted).sum(axis=1))
    return float((normal - shifted[np.arange(batch.size), batch.targets]).mean())


def perturbation(parameters, batch, rng):
    xi = {name: rng.standard_normal(array.shape) for name, array in parameters.items()}
    moved = {name: array + SIGMA * xi[name] for name, array in parameters.items()}
    change = (loss(moved, batch) - loss(parameters, batch)) / SIGMA
    return {name: change * drawn for name, drawn in xi.items()}


class Written(FunctionRule):
    """What the function above can run on."""

    def unsupported(self, network, objective):
        if network.architecture != "mlp":
            return "it is written for mlp"
        if type(objective).__name__ != "CrossEntropy":
            return "it is written for cross-entropy"
        return None


@dataclass(frozen=True)
class LabPerturbation(Written):
    card: ClassVar[RuleCard] = CARD

    def update(self, parameters, batch, rng, state):
        return perturbation(parameters, batch, rng)


@dataclass(frozen=True)
class InBlocks(Written):
    card: ClassVar[RuleCard] = CARD

    def updates(self, parameters, batch, rngs, state):
        draws = [perturbation(parameters, batch, rng) for rng in rngs]
        return {name: np.stack([draw[name] for draw in draws]) for name in parameters}


@pytest.fixture
def cell():
    network = bench.make("architecture", "mlp", sizes=[6, 5, 3], activation="tanh", seed=0)
    numbers = np.random.default_rng(0)
    batch = bench.Batch(numbers.standard_normal((8, 6)), numbers.integers(0, 3, 8))
    return network, bench.make("objective", "cross_entropy"), batch


def test_a_function_keeps_the_contract_of_rules():
    outcomes = run_checks(LabPerturbation())
    assert [str(o) for o in outcomes if o.status == "failed"] == []


def test_an_error_larger_than_rounding_is_seen_in_float32():
    """Ten times the rounding of a loss in float32, over sigma."""

    @dataclass(frozen=True)
    class Coarse(Written):
        card: ClassVar[RuleCard] = CARD

        def update(self, parameters, batch, rng, state):
            answer = perturbation(parameters, batch, rng)
            if batch.inputs.dtype == np.float64:
                return answer
            return {name: array * (1 + 10 * 2.0**-23 / SIGMA) for name, array in answer.items()}

    (found,) = [o for o in run_checks(Coarse()) if o.name == "float32"]
    assert found.status == "failed"


def test_it_is_measured_as_measure_function_measures_it(cell):
    network, objective, batch = cell
    as_rule = bench.measure(LabPerturbation(), network, objective, batch, 96, seed=3)
    as_function = bench.measure_function(
        perturbation, network.parameters, batch, 96, seed=3, reference=(network, objective)
    )
    for quantity in ("bias_squared", "variance", "gain"):
        assert as_rule.value(quantity) == pytest.approx(as_function.value(quantity), rel=1e-12)


def test_blocks_are_the_same_draws(cell):
    one = bench.estimates(LabPerturbation(), *cell, 40)
    block = bench.estimates(InBlocks(), *cell, 40)
    for name in one:
        np.testing.assert_array_equal(one[name], block[name])


def test_draws_are_let_go_as_they_come(cell):
    """Nothing of the last answer is there when the next one is asked for."""
    network, objective, batch = cell
    answered, alive = [], []

    def watched(parameters, batch, rng):
        alive.append(sum(reference() is not None for reference in answered))
        answer = perturbation(parameters, batch, rng)
        answered.append(weakref.ref(answer["layer1.weights"]))
        return answer

    @dataclass(frozen=True)
    class Watched(Written):
        card: ClassVar[RuleCard] = CARD

        def update(self, parameters, batch, rng, state):
            return watched(parameters, batch, rng)

    measured = bench.measure(Watched(), network, objective, batch, 40, threads=1)
    assert len(alive) == 40
    assert max(alive) == 0
    again = bench.measure(LabPerturbation(), network, objective, batch, 40, threads=1)
    assert measured.frame.equals(again.frame)
    bench.measure_function(watched, network.parameters, batch, 40, reference=(network, objective))
    assert max(alive) == 0


def test_streamed_sums_are_those_of_formed_draws(cell):
    network, objective, batch = cell
    draws = bench.estimates(LabPerturbation(), *cell, samples=70)
    running = naive.RunningStatistics(bench.gradient(network, objective, batch))
    for k in range(70):
        running.add({name: array[k] for name, array in draws.items()})
    bias, variance = running.relative()
    for measured in (
        bench.measure(LabPerturbation(), *cell, 70),
        bench.measure(InBlocks(), *cell, 70),
        bench.measure_function(
            perturbation, network.parameters, batch, 70, reference=(network, objective)
        ),
    ):
        assert measured.value("bias_squared") == pytest.approx(bias, rel=1e-9)
        assert measured.value("variance") == pytest.approx(variance, rel=1e-9)


def test_a_function_may_return_one_array_always(cell):
    kept = {}

    @dataclass(frozen=True)
    class Reusing(Written):
        card: ClassVar[RuleCard] = CARD

        def update(self, parameters, batch, rng, state):
            for name, array in perturbation(parameters, batch, rng).items():
                kept.setdefault(name, np.empty(array.shape))[:] = array
            return kept

    one, other = (bench.estimates(rule, *cell, 5) for rule in (Reusing(), LabPerturbation()))
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


def test_draws_are_the_same_with_any_number_of_threads(cell):
    one, two = (bench.measure(LabPerturbation(), *cell, 96, threads=n).frame for n in (1, 2))
    pd.testing.assert_frame_equal(one, two, check_exact=True)


class TestRefused:
    """What a function must not do."""

    def drawn(self, update, cell, **attributes):
        body = {"card": CARD, "update": update, "__annotations__": {}, **attributes}
        kind = dataclass(frozen=True)(type("Erring", (Written,), body))
        return bench.estimates(kind(), *cell, 2)

    def test_changed_parameters(self, cell):
        def update(self, parameters, batch, rng, state):
            answer = perturbation(parameters, batch, rng)
            parameters["layer1.bias"] += 1e-3
            return answer

        with pytest.raises(InputError, match="it changes the parameter layer1"):
            self.drawn(update, cell)

    @pytest.mark.parametrize(
        ("wrong", "sentence"),
        [
            (lambda u: {**u, "layer1.bias": None}, "layer1.bias is None"),
            (lambda u: {**u, "layer1.bias": np.full(5, np.nan)}, "layer1.bias has .* not finite"),
            (lambda u: {**u, "layer1.bias": np.ones(4)}, r"shape \(4,\); allowed is \(5,\)"),
            (lambda u: {"layer1.bias": u["layer1.bias"]}, "in place of a dict with one array"),
            (lambda u: 3, "Erring.update: 3 in place of"),
        ],
    )
    def test_answers(self, wrong, sentence, cell):
        def update(self, parameters, batch, rng, state):
            return wrong(perturbation(parameters, batch, rng))

        with pytest.raises(InputError, match=sentence):
            self.drawn(update, cell)

    def test_draws_against_the_card(self, cell):
        def update(self, parameters, batch, rng, state):
            return perturbation(parameters, batch, rng)

        card = RuleCard(
            **{
                field: getattr(CARD, field)
                for field in ("summary", "equation", "exact_when", "variance_law", "synapse_knows")
            },
            cites="Author 2026",
            randomness=frozenset(),
            unbiased=True,
        )
        with pytest.raises(InputError, match="it drew from rng, and its card says"):
            self.drawn(update, cell, card=card)

    def test_seeds_of_a_block(self, cell):
        def updates(self, parameters, batch, rngs, state):
            draw = np.random.standard_normal
            return {n: draw((len(rngs), *a.shape)) for n, a in parameters.items()}

        attributes = {"updates": updates, "seeds_globals": True}
        with pytest.raises(InputError, match=r"seeds_globals: Erring\.updates draws a block"):
            self.drawn(FunctionRule.update, cell, **attributes)

    def test_neither_function(self, cell):
        kind = dataclass(frozen=True)(type("Erring", (Written,), {"card": CARD}))
        with pytest.raises(InputError, match="neither update"):
            bench.estimates(kind(), *cell, 2)


def test_a_rule_that_draws_from_global_generators_is_seeded_for_each_draw(cell):
    @dataclass(frozen=True)
    class Dropping(Written):
        card: ClassVar[RuleCard] = CARD
        seeds_globals: ClassVar[bool] = True

        def update(self, parameters, batch, rng, state):
            return {name: np.random.standard_normal(a.shape) for name, a in parameters.items()}  # noqa: NPY002

    long, short = (bench.estimates(Dropping(), *cell, samples) for samples in (24, 9))
    for name, array in short.items():
        np.testing.assert_array_equal(array, long[name][:9])
        assert len(np.unique(array[:, :1].reshape(9, -1)[:, 0])) == 9


def test_global_generators_are_seeded_and_left_as_they_were(cell):
    def dropping(parameters, batch, rng):
        return {name: np.random.standard_normal(a.shape) for name, a in parameters.items()}  # noqa: NPY002

    network, objective, batch = cell
    np.random.seed(7)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    same = [
        bench.measure_function(
            dropping,
            network.parameters,
            batch,
            64,
            reference=(network, objective),
            seeds_globals=True,
        ).value("variance")
        for _ in range(2)
    ]
    assert same[0] == same[1] > 0
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_torch_is_seeded(cell):
    torch = pytest.importorskip("torch")

    def dropping(parameters, batch, rng):
        return {name: torch.randn(a.shape) for name, a in parameters.items()}

    network, objective, batch = cell
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    asked = {"reference": (network, objective), "seeds_globals": True}
    one, two = (
        bench.measure_function(dropping, network.parameters, batch, 64, **asked).value("variance")
        for _ in range(2)
    )
    assert one == two
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)


class TestFromStep:
    """Code that only moves its weights."""

    rate = 0.05

    def moving(self, parameters, batch, rng):
        for name, change in perturbation(dict(parameters), batch, rng).items():
            parameters[name] -= self.rate * change

    def returning(self, parameters, batch, rng):
        moved = {name: array.copy() for name, array in parameters.items()}
        self.moving(moved, batch, rng)
        return moved

    @pytest.mark.parametrize("how", ["moving", "returning"])
    def test_it_is_the_gradient_that_the_step_took(self, how, cell):
        network, _, batch = cell
        update = from_step(getattr(self, how), self.rate)
        kept = {name: array.copy() for name, array in network.parameters.items()}
        answer = update(network.parameters, batch, np.random.default_rng(1))
        expected = perturbation(network.parameters, batch, np.random.default_rng(1))
        for name, array in answer.items():
            np.testing.assert_allclose(array, expected[name], rtol=1e-9, atol=1e-10)
            np.testing.assert_array_equal(kept[name], network.parameters[name])

    @pytest.mark.parametrize(
        ("step", "rate", "sentence"),
        [(3, 0.1, "step: 3 is not a function"), (print, 0.0, "rate: 0")],
    )
    def test_refusals(self, step, rate, sentence):
        with pytest.raises(InputError, match=sentence):
            from_step(step, rate)


@pytest.mark.parametrize(
    ("named", "sentence"), [({"scale": 0.0}, "scale: 0"), ({"sign": "up"}, "sign: 'up'")]
)
def test_factors_are_checked(named, sentence, cell):
    network, objective, batch = cell
    with pytest.raises(InputError, match=sentence):
        bench.measure_function(
            perturbation, network.parameters, batch, reference=(network, objective), **named
        )


def test_what_it_raises_is_told_with_its_name(cell):
    def update(self, parameters, batch, rng, state):
        return parameters["no such weights"]

    kind = dataclass(frozen=True)(type("Erring", (Written,), {"card": CARD, "update": update}))
    with pytest.raises(InputError, match=r"Erring\.update raised KeyError: 'no such weights'"):
        bench.estimates(kind(), *cell, 2)


def test_a_scale_multiplies_the_answers(cell):
    network, objective, batch = cell

    def exact(parameters, batch, rng):
        return bench.gradient(network, objective, batch)

    measured = bench.measure_function(
        exact, network.parameters, batch, reference=(network, objective), scale=0.25
    )
    assert measured.value("gain") == pytest.approx(0.25, rel=1e-12)
