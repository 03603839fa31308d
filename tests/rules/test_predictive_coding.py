"""Predictive coding: twins, refusals, and where its settling leads."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_energy
from plausibench import bench
from plausibench.architectures.network import Projection
from plausibench.architectures.synapses import DenseSynapse
from plausibench.kernels.errors import Divergence, InputError
from plausibench.rules import predictive_coding
from settling_cells import CROSS_ENTROPY, OBJECTIVES, assert_close, cell, one


class TestPredictiveCoding:
    @settings(max_examples=25)
    @given(
        st.sampled_from(["strict", "fixed_prediction", "zero_divergence", "nudged"]),
        st.lists(st.integers(1, 6), min_size=2, max_size=5),
        st.sampled_from(["identity", "tanh", "sigmoid", "softplus"]),
        st.sampled_from(["identity", "sigmoid"]),
        st.sampled_from(OBJECTIVES),
        st.integers(0, 2**20),
    )
    def test_twin(self, variant, sizes, activation, output, objective, seed):
        network, batch = cell(
            "mlp", sizes, seed, activation=activation, output=output, bias=bool(seed % 2), scale=0.7
        )
        timed = {} if variant == "zero_divergence" else {"steps": 7}
        rule = bench.make("rule", "predictive_coding", variant=variant, step=0.1, **timed)
        goal = bench.make("objective", objective)
        twin = naive_energy.predictive_coding(network, objective, batch, variant, 0.1, 7, 0.1)
        assert_close(one(rule, network, goal, batch), twin)

    @settings(max_examples=25)
    @given(
        st.fixed_dictionaries(
            {
                "values": st.sampled_from(["drives", "activities"]),
                "output": st.sampled_from(["clamped", "loss"]),
                "precision": st.sampled_from([1.0, 0.3]),
                "reduction": st.sampled_from(["sum", "mean"]),
            }
        ),
        st.lists(st.integers(1, 6), min_size=2, max_size=4),
        st.sampled_from(["tanh", "sigmoid", "softplus"]),
        st.sampled_from(["identity", "sigmoid"]),
        st.sampled_from(OBJECTIVES),
        st.integers(0, 2**20),
    )
    def test_twin_of_other_energies(self, options, sizes, activation, output, objective, seed):
        network, batch = cell(
            "mlp", sizes, seed, activation=activation, output=output, bias=bool(seed % 2), scale=0.7
        )
        rule = bench.make("rule", "predictive_coding", step=0.1, steps=7, **options)
        twin = naive_energy.weighed_predictive_coding(network, objective, batch, options, 0.1, 7)
        goal = bench.make("objective", objective)
        assert_close(one(rule, network, goal, batch), twin, relative=1e-9)

    @pytest.mark.parametrize(
        ("options", "sums"),
        [
            ({"output": "loss"}, True),
            ({"output": "loss", "reduction": "mean"}, False),
            ({"values": "activities", "output": "loss"}, True),
        ],
    )
    def test_as_modules_with_automatic_differentiation(self, options, sums):
        """A small version of code in which each error is a derivative that torch finds.

        The energy is half the squared errors of hidden modules plus the loss, summed or averaged.
        """
        torch = pytest.importorskip("torch")
        network, batch = cell("mlp", [6, 5, 4, 3], activation="tanh", scale=0.7, examples=5)
        tensors = {n: torch.tensor(a, requires_grad=True) for n, a in network.parameters.items()}
        inputs, targets = torch.tensor(batch.inputs), torch.tensor(batch.targets)
        at_drives = options.get("values") != "activities"
        reduction = "sum" if sums else "mean"

        def module(k, below):
            if at_drives and k > 1:
                below = torch.tanh(below)
            drive = below @ tensors[f"layer{k}.weights"].T + tensors[f"layer{k}.bias"]
            return drive if at_drives or k == 3 else torch.tanh(drive)

        def energy(v):
            hidden = sum(0.5 * ((v[k] - module(k, v[k - 1])) ** 2).sum() for k in (1, 2))
            output = module(3, v[2])
            return hidden + torch.nn.functional.cross_entropy(output, targets, reduction=reduction)

        v = [inputs]
        for k in (1, 2):
            v.append(module(k, v[k - 1]).detach())
        for _ in range(60):
            for k in (1, 2):
                v[k].requires_grad_()
            forces = torch.autograd.grad(energy(v), v[1:])
            v[1:] = [
                (value - 0.1 * force).detach() for value, force in zip(v[1:], forces, strict=True)
            ]
        energy(v).backward()
        scale = 1 / batch.size if sums else 1.0
        rule = bench.make("rule", "predictive_coding", step=0.1, steps=60, **options)
        wanted = {name: scale * tensor.grad.numpy() for name, tensor in tensors.items()}
        assert_close(one(rule, network, CROSS_ENTROPY, batch), wanted, relative=1e-9)

    def digits_biases(self, size, weight):
        """Relative squared bias with the loss averaged, and of ours, mean over networks."""
        task, rule = bench.make("task", "digits"), bench.make("rule", "predictive_coding")
        biases = []
        for seed, number in product(range(3), range(4)):
            network = bench.make("architecture", "mlp", sizes=[64, 32, 32, 10], seed=seed)
            batch = task.batch(size, seed=100 * seed + number)
            exact = bench.gradient(network, CROSS_ENTROPY, batch)
            twin = naive_energy.averaged_predictive_coding(
                network, CROSS_ENTROPY, batch.inputs, batch.targets, weight
            )
            length = sum((array**2).sum() for array in exact.values())
            biases += [
                sum(((found[n] - exact[n]) ** 2).sum() for n in exact) / length
                for found in (twin, one(rule, network, CROSS_ENTROPY, batch))
            ]
        return np.reshape(biases, (-1, 2)).mean(axis=0)

    def test_a_loss_averaged_over_the_batch_is_as_the_card_says(self, record_figure):
        averaged, strict = np.transpose([self.digits_biases(b, 1 / b) for b in (1, 4, 16, 64)])
        record_figure("bias of predictive coding, loss over a batch of 64", averaged[-1], 0.0002)
        said = "0.12, 0.017, 0.0021, 0.0002 at B = 1, 4, 16, 64"
        assert said in bench.make("rule", "predictive_coding").card.notes
        assert [f"{b:.{n}f}" for b, n in zip(averaged, (2, 3, 4, 4), strict=True)] == (
            said.split(" at ")[0].split(", ")
        )
        # The strict variant is the same for every example, in whatever batch.
        assert max(strict) < 1.3 * min(strict)

    def test_bias_with_an_averaged_loss_falls_as_the_square_of_its_weight(self):
        """On one batch, where terms of higher order are small: 1 / 16 within 5 %."""
        coarse, fine = (self.digits_biases(16, weight)[0] for weight in (1 / 256, 1 / 1024))
        assert coarse / fine == pytest.approx(16, rel=0.05)

    def test_symmetric_is_the_mean_of_two_nudges(self):
        network, batch = cell("mlp", [5, 4, 3])
        rule = bench.make("rule", "predictive_coding", variant="nudged", symmetric=True, steps=9)
        both = [
            naive_energy.predictive_coding(
                network, "cross_entropy", batch, "nudged", 0.1, 9, sign * 0.1
            )
            for sign in (1, -1)
        ]
        mean = {name: (both[0][name] + both[1][name]) / 2 for name in both[0]}
        assert_close(one(rule, network, CROSS_ENTROPY, batch), mean)

    def test_nudged_in_a_network_with_a_shortcut(self):
        """Energies need no chain: a projection from the inputs straight to the output."""
        network, batch = cell("mlp", [5, 4, 3])
        shortcut = Projection("shortcut", "input", "layer2", DenseSynapse(3, 5))
        parameters = {**network.parameters, "shortcut": np.full((3, 5), 0.1)}
        network = replace(
            network, projections=(*network.projections, shortcut), parameters=parameters
        )
        rule = bench.make("rule", "predictive_coding", variant="nudged", nudging=1e-4)
        exact = bench.gradient(network, CROSS_ENTROPY, batch)
        assert_close(one(rule, network, CROSS_ENTROPY, batch), exact, relative=1e-2)
        fixed = bench.make("rule", "predictive_coding", variant="fixed_prediction")
        assert_close(one(fixed, network, CROSS_ENTROPY, batch), exact, relative=1e-13)
        delayed = bench.make("rule", "predictive_coding", variant="zero_divergence")
        assert "chain" in delayed.refusal(network, CROSS_ENTROPY)

    def test_compiled_and_plain_relaxation_agree(self, monkeypatch):
        network, batch = cell("mlp", [6, 5, 4, 3], activation="softplus", output="sigmoid")
        rule = bench.make("rule", "predictive_coding")
        compiled = one(rule, network, CROSS_ENTROPY, batch)
        monkeypatch.setattr(predictive_coding, "is_plain", lambda network: False)
        assert_close(compiled, one(rule, network, CROSS_ENTROPY, batch), relative=1e-12)

    @settings(max_examples=8)
    @given(
        st.lists(st.integers(1, 5), min_size=2, max_size=4),
        st.sampled_from(["tanh", "sigmoid", "softplus"]),
        st.sampled_from(OBJECTIVES),
        st.sampled_from([0.01, 0.5]),
        st.integers(0, 2**20),
    )
    def test_nudged_values_rest_where_euler_steps_lead(
        self, sizes, activation, objective, nudging, seed
    ):
        network, batch = cell("mlp", sizes, seed, activation=activation, examples=2)
        rule = bench.make("rule", "predictive_coding", variant="nudged", nudging=nudging)
        goal = bench.make("objective", objective)
        twin = naive_energy.predictive_coding(
            network, objective, batch, "nudged", 0.3, 900, nudging
        )
        assert_close(one(rule, network, goal, batch), twin, relative=1e-7)

    def test_strong_weights_rest_where_euler_steps_lead(self):
        """Plain turns would overshoot, each by more than the one before."""
        network, batch = cell("mlp", [5, 6, 6, 3], activation="identity", scale=2.0)
        rule = bench.make("rule", "predictive_coding", variant="nudged", nudging=0.5)
        euler = replace(rule, step=0.02, steps=9000)
        goal = bench.make("objective", "mean_squared_error")
        found = one(rule, network, goal, batch)
        assert_close(found, one(euler, network, goal, batch), relative=1e-6)

    def test_a_step_that_is_too_long_diverges(self):
        network, batch = cell("mlp", [5, 6, 6, 3], activation="identity")
        rule = bench.make("rule", "predictive_coding", step=3.0, steps=2000)
        with pytest.raises(Divergence, match="shorter step"):
            one(rule, network, CROSS_ENTROPY, batch)

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"variant": "loose"}, "strict"),
            ({"step": 0}, "step"),
            ({"steps": 0}, "steps"),
            ({"nudging": -1}, "nudging"),
            ({"variant": "zero_divergence", "steps": 3}, "leave steps out"),
            ({"symmetric": True}, "no nudge"),
            ({"symmetric": 1}, "true or false"),
            ({"values": "rates"}, "activities"),
            ({"output": "free"}, "loss"),
            ({"precision": 0}, "precision"),
            ({"reduction": "average"}, "mean"),
            ({"variant": "nudged", "output": "loss"}, "output: nudged has one energy"),
            ({"variant": "zero_divergence", "precision": 0.5}, "precision: zero_divergence"),
        ],
    )
    def test_options_are_refused(self, options, said):
        with pytest.raises(InputError, match=said):
            bench.make("rule", "predictive_coding", **options)
