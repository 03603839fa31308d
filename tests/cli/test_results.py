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

from plausibench.bench.cli import main
from plausibench.bench.components import registry
from plausibench.bench.components.citations import cited
from plausibench.bench.running.merging import merge
from plausibench.bench.running.shards import Shard
from plausibench.bench.running.store import Run, signed
from plausibench.bench.studies.benchmark.spec import Spec
from plausibench.bench.studies.benchmark.units import units
from plausibench.kernels.errors import InputError
from sweeps import IDLE, run
from sweeps import TINY as WITH_NULLS
from toy_jobs import files

TINY = WITH_NULLS.with_values(nulls=False)

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
ALL = [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.acceptance) for name in READERS
]
"""What draws takes seconds: of hostile names a report is drawn always."""
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
    for key in list(Run.open(folder).due)[count:]:
        (folder / "records" / f"{key}.json").unlink()


def read(name, folder):
    """What a command says, on both channels, and in the page that it writes."""
    words = [str(folder) if word == "RUN" else word for word in READERS[name]]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    return done.stdout, done.stderr + (Path("page.html").read_text() if name == "report" else "")


class TestIncomplete:
    @pytest.mark.parametrize("name", ALL)
    def test_every_reader_says_so(self, part, name):
        keep(part, 8)
        printed, said = read(name, part)
        assert "8 of 12 jobs" in printed + said
        assert "none with rule weight_perturbation" in printed + said

    @pytest.mark.parametrize("name", QUICK)
    def test_of_a_whole_run_nothing_is_said(self, part, name):
        assert "are finished" not in "".join(read(name, part))

    @pytest.mark.parametrize("form", ["text", "markdown", "html", "latex", "csv"])
    def test_it_stands_with_the_table_or_beside_plain_data(self, part, form):
        keep(part, 4)
        done = CliRunner().invoke(main, ["table", "part", "--format", form])
        assert ("4 of 12 jobs" in done.stdout) == (form != "csv")
        assert ("4 of 12 jobs" in done.stderr) == (form == "csv")

    @pytest.mark.parametrize("name", [name for name in QUICK if name != "compare"])
    def test_without_results_there_are_none(self, part, name):
        shutil.rmtree(part / "records")
        assert "0 of 12 jobs" in "".join(read(name, part))

    def test_nothing_is_compared_with_no_results(self, part, whole):
        shutil.rmtree(part / "records")
        for runs in (("part", str(whole.path)), (str(whole.path), "part")):
            done = CliRunner().invoke(main, ["compare", *runs])
            assert (done.exit_code, done.stdout) == (2, "")
            assert done.stderr == "Error: run: part has no results yet\n"

    def test_merged_parts_that_are_not_all(self, whole):
        for index in (1, 3):
            run(TINY, str(index), share=Shard(index, 3))
        done = CliRunner().invoke(main, ["merge", "1", "3", "--out", "both"])
        assert "8 of 12 jobs" in done.stderr


class TestNothingIsLoaded:
    RULE = """\
from dataclasses import dataclass
from plausibench.rules.feedback_alignment import FeedbackAlignment

open("sprung", "w").close()

@dataclass(frozen=True)
class Mine(FeedbackAlignment):
    pass
"""

    @pytest.mark.parametrize(
        ("there", "readers"),
        [(True, QUICK), (False, QUICK), pytest.param(True, READERS, marks=pytest.mark.acceptance)],
    )
    def test_of_a_plug_in(self, there, readers):
        Path("mine.py").write_text(f"{self.RULE}# {Path.cwd()}\n")
        spec = TINY.with_values(rules=("backprop", "mine"), plugins=("mine.py",), seeds=1)
        found = run(spec, "run")
        assert found.plugins == (str(Path("mine.py").absolute()),)
        os.unlink("sprung")
        # What was loaded once is not executed again, but this would be.
        Path("mine.py").write_text(f"{self.RULE}# {Path.cwd()}, edited\n")
        if not there:
            os.unlink("mine.py")
        for name in readers:
            read(name, "run")
            shutil.rmtree("merged", ignore_errors=True)
        assert not Path("sprung").exists()
        assert "lillicrap2016" in read("cite", "run")[0]

    def test_what_is_cited_is_what_the_components_say(self, whole):
        assert whole.sources["cites"] == cited(unit.identity() for unit in units(TINY))

    @pytest.mark.parametrize(
        "name", [*QUICK, "report", pytest.param("plot", marks=pytest.mark.acceptance)]
    )
    def test_of_a_hostile_run(self, part, name):
        """Whatever names it holds, they stay names."""
        evil = "__import__('os').system('touch sprung')"
        for file in part.rglob("*.*"):
            text = file.read_text()
            file.write_text(text.replace("feedback_alignment", evil))
        for file in (part / "records").iterdir():
            file.write_text(json.dumps(signed(json.loads(file.read_text()))))
        file = part / "study.toml"
        file.write_text(file.read_text().replace("plugins = []", "plugins = ['evil.py']", 1))
        Path("evil.py").write_text(evil)
        read(name, part)
        assert not Path("sprung").exists()

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
        merged, told = merge([Path("run0"), Path("run1")], Path("merged"))
        assert [*told, *merged.remarks()] == []
        assert set(merged.jobs["task"]) == {"mnist[path=images.npz]"}
        assert set(merged.timings["task"]) == {"mnist[path=images.npz]"}
        assert len(merged.jobs) == 6
        for name, refused in (("run2", "with tasks"), ("run1", None)):
            done = CliRunner().invoke(main, ["merge", "run0", name, "--out", f"of {name}"])
            assert done.exit_code == (0 if refused is None else 2)
            assert refused is None or refused in done.stderr

    def test_a_merged_run_goes_on(self, moved):
        keep(Path("run0"), 2)
        merge([Path("run0"), Path("run1")], Path("merged"))
        run(small("images.npz"), "merged", executor=IDLE)


class TestFilesAsTheyCome:
    def test_line_ends_of_another_system(self, whole, part):
        for file in part.rglob("*.*"):
            file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
        assert Run.open(part).frame.equals(whole.frame)
        merged, told = merge([whole.path, part], Path("merged"))
        assert (files(merged), told) == (files(whole), [])
        run(TINY, part, executor=IDLE)

    def test_byte_order_marks(self, whole, part):
        for file in part.rglob("*.*"):
            file.write_bytes(MARK + file.read_bytes())
        found = Run.open(part)
        assert found.frame.equals(whole.frame)
        assert (found.options, found.sources) == (whole.options, whole.sources)
        assert found.origins == whole.origins

    @pytest.mark.parametrize("name", ["notes.json", "notes (1).json", "._a.json", "a.json~"])
    def test_files_that_are_not_ours_are_not_read(self, whole, part, name):
        for folder in ("records", "origins"):
            (part / folder / name).write_text("mine\n")
        found = Run.open(part)
        assert found.frame.equals(whole.frame)
        assert len(found.timings) == len(whole.timings)
        assert found.origins == whole.origins
        run(TINY, part, executor=IDLE)


class TestMoreSeeds:
    def test_extend_a_run_as_if_they_had_been_asked_for(self, part):
        computed = []
        more = TINY.with_values(seeds=3)
        found = run(more, part, on_done=lambda job, *_: computed.append(job.about["seed"]))
        assert computed == [2] * 6
        alone = run(more, "alone")
        assert found.frame.equals(alone.frame)
        assert files(found) == files(alone)

    def test_in_shares_of_which_none_knows_that_it_is_the_first(self, whole, part):
        more = TINY.with_values(seeds=3)
        for index in (2, 1):
            run(more, part, share=Shard(index, 2))
        assert files(Run.open(part)) == files(run(more, "alone"))
        assert Run.open(part).frame["seed"].nunique() == 3

    def test_fewer_are_refused(self, part):
        with pytest.raises(InputError, match="with seeds 2, not 1"):
            run(TINY.with_values(seeds=1), part)

    def test_with_another_option_are_refused(self, part):
        with pytest.raises(InputError, match="with samples 64, not 65"):
            run(TINY.with_values(seeds=3, samples=65), part)
        assert Run.open(part).options["seeds"] == 2

    def test_by_the_command(self, part):
        arguments = ["run", "--resume", "part", "--seeds", "3", "--jobs", "1", "--no-pictures"]
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 0, done.output
        assert Run.open(part).options["seeds"] == 3
        assert len(Run.open(part).jobs) == 18
        done = CliRunner().invoke(main, ["run", "--resume", "part", "--seeds", "2"])
        assert done.exit_code == 2
        assert "with seeds 3, not 2" in done.stderr


class TestOverlappingShares:
    def test_results_of_another_processor_are_told_and_merged(self, whole, part):
        """Which differ in the last bits."""
        for key in list(whole.due)[:2]:
            record = json.loads(whole.file(key).read_bytes())
            record["rows"][0]["value"] *= 1 + 1e-13
            (part / "records" / f"{key}.json").write_text(json.dumps(signed(record)))
            origin = {**whole.origins[key], "processor": "Abacus"}
            (part / "origins" / f"{key}.json").write_text(json.dumps(origin))
        assert "different processor (" in read("table", part)[0]
        done = CliRunner().invoke(main, ["merge", str(whole.path), "part", "--out", "merged"])
        assert done.exit_code == 0, done.output
        assert "2 of the results in part differ in the last bits" in done.stderr
        assert files(Run.open("merged")) == files(whole)


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
    before = {file: file.stat().st_ino for file in there.rglob("*/*.json")}
    shutil.move(there.parent / "mine.py", "mine.py")
    assert "is not a file" in CliRunner().invoke(main, arguments).stderr
    moved = CliRunner().invoke(main, [*arguments, "--plugin", "mine.py"])
    assert moved.exit_code == 0, moved.output
    assert {file: file.stat().st_ino for file in there.rglob("*/*.json")} == before
    assert Run.open(there).plugins == (str(Path("mine.py").absolute()),)


def test_a_damaged_list_of_sources_is_refused(part):
    for text in ("[]", '{"cites": "a", "data": {}}', '{"cites": [1], "data": {}}', "{"):
        (part / "sources.json").write_text(text)
        done = CliRunner().invoke(main, ["cite", "part"])
        assert done.exit_code == 2
        assert "sources.json is damaged" in done.stderr


def test_a_specification_with_a_byte_order_mark_is_read():
    Path("spec.toml").write_bytes(MARK + b"seeds = 3\n")
    assert Spec.read(Path("spec.toml")).seeds == 3
