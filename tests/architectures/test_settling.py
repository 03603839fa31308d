"""Sweeps of a network that settles: their twin, compiled and plain, one example at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_energy
from plausibench import bench
from plausibench.architectures import settling
from plausibench.architectures.network import Network
from plausibench.architectures.settling import settle
from settling_cells import OBJECTIVES, cell


class TestSweeps:
    @settings(max_examples=25)
    @given(
        st.lists(st.integers(1, 6), min_size=2, max_size=5),
        st.sampled_from(["tanh", "sigmoid", "softplus"]),
        st.sampled_from(["identity", "sigmoid"]),
        st.sampled_from([None, *OBJECTIVES, "expected_reward"]),
        st.sampled_from([-0.2, 0.5]),
        st.integers(0, 2**20),
    )
    def test_twin(self, sizes, activation, output, objective, nudging, seed):
        """After one and after four sweeps, long before rest."""
        network, batch = cell(
            "mlp", sizes, seed, activation=activation, output=output, bias=bool(seed % 2), scale=0.5
        )
        start = network.forward(batch.inputs)
        nudged = {}
        if objective is not None:
            nudged = {"nudge": bench.make("objective", objective), "targets": batch.targets}
            nudged["nudging"] = nudging
        names = [population.name for population in network.populations]
        for count in (1, 4):
            twins = [
                naive_energy.sweeps(
                    network,
                    x,
                    [start.activity[n][b] for n in names],
                    count,
                    0.5,
                    objective,
                    batch.targets[b],
                    nudging,
                )
                for b, x in enumerate(batch.inputs)
            ]
            rest = settle(network, start, feedback=0.5, tolerance=np.inf, steps=1, **nudged)
            for _ in range(count - 1):
                rest = settle(network, rest, feedback=0.5, tolerance=np.inf, steps=1, **nudged)
            for layer, name in enumerate(names):
                np.testing.assert_allclose(
                    rest.activity[name], [twin[layer] for twin in twins], rtol=1e-11, atol=1e-13
                )

    @pytest.mark.parametrize(
        "objective",
        [None, *OBJECTIVES, "expected_reward", ("cross_entropy", {"double_softmax": True})],
    )
    @pytest.mark.parametrize("clamped", [False, True])
    def test_compiled_and_plain_sweeps_agree(self, monkeypatch, objective, clamped):
        network, batch = cell("hopfield", [6, 5, 4, 3], scale=0.8)
        start = Network.forward(network, batch.inputs)
        options = {"tolerance": 1e-14, "steps": 5000, "feedback": 0.9}
        options["current"] = {"layer1": np.full((2, batch.size, 5), 0.1)}
        if clamped:
            options["clamp"] = np.full((batch.size, 3), 0.3)
        if objective is not None:
            name, choice = (objective, {}) if isinstance(objective, str) else objective
            options["nudge"] = bench.make("objective", name, **choice)
            options |= {"targets": batch.targets, "nudging": 0.4}
        compiled = settle(network, start, **options)
        monkeypatch.setattr(settling, "is_plain", lambda network: False)
        plain = settle(network, start, **options)
        for population in network.populations:
            for found, wanted in zip(
                (compiled.drive, compiled.activity), (plain.drive, plain.activity), strict=True
            ):
                np.testing.assert_allclose(
                    *np.broadcast_arrays(found[population.name], wanted[population.name]),
                    rtol=1e-11,
                    atol=1e-12,
                )

    def test_examples_do_not_see_one_another(self):
        """Bit for bit: each settles by itself."""
        network, batch = cell("hopfield", [6, 5, 3], examples=6)
        whole = network.forward(batch.inputs).output
        part = network.forward(batch.inputs[2:4]).output
        np.testing.assert_array_equal(whole[2:4], part)
