"""What goes with learning: the nulls of realised progress, and rank correlations beside theirs."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

import studied
from plausibench import bench
from plausibench.bench.measuring.draws import prepare
from plausibench.bench.measuring.step import Steps, realised
from plausibench.bench.studies.metric import report, study
from plausibench.kernels.errors import InputError

CROSS_ENTROPY = bench.make("objective", "cross_entropy")


def draw(name):
    return np.random.default_rng(list(name.encode()))


class TestRotation:
    g = draw("g").standard_normal(40)
    draws = draw("draws").standard_normal((5, 40))

    def test_it_keeps_length_and_angle_and_nothing_else(self):
        turned = study.rotated(self.draws, self.g, draw("turned"))
        np.testing.assert_allclose(turned @ self.g, self.draws @ self.g, rtol=1e-12)
        np.testing.assert_allclose((turned**2).sum(1), (self.draws**2).sum(1), rtol=1e-12)
        across = [
            rows - np.outer(rows @ self.g, self.g) / (self.g @ self.g)
            for rows in (turned, self.draws)
        ]
        cosines = (across[0] * across[1]).sum(1) / (across[1] ** 2).sum(1)
        assert (np.abs(cosines) < 0.7).all()  # 5 of 38 directions: by chance once in 10^6

    def test_what_is_only_along_the_gradient_stays(self):
        np.testing.assert_allclose(
            study.rotated(2 * self.g[None], self.g, draw("turned")), 2 * self.g[None], atol=1e-12
        )

    def test_in_a_quadratic_it_makes_the_progress_of_mean_curvature(self, record_figure):
        """Across g all directions are alike, with curvature (tr H - gHg / |g|^2) / (P - 1)."""
        root = draw("hessian").standard_normal((40, 40)) / 6
        hessian = root @ root.T
        g, one = self.g, self.draws[:1] + 0.3 * self.g

        def steps(rows):
            curved = np.einsum("kp,pq,kq->k", rows, hessian, rows)
            return Steps(rows @ g, curved, lambda step: step * (rows @ g) - step**2 * curved / 2, 1)

        turned = study.rotated(np.repeat(one, 4000, axis=0), g, draw("many"))
        found = realised(steps(turned), steps(g[None]), float(one[0] @ g))
        value, low, high = found["realised_progress"]
        along, of_g = float(one[0] @ g) / (g @ g), g @ hessian @ g
        across = float(one[0] @ one[0]) - along**2 * (g @ g)
        mean = (np.trace(hessian) - of_g / (g @ g)) / (g.size - 1)
        expected = along**2 * of_g / (along**2 * of_g + across * mean)
        error = (high - low) / 4
        record_figure(
            "realised progress rotated against theory, errors", abs(value - expected) / error, 4
        )
        assert abs(value - expected) < 4 * error  # by chance once in 16 000
        assert error < 0.02 * expected


def test_rotated_feedback_alignment_in_a_trained_network():
    """As the prototype: where curvature lies in few directions, what is across hardly meets it."""
    network = bench.make("architecture", "mlp", sizes=[64, 32, 32, 10], seed=0)
    task, rule = bench.make("task", "digits"), bench.make("rule", "feedback_alignment")
    trained = bench.train(
        bench.make("rule", "backprop"), task, network, CROSS_ENTROPY, steps=500, learning_rate=0.3
    ).network
    setting = prepare(rule, trained, CROSS_ENTROPY, task.batch(32, seed=777), None, 0)
    found = study.nulls(setting, 2, 0)
    assert 0.9 < found[study.ROTATED][0] <= 1.001
    rho = bench.measure(rule, trained, CROSS_ENTROPY, setting.batch, seed=0).value("progress")
    assert rho < 0.2
    assert found[study.ISOTROPIC][0] == pytest.approx(rho, abs=1e-6)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    found = studied.run(
        "metric",
        tmp_path_factory.mktemp("run"),
        task="digits",
        rules=("backprop", "feedback_alignment", "sign_symmetry", "hebb", "node_perturbation"),
        hidden=(8,),
        steps=40,
        checkpoints=(0, 20),
        samples=40,
        draws=4,
        seeds=2,
    )
    assert set(found.jobs["status"]) == {"done"}
    return found.frame


def values(rows, rule, quantity):
    chosen = (rows["rule"] == rule) & (rows["quantity"] == quantity)
    return rows[chosen].sort_values(["step", "seed"])["value"].to_numpy()


def test_the_null_is_among_the_rules_and_every_rule_has_every_quantity(rows):
    counts = rows.groupby(["rule", "quantity"]).size().unstack()
    assert set(counts.index) == {
        *("backprop", "feedback_alignment", "sign_symmetry", "hebb", "node_perturbation"),
        study.NULL,
    }
    assert (counts[list(report.QUANTITIES)] == 4).all(axis=None)
    assert (counts["test_accuracy"] == 2).all()


def test_backprop_realises_all(rows):
    for quantity in report.QUANTITIES:
        if "progress" in quantity:
            np.testing.assert_allclose(values(rows, "backprop", quantity), 1, atol=1e-6)


def test_in_equal_curvature_progress_is_rho_squared(rows):
    for rule in ("feedback_alignment", "sign_symmetry", "hebb", study.NULL):
        np.testing.assert_allclose(
            values(rows, rule, study.ISOTROPIC), values(rows, rule, "progress"), atol=1e-6
        )


def made(rules, noise, seeds=3):
    """Rows of rules whose progress has the order of their accuracy, but for noise."""
    random = draw("made")
    listed = []
    for seed in range(seeds):
        for place in range(rules):
            name = study.NULL if place == 0 else f"rule_{place}"
            for quantity, value in (
                ("test_accuracy", 0.3 + 0.01 * place),
                ("progress", place + noise * random.standard_normal()),
                ("bias_squared", -place),
            ):
                step = 100 if quantity == "test_accuracy" else 10
                listed.append(
                    {"rule": name, "seed": seed, "step": step, "quantity": quantity, "value": value}
                )
    return pd.DataFrame(listed)


def test_rank_correlations_are_those_of_scipy():
    rows = made(12, 4.0)
    found = report.correlations(rows).set_index("quantity").loc["progress"]
    each = [
        spearmanr(
            own[own["quantity"] == "progress"]["value"],
            own[own["quantity"] == "test_accuracy"]["value"],
        ).statistic
        for _, own in rows.groupby("seed")
    ]
    assert found["value"] == pytest.approx(np.mean(each), rel=1e-12)
    assert found["low"] < found["value"] < found["high"]
    assert found["rules"] == 12


def test_a_perfect_order_is_1_and_its_reverse_minus_1():
    found = report.correlations(made(12, 0.0)).set_index("quantity")["value"]
    assert found["progress"] == pytest.approx(1)
    assert found["bias_squared"] == pytest.approx(-1)


def test_how_far_a_quantity_is_behind_rho_squared():
    found = report.correlations(made(12, 4.0)).set_index("quantity")
    progress, bias = found.loc["progress"], found.loc["bias_squared"]
    assert progress["behind"] == progress["behind_low"] == progress["behind_high"] == 0
    # The order of the bias is perfect here, but for its sign.
    assert bias["behind"] == pytest.approx(progress["value"] - 1)
    assert bias["behind_low"] < bias["behind"] < bias["behind_high"] <= 0


def test_rules_without_noise_and_rules_above_the_null_are_ranked_alone():
    """Every second rule is noisy, and its progress has the reverse order."""
    rows = made(16, 0.0)
    place = rows["rule"].str.extract(r"rule_(\d+)", expand=False).fillna("0").astype(int)
    of_progress = rows["quantity"] == "progress"
    noisy = (place % 2 == 1) & of_progress
    rows.loc[noisy, "value"] = -place[noisy].astype(float)
    spread = rows[of_progress].assign(quantity="variance", value=(place[of_progress] % 2) * 1.0)
    found = report.correlations(pd.concat([rows, spread])).set_index("quantity")
    assert found["quiet"]["progress"] == pytest.approx(1)
    assert found["value"]["progress"] < 0.9
    rows = made(16, 0.0)
    low = (place > 0) & (place < 8)
    rows.loc[low & (rows["quantity"] == "test_accuracy"), "value"] = 0.1
    assert report.correlations(rows).set_index("quantity")["better"]["progress"] == pytest.approx(1)
    assert report.correlations(rows).set_index("quantity")["value"]["progress"] < 0.99


def test_dealt_anew_is_as_wide_as_chance(record_figure):
    """Over n rules a rank correlation of chance has the standard deviation 1 / sqrt(n - 1)."""
    found = report.correlations(made(30, 0.0)).set_index("quantity").loc["progress"]
    for end, sign in (("dealt_low", -1), ("dealt_high", 1)):
        expected = sign * 1.96 / np.sqrt(29)
        record_figure(f"{end} over that of chance", found[end] / expected, "1 +- 0.15")
        # A 2.5 % quantile of 1000 deals has a standard error of 4 % here.
        assert found[end] == pytest.approx(expected, rel=0.15)


def test_what_was_not_learned_is_named_and_not_ranked():
    rows = made(12, 0.0)
    rows.loc[(rows["rule"] == "rule_3") & (rows["quantity"] == "test_accuracy"), "value"] = np.nan
    assert set(report.correlations(rows)["rules"]) == {11}
    tables, pictures = report.report(rows)
    assert set(tables) == set(report.TABLES)
    assert "not ranked: rule 3" in tables["correlations"].render("text", 10_000)
    assert [picture.name for picture in pictures] == ["metric"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"task": "teacher_student"}, "task: teacher_student is no classification"),
        ({"rules": ("e_prop",)}, "e_prop cannot run in this study"),
        ({"checkpoints": (4000,)}, "checkpoints: 4000 is not"),
        ({"draws": 65}, "draws: 65 is not"),
        ({"learning_rates": {"backprop": 0}}, "learning_rates"),
    ],
)
def test_bad_options_are_refused(options, said):
    with pytest.raises(InputError, match=said.split(" ")[0]) as caught:
        study.Options(**{"task": "digits", **options})
    assert said in str(caught.value)
