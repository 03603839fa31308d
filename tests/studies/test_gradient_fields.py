"""Gradient fields: what they keep and gain, symmetric Jacobians, Oja's in closed form."""

import numpy as np
import pytest

import studied
from plausibench.architectures.linear import Linear
from plausibench.bench.studies.gradient_fields import report, study
from plausibench.bench.studies.gradient_fields.report import drifts, fields, rules
from plausibench.bench.studies.gradient_fields.report import gradient_fields as picture
from plausibench.kernels.errors import InputError
from plausibench.objectives.batch import Batch
from plausibench.objectives.mean_squared_error import MeanSquaredError
from plausibench.rules.oja import Oja

FEW = ("backprop", "feedback_alignment", "equilibrium_propagation", "oja")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return studied.run("gradient_fields", tmp_path_factory.mktemp("run"), rules=FEW, seeds=2)


@pytest.fixture(scope="module")
def rows(found):
    return found.frame


def value(rows, field, quantity):
    own = rows[(rows["field"] == field) & (rows["quantity"] == quantity)]
    return own["value"].to_numpy()


def test_gradient_is_that_of_the_height():
    points = np.random.default_rng(0).normal(size=(20, 2))
    step = 1e-6
    for axis in range(2):
        ahead = step * np.eye(2)[axis]
        slope = (study.height(points + ahead) - study.height(points - ahead)) / (2 * step)
        np.testing.assert_allclose(study.gradient(points)[:, axis], slope, atol=1e-9)


def test_runge_kutta_is_of_fourth_order():
    """On dx/dt = J x, whose solution is a rotation."""
    errors = []
    for step in (0.1, 0.05):
        point = np.array([1.0, 0.0])
        for _ in range(round(1 / step)):
            point = study.runge_kutta(lambda p: np.array([-p[1], p[0]]), point, step)
        errors.append(np.linalg.norm(point - [np.cos(1), np.sin(1)]))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(4, abs=0.1)


def test_the_orthogonal_field_keeps_performance(rows):
    assert (value(rows, "orthogonal", "change") < 1e-8).all()
    assert (value(rows, "orthogonal", "length") > 1).all()


@pytest.mark.parametrize("field", ["gradient", "mixture"])
def test_the_others_reach_a_maximum(rows, field):
    assert (value(rows, field, "slope at the end") < 1e-8).all()
    assert (value(rows, field, "gain") > 0.5).all()


def test_the_mixture_is_slower_by_its_share_of_the_gradient(rows):
    along, across = study.MIXTURE
    # The trapezoid over steps of 0.02 is right to about 4e-5.
    expected = along / np.hypot(along, across)
    np.testing.assert_allclose(value(rows, "mixture", "share"), expected, rtol=1e-4)
    np.testing.assert_allclose(value(rows, "gradient", "share"), 1, rtol=1e-4)


def test_a_field_at_a_point_splits_as_it_was_mixed():
    points = np.random.default_rng(1).normal(size=(10, 2))
    for point in points:
        g = study.gradient(point)
        along, rest = study.decomposed(study.mixture(point), g)
        assert along == pytest.approx(study.MIXTURE[0], rel=1e-12)
        assert abs(rest @ g) < 1e-15
        whole = np.sum(study.mixture(point) ** 2)
        assert along**2 * (g @ g) + rest @ rest == pytest.approx(whole, rel=1e-12)


def test_euler_steps_leave_the_level_set_in_proportion_to_their_length(rows):
    drift = drifts(rows)
    powers = np.log2(np.abs(drift[0.04] / drift[0.02]))
    np.testing.assert_allclose(powers, 1, atol=0.1)
    # Next to runge_kutta: thousands of times less over ten times the time.
    assert (np.abs(drift[0.02]) > 1000 * value(rows, "orthogonal", "change").max()).all()


def test_share_of_known_matrices():
    symmetric, turn = np.diag([1.0, 2.0]), np.array([[0.0, -1.0], [1.0, 0.0]])
    assert study.antisymmetric_share(symmetric) == 0
    assert study.antisymmetric_share(turn) == 1
    assert study.antisymmetric_share(symmetric * 0) == 0
    random = np.random.default_rng(0).normal(size=(200, 200))
    assert study.antisymmetric_share(random) == pytest.approx(0.5, abs=0.01)


def share(rows, rule):
    own = rows[(rows["rule"] == rule) & (rows["quantity"] == "antisymmetric")]
    return own["value"].to_numpy()


def test_gradients_have_symmetric_jacobians_and_others_have_not(rows, record_figure):
    assert (share(rows, "backprop") < 1e-7).all()
    # The estimate is the gradient of a contrast of energies, exactly, though biased.
    assert (share(rows, "equilibrium_propagation") < 1e-7).all()
    for rule in ("feedback_alignment", "oja"):
        found = share(rows, rule).mean()
        record_figure(f"{rule}: antisymmetric share of the Jacobian", found, "above 0")
        assert (share(rows, rule) > 0.1).all()


def test_predictive_coding_is_a_gradient_where_its_target_is_fixed():
    """The clamped output is the target for the squared error, a step on the loss else."""
    found = {}
    for objective in ("mean_squared_error", "cross_entropy"):
        (found[objective],) = (
            row["value"]
            for row in study.rule_rows("predictive_coding[step=0.3,steps=100]", (objective,), 0)
            if row["quantity"] == "antisymmetric"
        )
    assert found["mean_squared_error"] < 1e-6
    assert found["cross_entropy"] > 0.05


def test_the_jacobian_of_oja_is_the_closed_form():
    """J = C - (w^T C w) I - 2 w (C w)^T for one linear neuron; symmetric at an eigenvector."""
    draw = np.random.default_rng(3)
    inputs = draw.normal(size=(50, 4)) * [2.0, 1.5, 1.0, 0.5]
    batch = Batch(inputs, draw.normal(size=(50, 1)))
    network = Linear((4, 1), bias=False).build(0)
    (name,) = network.parameters
    c = inputs.T @ inputs / 50
    for w in (draw.normal(size=4), np.linalg.eigh(c)[1][:, -1]):
        here = network.with_parameters({name: w[None]})
        found = -study.jacobian(Oja(readout=False, gain=1), here, MeanSquaredError(), batch, 0)
        expected = c - (w @ c @ w) * np.eye(4) - 2 * np.outer(w, c @ w)
        np.testing.assert_allclose(found, expected, atol=1e-6)
        away = np.linalg.norm(c @ w - (w @ c @ w) * w)
        assert (study.antisymmetric_share(found) > 0.05) == (away > 0.1)


def test_report(rows):
    assert len(rules(rows).cells) == len(FEW)
    assert "equilibrium propagation" in rules(rows).render("markdown")
    table = fields(rows)
    assert list(table.raw["field"]) == list(study.FIELDS)
    np.testing.assert_allclose(table.raw["share"], table.raw["theory"], atol=1e-4)
    drawn = picture(rows)
    assert drawn.name == "gradient_fields"
    assert len(drawn.figure.axes) == 5


def test_driver(found):
    """Jobs of fields, Euler steps and rules, each with what tells it apart."""
    assert set(found.jobs["status"]) == {"done"}
    assert len(found.jobs) == len(study.FIELDS) + len(study.EULER) + 2 * len(FEW)
    known = found.jobs[["field", "step", "rule", "seed"]].notna()
    assert known.value_counts().to_dict() == {
        (True, False, False, False): len(study.FIELDS),
        (True, True, False, False): len(study.EULER),
        (False, False, True, True): 2 * len(FEW),
    }
    tables, pictures = report.report(found.frame)
    assert tuple(tables) == report.TABLES
    assert [picture.name for picture in pictures] == ["gradient_fields"]


@pytest.mark.parametrize("options", [{"seeds": 1}, {"seed": -1}, {"rules": ("weight_mirro",)}])
def test_refusals(options):
    with pytest.raises(InputError, match=next(iter(options)).rstrip("s")):
        studied.options("gradient_fields", **options)


def test_rules_whose_mean_takes_sampling_are_refused():
    with pytest.raises(InputError, match="by sampling only"):
        studied.options("gradient_fields", rules=("spiking_burstprop",))
