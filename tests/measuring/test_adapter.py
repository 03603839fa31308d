"""Any function measured as a rule is: against theory, and against built-in rules."""

import re
from pathlib import Path

import numpy as np
import pytest

from plausibench import bench
from plausibench.kernels.errors import InputError

PAGE = (Path(__file__).parents[2] / "docs" / "adapter.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def run(snippet):
    names = {"__name__": "snippet"}
    exec(compile(snippet, "adapter.md", "exec"), names)
    return names


def interval(measured, quantity, projection="all"):
    frame = measured.frame
    row = frame[(frame["quantity"] == quantity) & (frame["projection"] == projection)].iloc[0]
    return row["value"], row["low"], row["high"]


def test_the_page_has_both_examples():
    assert len(SNIPPETS) == 2
    assert "torch" in SNIPPETS[1]


def test_perturbation_in_numpy_follows_theory(record_figure):
    """Weight perturbation of P weights: no bias, variance (P + 1) |g|^2.

    Intervals are of 95 %, made twice as wide: wrong by chance about once in 3000.
    """
    measured = run(SNIPPETS[0])["measured"]
    for quantity, theory in (("bias_squared", 0.0), ("variance", 16.0), ("gain", 1.0)):
        value, low, high = interval(measured, quantity)
        record_figure(f"adapter, numpy perturbation, {quantity}", value, f"{theory:g}")
        assert abs(value - theory) < high - low


def test_feedback_alignment_in_pytorch_is_the_rule(record_figure):
    pytest.importorskip("torch")
    names = run(SNIPPETS[1])
    for name, mean in names["ours"].mean.items():
        np.testing.assert_allclose(names["theirs"].mean[name], mean, rtol=0, atol=1e-12)
    theirs, ours = names["theirs"].value("bias_squared"), names["ours"].value("bias_squared")
    record_figure(
        "feedback alignment, PyTorch by the adapter minus built in", theirs - ours, "1e-9"
    )
    assert ours > 0.1
    assert theirs == pytest.approx(ours, rel=1e-9)
    assert names["theirs"].value("variance") == pytest.approx(0, abs=1e-12)


def pytorch_node_perturbation(parameters, batch, rng, sigma=1e-3):
    import torch

    inputs, classes = torch.as_tensor(batch.inputs), torch.as_tensor(batch.targets)
    w = {name: torch.as_tensor(array) for name, array in parameters.items()}
    layers, below = ("layer1", "layer2"), {}
    xi = {
        name: torch.as_tensor(rng.standard_normal((batch.size, len(w[f"{name}.bias"]))))
        for name in layers
    }

    def losses(amplitude):
        a = inputs
        for name in layers:
            if amplitude == 0:
                below[name] = a
            z = a @ w[f"{name}.weights"].T + w[f"{name}.bias"] + amplitude * xi[name]
            a = torch.tanh(z) if name == "layer1" else z
        return torch.nn.functional.cross_entropy(a, classes, reduction="none")

    losses(0)
    change = (losses(sigma) - losses(-sigma)) / (2 * sigma * batch.size)
    found = {}
    for name in layers:
        post = change[:, None] * xi[name]
        found[f"{name}.weights"] = (post.T @ below[name]).numpy()
        found[f"{name}.bias"] = post.sum(0).numpy()
    return found


@pytest.mark.parametrize("samples", [500, pytest.param(2000, marks=pytest.mark.acceptance)])
def test_node_perturbation_in_pytorch_agrees_with_the_rule(samples):
    """Values within the sum of the half-widths: by chance about once in 100 for each of two."""
    pytest.importorskip("torch")
    network = bench.make("architecture", "mlp", sizes=[6, 5, 3], seed=0)
    objective, rule = (
        bench.make("objective", "cross_entropy"),
        bench.make("rule", "node_perturbation"),
    )
    generator = np.random.default_rng(0)
    batch = bench.Batch(generator.standard_normal((8, 6)), generator.integers(0, 3, 8))
    theirs = bench.measure_function(
        pytorch_node_perturbation,
        network.parameters,
        batch,
        samples,
        reference=(network, objective),
    )
    ours = bench.measure(rule, network, objective, batch, samples)
    for quantity in ("bias_squared", "variance"):
        (one, low, high), (two, lower, upper) = (interval(m, quantity) for m in (theirs, ours))
        assert abs(one - two) < (high - low + upper - lower) / 2
    exact = bench.measure(rule, network, objective, batch, method="exact").value("variance")
    # Some four standard errors, of 2.3 % with 2000 draws.
    assert theirs.value("variance") == pytest.approx(exact, rel=0.1 * (2000 / samples) ** 0.5)


def quiet(parameters, batch, rng):
    return {name: np.ones_like(array) for name, array in parameters.items()}


def test_an_update_that_learns_is_refused():
    def learning(parameters, batch, rng):
        parameters["b"] -= 0.1
        return ONES

    mine = {name: array.copy() for name, array in PARAMETERS.items()}
    with pytest.raises(InputError, match="update: it changes the parameter b"):
        bench.measure_function(learning, mine, None, 16, reference=ONES)


def test_a_reference_that_changes_the_parameters_is_refused():
    mine = {name: array.copy() for name, array in PARAMETERS.items()}

    def changing(parameters, batch):
        parameters["w"] += 1
        return ONES

    with pytest.raises(InputError, match="reference: it changes the parameter w"):
        bench.measure_function(quiet, mine, None, 16, reference=changing)


PARAMETERS = {"w": np.zeros((2, 3)), "b": np.zeros(2)}
ONES = {"w": np.ones((2, 3)), "b": np.ones(2)}


def test_what_goes_against_the_gradient_is_turned():
    for sign, gain in (("gradient", 1.0), ("descent", -1.0)):
        measured = bench.measure_function(quiet, PARAMETERS, None, 32, reference=ONES, sign=sign)
        assert measured.value("gain") == gain
        assert measured.mean["w"].shape == (2, 3)


def test_a_sample_is_the_same_in_any_measurement():
    def drawn_by(samples):
        seen = []

        def noisy(parameters, batch, rng):
            seen.append(rng.standard_normal())
            return quiet(parameters, batch, rng)

        bench.measure_function(noisy, PARAMETERS, None, samples, seed=3, reference=ONES)
        assert len(seen) == samples + 2
        # The first sample is drawn again at the start and at the end, to see that it is the same.
        assert seen[0] == seen[1] == seen[-1]
        return [seen[0], *seen[2:-1]]

    many, few = drawn_by(20), drawn_by(5)
    assert len(set(many)) == 20
    assert few == many[:5]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"samples": 0}, "samples: 0 is not"),
        ({"sign": "up"}, "sign: 'up' is not"),
        ({"update": 3}, "update: 3 is not a function"),
        ({"parameters": {}}, "parameters: .* is not a dict of at least one array"),
        ({"parameters": {"a": {}}}, "parameters: .* is not a dict of at least one array"),
        ({"parameters": {"w": np.ones((0, 3))}}, r"parameters: w has shape \(0, 3\); leave it out"),
        ({"reference": {"w": np.ones((2, 3))}}, "reference: w in place of a dict with one array"),
        ({"reference": {**ONES, "b": np.ones(3)}}, r"reference: b has shape \(3,\); allowed is"),
        ({"update": lambda *_: None}, "update: None in place of a dict with one array"),
        ({"update": lambda *_: {**ONES, "b": np.full(2, np.nan)}}, "update: b has .* not finite"),
        ({"reference": (1, 2)}, "reference: .* is not a network and an objective"),
    ],
)
def test_bad_input_is_refused(changes, sentence):
    arguments = {"update": quiet, "parameters": PARAMETERS, "batch": None, "reference": ONES}
    with pytest.raises(InputError, match=sentence):
        bench.measure_function(**{**arguments, **changes})


# What is handed over


def own_generator():
    return np.random.default_rng(0)


class TestHandedOver:
    """Tensors, nested dicts, names: read whole, or refused."""

    def measured(self, update, parameters=PARAMETERS, reference=ONES, **named):
        return bench.measure_function(update, parameters, None, 64, reference=reference, **named)

    def test_named_parameters_of_a_module(self):
        torch = pytest.importorskip("torch")
        torch.manual_seed(0)
        module = torch.nn.Linear(3, 2).double()
        inputs = torch.randn(8, 3, dtype=torch.float64)

        def gradient(parameters, batch):
            module.zero_grad()
            (module(batch) ** 2).sum(1).mean().backward()
            return {name: p.grad for name, p in parameters.items()}

        def update(parameters, batch, rng):
            exact = gradient(parameters, batch)
            return {n: g + torch.as_tensor(rng.standard_normal(g.shape)) for n, g in exact.items()}

        parameters = dict(module.named_parameters())
        found = bench.measure_function(update, parameters, inputs, 400, reference=gradient)
        # Of 8 numbers of variance 1: the standard error of the sum is sqrt(16 / 400) = 0.2.
        assert abs(found.value("absolute_variance") - 8) < 5 * 0.2

    def test_tensors_with_a_graph_and_of_foreign_types(self):
        torch = pytest.importorskip("torch")
        for change in (
            lambda t: t.requires_grad_(),
            lambda t: t.bfloat16(),
            lambda t: torch.nn.Parameter(t.half()),
        ):
            given = {name: change(torch.ones(array.shape)) for name, array in ONES.items()}
            assert self.measured(lambda *_, given=given: given).value("bias_squared") == 0

    def test_dicts_within_dicts(self):
        nested = {"dense": {"kernel": np.ones((2, 3)), "bias": np.ones(2)}, "scale": np.ones(())}

        def update(parameters, batch, rng):
            assert parameters is nested
            noise = rng.standard_normal(2)
            return {**nested, "dense": {**nested["dense"], "bias": np.ones(2) + noise}}

        found = self.measured(update, nested, nested)
        assert list(found.reference) == ["dense/kernel", "dense/bias", "scale"]
        assert found.value("variance", "dense/kernel") == 0
        assert found.value("variance", "dense/bias") > 0
        assert found.mean["dense/kernel"].shape == (2, 3)

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            (None, "b is None; allowed is an array .*PyTorch"),
            ("oops", "b: type <U4 is not a real number"),
            (np.ones(2) + 100j, "b: type complex128 has an imaginary part"),
            (np.ma.masked_greater([1e6, 2.0], 10), "b: entries are masked"),
            ([1, [2]], "b: no array can be made of rows of unequal length"),
            (np.array([1, None]), "b: type object is not a real number"),
            ({"c": np.ones(2)}, "b/c, w in place of a dict with one array for each of b, w"),
        ],
        ids=repr,
    )
    @pytest.mark.parametrize("place", ["update", "reference"])
    def test_what_would_lose_something(self, wrong, said, place):
        given = {**ONES, "b": wrong}
        update = (lambda *_: given) if place == "update" else quiet
        with pytest.raises(InputError, match=f"^{place}: {said}"):
            self.measured(update, reference=given if place == "reference" else ONES)

    @pytest.mark.parametrize("name", ["constant", "input", "projection", "", "a b", "layer1", "é"])
    def test_any_name(self, name):
        def noisy(parameters, batch, rng):
            return {name: rng.standard_normal(3), "w": np.ones(2)}

        parameters = {name: np.ones(3), "w": np.ones(2)}
        found = self.measured(noisy, parameters, parameters)
        plainly = self.measured(
            lambda p, b, r: {"x": r.standard_normal(3), "w": np.ones(2)},
            {"x": np.ones(3), "w": np.ones(2)},
            {"x": np.ones(3), "w": np.ones(2)},
        )
        assert found.value("variance", name) == plainly.value("variance", "x")
        assert found.value("variance") == plainly.value("variance")

    def test_the_name_of_the_row_of_all_is_refused(self):
        with pytest.raises(InputError, match=r"^parameters: 'all' is what tables call"):
            self.measured(quiet, {"all": np.ones(2)}, {"all": np.ones(2)})

    def test_numbers_as_names(self):
        found = self.measured(
            lambda *_: {0: [1.0], 1: [2.0]}, {0: [0.0], 1: [0.0]}, {0: [1.0], 1: [2.0]}
        )
        assert found.value("bias_squared", "1") == 0

    def test_two_arrays_with_one_name(self):
        twice = {"a/b": np.ones(1), "a": {"b": np.ones(1)}}
        with pytest.raises(InputError, match="two arrays have the name 'a/b'"):
            self.measured(quiet, twice, twice)

    def test_a_parameter_that_is_not_a_number_is_not_changed(self):
        nan = {"w": np.array([np.nan])}
        found = self.measured(lambda *_: {"w": np.ones(1)}, nan, {"w": np.ones(1)})
        assert found.value("bias_squared") == 0

    def test_a_batch_and_an_objective_that_are_none(self):
        network = bench.make("architecture", "mlp", sizes=[3, 2], seed=0)
        given = (quiet, network.parameters)
        pair = np.ones((4, 3)), np.zeros(4, int)
        with pytest.raises(InputError, match=r"^batch: .*bench\.Batch\(inputs, targets\)"):
            bench.measure_function(
                *given, pair, reference=(network, bench.make("objective", "cross_entropy"))
            )
        with pytest.raises(InputError, match=r"^objective: 'cross_entropy' is not an objective"):
            bench.measure_function(*given, bench.Batch(*pair), reference=(network, "cross_entropy"))


class TestWhatItDependsOn:
    """An update depends on its arguments alone."""

    def refused(self, update, said, samples=40):
        with pytest.raises(InputError, match=r"^update: two calls .* differ: ") as caught:
            bench.measure_function(update, PARAMETERS, None, samples, reference=ONES)
        assert said in str(caught.value)

    def test_a_feedback_that_moves_with_each_call(self):
        kept = {"gain": 1.0}

        def moving(parameters, batch, rng):
            kept["gain"] *= 1.1
            return {name: kept["gain"] * array for name, array in ONES.items()}

        self.refused(moving, "it keeps a state")

    def test_one_that_moves_late_and_little(self):
        """Less than is seen between two calls, but it adds up."""
        kept = {"calls": 0}

        def moving(parameters, batch, rng):
            kept["calls"] += 1
            return {name: (1 + 1e-6 * kept["calls"]) * array for name, array in noise(rng).items()}

        self.refused(moving, "it keeps a state")

    @pytest.mark.parametrize("samples", [1, 2, 3, 4, 40])
    def test_one_that_takes_turns(self, samples):
        """As one that draws pairs of opposite directions would."""
        kept = {"sign": 1.0}

        def turning(parameters, batch, rng):
            kept["sign"] *= -1
            return {name: kept["sign"] * array for name, array in ONES.items()}

        self.refused(turning, "it keeps a state", samples)

    def test_a_generator_of_its_own(self):
        mine = own_generator()
        self.refused(lambda p, b, r: noise(mine), "or draws from a generator of its own")

    def test_the_generator_of_numpy(self):
        def drawing(parameters, batch, rng):
            return {name: np.random.standard_normal(a.shape) for name, a in ONES.items()}  # noqa: NPY002

        self.refused(drawing, "global generator (numpy's np.random)")

    def test_a_global_generator_that_it_draws_from_late(self):
        kept = {"calls": 0}

        def late(parameters, batch, rng):
            kept["calls"] += 1
            answer = noise(rng)
            if kept["calls"] > 10:
                answer["b"] = answer["b"] + np.random.standard_normal(2)  # noqa: NPY002
            return answer

        self.refused(late, "global generator (numpy's np.random)")

    def test_the_generator_of_python(self):
        import random

        def drawing(parameters, batch, rng):
            return {name: random.random() * a for name, a in ONES.items()}

        self.refused(drawing, "global generator (Python's random)")

    def test_the_generator_of_pytorch(self):
        torch = pytest.importorskip("torch")
        self.refused(
            lambda p, b, r: {name: torch.randn(a.shape) for name, a in ONES.items()},
            "global generator (torch's)",
        )

    def test_a_global_generator_that_is_seeded_from_rng_is_allowed(self):
        torch = pytest.importorskip("torch")

        def seeded(parameters, batch, rng):
            torch.manual_seed(int(rng.integers(2**31)))
            return {name: torch.randn(a.shape) for name, a in ONES.items()}

        found = bench.measure_function(seeded, PARAMETERS, None, 200, reference=ONES)
        # Eight numbers of variance 1, |g|^2 = 8; standard error of their sum sqrt(16 / 200).
        assert abs(found.value("absolute_variance") - 8) < 5 * np.sqrt(16 / 200)

    def test_a_batch_that_is_changed(self):
        batch = np.ones(3)

        def changing(parameters, batch, rng):
            batch *= 2
            return {name: batch[0] * array for name, array in ONES.items()}

        with pytest.raises(InputError, match="keeps a state"):
            bench.measure_function(changing, PARAMETERS, batch, 4, reference=ONES)

    @pytest.mark.parametrize("samples", [1, 2, 3, 2000])
    def test_a_function_that_draws_nothing_is_known_exactly(self, samples):
        calls = []

        def steady(parameters, batch, rng):
            calls.append(1)
            return {name: 2.0 * array for name, array in ONES.items()}

        found = bench.measure_function(steady, PARAMETERS, None, samples, reference=ONES)
        assert len(calls) == 3
        assert set(found.frame["flag"]) == {""}
        assert set(found.frame["samples"]) == {1}
        assert set(found.frame["method"]) == {"exact"}
        assert set(found.frame["redrawn"]) == {"nothing"}
        for quantity, value in (("bias_squared", 1.0), ("variance", 0.0), ("gain", 2.0)):
            assert interval(found, quantity) == (value, value, value)

    def test_a_function_that_draws_is_sampled_even_where_it_makes_no_difference(self):
        def idle(parameters, batch, rng):
            rng.random()
            return ONES

        found = bench.measure_function(idle, PARAMETERS, None, 40, reference=ONES)
        assert set(found.frame["method"]) == {"sampled"}


def noise(rng):
    return {name: rng.standard_normal(array.shape) for name, array in ONES.items()}
