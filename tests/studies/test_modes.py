"""The study of modes: a small version, its report, and what it must show."""

import numpy as np
import pandas as pd
import pytest

import studied
from plausibench.architectures.low_rank import Modes
from plausibench.bench.running.executor import Processes
from plausibench.bench.studies.modes import report
from plausibench.bench.studies.modes import study as modes
from plausibench.bench.studies.modes.report import trained
from plausibench.bench.studies.modes.study import MODES, Arm
from plausibench.kernels.errors import InputError

ARMS = (
    Arm("contextual_integration", 8, 0),
    Arm("contextual_integration", 8, 2),
    Arm("contextual_integration", 8, None),
    Arm("digits", 8, 2),
    Arm("digits", 8, 2, "rate"),
)
SMALL = {"arms": ARMS, "compared": (1,), "timed": ((20, (2,)),)}


@pytest.fixture(scope="module")
def small():
    """Few updates and trials."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(modes, "UPDATES", dict.fromkeys(modes.UPDATES, 3))
        patch.setattr(modes, "TESTED", 20)
        yield


@pytest.fixture(scope="module")
def rows(small, tmp_path_factory):
    found = studied.run("modes", tmp_path_factory.mktemp("modes"), seeds=2, **SMALL)
    assert set(found.jobs["status"]) == {"done"}
    assert set(found.frame["part"]) == {"training", "structure", "rules", "cost"}
    return found.frame


def test_what_is_counted(rows):
    """Parameters by hand: 4 N + N + 2 N P + P or N^2; and two moments of Adam for each."""
    own = rows[(rows["part"] == "training") & (rows["task"] == "contextual_integration")]
    size = own[own["quantity"] == "parameters"].groupby("modes")["value"].first()
    assert dict(size) == {0: 40, 2: 40 + 34, -1: 40 + 64}
    moments = own[own["quantity"] == "optimiser bytes"].groupby("modes")["value"].first()
    assert dict(moments) == {n: 16 * value for n, value in size.items()}
    whole = own[own["modes"] == 0].pivot_table(index="seed", columns="quantity", values="value")
    np.testing.assert_array_equal(whole["accuracy"], whole["accuracy, cut"])


def test_few_modes_have_fewer_weights_to_perturb(rows):
    """Variance of weight perturbation is the number of parameters + 1: 10 % is 5 errors."""
    own = rows[rows["part"] == "rules"]
    for _, part in own.groupby(["seed", "series"]):
        size = part.loc[part["quantity"] == "parameters", "value"].item()
        found = part.loc[part["rule"] == "weight_perturbation", "value"].item()
        assert found / (size + 1) == pytest.approx(1, abs=0.25)


def test_report(rows):
    tables, (picture,) = report.report(rows)
    assert tuple(tables) == report.TABLES
    assert "recurrence cut" in tables["contextual_integration"].render("markdown")
    assert "whole response" not in tables["digits"].cells
    assert len(tables["rules"].cells) == len((*modes.PERTURBING, *modes.DIRECTED))
    assert list(tables["cost"].cells["P"]) == ["0", "2", "full"]
    assert picture.name == "modes"
    assert len(picture.figure.axes) == 6


def test_a_network_that_diverges_enters_no_mean(rows, small, tmp_path, monkeypatch):
    """Beside two others, and as all that there is of its kind."""
    monkeypatch.setattr(modes, "RATE", 1e300)
    given = {"arms": ARMS[1:3], "compared": (), "timed": ()}
    run = studied.run("modes", tmp_path, seed=2, seeds=2, **given)
    assert set(run.jobs["status"]) == {"diverged"}
    lost = run.frame[run.frame["seed"] == 2]
    assert lost[["quantity", "outcome"]].to_numpy().tolist() == 2 * [["diverged", "diverged"]]
    alone = (rows["part"] == "training") & (rows["modes"] == -1)
    before = trained(rows, "contextual_integration").raw.set_index("modes")
    table = trained(pd.concat([rows[~alone], lost]), "contextual_integration")
    after = table.raw.set_index("modes")
    values = [name for name in before if name not in ("kind", "outcome")]
    pd.testing.assert_frame_equal(after.loc[[0, 2], values], before.loc[[0, 2], values])
    assert "diverged (1)" in after.loc[2, "outcome"]
    assert after.loc[-1, values[1:]].isna().all()
    assert table.notes[0].count("Diverged and left out of the means: 2 networks.") == 1


def test_importances_weigh_scores_and_norms_alike():
    given = Modes(np.array([[3.0, 0.0], [0.0, 4.0]]), np.array([0.5, -1.0]), np.eye(2))
    np.testing.assert_allclose(
        modes.importances(given), [1.0 + 1.5 / 9 * 5, 0.5 + 1.5 / 9 * 4], rtol=1e-12
    )
    found = modes.overlaps(given)
    assert found["input modes"] == found["output modes"] == 0
    assert found["input and output modes"] == pytest.approx(1)


def test_overlaps_of_random_modes():
    """1, with 380 independent squares of relative error 2^(1/2): four errors are 0.15."""
    random = np.random.default_rng(0)
    given = Modes(random.standard_normal((400, 20)), np.ones(20), random.standard_normal((20, 400)))
    for value in modes.overlaps(given).values():
        assert value == pytest.approx(1, abs=0.15)


def test_participation_ratio():
    """Of as many independent neurons of like variance, their number."""
    activity = np.random.default_rng(0).standard_normal((20000, 5))
    assert modes.participation(activity) == pytest.approx(5, abs=0.05)
    assert modes.participation(activity[:, :1] * np.ones(5)) == pytest.approx(1)


def test_offsets_of_either_stream():
    """Means of the relevant and the other stream, each in the stimulus: four errors."""
    count = 4000
    context = np.arange(count) % 2
    inputs = modes.trials(np.full(count, 0.3), np.full(count, -0.2), context, seed=0)
    start, last = 10, 30
    shown = inputs[:, start : start + last, :2].mean(axis=1)
    relevant, other = (shown[np.arange(count), c].mean() for c in (context, 1 - context))
    allowed = 4 / np.sqrt(count * last)
    assert relevant == pytest.approx(0.3, abs=allowed)
    assert other == pytest.approx(-0.2, abs=allowed)
    assert not inputs[:, :start, :2].any()
    assert not inputs[:, start + last :, :2].any()
    np.testing.assert_array_equal(inputs[:, :, 2:].argmax(axis=2), np.tile(context[:, None], 100))


@pytest.mark.acceptance
def test_values_do_not_depend_on_processes(tmp_path):
    given = {"seeds": 2, "arms": (), "compared": (1,), "timed": ()}
    one = studied.run("modes", tmp_path / "one", **given)
    two = studied.run("modes", tmp_path / "two", executor=Processes(2), **given)
    pd.testing.assert_frame_equal(one.frame, two.frame, check_exact=True)


@pytest.mark.parametrize("options", [{"samples": 10}, {"seeds": 1}, {"seed": -1}])
def test_refusals(options):
    with pytest.raises(InputError, match=next(iter(options))):
        modes.Options(**options)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"task": "digit", "neurons": 8}, "did you mean 'digits'"),
        ({"task": "digits", "neurons": 8, "kind": "rates"}, "did you mean 'rate'"),
        ({"task": "digits", "neurons": 8, "kind": "rate"}, "modes: networks of rates"),
    ],
)
def test_arms_that_are_none_are_refused(given, said):
    with pytest.raises(InputError, match=said):
        MODES.choose({"arms": [given]})


@pytest.mark.acceptance
def test_contextual_integration_needs_recurrence(record_figure):
    """One mode is enough; without recurrence, cut or never there, answers are those of chance.

    Chance of 300 answers is 0.5 with a standard error of 0.029, four of which are 0.115.
    """
    for number in (0, 1, 3, None):
        found = {
            row["quantity"]: row["value"]
            for row in modes.trained(Arm("contextual_integration", 100, number), 0)
            if row["part"] == "training"
        }
        name = "full" if number is None else f"P = {number}"
        record_figure(f"contextual integration, {name}", found["accuracy"], 0.95)
        record_figure(f"contextual integration, {name}, cut", found["accuracy, cut"], 0.6)
        if number == 0:
            assert abs(found["accuracy"] - 0.5) < 0.115
        else:
            assert found["accuracy"] >= 0.95
            assert found["accuracy, cut"] <= 0.6
