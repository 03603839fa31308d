"""Any function measured as a rule is: against theory, and against built-in rules."""

import re
from pathlib import Path

import numpy as np
import pytest

from plausibench import bench
from plausibench.kernels.errors import InputError

PAGE = (Path(__file__).parent.parent / "docs" / "adapter.md").read_text(encoding="utf-8")
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


def test_node_perturbation_in_pytorch_agrees_with_the_rule():
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
        pytorch_node_perturbation, network.parameters, batch, 2000, reference=(network, objective)
    )
    ours = bench.measure(rule, network, objective, batch, 2000)
    for quantity in ("bias_squared", "variance"):
        (one, low, high), (two, lower, upper) = (interval(m, quantity) for m in (theirs, ours))
        assert abs(one - two) < (high - low + upper - lower) / 2
    exact = bench.measure(rule, network, objective, batch, method="exact").value("variance")
    assert theirs.value("variance") == pytest.approx(exact, rel=0.1)


def quiet(parameters, batch, rng):
    return {name: np.ones_like(array) for name, array in parameters.items()}


def test_an_update_that_learns_is_refused():
    def learning(parameters, batch, rng):
        parameters["b"] -= 0.1
        return ONES

    mine = {name: array.copy() for name, array in PARAMETERS.items()}
    with pytest.raises(InputError, match="update: it changes the parameter b"):
        bench.measure_function(learning, mine, None, 16, reference=ONES)


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
        assert seen[0] == seen[2] == seen[-1]
        return [*seen[:2], *seen[3:-1]]

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
        ({"reference": {"w": np.ones((2, 3))}}, r"reference: \['w'\]; allowed is one array for"),
        ({"reference": {**ONES, "b": np.ones(3)}}, r"reference: b has shape \(3,\); allowed is"),
        ({"update": lambda *_: None}, "update: NoneType; allowed is"),
        ({"update": lambda *_: {**ONES, "b": np.full(2, np.nan)}}, "update: b has .* not finite"),
        ({"reference": (1, 2)}, "reference: .* is not a network and an objective"),
    ],
)
def test_bad_input_is_refused(changes, sentence):
    arguments = {"update": quiet, "parameters": PARAMETERS, "batch": None, "reference": ONES}
    with pytest.raises(InputError, match=sentence):
        bench.measure_function(**{**arguments, **changes})
