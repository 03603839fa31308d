"""Least control: its twin, an independent version and refusals."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_energy
from plausibench import bench
from plausibench.kernels.errors import Divergence, InputError
from settling_cells import CROSS_ENTROPY, OBJECTIVES, assert_close, cell, one


class TestLeastControl:
    @settings(max_examples=15)
    @given(
        st.lists(st.integers(1, 5), min_size=2, max_size=4),
        st.sampled_from(["tanh", "sigmoid", "softplus"]),
        st.sampled_from(["identity", "sigmoid"]),
        st.sampled_from(OBJECTIVES),
        st.sampled_from([1.0, 0.3]),
        st.integers(0, 2**20),
    )
    def test_twin(self, sizes, activation, output, objective, target_step, seed):
        options = {"activation": activation, "output": output, "bias": bool(seed % 2)}
        network, batch = cell("mlp", sizes, seed, scale=0.7, **options)
        rule = bench.make("rule", "least_control", target_step=target_step)
        twin = naive_energy.least_control(network, objective, batch, target_step)
        assert_close(one(rule, network, bench.make("objective", objective), batch), twin)

    def test_newtons_method_finds_the_smallest_control(self):
        """Half the squared control is minimised over hidden drives, with torch's derivatives."""
        torch = pytest.importorskip("torch")
        network, batch = cell("mlp", [6, 5, 4, 3], scale=0.7)
        tensors = {n: torch.tensor(a, requires_grad=True) for n, a in network.parameters.items()}
        clean = torch.tensor(network.forward(batch.inputs).output)
        hot = torch.nn.functional.one_hot(torch.tensor(batch.targets), 3)
        aims = clean - (torch.softmax(clean, dim=1) - hot)

        def layer(k, below):
            return tensors[f"layer{k}.weights"] @ below + tensors[f"layer{k}.bias"]

        for x, aim in zip(torch.tensor(batch.inputs), aims, strict=True):

            def half_square(v, x=x, aim=aim):
                first, second = torch.split(v, [5, 4])
                controls = [
                    first - layer(1, x),
                    second - layer(2, torch.tanh(first)),
                    aim - layer(3, torch.tanh(second)),
                ]
                return 0.5 * sum((c**2).sum() for c in controls)

            first = layer(1, x).detach()
            v = torch.cat([first, layer(2, torch.tanh(first)).detach()])
            for _ in range(30):
                slope = torch.autograd.functional.jacobian(half_square, v)
                curvature = torch.autograd.functional.hessian(half_square, v)
                v = v - torch.linalg.solve(curvature, slope)
            assert slope.abs().max() < 1e-13
            assert torch.linalg.eigvalsh(curvature).min() > 0
            (half_square(v) / batch.size).backward()
        wanted = {name: tensor.grad.numpy() for name, tensor in tensors.items()}
        rule = bench.make("rule", "least_control")
        assert_close(one(rule, network, CROSS_ENTROPY, batch), wanted, relative=1e-9)

    def test_a_target_out_of_reach_is_an_outcome(self):
        network, batch = cell("mlp", [5, 9, 9, 3], scale=30.0)
        rule = bench.make("rule", "least_control", target_step=1e6)
        with pytest.raises(Divergence, match="smaller target_step"):
            one(rule, network, bench.make("objective", "mean_squared_error"), batch)

    def test_options_are_refused(self):
        with pytest.raises(InputError, match="target_step"):
            bench.make("rule", "least_control", target_step=0)
