"""How many neurons to record, and for how long: the surface and plans made from it."""

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from plausibench.bench.cli import main
from plausibench.bench.identification.surface import COLUMNS, STORED, read_surface
from plausibench.bench.studies.identification import study
from plausibench.kernels.errors import InputError


def write_surface(path, neurons=(1, 10, 100), samples=(100, 1000, 10000)):
    """Explained variance that grows by 0.2 with each factor of 10 in either."""
    rows = [
        (n, d, 0.1 + 0.2 * i + 0.2 * j, 0.05 + 0.2 * i + 0.2 * j, 0.15 + 0.2 * i + 0.2 * j, 3)
        for i, n in enumerate(neurons)
        for j, d in enumerate(samples)
    ]
    path.mkdir(exist_ok=True)
    pd.DataFrame(rows, columns=COLUMNS).to_csv(path / "surface.csv", index=False)
    return path


class TestPlan:
    def test_values_are_interpolated_in_logarithms(self, tmp_path):
        known = read_surface(write_surface(tmp_path) / "surface.csv")
        assert known.at(10, 1000).value == pytest.approx(0.5)
        between = known.at(32, 3162)
        assert between.value == pytest.approx(0.5 + 0.2 * np.log10(3.2) + 0.2 * np.log10(3.162))
        assert between.high - between.low == pytest.approx(0.1)
        with pytest.raises(InputError, match="neurons"):
            known.at(200, 1000)

    def test_without_a_budget_more_is_better(self, tmp_path):
        known = read_surface(write_surface(tmp_path) / "surface.csv")
        best = known.best(neurons=10, samples=1000)
        assert (best.neurons, best.samples) == (10, 1000)
        assert known.best().value == pytest.approx(0.9)
        # More than the surface knows is no more than it knows.
        assert known.best(neurons=5000) == known.best()

    def test_a_budget_is_kept_and_used(self, tmp_path):
        known = read_surface(write_surface(tmp_path) / "surface.csv")
        best = known.best(budget=20_000)
        assert best.data <= 20_000
        # Along a line of equal data every split is as good as another here, within the grid.
        assert best.value == pytest.approx(0.1 + 0.2 * np.log10(20_000 / 100), abs=0.01)

    def test_the_shortest_recording_uses_all_neurons(self, tmp_path):
        known = read_surface(write_surface(tmp_path) / "surface.csv")
        found = known.shortest(0.7)
        assert found.neurons == 100
        assert found.samples == pytest.approx(1000, rel=0.03)
        assert known.shortest(0.95) is None
        assert known.shortest(0.5, neurons=1) is not None

    def test_the_stored_surface_is_that_of_the_study(self):
        known = read_surface(STORED)
        assert list(known.neurons) == list(study.NEURONS)
        assert list(known.samples) == list(study.SAMPLES)
        # More neurons, or more images, explain more, whatever the noise of the seeds.
        assert (np.diff(known.values[:, 1:], axis=1) > -0.03).all()
        assert (np.diff(known.values, axis=0).mean(axis=1) > -0.03).all()

    def test_one_row_of_the_stored_surface_is_computed_again(self):
        known = read_surface(STORED)
        values = [
            row["value"]
            for seed in range(known.seeds)
            for row in study.rows_of("surface", "factorised", 10, 512, seed)
            if row["quantity"] == "explained_variance"
        ]
        place = list(study.NEURONS).index(10), study.SAMPLES.index(512)
        # Another processor gives other last bits, which a fit enlarges.
        assert np.mean(values) == pytest.approx(known.values[place], abs=0.02)

    def test_the_command_answers(self, tmp_path):
        write_surface(tmp_path)
        given_ = ["plan", "--surface", str(tmp_path), "--neurons", "10", "--time", "30m"]
        done = CliRunner().invoke(main, [*given_, "--rate", "2", "--goal", "0.6"])
        assert done.exit_code == 0, done.output
        assert "Most explained variance: 10 neurons for 30 min (3,600 images), 0.61" in done.stdout
        assert "Shortest to reach 0.6: 10 neurons" in done.stdout
        # The table tells of all that the surface knows, also beyond the limits, which it says.
        _, table = done.stdout.split("Without limits:")
        head, *lines = [line.split() for line in table.strip().splitlines() if line.strip()]
        assert head[:3] == ["neurons,", "up", "to"]
        known = read_surface(tmp_path / "surface.csv")
        for count, line in zip((1, 10, 100), lines, strict=True):
            found = known.shortest(0.6, count)
            shown = ["more", "than", "10,000"] if found is None else [f"{found.samples:,}"]
            assert line[: 1 + len(shown)] == [str(count), *shown]
        assert known.shortest(0.6, 1) is None
        assert known.shortest(0.6, 100).samples < known.shortest(0.6, 10).samples
        done = CliRunner().invoke(main, [*given_, "--goal", "0.99"])
        assert "Nothing within these limits reaches 0.99." in done.stdout

    @pytest.mark.parametrize(
        ("neurons", "samples"), [((1, 10), (128,)), ((10,), (128, 256)), ((10,), (128,))]
    )
    def test_a_surface_of_one_length_or_of_one_number_of_neurons(self, tmp_path, neurons, samples):
        write_surface(tmp_path, neurons, samples)
        known = read_surface(tmp_path / "surface.csv")
        best = known.best()
        assert (best.neurons, best.samples) == (10, samples[-1])
        assert best.value == pytest.approx(0.1 + 0.2 * (len(neurons) + len(samples) - 2))
        assert known.at(neurons[0], samples[0]).value == pytest.approx(0.1)
        done = CliRunner().invoke(main, ["plan", "--surface", str(tmp_path)])
        assert done.exit_code == 0, done.output

    def test_a_surface_that_a_spreadsheet_has_written(self, tmp_path):
        file = write_surface(tmp_path) / "surface.csv"
        known = read_surface(file)
        text = file.read_text("utf-8").replace("\n", "\r\n")
        file.write_bytes(b"\xef\xbb\xbf" + text.encode())
        assert read_surface(file).best() == known.best()

    def test_more_images_than_can_be_counted_are_no_limit(self):
        both = [
            CliRunner().invoke(main, ["plan", "--rate", "1e306", *time])
            for time in ((), ("--time", "1000h"))
        ]
        assert [done.exit_code for done in both] == [0, 0]
        assert both[0].stdout == both[1].stdout

    @pytest.mark.parametrize(
        ("rows", "said"),
        [
            ("1,2,0.5,0,0,3\n2,3,0.5,0,0,3\n", "2 values for 2 numbers of neurons"),
            ("1,2,0.5,0,0,3\n1,2,0.5,0,0,3\n", "a pair of neurons and images twice"),
            ("1,2,nan,0,0,3\n1,3,0.5,0,0,3\n", "not finite"),
            ("0,2,0.5,0,0,3\n0,3,0.5,0,0,3\n", "not positive"),
        ],
    )
    def test_what_is_wrong_with_a_surface_is_said(self, tmp_path, rows, said):
        (tmp_path / "surface.csv").write_text(",".join(COLUMNS) + "\n" + rows)
        with pytest.raises(InputError, match=said):
            read_surface(tmp_path / "surface.csv")

    def test_the_command_answers_from_what_ships(self):
        done = CliRunner().invoke(main, ["plan"])
        assert done.exit_code == 0, done.output
        assert "1,000" in done.stdout

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("--neurons", "0"), "neurons: 0 is not"),
            (("--time", "2"), "time: '2' is not a time"),
            (("--time", "10s"), "samples: 10 is not at least 128"),
            (("--time", "1s", "--rate", "0.1"), "time: '1s' is shorter than one image"),
            (("--rate", "0"), "rate: 0.0 is not"),
            (("--goal", "1.5"), "goal: 1.5 is not"),
            (("--budget", "5"), "budget: 5 is not at least 128"),
            (("--surface", "nowhere"), "surface: there is no nowhere"),
        ],
    )
    def test_bad_input_is_refused_in_one_sentence(self, arguments, said):
        done = CliRunner().invoke(main, ["plan", *arguments])
        assert done.exit_code == 2, done.output
        assert said in done.stderr
        assert done.stderr.count("\n") == 1

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "a,b\n1,2\n",
            ",".join(COLUMNS) + "\n1,2,x,0,0,3\n",
            ",".join(COLUMNS) + "\n1,2,0.5,0,0,3\n2,3,0.5,0,0,3\n",
            ",".join(COLUMNS) + "\n1,2,nan,0,0,3\n1,3,0.5,0,0,3\n2,2,0.5,0,0,3\n2,3,0.5,0,0,3\n",
        ],
    )
    def test_other_files_are_refused(self, tmp_path, text):
        (tmp_path / "surface.csv").write_text(text)
        with pytest.raises(InputError, match="surface"):
            read_surface(tmp_path / "surface.csv")
