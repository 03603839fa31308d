"""The averaging curve: means over draws, by their number."""

import numpy as np
import pytest

from plausibench import bench
from plausibench.bench.measuring.statistics import student_quantile
from plausibench.kernels.errors import InputError
from training_cells import SQUARED_ERROR, TASK, flat, mlp, rows_of


class TestAveraging:
    network, batch = mlp(6), TASK.batch(8, seed=1)

    def curve(self, name, **options):
        rule = bench.make("rule", name)
        return bench.averaging_curve(rule, self.network, SQUARED_ERROR, self.batch, **options)

    @pytest.mark.parametrize("samples", [1, 5, 16, 50, 64])
    def test_agrees_with_means_of_the_draws(self, samples):
        found = self.curve("node_perturbation", samples=samples, seed=4)
        rule = bench.make("rule", "node_perturbation")
        draws = rows_of(
            bench.estimates(rule, self.network, SQUARED_ERROR, self.batch, samples, seed=4)
        )
        g = flat(bench.gradient(self.network, SQUARED_ERROR, self.batch))
        assert found["averaged"].tolist() == [2**k for k in range(samples.bit_length())]
        for row in found.itertuples():
            runs = samples // row.averaged
            means = draws[: runs * row.averaged].reshape(runs, row.averaged, -1).mean(axis=1)
            cosines = means @ g / np.linalg.norm(means, axis=1) / np.linalg.norm(g)
            assert row.runs == runs
            assert row.cosine == pytest.approx(cosines.mean(), rel=1e-12)
            if runs < 4:
                assert np.isnan(row.low)
                assert np.isnan(row.high)
                continue
            half = student_quantile(0.95, runs - 1) * cosines.std(ddof=1) / runs**0.5
            assert row.high - row.cosine == pytest.approx(half, rel=1e-9)
            assert row.cosine - row.low == pytest.approx(half, rel=1e-9)

    def test_noise_averages_out(self):
        found = self.curve("node_perturbation", samples=1024)["cosine"].to_numpy()
        assert (np.diff(found) > 0).all()
        # Of an unbiased rule the mean of K has the cosine 1 / sqrt(1 + V / K).
        rule = bench.make("rule", "node_perturbation")
        variance = bench.measure(rule, self.network, SQUARED_ERROR, self.batch, 4000).value(
            "variance"
        )
        assert found[-1] == pytest.approx(1 / np.sqrt(1 + variance / 1024), abs=0.02)

    def test_bias_does_not(self):
        found = self.curve("feedback_alignment", samples=512, redraw={"feedback"})
        marginal = bench.measure(
            bench.make("rule", "feedback_alignment"),
            self.network,
            SQUARED_ERROR,
            self.batch,
            4000,
            redraw={"feedback"},
        )
        plateau = 1 - marginal.value("direction_bias")
        assert plateau < 0.95
        assert found["cosine"].iloc[-1] == pytest.approx(plateau, abs=0.02)
        assert found["cosine"].iloc[0] < found["cosine"].iloc[-1]
        assert set(found["redrawn"]) == {"feedback"}

    def test_of_a_deterministic_rule_is_one_point(self):
        found = self.curve("feedback_alignment", samples=512)
        assert found["averaged"].tolist() == [1]
        assert found["cosine"][0] < 0.95
        assert found["redrawn"][0] == "nothing"

    def test_bad_options_are_refused(self):
        with pytest.raises(InputError, match="samples: 0 is not"):
            self.curve("backprop", samples=0)
