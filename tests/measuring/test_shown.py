"""What is shown of objects in a prompt or a notebook, and what can be compared."""

import copy
import re

import numpy as np
import pytest

from plausibench import bench
from plausibench.bench.components import registry
from plausibench.bench.measuring.statistics import RELATIVE

RNG = np.random.default_rng(0)
BATCH = bench.Batch(RNG.standard_normal((8, 6)), RNG.integers(0, 3, 8))
NETWORK = bench.make("architecture", "mlp", sizes=[6, 5, 3], seed=0)
OBJECTIVE = bench.make("objective", "cross_entropy")


def measured(rule="node_perturbation", samples=64):
    return bench.measure(bench.make("rule", rule), NETWORK, OBJECTIVE, BATCH, samples)


def test_a_network_is_one_line():
    assert repr(NETWORK) == "Network(mlp: input 6, layer1 5, layer2 3; 53 float64 parameters)"
    for name in registry.entries("architecture"):
        sized = "sizes" in registry.find("architecture", name).__dataclass_fields__
        network = bench.make("architecture", name, **({"sizes": (6, 4, 3)} if sized else {}))
        said = repr(network)
        assert said.startswith(f"Network({name}: input {network.inputs}, ")
        assert len(said) < 200
        assert "\n" not in said


def test_a_batch_is_one_line():
    assert repr(BATCH) == "Batch(inputs float64 (8, 6), targets int64 (8,))"
    sequences = bench.Batch(np.ones((2, 3, 4)), [0, 1], mask=np.ones((2, 3)))
    assert repr(sequences).endswith("targets int64 (2,), mask float64 (2, 3))")


def test_a_measurement_is_one_line():
    said = repr(measured())
    assert "\n" not in said
    assert len(said) < 300
    assert re.match(
        r"Measurement\(bias_squared \S+ \[\S+, \S+\], variance \S+ \[\S+, \S+\], progress \S+ "
        r"\[\S+, \S+\]; method companion, samples 64, redrawn rule, reference gradient of the "
        r"objective, few samples.*\)$",
        said,
    )
    assert "bias_squared 0, variance 0, progress 1; method exact" in repr(measured("backprop"))


def test_a_training_is_one_line():
    task = bench.make("task", "linear_regression", inputs=6, outputs=3, examples=40)
    parts = (bench.make("rule", "backprop"), task, NETWORK)
    trained = bench.train(*parts, bench.make("objective", "mean_squared_error"), steps=2)
    assert re.fullmatch(
        r"Training\(step 2, train_loss \S+, test_loss \S+, alignment \S+\)", repr(trained)
    )


def test_a_measurement_is_a_table_in_a_notebook():
    found = measured()
    html = found._repr_html_()
    for tag in ("table", "thead", "tbody"):
        assert html.count(f"<{tag}>") == html.count(f"</{tag}>") == 1
    rows = re.findall("<tr>(.*?)</tr>", html)
    cells = [re.findall("<td>(.*?)</td>", row) for row in rows]
    assert cells[0] == ["projection", *RELATIVE, "flag"]
    assert [line[0] for line in cells[1:]] == [*NETWORK.parameters, "all"]
    value = found.value("variance", "layer1.bias")
    assert cells[2][1 + RELATIVE.index("variance")].startswith(f"{value:.3g} [")


def test_names_are_escaped_in_a_notebook():
    name = "<script>"
    found = bench.measure_function(
        lambda *_: {name: [1.0]}, {name: [1.0]}, None, reference={name: [1.0]}
    )
    assert "<script>" not in found._repr_html_()
    assert "&lt;script&gt;" in found._repr_html_()


def test_dir_lists_the_public_names_only():
    assert dir(bench) == sorted(bench.__all__)
    for name in dir(bench):
        assert getattr(bench, name).__module__.startswith("plausibench.")


@pytest.mark.parametrize(
    "thing",
    [
        NETWORK,
        BATCH,
        measured("backprop"),
        NETWORK.forward(BATCH.inputs),
        bench.make("architecture", "rate_rnn", sizes=[3, 4, 2]),
        bench.make("architecture", "hopfield", sizes=[3, 4, 2]),
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_what_holds_arrays_equals_itself_alone(thing):
    """As arrays have no one answer to ==."""
    other = copy.deepcopy(thing)
    assert thing == thing
    assert (thing == other) is False
    assert thing != 3
    assert len({thing, other, thing}) == 2
