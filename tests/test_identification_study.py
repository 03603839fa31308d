"""The study of identification: its rows, its tables, and what it refuses."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from plausibench import bench
from plausibench.bench.cli import main
from plausibench.bench.experiments import identification as study
from plausibench.bench.experiments.parts import collect
from plausibench.bench.identification.surface import read_surface
from plausibench.bench.report.identification import models as models_table
from plausibench.bench.report.identification import rules as rules_table
from plausibench.bench.report.identification import surface as surface_table
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


SMALL = ("--samples", "256", "--neurons", "10", "--seeds", "2", "--rules", "backprop")


class TestStudy:
    def test_the_experiment_writes_tables_and_picture(self, small, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        given_ = ["run", "identification", *SMALL, "--jobs", "1", "--out", "out"]
        done = CliRunner().invoke(main, [*given_, "--format", "png"])
        assert done.exit_code == 0, done.output
        written = {str(path.relative_to("out")) for path in Path("out").rglob("*.*")}
        tables = {f"{name}.{kind}" for name in study.TABLES for kind in ("md", "csv")}
        assert written == tables | {
            "values.csv",
            "study.json",
            "parts.jsonl",
            "figures/identification.png",
        }
        known = read_surface(Path("out/surface.csv"))
        assert known.values.shape == (2, 2)
        done = CliRunner().invoke(main, ["plan", "--surface", "out"])
        assert done.exit_code == 0, done.output

    def test_every_model_has_its_rows(self, small):
        todo = study.parts(neurons=10, samples=128, rules=("backprop",), seeds=2)
        rows = pd.DataFrame(collect([part for part in todo if part.arguments[-1] == 0]))
        assert set(rows["axis"]) == {"surface", "models", "two types", "rules", "natural scenes"}
        assert rows["value"].notna().all()
        assert set(rows.loc[rows["axis"] == "rules", "model"]) == {"backprop", "none"}

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
    def test_what_diverges_is_a_row_and_named(self, axis, monkeypatch):
        def diverging(*_):
            raise Divergence("made up")

        monkeypatch.setattr(study, "SCORES", {**study.SCORES, axis: diverging})
        (row,) = study.rows_of(axis, "dense", 10, 128, 3)
        assert (row["axis"], row["quantity"], row["value"]) == (axis, "diverged", 1.0)
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
            study.parts(**options)

    def test_neurons_are_for_this_study_alone(self):
        done = CliRunner().invoke(main, ["run", "scaling", "--neurons", "10"])
        assert done.exit_code == 2
        assert "neurons: only the experiment identification" in done.stderr
