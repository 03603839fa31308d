"""The dendritic microcircuit where it is not perfect."""

import numpy as np
import pytest

from dendritic_cells import (
    PAPER,
    bench_step,
    microcircuit,
    whole_error,
)
from plausibench.kernels.errors import InputError
from plausibench.rules.dendritic_error import DendriticError


class TestImperfectMicrocircuit:
    def test_mismatch_is_a_relative_error_of_lateral_weights_only(self):
        network = microcircuit(DendriticError()).network
        ideal = DendriticError().initial_state(network, 1)
        drawn = DendriticError(mismatch=0.2).initial_state(network, 1)
        for name, array in ideal.items():
            error = drawn.get(f"{name}_mismatch", 0.0)
            np.testing.assert_allclose(drawn[name], array * (1 + error), rtol=1e-12)
            assert (".interneuron_" in name) == np.any(error)

    def test_mismatch_stays_while_weights_move(self):
        at = microcircuit(DendriticError(mismatch=0.2))
        moved = at.network.with_parameters({k: 2 * v for k, v in at.network.parameters.items()})
        advanced = at.rule.advance(at.state, bench_step(moved, at))
        assert set(advanced) == set(at.state)
        for name, array in at.state.items():
            factor = 1 if name.endswith("_mismatch") else 2
            np.testing.assert_allclose(advanced[name], factor * array, rtol=1e-12)

    def test_error_of_a_mismatch_grows_as_nudging_weakens(self, record_figure):
        def error(nudging):
            ideal = microcircuit(DendriticError(nudging, tolerance=1e-11))
            other = microcircuit(DendriticError(nudging, tolerance=1e-11, mismatch=1e-4))
            return whole_error(other, lambda _: {k: v[0] for k, v in ideal.draws().items()})

        power = np.log10(error(1e-3) / error(1e-2))
        record_figure("error of a mismatch: minus the power of nudging", power, "1 within 0.05")
        assert abs(power - 1) < 0.05

    @pytest.mark.parametrize("place", [{}, {**PAPER, "activation": "sigmoid"}])
    def test_variance_of_membrane_noise(self, place, record_figure):
        """noise^2 |factor f'|^2 |r|^2 / B^2 of every layer; the first order of f."""
        rule = DendriticError(noise=1e-3)
        at = microcircuit(rule, **place)
        draws, factors = at.draws(4000), rule.factors(at.network)
        top = at.network.output
        clean = at.network.forward(at.batch.inputs)
        goal = top.neurons.attenuation * clean.drive[top.name]
        goal = goal - at.objective.error(clean.output, at.batch.targets)
        circuit = rule.settled(at.network, at.batch.inputs, at.state, goal)
        for p in at.network.projections:
            rate = next(q.neurons for q in at.network.populations if q.name == p.target).rate
            slope = rate.slope(circuit.soma[p.target], circuit.flow.activity[p.target])
            pre = (circuit.flow.presynaptic(p) ** 2).sum(axis=1)
            unit = (1e-3 * factors[p.target] / at.batch.size) ** 2
            theory = unit * ((slope**2).sum(axis=1) @ pre)
            ratio = draws[p.name].var(axis=0, ddof=1).sum() / theory
            record_figure("variance of membrane noise over its law", ratio, "1 within 0.05")
            assert abs(ratio - 1) < 0.05

    @pytest.mark.parametrize("option", ["mismatch", "noise"])
    def test_refuses_negative_imperfections(self, option):
        with pytest.raises(InputError, match=f"^{option}: "):
            DendriticError(**{option: -0.1})
