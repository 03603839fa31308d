"""Incremental predictive coding: its twin, an independent version and refusals."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_energy
from plausibench import bench
from plausibench.kernels.errors import Divergence, InputError
from settling_cells import CROSS_ENTROPY, OBJECTIVES, assert_close, cell, one

RULE = "incremental_predictive_coding"


class TestIncrementalPredictiveCoding:
    @settings(max_examples=15)
    @given(
        st.lists(st.integers(1, 6), min_size=2, max_size=5),
        st.sampled_from(OBJECTIVES),
        st.sampled_from(["clamped", "loss"]),
        st.integers(0, 2**20),
    )
    def test_twin(self, sizes, objective, output, seed):
        network, batch = cell("mlp", sizes, seed, bias=True, scale=0.7)
        rule = bench.make("rule", RULE, step=0.3, steps=9, output=output, precision=0.4)
        twin = naive_energy.incremental_predictive_coding(
            network, objective, batch, 0.3, 9, output == "loss", 0.4
        )
        found = one(rule, network, bench.make("objective", objective), batch)
        assert_close(found, twin, relative=1e-9)

    def test_automatic_differentiation_finds_the_same(self):
        """Torch takes every derivative of the energy, those of the weights included."""
        torch = pytest.importorskip("torch")
        network, batch = cell("mlp", [6, 5, 4, 3], scale=0.7, examples=5)
        tensors = {n: torch.tensor(a, requires_grad=True) for n, a in network.parameters.items()}
        inputs, targets = torch.tensor(batch.inputs), torch.tensor(batch.targets)

        def drive(k, below):
            return below @ tensors[f"layer{k}.weights"].T + tensors[f"layer{k}.bias"]

        def terms(v):
            """Errors of prediction, and the summed loss at the output that values predict."""
            below = [inputs, *map(torch.tanh, v)]
            constraints = [v[k] - drive(k + 1, below[k]) for k in range(2)]
            output = drive(3, below[2])
            loss = torch.nn.functional.cross_entropy(output, targets, reduction="sum")
            return constraints, loss

        v, below = [], inputs
        for k in (1, 2):
            v.append(drive(k, below).detach())
            below = torch.tanh(v[-1])
        for _ in range(7):
            for value in v:
                value.requires_grad_()
            constraints, loss = terms(v)
            energy = 0.4 * loss + sum(0.5 * (c**2).sum() for c in constraints)
            # Gradients of the parameters add up over the steps.
            (energy / (0.4 * 7 * batch.size)).backward()
            v = [(a - 0.3 * 0.4 * 7 * batch.size * a.grad).detach() for a in v]
        rule = bench.make("rule", RULE, step=0.3, steps=7, output="loss", precision=0.4)
        wanted = {name: tensor.grad.numpy() for name, tensor in tensors.items()}
        assert_close(one(rule, network, CROSS_ENTROPY, batch), wanted, relative=1e-9)

    def test_steps_that_are_too_long_diverge(self):
        network, batch = cell("mlp", [5, 6, 6, 3], activation="identity")
        rule = bench.make("rule", RULE, step=3.0, steps=3000)
        with pytest.raises(Divergence, match="shorter steps"):
            one(rule, network, bench.make("objective", "mean_squared_error"), batch)

    @pytest.mark.parametrize(
        "options", [{"step": 0}, {"steps": 0}, {"output": "free"}, {"precision": 0}]
    )
    def test_options_are_refused(self, options):
        with pytest.raises(InputError, match=rf"\b{list(options)[-1]}: "):
            bench.make("rule", RULE, **options)
