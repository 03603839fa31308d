"""A function of PyTorch measured as a rule: what is taken beyond the bare calls, in turns."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from test_training_speed import in_turns

from plausibench import bench
from plausibench.bench import FunctionRule
from plausibench.kernels.streams import generator
from plausibench.rules.rule import RuleCard

SIZES, DRAWS, SIGMA = (784, 256, 128, 10), 64, 1e-3
CARD = RuleCard(
    summary="node perturbation in PyTorch",
    family="perturbation",
    equation="post_l = (F(+sigma xi) - F(-sigma xi)) / (2 sigma) xi_l",
    randomness=frozenset({"rule"}),
    unbiased=True,
    exact_when="sigma -> 0",
    variance_law="unknown",
    synapse_knows="pre, the noise of its neuron, one global scalar for each example",
    cites="Williams 1992",
)


def perturbed(parameters, batch, rngs):
    """Node perturbation of every generator at once, ``(S, *shape)`` per parameter."""
    import torch

    inputs, classes = torch.as_tensor(batch.inputs), torch.as_tensor(batch.targets)
    w = {name: torch.as_tensor(array) for name, array in parameters.items()}
    layers = [name.removesuffix(".weights") for name in w if name.endswith(".weights")]
    kind = inputs.dtype
    xi = {
        name: torch.as_tensor(
            np.stack([rng.standard_normal((batch.size, len(w[f"{name}.bias"]))) for rng in rngs])
        ).to(kind)
        for name in layers
    }

    def losses(amplitude):
        activity, below = inputs, {}
        for name in layers:
            below[name] = activity
            drive = activity @ w[f"{name}.weights"].T + w[f"{name}.bias"] + amplitude * xi[name]
            activity = drive if name == layers[-1] else torch.tanh(drive)
        each = torch.nn.functional.cross_entropy(
            activity.flatten(0, 1), classes.repeat(len(rngs)), reduction="none"
        )
        return each.reshape(len(rngs), batch.size), below

    (above, below), (under, _) = losses(SIGMA), losses(-SIGMA)
    change = (above - under) / (2 * SIGMA * batch.size)
    found = {}
    for name in layers:
        post = change[..., None] * xi[name]
        found[f"{name}.weights"] = post.mT @ below[name]
        found[f"{name}.bias"] = post.sum(-2)
    return found


@dataclass(frozen=True)
class Singly(FunctionRule):
    """One call a draw."""

    card: ClassVar[RuleCard] = CARD

    def update(self, parameters, batch, rng, state):
        return {name: array[0] for name, array in perturbed(parameters, batch, [rng]).items()}


@dataclass(frozen=True)
class InBlocks(FunctionRule):
    """One call for many draws."""

    card: ClassVar[RuleCard] = CARD

    def updates(self, parameters, batch, rngs, state):
        return perturbed(parameters, batch, rngs)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_function_beside_its_bare_calls(benchmark, dtype):
    torch = pytest.importorskip("torch")
    random, sizes = np.random.default_rng(0), [20, 12, 10] if benchmark.disabled else list(SIZES)
    network = bench.make("architecture", "mlp", sizes=sizes, seed=0).astype(dtype)
    inputs = random.standard_normal((32, sizes[0]))
    batch = bench.Batch(inputs, random.integers(0, 10, 32)).astype(dtype)
    objective = bench.make("objective", "cross_entropy")
    exact = bench.gradient(network, objective, batch)

    def bare():
        for number in range(DRAWS):
            Singly().update(network.parameters, batch, generator(0, number), {})

    def bare_block():
        for first in range(0, DRAWS, 32):
            rngs = [generator(0, number) for number in range(first, first + 32)]
            perturbed(network.parameters, batch, rngs)

    def measured(rule):
        parts = rule, network, objective, batch, DRAWS
        return lambda: bench.measure(*parts, dtype=dtype, threads=1)

    def function():
        Singly_update = lambda p, b, rng: Singly().update(p, b, rng, {})  # noqa: E731
        bench.measure_function(Singly_update, network.parameters, batch, DRAWS, reference=exact)

    runs = bare, measured(Singly()), function, bare_block, measured(InBlocks())
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        seconds = in_turns(runs, 1, 0 if benchmark.disabled else 10, DRAWS)[:, 1]
    finally:
        torch.set_num_threads(threads)
    if not benchmark.disabled:
        alone, rule, by_function, block_alone, block = seconds
        benchmark.extra_info.update(
            foreign=[dtype, rule / alone, by_function / alone, block / block_alone, block / rule],
        )
        assert block < rule
    benchmark.pedantic(runs[1], rounds=1)
