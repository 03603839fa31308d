"""Replications: verdicts, every recipe at a tiny size, what needs data, and the command."""

import shutil
import struct
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from plausibench.architectures.linear import Linear
from plausibench.architectures.mlp import Mlp
from plausibench.bench.cli import main
from plausibench.bench.components.citations import works
from plausibench.bench.running.store import Run as Directory
from plausibench.bench.studies.identification import study as identification
from plausibench.bench.studies.modes import study as modes
from plausibench.bench.studies.replications import (
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
from plausibench.bench.studies.replications import run as running
from plausibench.bench.studies.replications import study as replications
from plausibench.bench.studies.replications.benchmark import Run
from plausibench.bench.studies.replications.feedback import angle
from plausibench.bench.studies.replications.mnist import FILES
from plausibench.bench.studies.replications.recipe import (
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
from plausibench.bench.studies.replications.report import figures, report, summary
from plausibench.bench.studies.run import run
from plausibench.bench.tasks.digits import Digits
from plausibench.kernels.errors import Divergence, InputError
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


def replicated(folder, *names, **options):
    """The run of recipes."""
    asked = replications.Options(names, **options)
    (found,) = run(replications.REPLICATIONS, asked, folder)
    return found


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

    def test_a_wrong_published_value_differs(self, monkeypatch, tmp_path):
        """The gradient removes 1 / (M + 2) of the loss; twice that is not met."""
        monkeypatch.setattr(werfel2005, "EXAMPLES", 1000)
        name, rule = next(iter(werfel2005.RULES.items()))
        monkeypatch.setattr(werfel2005, "RULES", {name: rule})
        whole = werfel2005.RECIPE.whole
        (right, *_) = whole.targets
        wrong = replace(right, published=2 * right.published)
        verdicts = {}
        monkeypatch.setattr(
            werfel2005, "RECIPE", replace(werfel2005.RECIPE, whole=replace(whole, targets=(right,)))
        )
        rows = replicated(tmp_path, "werfel2005").frame
        for label, target in (("right", right), ("wrong", wrong)):
            recipe = replace(werfel2005.RECIPE, whole=replace(whole, targets=(target,)))
            monkeypatch.setattr(werfel2005, "RECIPE", recipe)
            (found,) = running.judged(["werfel2005"], rows)
            verdicts[label] = found.verdict
        assert verdicts == {"right": REPRODUCED, "wrong": DIFFERS}

    def test_a_seed_that_diverged_is_not_left_out(self):
        rows = [
            {"recipe": "murray2019", "setting": "whole", "what": target.what, "value": value}
            for target in murray2019.RECIPE.whole.targets
            for value in (1e-5, 1e-5, NAN)
        ]
        (found,) = running.judged(["murray2019"], pd.DataFrame(rows))
        assert found.verdict == DIFFERS

    def test_a_recipe_that_raises_divergence_differs(self, monkeypatch, tmp_path):
        def work(seed, data):
            if seed == 1:
                raise Divergence("the weights overflow")
            return {target.what: 1e-5 for target in murray2019.RECIPE.whole.targets}

        whole = replace(murray2019.RECIPE.whole, work=work)
        monkeypatch.setattr(murray2019, "RECIPE", replace(murray2019.RECIPE, whole=whole))
        found = replicated(tmp_path, "murray2019", seeds=3)
        assert found.jobs["status"].tolist() == ["done", "diverged", "done"]
        (judged,) = running.judged(["murray2019"], found.frame)
        assert judged.verdict == DIFFERS
        assert all(np.isnan(one.value) for one in judged.compared)


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
    def test_every_recipe_ends_with_a_verdict(self, name, tiny, tmp_path):
        self.ends(tmp_path / "run", name, None)

    def test_klindt2017_ends_with_a_verdict(self, tiny, tmp_path):
        """Images are 32 and 128 in place of 512 and 2048."""
        self.ends(tmp_path / "run", "klindt2017", None)

    @pytest.mark.parametrize("name", ["akrout2019", "bartunov2018", "biotorch"])
    def test_with_data_the_published_setting_runs(self, name, tiny, digits_of_mnist, tmp_path):
        found = self.ends(tmp_path / "run", name, str(digits_of_mnist))
        assert found.setting is found.recipe.whole
        assert found.verdict in (REPRODUCED, UNDECIDED, DIFFERS)

    def ends(self, folder, name, data):
        # Where nothing can run at all it is refused.
        idle = running.find(name).setting(data=data is not None) is None
        names = ["werfel2005", name] if idle else [name]
        rows = replicated(folder, *names, data=data, seeds=2).frame
        (found,) = running.judged([name], rows)
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

    def test_what_needs_data_says_which(self, tiny, tmp_path):
        found = replicated(tmp_path, "werfel2005", "bartunov2018", seeds=2)
        assert found.jobs["status"].tolist() == ["done", "done", "unsupported", "unsupported"]
        judged = running.judged(["bartunov2018"], found.frame)
        assert judged[0].verdict == NEEDS
        told_to = summary(judged).raw["setting"].item()
        for text in (told_to, *found.jobs["reason"][2:]):
            assert all(name in text for name in FILES)
            assert "--data" in text
        with pytest.raises(InputError, match=r"nothing can run; bartunov2018.* give --data DIR"):
            replicated(tmp_path / "alone", "bartunov2018")

    def test_the_same_seed_the_same_values(self, tiny, tmp_path):
        first, again, other = (
            replicated(tmp_path / str(number), "ghosh2023", seeds=2, seed=seed).frame
            for number, seed in enumerate((0, 0, 2))
        )
        pd.testing.assert_frame_equal(first, again, check_exact=True)
        assert not first["value"].equals(other["value"])

    def test_data_are_the_same_wherever_they_lie(self, digits_of_mnist, tmp_path):
        moved = tmp_path / "elsewhere"
        shutil.copytree(digits_of_mnist, moved)
        changed = tmp_path / "changed"
        shutil.copytree(digits_of_mnist, changed)
        labels = changed / FILES[1]
        labels.write_bytes(labels.read_bytes()[:-1] + b"\x0a")
        keys = [
            [
                job.key
                for job in replications.jobs(replications.Options(("akrout2019",), str(folder)))
            ]
            for folder in (digits_of_mnist, moved)
        ]
        assert keys[0] == keys[1]
        with pytest.raises(InputError, match="label"):
            replications.Options(("akrout2019",), str(changed))
        labels.write_bytes(labels.read_bytes()[:-1] + b"\x05")
        other = replications.jobs(replications.Options(("akrout2019",), str(changed)))
        assert not set(keys[0]) & {job.key for job in other}

    def test_the_report_of_the_frame_says_what_the_command_says(self, tiny, tmp_path):
        found = replicated(tmp_path, "werfel2005", "lin2023", seeds=2)
        tables, pictures = report(found.frame)
        judged = running.judged(["werfel2005", "lin2023"], found.frame)
        assert tables["figures"].render("csv") == figures(judged).render("csv")
        assert tables["summary"].render("csv") == summary(judged).render("csv")
        assert pictures == ()


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
        goal, step = akrout2019.BinaryCrossEntropy(), 1e-6
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
        kept = Directory.open(out)
        times = kept.timings["seconds"].tolist()
        assert kept.finished == len(kept.due) == 4
        again = told(*words, "--format", "csv")
        assert Directory.open(out).timings["seconds"].tolist() == times  # not computed again
        assert again.stdout == first + "\n"

    def test_shares_do_it_together(self, tiny, tmp_path):
        words = ("werfel2005", "ghosh2023", "--seeds", 2, "--jobs", 1)
        whole, shared = tmp_path / "whole", tmp_path / "shared"
        assert told(*words, "--out", whole).exit_code == 0
        for share in ("1/2", "2/2"):
            done = told(*words, "--out", shared, "--shard", share)
            assert done.stdout == f"Shard {share} is done: {shared}\n"
        assert Directory.open(shared).frame.equals(Directory.open(whole).frame)

    def test_a_seed_that_fails_is_told_and_its_recipe_has_no_verdict(self, monkeypatch, tmp_path):
        def work(seed, data):
            if seed == 1:
                raise ValueError("no luck")
            return {target.what: 1e-5 for target in murray2019.RECIPE.whole.targets}

        whole = replace(murray2019.RECIPE.whole, work=work)
        monkeypatch.setattr(murray2019, "RECIPE", replace(murray2019.RECIPE, whole=whole))
        done = told("murray2019", "--seeds", 2, "--jobs", 1, "--out", tmp_path / "out")
        assert done.exit_code == 1
        assert done.stderr.endswith("murray2019, whole, 1 failed: ValueError: no luck\n")
        assert REPRODUCED not in done.stdout

    def test_other_options_have_another_folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        places = {
            told(*words, "--dry-run").stdout.split()[-1]
            for words in (["--all"], ["werfel2005"], ["werfel2005", "--seeds", 2])
        }
        assert "results/replications." in places
        assert len(places) == 3

    def test_a_dry_run_computes_and_writes_nothing(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        done = told("--all", "--dry-run", "--seeds", 2)
        assert done.exit_code == 0, done.output
        lines = done.stdout.splitlines()
        ready = [name for name in REPLICATIONS if running.find(name).setting(data=False)]
        assert lines[-1].startswith(f"{2 * len(ready)} jobs.")
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
                "out: other is no run directory but holds 'file'",
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
