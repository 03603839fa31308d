"""The scaling study: fits that cover, closed forms beside samples, and the picture."""

import numpy as np
import pandas as pd
import pytest

import studied
from plausibench.bench import estimates, gradient
from plausibench.bench.measuring.exponents import exponent
from plausibench.bench.running.executor import Processes
from plausibench.bench.studies.scaling import study as scaling
from plausibench.bench.studies.scaling.report import LAWS, exponents, fit, points
from plausibench.bench.studies.scaling.report import scaling as picture
from plausibench.kernels.errors import InputError
from plausibench.objectives.mean_squared_error import MeanSquaredError
from plausibench.rules.weight_perturbation import WeightPerturbation

SIZES = tuple(
    point
    for point in scaling.POINTS
    if (point.axis in ("width", "depth", "batch size") and point.value <= 32)
    or (point.axis == "outputs" and point.value <= 64)
)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """A small version of the study: fewer draws, the smaller networks."""
    path = tmp_path_factory.mktemp("scaling")
    found = studied.run("scaling", path, samples=1600, seeds=4, points=SIZES)
    assert set(found.jobs["status"]) == {"done"}
    return found.frame


class TestExponent:
    def test_an_exact_power_law_is_found(self):
        x = np.array([1.0, 3.0, 10.0, 40.0])
        found = exponent(x, np.array([5 * x**1.5, 7 * x**1.5]))
        assert found.value == pytest.approx(1.5, abs=1e-12)
        assert found.factor == pytest.approx(np.sqrt(35), rel=1e-12)
        assert found.high - found.low < 1e-12

    @pytest.mark.parametrize("replicates", [3, 5])
    def test_intervals_cover_as_often_as_stated(self, replicates, record_figure):
        """Unequal errors, and replicates that differ by more than their errors say."""
        generator = np.random.default_rng(0)
        x = np.array([4.0, 8.0, 16.0, 64.0, 128.0])
        errors = np.array([0.02, 0.05, 0.1, 0.2, 0.05])
        trials, covered = 2000, 0
        for _ in range(trials):
            shape = (replicates, x.size)
            own = 1 + 0.05 * generator.standard_normal((replicates, 1))
            noise = errors * generator.standard_normal(shape)
            y = np.exp(noise) * 3 * x ** (0.7 * own)
            found = exponent(x, y, errors * y)
            covered += found.low <= 0.7 <= found.high
        record_figure(f"coverage of fitted exponents, {replicates} seeds", covered / trials, 0.95)
        # Four standard errors of a share of 0.95.
        assert abs(covered / trials - 0.95) < 4 * np.sqrt(0.95 * 0.05 / trials)

    def test_weights_make_the_interval_shorter(self):
        generator = np.random.default_rng(1)
        x = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
        errors = np.array([0.3, 0.01, 0.01, 0.01, 0.3])
        widths = []
        for weights in (None, errors):
            found = []
            for _ in range(200):
                y = x * np.exp(errors * generator.standard_normal((4, 5)))
                one = exponent(x, y, None if weights is None else weights * y)
                found.append(one.high - one.low)
            widths.append(np.mean(found))
        assert widths[1] < 0.5 * widths[0]

    @pytest.mark.parametrize("jitter", [0.0, 1e-15])
    @pytest.mark.parametrize("errors", [None, 0.0, 1e-17, [1e-17, 0.1, 0.1], [0.0, 0.1, 0.2]])
    def test_a_constant_has_the_exponent_0(self, jitter, errors):
        """Whatever its rounding, and that of its errors."""
        x = np.array([1.0, 2.0, 8.0])
        y = 3.7 * (1 + jitter * np.random.default_rng(3).standard_normal((3, 3)))
        found = exponent(x, y, None if errors is None else np.broadcast_to(errors, y.shape))
        assert (found.value, found.low, found.high) == (0, 0, 0)
        assert found.factor == pytest.approx(3.7)

    def test_an_exact_point_decides_no_exponent_by_itself(self):
        """Its error is rounding, and weights that follow it leave nothing to fit a line to."""
        x = np.array([1.0, 2.0, 4.0, 8.0])
        y = np.array([5 * x**0.5, 6 * x**0.5])
        errors = np.broadcast_to([1e-18, 0.1, 0.1, 0.1], y.shape) * y
        assert exponent(x, y, errors).value == pytest.approx(0.5, abs=1e-9)

    def test_one_replicate_has_no_interval(self):
        found = exponent(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
        assert found.value == pytest.approx(2)
        assert np.isnan([found.low, found.high]).all()

    @pytest.mark.parametrize(
        ("x", "y"),
        [([1, 1], [[1, 2]]), ([1, 2], [[1, 2, 3]]), ([1, 2], [[1, -2]]), ([0, 1], [1, 2])],
    )
    def test_bad_input_is_refused(self, x, y):
        with pytest.raises(InputError) as caught:
            exponent(np.array(x), np.array(y))
        assert "\n" not in str(caught.value)


class TestStudy:
    @pytest.mark.parametrize("one", [one for one in LAWS if one.theory is not None], ids=str)
    def test_intervals_of_a_small_study_are_near_theory(self, rows, one):
        """Of 15 intervals of 95 % some miss: each is widened to 99.9 % (t, 3 degrees)."""
        found = fit(points(rows, one), one)
        if found is None:
            assert one.quantity == "bias"
            assert one.estimator == "one-sided"  # which takes more draws than this
            return
        half = (found.high - found.low) / 2 * 12.92 / 3.18
        assert abs(found.value - one.theory) < half

    def test_most_intervals_of_a_small_study_cover_theory(self, rows, record_figure):
        table = exponents(rows).cells
        judged = table[table["covered"].isin(["yes", "no"])]
        assert len(judged) >= 12
        share = (judged["covered"] == "yes").mean()
        record_figure("small scaling study, exponents whose interval covers theory", share, 0.95)
        assert share >= 0.8

    def test_the_closed_form_of_weight_perturbation_is_the_law(self, rows):
        own = rows[(rows["rule"] == "weight_perturbation") & (rows["quantity"] == "variance")]
        np.testing.assert_allclose(own["exact"], own["weights"] + 1, rtol=1e-9)

    def test_the_closed_form_of_node_perturbation_is_the_law_in_one_layer(self, rows):
        own = rows[(rows["rule"] == "node_perturbation") & (rows["quantity"] == "variance")]
        own = own[own["axis"] == "outputs"]
        np.testing.assert_allclose(own["exact"], own["nodes"] + 1, rtol=1e-9)

    def test_sampled_variances_agree_with_the_closed_form(self, rows):
        own = rows[rows["quantity"] == "variance"]
        error = (own["high"] - own["low"]) / 2 / 2.093
        z = (own["value"] - own["exact"]) / error
        assert (z.abs() < 5).all()
        assert np.sqrt((z**2).mean()) < 1.6

    def test_bias_of_weight_perturbation_is_that_of_the_smoothed_loss(self, rows):
        """In a linear network of two layers, E F(w + sigma xi) = F + sigma^2 / 2 trace H."""
        name = "weight_perturbation"
        network, batch = scaling.setting(scaling.NETS[name], 0)
        one, two = (network.parameters[f"layer{n}.weights"] for n in (1, 2))
        x = batch.inputs
        covariance = x.T @ x / len(x)
        bias = {
            "layer1.weights": len(two) * one @ covariance,
            "layer2.weights": np.trace(covariance) * two,
        }
        g = gradient(network, MeanSquaredError(), batch)
        length = sum((part**2).sum() for part in g.values())
        exact = np.sqrt(sum((part**2).sum() for part in bias.values()) / length)
        own = rows[(rows["rule"] == name) & (rows["quantity"] == "bias_squared")]
        own = own[(own["axis"] == "amplitude") & (own["seed"] == 0)]
        own = own[own["estimator"] == "antithetic"]
        assert len(own) == 6
        truth = (exact * own["sigma"] ** 2) ** 2
        assert (((own["low"] + own["high"]) / 2 - truth).abs() < (own["high"] - own["low"])).all()

    def test_a_one_sided_estimate_over_a_noise_and_its_mirror_is_the_antithetic_one(self):
        """So both have the same mean, and a bias of order sigma squared."""
        network, batch = scaling.setting(scaling.NETS["weight_perturbation"], 0)
        objective = MeanSquaredError()

        class Mirrored(WeightPerturbation):
            def estimate(self, network, objective, batch, clean, state, noise):
                class Opposite:
                    @staticmethod
                    def parameters(arrays, law):
                        return {k: -v for k, v in noise.parameters(arrays, law).items()}

                    @staticmethod
                    def again(name, law):
                        """They are not drawn again."""

                return super().estimate(network, objective, batch, clean, state, Opposite())

        def draws(kind, antithetic):
            return estimates(kind(0.5, antithetic), network, objective, batch, 16, 0)

        plus, minus = draws(WeightPerturbation, False), draws(Mirrored, False)
        both = draws(WeightPerturbation, True)
        for name, array in both.items():
            np.testing.assert_allclose((plus[name] + minus[name]) / 2, array, rtol=1e-9, atol=1e-9)

    @pytest.mark.acceptance
    def test_processes_do_not_change_the_values(self, tmp_path):
        small = {"samples": 320, "seeds": 2, "points": scaling.POINTS[:1]}
        one = studied.run("scaling", tmp_path / "one", **small)
        two = studied.run("scaling", tmp_path / "two", executor=Processes(2), **small)
        pd.testing.assert_frame_equal(one.frame, two.frame, check_exact=True)

    @pytest.mark.parametrize("given", [{"samples": 1}, {"seeds": 1}, {"seed": -1}])
    def test_bad_input_is_refused(self, given):
        with pytest.raises(InputError, match=next(iter(given))):
            scaling.Options(**given)

    def test_error_is_bias_and_variance_together(self):
        """Against moments of formed draws."""
        name, sigma = "weight_perturbation", 0.5
        network, batch = scaling.setting(scaling.NETS[name], 0)
        found = {
            (row["estimator"], row["quantity"]): row["value"]
            for row in scaling.amplitude_rows(name, sigma, 640, 0)
        }
        noise = scaling.stream(0, "scaling", sigma)
        flat = [
            np.concatenate([part.reshape(640, -1) for part in drawn.values()], axis=1)
            for rule in (WeightPerturbation(sigma, False), WeightPerturbation(scaling.LIMIT))
            for drawn in [estimates(rule, network, MeanSquaredError(), batch, 640, noise)]
        ]
        g = gradient(network, MeanSquaredError(), batch)
        length = sum((part**2).sum() for part in g.values())
        error = np.sqrt(((flat[0] - flat[1]) ** 2).sum(axis=1).mean() / length)
        assert found["one-sided", "error of single draws"] == pytest.approx(error, rel=1e-9)


def test_every_panel_has_labels_and_points(rows):
    drawn = picture(rows)
    axes = drawn.figure.findobj(lambda part: part.__class__.__name__ == "Axes")
    labels = {(a.get_xlabel(), a.get_ylabel()) for a in axes}
    assert ("number of weights + 1", "relative variance") in labels
    assert ("noise amplitude", "relative bias") in labels
    filled = [a for a in axes if a.lines]
    assert len(filled) == 5  # this study has no tanh networks of other depths
    for a in filled:
        assert a.get_xlabel()
        assert a.get_ylabel()
        assert (a.get_xscale(), a.get_yscale()) == ("log", "log")
    assert "one-sided" in drawn.caption


@pytest.mark.parametrize("form", ["text", "markdown", "csv"])
def test_the_table_sets_exponents_beside_theory(rows, form):
    text = exponents(rows).render(form)
    assert "theory" in text
    assert "exponent" in text
    assert text.count("weight") >= len(LAWS) // 2
