"""Replications: verdicts, every recipe at a tiny size, what needs data, and the command."""

import json
import struct
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from plausibench.architectures.linear import Linear
from plausibench.architectures.mlp import Mlp
from plausibench.bench.citations import works
from plausibench.bench.cli import main
from plausibench.bench.experiments.parts import collect
from plausibench.bench.replications import (
    REPLICATIONS,
    akrout2019,
    bartunov2018,
    biotorch,
    ghosh2023,
    klindt2017,
    lillicrap2016,
    lin2023,
    murray2019,
    werfel2005,
)
from plausibench.bench.replications import run as running
from plausibench.bench.replications.benchmark import Run
from plausibench.bench.replications.feedback import angle
from plausibench.bench.replications.mnist import FILES
from plausibench.bench.replications.recipe import (
    DIFFERS,
    NEEDS,
    REPORTED,
    REPRODUCED,
    SMALLER,
    UNDECIDED,
    VERDICTS,
    Target,
    overall,
)
from plausibench.bench.report.replications import figures, summary
from plausibench.bench.studies import identification, modes
from plausibench.bench.tasks.digits import Digits
from plausibench.kernels.errors import InputError
from plausibench.objectives.batch import Batch
from plausibench.objectives.mean_squared_error import MeanSquaredError
from plausibench.rules.random_feedback import transposed

NAN = float("nan")


@pytest.fixture
def tiny(monkeypatch):
    """Every recipe so small that it only shows that it runs."""
    few = {
        werfel2005: {"EXAMPLES": 10, "DRAWS": 2},
        lillicrap2016: {"NETWORKS": 1, "STEPS": 3, "EXAMPLES": 250},
        murray2019: {"TRIALS": 2},
        akrout2019: {"SMALL_HIDDEN": 4, "HIDDEN": 4, "BATCH": 10, "Digits": scarce},
        ghosh2023: {"BEFORE": 1, "AFTER": 1},
        bartunov2018: {"RUN": Run(1, 10, 1e-3), "HIDDEN": 4},
        biotorch: {"RUN": Run(1, 10, 1e-3)},
        klindt2017: {"surface_scores": surface, "model_scores": model},
        identification: {"NEURONS": {1: 1, 10: 1}, "TEST": 20},
        lin2023: {"NEURONS": 10},
        modes: {"UPDATES": dict.fromkeys(modes.UPDATES, 1), "TESTED": 20},
    }
    for module, values in few.items():
        for name, value in values.items():
            monkeypatch.setattr(module, name, value)


def scarce():
    return Digits(test_fraction=0.97)


def surface(readout, neurons, images, seed, found=klindt2017.surface_scores):
    return found(readout, min(neurons, 10), images // 16, seed)


def model(name, neurons, images, seed, found=klindt2017.model_scores):
    return found(name, 10, images // 16, seed)


@pytest.fixture
def digits_of_mnist(tmp_path):
    """A folder with files like those of MNIST, of few and small images."""
    folder, generator = tmp_path / "mnist", np.random.default_rng(0)
    folder.mkdir()
    for name in FILES:
        count = 40 if name.startswith("train") else 20
        array = generator.integers(0, 10, (count, 8, 8) if "images" in name else count, np.uint8)
        header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        (folder / name).write_bytes(header + array.tobytes())
    return folder


def told(*words):
    return CliRunner().invoke(main, ["replicate", *map(str, words)])


class TestVerdict:
    @pytest.mark.parametrize(
        ("condition", "interval", "verdict"),
        [
            ({"tolerance": 1.0}, (10.2, 9.9, 10.5), REPRODUCED),
            ({"tolerance": 1.0}, (11.3, 10.9, 11.7), REPRODUCED),
            ({"tolerance": 1.0}, (11.5, 11.1, 11.9), DIFFERS),
            ({"tolerance": 1.0}, (8.5, 8.1, 8.9), DIFFERS),
            ({"tolerance": 1.0}, (10.0, 8.5, 11.5), UNDECIDED),
            ({"tolerance": 1.0}, (NAN, NAN, NAN), DIFFERS),
            ({"below": 3.0}, (2.0, 1.0, 2.9), REPRODUCED),
            ({"below": 3.0}, (2.0, 1.0, 3.1), UNDECIDED),
            ({"below": 3.0}, (4.0, 3.1, 5.0), DIFFERS),
            ({"above": 0.0}, (1.0, 0.1, 2.0), REPRODUCED),
            ({"above": 0.0}, (1.0, -0.1, 2.0), UNDECIDED),
            ({"above": 0.0}, (-1.0, -2.0, -0.1), DIFFERS),
            ({"above": 0.0}, (NAN, NAN, NAN), DIFFERS),
            ({}, (0.0, -1.0, 1.0), REPORTED),
            ({}, (NAN, NAN, NAN), REPORTED),
        ],
    )
    def test_of_a_figure(self, condition, interval, verdict):
        assert Target("a figure", 10.0, "F", **condition).verdict(*interval) == verdict

    @pytest.mark.parametrize(
        ("verdicts", "smaller", "verdict"),
        [
            ([REPRODUCED, REPORTED], False, REPRODUCED),
            ([REPRODUCED, REPORTED], True, SMALLER),
            ([REPRODUCED, UNDECIDED], True, UNDECIDED),
            ([REPRODUCED, UNDECIDED, DIFFERS], False, DIFFERS),
            ([REPORTED], True, REPORTED),
        ],
    )
    def test_of_a_recipe_is_the_worst_of_its_figures(self, verdicts, smaller, verdict):
        assert overall(verdicts, smaller=smaller) == verdict

    @pytest.mark.parametrize(
        "options",
        [
            {"provenance": "X"},
            {"tolerance": 1.0, "below": 2.0},
            {"published": None, "tolerance": 1.0},
            {"tolerance": 0.0},
        ],
    )
    def test_figures_that_ask_nonsense_are_refused(self, options):
        with pytest.raises(InputError):
            Target(**{"what": "a figure", "published": 1.0, "provenance": "F", **options})

    def test_a_wrong_published_value_differs(self, monkeypatch):
        """The gradient removes 1 / (M + 2) of the loss; twice that is not met."""
        monkeypatch.setattr(werfel2005, "EXAMPLES", 1000)
        name, rule = next(iter(werfel2005.RULES.items()))
        monkeypatch.setattr(werfel2005, "RULES", {name: rule})
        whole = werfel2005.RECIPE.whole
        (right, *_) = whole.targets
        wrong = replace(right, published=2 * right.published)
        verdicts = {}
        rows = []
        for label, target in (("right", right), ("wrong", wrong)):
            recipe = replace(werfel2005.RECIPE, whole=replace(whole, targets=(target,)))
            monkeypatch.setattr(werfel2005, "RECIPE", recipe)
            rows = rows or collect(running.parts(["werfel2005"], None))
            (found,) = running.judged(["werfel2005"], rows, given=False)
            verdicts[label] = found.verdict
        assert verdicts == {"right": REPRODUCED, "wrong": DIFFERS}

    def test_a_seed_that_diverged_is_not_left_out(self):
        rows = [
            {"recipe": "murray2019", "what": target.what, "seed": seed, "value": value}
            for target in murray2019.RECIPE.whole.targets
            for seed, value in enumerate((1e-5, 1e-5, NAN))
        ]
        (found,) = running.judged(["murray2019"], rows, given=False)
        assert found.verdict == DIFFERS


class TestRecipes:
    @pytest.mark.parametrize("name", REPLICATIONS)
    def test_says_what_it_compares(self, name):
        recipe = running.find(name)
        assert recipe.name == name
        assert works(recipe.cites)[1] == []
        assert recipe.cites or name == "biotorch"
        for setting in filter(None, (recipe.whole, recipe.smaller)):
            names = [target.what for target in setting.targets]
            assert len(set(names)) == len(names)
            assert setting.description
            assert setting.deviations
            assert any(target.condition != "–" for target in setting.targets)

    @pytest.mark.parametrize("name", [name for name in REPLICATIONS if name != "klindt2017"])
    def test_every_recipe_ends_with_a_verdict(self, name, tiny):
        self.ends(name, None)

    def test_klindt2017_ends_with_a_verdict(self, tiny):
        """Images are 32 and 128 in place of 512 and 2048."""
        self.ends("klindt2017", None)

    @pytest.mark.parametrize("name", ["akrout2019", "bartunov2018", "biotorch"])
    def test_with_data_the_published_setting_runs(self, name, tiny, digits_of_mnist):
        found = self.ends(name, digits_of_mnist)
        assert found.setting is found.recipe.whole
        assert found.verdict in (REPRODUCED, UNDECIDED, DIFFERS)

    def ends(self, name, data):
        rows = collect(running.parts([name], data, seeds=2))
        (found,) = running.judged([name], rows, given=data is not None)
        assert found.verdict in VERDICTS
        assert (found.verdict == NEEDS) == (found.setting is None)
        for one in found.compared:
            assert one.seeds == 2
            assert np.isfinite(one.value), one.target.what
        table = figures([found]).render("markdown")
        assert all(one.target.what in table for one in found.compared)
        for deviation in (found.setting or found.recipe.whole).deviations:
            assert deviation in summary([found]).raw["deviations"].item()
        return found

    def test_what_needs_data_says_which(self):
        assert running.parts(["bartunov2018"], None) == []
        found = running.judged(["bartunov2018"], [], given=False)
        assert found[0].verdict == NEEDS
        told_to = summary(found).raw["setting"].item()
        assert all(name in told_to for name in FILES)
        assert "--data" in told_to

    def test_the_same_seed_the_same_values(self, tiny):
        first, again = (collect(running.parts(["ghosh2023"], None, seeds=2)) for _ in range(2))
        assert first == again
        assert first != collect(running.parts(["ghosh2023"], None, seeds=2, seed=2))


class TestPieces:
    def test_angle_of_symmetric_and_of_opposite_feedback(self):
        network = Mlp((5, 4, 3)).build(0)
        generator = np.random.default_rng(0)
        batch = Batch(generator.standard_normal((6, 5)), generator.standard_normal((6, 3)))
        state = transposed(network)
        opposite = {name: -b for name, b in state.items()}
        # Rounding of the cosine is its root in the angle.
        assert angle(network, MeanSquaredError(), batch, state) < 1e-5
        assert angle(network, MeanSquaredError(), batch, opposite) > 180 - 1e-5

    def test_angle_by_hand(self):
        network = Linear((1, 2, 1)).build(0)
        weights = dict(zip(network.parameters, ([[1.0], [1.0]], [[1.0, 0.0]]), strict=True))
        network = network.with_parameters({name: np.array(w) for name, w in weights.items()})
        (name,) = transposed(network)
        batch = Batch([[1.0]], [[0.0]])
        found = angle(network, MeanSquaredError(), batch, {name: np.array([[1.0], [1.0]])})
        assert found == pytest.approx(45, abs=1e-9)

    def test_error_of_the_sigmoid_cross_entropy_is_its_derivative(self):
        goal, step = akrout2019.SigmoidCrossEntropy(), 1e-6
        generator = np.random.default_rng(0)
        output, targets = 5 * generator.standard_normal((7, 4)), np.array([0, 1, 2, 3, 0, 1, 2])
        error = goal.error(output, targets)
        for unit in range(4):
            moved = [output + sign * step * np.eye(4)[unit] for sign in (1, -1)]
            up, down = (goal.losses(each, targets) for each in moved)
            # Rounding of the losses over the step.
            np.testing.assert_allclose(error[:, unit], (up - down) / (2 * step), atol=1e-8)

    def test_input_weights_are_held(self):
        ones = {murray2019.HELD: np.ones(3), "layer2.weights": np.ones(2)}
        changes, _ = murray2019.InputHeld(0.5).change(ones, {})
        assert changes[murray2019.HELD].tolist() == [0, 0, 0]
        assert changes["layer2.weights"].tolist() == [-0.5, -0.5]

    def test_errors_of_the_same_network_do_not_depend_on_the_order_of_rules(self, monkeypatch):
        monkeypatch.setattr(murray2019, "TRIALS", 2)
        forwards = murray2019.errors(0, "")
        monkeypatch.setattr(murray2019, "RULES", dict(reversed(murray2019.RULES.items())))
        assert murray2019.errors(0, "") == forwards


class TestCommand:
    def test_prints_and_keeps_what_it_found(self, tiny, tmp_path):
        out = tmp_path / "out"
        words = ("werfel2005", "bartunov2018", "--seeds", 2, "--jobs", 1, "--out", out)
        done = told(*words)
        assert done.exit_code == 0, done.output
        assert "16.67 [D]" in done.stdout
        assert NEEDS in done.stdout
        assert FILES[0] in done.stdout
        first = (out / "figures.csv").read_text()
        kept = (out / "parts.jsonl").read_text()
        assert json.loads((out / "replications.json").read_text())
        again = told(*words, "--format", "csv")
        assert (out / "parts.jsonl").read_text() == kept  # nothing was computed again
        assert again.stdout == first + "\n"

    def test_a_dry_run_computes_and_writes_nothing(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        done = told("--all", "--dry-run", "--seeds", 2)
        assert done.exit_code == 0, done.output
        lines = done.stdout.splitlines()
        ready = [name for name in REPLICATIONS if running.find(name).setting(data=False)]
        assert lines[-1].startswith(f"{2 * len(ready)} parts.")
        assert [line.split()[0] for line in lines[: len(REPLICATIONS)]] == list(REPLICATIONS)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ((), "name recipes, or give --all"),
            (("--all", "werfel2005"), "not both"),
            (("werfel",), "did you mean 'werfel2005'?"),
            (("werfel2005", "--seeds", 1), "seeds: 1 is not a whole number of at least 2"),
            (("werfel2005", "--seed", -1), "seed: -1"),
            (("werfel2005", "--jobs", 0), "jobs: 0"),
            (("werfel2005", "--data", "."), "data: werfel2005 needs none"),
            (("akrout2019", "--data", "."), "has neither a file train-images-idx3-ubyte"),
            (("werfel2005", "--format", "latex"), "format: 'latex' is not known"),
            (
                ("werfel2005", "--out", "other"),
                "out: 'other' holds 'file', which is not from replications",
            ),
            (("werfel2005", "--out", "other/file"), "is a file, not a folder"),
        ],
    )
    def test_refusals(self, words, message, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "file").touch()
        done = told(*words)
        assert done.exit_code == 2, done.output
        assert message in done.stderr
        assert sorted(path.name for path in tmp_path.iterdir()) == ["other"]
