"""What reads run directories: it loads nothing, says what is missing, and takes files as they come.

Files come from other systems, other folders and other processors.
"""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from plausibench.bench import registry, workers
from plausibench.bench.citations import cited, cited_by
from plausibench.bench.cli import main
from plausibench.bench.merging import merge
from plausibench.bench.shards import Shard
from plausibench.bench.spec import Spec
from plausibench.bench.store import Run, trajectories
from plausibench.bench.sweep import run, units
from sweeps import TINY, results

READERS = {
    "table": ["table", "RUN"],
    "plot": ["plot", "RUN", "--out", "pictures", "--format", "png"],
    "report": ["report", "RUN", "--no-certificates", "--out", "page.html"],
    "compare": ["compare", "RUN", "RUN"],
    "merge": ["merge", "RUN", "--out", "merged"],
    "cite": ["cite", "RUN"],
}
QUICK = ["table", "compare", "merge", "cite"]
"""Those that draw nothing."""
MARK = b"\xef\xbb\xbf"


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """A working folder, and a registry without the plug-ins of other tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_PLUGINS", {kind: {} for kind in registry.KINDS})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of 12 trajectories."""
    return run(TINY, tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture
def part(whole):
    """A copy of it that can be changed."""
    shutil.copytree(whole.path, "part")
    return Path("part")


def keep(folder, count):
    """Leave the first trajectories."""
    file = folder / "results" / "driver.jsonl"
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:count]))


def read(name, folder):
    """What a command says, on both channels, and in the page that it writes."""
    words = [str(folder) if word == "RUN" else word for word in READERS[name]]
    if name == "report":
        pytest.importorskip("vl_convert")
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    return done.stdout, done.stderr + (Path("page.html").read_text() if name == "report" else "")


class TestIncomplete:
    @pytest.mark.parametrize("pairing", ["first", "all"])
    def test_the_number_due_is_that_of_the_units(self, pairing):
        spec = TINY.with_values(
            tasks=(*TINY.tasks, "linear_regression"),
            architectures=("mlp", "dendritic"),
            objectives=("mean_squared_error", "cross_entropy"),
            rules=(*TINY.rules, "dendritic_error"),
            pairing=pairing,
            seeds=3,
            tasks_of={"backprop": ("linear_regression",)},
        )
        assert trajectories(spec) == len(units(spec))

    @pytest.mark.parametrize("name", READERS)
    def test_every_reader_says_so(self, part, name):
        keep(part, 8)
        printed, said = read(name, part)
        assert "8 of 12 trajectories" in printed + said
        assert "none of weight_perturbation" in printed + said

    @pytest.mark.parametrize("name", QUICK)
    def test_of_a_whole_run_nothing_is_said(self, part, name):
        assert "Incomplete" not in "".join(read(name, part))

    @pytest.mark.parametrize("form", ["text", "markdown", "html", "latex", "csv"])
    def test_it_stands_with_the_table_or_beside_plain_data(self, part, form):
        keep(part, 4)
        done = CliRunner().invoke(main, ["table", "part", "--format", form])
        assert ("4 of 12 trajectories" in done.stdout) == (form != "csv")
        assert ("4 of 12 trajectories" in done.stderr) == (form == "csv")

    @pytest.mark.parametrize("name", QUICK)
    def test_without_results_there_are_none(self, part, name):
        shutil.rmtree(part / "results")
        assert "0 of 12 trajectories" in "".join(read(name, part))

    def test_merged_parts_that_are_not_all(self, whole):
        for index in (1, 3):
            run(TINY, str(index), shard=Shard(index, 3))
        done = CliRunner().invoke(main, ["merge", "1", "3", "--out", "both"])
        assert "8 of 12 trajectories" in done.stderr


class TestNothingIsLoaded:
    RULE = """\
from dataclasses import dataclass
from plausibench.rules.feedback_alignment import FeedbackAlignment

open("sprung", "w").close()

@dataclass(frozen=True)
class Mine(FeedbackAlignment):
    pass
"""

    @pytest.mark.parametrize("there", [True, False])
    def test_of_a_plug_in(self, there):
        Path("mine.py").write_text(f"{self.RULE}# {Path.cwd()}\n")
        spec = TINY.with_values(rules=("backprop", "mine"), plugins=("mine.py",), seeds=1)
        found = run(spec, "run")
        assert found.spec.plugins == (str(Path("mine.py").absolute()),)
        os.unlink("sprung")
        # What was loaded once is not executed again, but this would be.
        Path("mine.py").write_text(f"{self.RULE}# {Path.cwd()}, edited\n")
        if not there:
            os.unlink("mine.py")
        for name in READERS if there else QUICK:
            read(name, "run")
            shutil.rmtree("merged", ignore_errors=True)
        assert not Path("sprung").exists()
        assert "lillicrap2016" in read("cite", "run")[0]

    def test_what_is_cited_is_what_the_components_say(self, whole):
        assert cited_by(whole) == cited(units(TINY))

    def test_a_run_that_did_not_keep_it_cites_what_is_built_in(self, part):
        (part / "sources.json").unlink()
        shown = (part / "spec.toml").read_text()
        (part / "spec.toml").write_text(shown.replace('"backprop"', '"unknown_rule"'))
        assert set(cited_by(Run.open(part))) < set(cited(units(TINY)))
        assert "lillicrap2016" in read("cite", part)[0]

    def test_a_run_of_data_that_are_not_here(self, images):
        run(small(images), "run")
        os.unlink(images)
        for name in QUICK:
            read(name, "run")


@pytest.fixture
def images():
    """A file with a few small images."""
    draw = np.random.default_rng(0)
    parts = {}
    for part, count in (("train", 60), ("test", 20)):
        parts[f"x_{part}"] = draw.integers(0, 256, (count, 4, 4), dtype=np.uint8)
        parts[f"y_{part}"] = np.arange(count) % 10
    np.savez("images.npz", **parts)
    return "images.npz"


def small(path):
    return TINY.with_values(
        tasks=(f"mnist[path={path}]",), objectives=("cross_entropy",), protocols=("shared",)
    )


class TestMovedData:
    @pytest.fixture
    def moved(self, images):
        """Runs on the same data in two places, and on other data."""
        os.mkdir("elsewhere")
        shutil.copy(images, "elsewhere/copy.npz")
        other = dict(np.load(images))
        other["x_train"][0, 0, 0] ^= 1
        np.savez("other.npz", **other)
        return [
            run(small(path), f"run{number}")
            for number, path in enumerate((images, "elsewhere/copy.npz", "other.npz"))
        ]

    def test_cells_are_matched_by_their_data(self, moved):
        found = CliRunner().invoke(main, ["compare", "run0", "run1"]).stdout
        assert re.search(r"^[1-9]\d* values compared", found, re.MULTILINE)
        found = CliRunner().invoke(main, ["compare", "run0", "run2"]).stdout
        assert re.search(r"^0 values compared", found, re.MULTILINE)

    def test_runs_are_merged_under_the_name_of_the_first(self, moved):
        keep(Path("run0"), 2)
        merged = merge([Path("run0"), Path("run1")], Path("merged"))
        assert merged.notes == ()
        assert set(merged.units["task"]) == {"mnist[path=images.npz]"}
        assert set(merged.timings["task"]) == {"mnist[path=images.npz]"}
        assert len(merged.units) == 6
        for name, refused in (("run2", "tasks is"), ("run1", None)):
            done = CliRunner().invoke(main, ["merge", "run0", name, "--out", f"of {name}"])
            assert done.exit_code == (0 if refused is None else 2)
            assert refused is None or refused in done.stderr

    def test_a_merged_run_goes_on(self, moved, monkeypatch):
        merge([Path("run0"), Path("run1")], Path("merged"))
        monkeypatch.setattr(workers, "measure_unit", lambda *_: pytest.fail("done again"))
        run(small("images.npz"), "merged")


class TestFilesAsTheyCome:
    def test_line_ends_of_another_system(self, whole, part):
        for file in (*part.glob("*/*.jsonl"), part / "spec.toml", part / "provenance.json"):
            file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
        assert Run.open(part).frame.equals(whole.frame)
        assert results(merge([whole.path, part], Path("merged"))) == results(whole)
        run(TINY, part)

    def test_byte_order_marks(self, whole, part):
        for file in (*part.glob("*/*.jsonl"), *part.glob("*.json"), part / "spec.toml"):
            file.write_bytes(MARK + file.read_bytes())
        found = Run.open(part)
        assert found.frame.equals(whole.frame)
        assert (found.spec, found.sources) == (whole.spec, whole.sources)
        assert found.provenance == whole.provenance

    @pytest.mark.parametrize(
        "name", ["notes.jsonl", "driver (1).jsonl", "._driver.jsonl", "driver.jsonl~"]
    )
    def test_files_that_are_not_ours_are_not_read(self, whole, part, name):
        for folder in ("results", "timings", "origins"):
            (part / folder / name).write_text("mine\n")
        found = Run.open(part)
        assert found.frame.equals(whole.frame)
        assert len(found.timings) == len(whole.timings)
        assert found.origins() == whole.origins()
        run(TINY, part)


class TestMoreSeeds:
    def test_extend_a_run_as_if_they_had_been_asked_for(self, part):
        computed = []
        more = TINY.with_values(seeds=3)
        found = run(more, part, on_done=lambda record, *_: computed.append(record["unit"]["seed"]))
        assert computed == [2] * 6
        alone = run(more, "alone")
        assert found.frame.equals(alone.frame)
        assert results(merge([part], Path("merged"))) == results(alone)

    def test_by_the_command(self, part):
        arguments = ["run", "--resume", "part", "--seeds", "3", "--jobs", "1", "--no-pictures"]
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 0, done.output
        assert Run.open(part).spec.seeds == 3
        assert len(Run.open(part).units) == 18
        done = CliRunner().invoke(main, ["run", "--resume", "part", "--seeds", "2"])
        assert done.exit_code == 2
        assert "seeds is 3, not 2" in done.stderr


class TestOverlappingShards:
    def test_results_of_another_processor_are_told_and_read(self, part):
        """Which differ in the last bits; resuming is possible, too."""
        file = part / "results" / "driver.jsonl"
        records = [json.loads(line) for line in file.read_bytes().splitlines()[:2]]
        for record in records:
            record["rows"][0]["value"] *= 1 + 1e-13
        lines = [json.dumps(record) + "\n" for record in records]
        (part / "results" / "shard-3-of-4.jsonl").write_text("".join(lines))
        before = Run.open(part).frame
        assert "2 trajectories have two results" in read("table", part)[0]
        run(TINY, part, shard=Shard(2, 2))
        assert Run.open(part).frame.equals(before)

    def test_what_another_finished_meanwhile_is_not_computed(self, whole, monkeypatch):
        """A shard of another array writes while this one is under way."""
        computed = []
        measure = workers.measure_unit

        def slow(unit, spec):
            computed.append(unit)
            if len(computed) == 1:
                other = Path("run/results/shard-2-of-2.jsonl")
                other.write_bytes(b"".join(results(whole).splitlines(keepends=True)[1:6]))
            return measure(unit, spec)

        monkeypatch.setattr(workers, "measure_unit", slow)
        seen = []
        run(TINY, "run", shard=Shard(1, 3), on_done=lambda _, *count: seen.append(count))
        share = Shard(1, 3).share(units(TINY))
        assert computed == [share[0], *share[2:]]
        assert seen[-1] == (4, 4)
        assert Run.open("run").notes[0].startswith("Incomplete: 8 of 12")


def test_a_run_with_a_relative_plug_in_goes_on_from_anywhere(monkeypatch):
    Path("mine.py").write_text(TestNothingIsLoaded.RULE)
    spec = TINY.with_values(rules=("mine",), plugins=("mine.py",), seeds=1)
    run(spec, "run")
    there = Path("run").absolute()
    os.mkdir("elsewhere")
    monkeypatch.chdir("elsewhere")
    registry._PLUGINS["rule"].clear()
    arguments = ["run", "--resume", str(there), "--jobs", "1", "--no-pictures"]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    # And where the plug-in was moved.
    shutil.move(there.parent / "mine.py", "mine.py")
    assert "is not a file" in CliRunner().invoke(main, arguments).stderr
    monkeypatch.setattr(workers, "measure_unit", lambda *_: pytest.fail("done again"))
    assert CliRunner().invoke(main, [*arguments, "--plugin", "mine.py"]).exit_code == 0
    assert Run.open(there).spec.plugins == (str(Path("mine.py").absolute()),)


def test_a_damaged_list_of_sources_is_refused(part):
    for text in ("[]", '{"cites": "a", "data": {}}', '{"cites": [1], "data": {}}', "{"):
        (part / "sources.json").write_text(text)
        done = CliRunner().invoke(main, ["cite", "part"])
        assert done.exit_code == 2
        assert "sources.json is damaged" in done.stderr


def test_a_specification_with_a_byte_order_mark_is_read():
    Path("spec.toml").write_bytes(MARK + b"seeds = 3\n")
    assert Spec.read(Path("spec.toml")).seeds == 3
