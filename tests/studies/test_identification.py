"""The study of identification: its rows, its tables, and what it refuses."""

import numpy as np
import pandas as pd
import pytest

import studied
from plausibench import bench
from plausibench.bench.identification.surface import read_surface
from plausibench.bench.studies.identification import report, study
from plausibench.bench.studies.identification.report import models as models_table
from plausibench.bench.studies.identification.report import rules as rules_table
from plausibench.bench.studies.identification.report import surface as surface_table
from plausibench.kernels.errors import Divergence, InputError


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(study, "NEURONS", {1: 2, 10: 1})
    monkeypatch.setattr(study, "MODELS", ("point", "shuffled", "ridge"))
    monkeypatch.setattr(study, "MODEL_SAMPLES", (128,))
    monkeypatch.setattr(study, "TYPE_SAMPLES", (128,))
    monkeypatch.setattr(study, "TYPES", ("factorised",))
    monkeypatch.setattr(study, "SCENES", ("factorised",))
    monkeypatch.setattr(study, "RULE_STEPS", 3)
    monkeypatch.setattr(study, "SCENE_STEPS", 3)
    monkeypatch.setattr(study, "RULE_NEURONS", 4)
    monkeypatch.setattr(study, "TEST", 100)


SMALL = {"samples": 256, "neurons": 10, "seeds": 2, "rules": ("backprop",)}


class TestStudy:
    def test_driver(self, small, tmp_path):
        found = studied.run("identification", tmp_path, **SMALL)
        assert set(found.jobs["status"]) == {"done"}
        assert set(found.jobs["axis"]) == set(study.SCORES)
        rows = found.frame
        assert rows["value"].notna().all()
        assert set(rows.loc[rows["axis"] == "rules", "model"]) == {"backprop", "none"}
        # Regression treats neurons one by one.
        assert set(rows.loc[rows["model"] == "ridge", "neurons"]) == {1}
        tables, pictures = report.report(rows)
        assert tuple(tables) == report.TABLES
        assert [picture.name for picture in pictures] == ["identification"]
        tables["surface"].raw.to_csv(tmp_path / "surface.csv", index=False)
        assert read_surface(tmp_path / "surface.csv").values.shape == (2, 2)

    def test_what_a_laboratory_estimates_is_what_is_known(self):
        """Of 0.8 times the responses: 1 - 0.2^2; noise takes R-th parts of what means correlate."""
        options = {"neurons": 200, "examples": 1, "test_examples": 1000}
        task = bench.make("task", "simulated_neurons", **options)
        found = study.explained(0.8 * task.test.targets, task)
        variance = task.test.targets.var(axis=0)
        noise = np.abs(task.test.targets).mean(axis=0) / study.REPEATS
        assert found["explained_variance"] == pytest.approx(0.96, abs=0.001)
        # Four standard errors: estimates of single neurons vary by 0.11 and 0.025.
        estimate = found["explainable_variance_explained"]
        assert estimate == pytest.approx(0.96, abs=4 * 0.11 / np.sqrt(200))
        alike = np.sqrt(variance / (variance + noise)).mean()
        assert found["correlation_of_means"] == pytest.approx(alike, abs=4 * 0.025 / np.sqrt(200))

    @pytest.mark.parametrize("axis", study.SCORES)
    def test_what_diverges_is_a_row_and_named(self, axis, small, tmp_path, monkeypatch):
        def diverging(*_):
            raise Divergence("made up")

        constant = dict.fromkeys(study.SCORES, lambda *_: {"explained_variance": 0.5})
        monkeypatch.setattr(study, "SCORES", {**constant, axis: diverging})
        found = studied.run("identification", tmp_path, **SMALL)
        lost = found.jobs["axis"] == axis
        assert set(found.jobs.loc[lost, "status"]) == {"diverged"}
        assert set(found.jobs.loc[~lost, "status"]) == {"done"}
        lost = found.frame["axis"] == axis
        assert set(found.frame.loc[lost, "quantity"]) == {"diverged"}
        (row,) = found.frame[lost].iloc[:1].to_dict("records")
        row |= {"model": "dense", "neurons": 10, "samples": 128, "seed": 3}
        well = [
            {**row, "axis": part, "seed": seed, "quantity": "explained_variance", "value": 0.5}
            for part in study.SCORES
            for seed in (0, 1)
        ]
        rows = pd.DataFrame([*well, row])
        for table in (surface_table(rows), models_table(rows), rules_table(rows)):
            assert table.notes[-1] == (
                f"Diverged and left out: {axis}, dense, neurons 10, images 128: seeds 3."
            )
        raw = {"surface": surface_table, "rules": rules_table}.get(axis, models_table)(rows).raw
        np.testing.assert_allclose(raw["explained_variance"], 0.5)

    @pytest.mark.parametrize(
        "options",
        [{"neurons": 5}, {"samples": 100}, {"seeds": 1}, {"rules": ("equilibrium_propagation",)}],
    )
    def test_bad_input_is_refused(self, options):
        with pytest.raises(InputError, match=next(iter(options))):
            studied.options("identification", **options)

    def test_neurons_are_for_this_study_alone(self):
        with pytest.raises(InputError, match="study tags: 'neurons' is not an option"):
            studied.options("tags", neurons=10)
