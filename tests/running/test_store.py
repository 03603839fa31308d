"""The run directory: what is written comes back, and damage is said in one sentence."""

import json
import math
import os
import shutil
import string
import subprocess
import sys
import textwrap
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausibench.bench.running import driver
from plausibench.bench.running.files import decoded, encode, publish
from plausibench.bench.running.job import SCHEMA, Job, Outcome, compute, plain
from plausibench.bench.running.store import Run, differences, plain_options, signed
from plausibench.kernels.errors import InputError
from toy_jobs import due, files, job, jobs

VALUES = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | st.text()
ROWS = st.lists(st.dictionaries(st.text(), VALUES, max_size=4), max_size=4)
ORIGIN = {"processor": "Abacus", "python": "3", "libraries": {"numpy": "2", "scipy": "1"}}


@dataclass(frozen=True)
class Options:
    rules: tuple[str, ...] = ("backprop",)
    rates: dict | None = None
    folder: Path = Path("data")


def filled(path, listed):
    """A run of jobs, all kept."""
    run = Run.create(path, "toy", {"count": len(listed)}, due(listed))
    for one in listed:
        run.keep(one, compute(one))
    return run


@pytest.fixture
def run(tmp_path):
    return filled(tmp_path / "run", jobs(3))


def refusal(call, *arguments):
    """The one sentence with which something is refused."""
    with pytest.raises(InputError) as caught:
        call(*arguments)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


class TestEncoding:
    @given(st.dictionaries(st.text(), VALUES))
    def test_plain_values_come_back_exactly(self, row):
        values = plain(row)
        line = encode(values)
        assert line.isascii()
        assert line.count(b"\n") == 1
        found = json.loads(line)
        assert list(found.items()) == list(values.items())
        assert list(map(type, found.values())) == list(map(type, values.values()))

    @given(VALUES, st.sampled_from(["\ufeff", ""]), st.sampled_from(["\n", "\r\n", ""]))
    def test_is_read_whatever_an_editor_made_of_it(self, tmp_path_factory, value, mark, end):
        file = tmp_path_factory.getbasetemp() / "edited.json"
        content = plain({"value": value})
        file.write_bytes((mark + json.dumps(content, indent=1)).replace("\n", "\r\n").encode())
        assert decoded(file, lambda _: True) == content

    def test_infinity_is_not_written(self):
        with pytest.raises(ValueError, match="not JSON compliant"):
            encode({"value": math.inf})


class TestWhatIsWritten:
    @given(ROWS, st.text(), st.sampled_from(["done", "diverged", "failed", "unsupported"]))
    def test_comes_back(self, tmp_path_factory, rows, reason, status):
        folder = tmp_path_factory.getbasetemp() / "law"
        shutil.rmtree(folder, ignore_errors=True)
        one = job(1)
        run = Run.create(folder, "toy", {}, due([one]))
        outcome = Outcome(status, reason, [plain(row) for row in rows], 1.5, ORIGIN)
        run.keep(one, outcome)
        found = Run.open(folder)
        assert found.read(one.key) == replace(outcome, seconds=0.0, origin={})
        assert found.origins[one.key]["processor"] == "Abacus"
        assert found.timings["seconds"].tolist() == [1.5]

    def test_is_a_table_in_the_order_of_the_jobs_due(self, tmp_path):
        listed = jobs(4)
        run = Run.create(tmp_path / "run", "toy", {}, due(listed))
        for one in (listed[2], listed[0], listed[3]):
            run.keep(one, compute(one))
        assert list(run.frame.columns) == ["number", "power", "value", "low"]
        assert run.frame["number"].tolist() == [0, 0, 2, 2, 3, 3]
        assert run.frame["low"].isna().all()
        assert run.frame.dtypes.astype(str).tolist() == ["int64", "int64", "float64", "float64"]
        found = Run.open(run.path)
        assert found.jobs["number"].tolist() == [0, 1, 2, 3]
        assert found.jobs["status"].tolist() == ["done", "due", "done", "done"]
        assert (found.finished, len(found.due)) == (3, 4)
        resume = f"plausibench run --resume {run.path}"
        (remark,) = found.remarks()
        assert remark == (
            f"3 of 4 jobs of {run.path} are finished; {resume} computes what is missing."
        )

    def test_columns_are_those_of_all_jobs(self, tmp_path):
        from plausibench.bench.running.job import Job

        one = Job({"field": "saddle"}, lambda: [{"x": 1.0, "text": "a"}], depends="toy1")
        other = Job({"rule": "mine", "seed": 3}, lambda: [{"value": 2}], depends="toy2")
        one, other = (replace(each, work=str) for each in (one, other))
        run = Run.create(tmp_path / "run", "toy", {}, due([one, other]))
        run.keep(one, Outcome("done", rows=[{"x": 1.0, "text": "a"}]))
        run.keep(other, Outcome("done", rows=[{"value": 2}]))
        frame = run.frame
        assert list(frame.columns) == ["field", "rule", "seed", "x", "text", "value"]
        assert frame["seed"].isna().tolist() == [True, False]
        assert frame["text"].isna().tolist() == [False, True]
        assert frame["value"].dtype == np.float64

    def test_of_nothing_is_an_empty_table(self, tmp_path):
        run = Run.create(tmp_path / "run", "toy", {}, due(jobs(2)))
        assert list(run.frame.columns) == ["number"]
        assert len(run.frame) == len(run.timings) == run.finished == 0
        assert run.jobs["status"].tolist() == ["due", "due"]

    def test_options_come_back(self, tmp_path):
        options = Options(rates={"backprop": 0.3, "none": None}, folder=Path("a"))
        Run.create(tmp_path / "run", "toy", options, {}, plugins=["mine.py"])
        found = Run.open(tmp_path / "run")
        assert found.study == "toy"
        assert found.options == {"rules": ["backprop"], "rates": {"backprop": 0.3}, "folder": "a"}
        assert found.plugins == (str(Path("mine.py").absolute()),)

    def test_is_the_same_bytes_whoever_writes_it(self, run, tmp_path):
        other = filled(tmp_path / "other", jobs(3)[::-1])
        assert files(run) == files(other)
        for line in files(run).values():
            assert not {"seconds", "processor", "time"} & set(json.loads(line))

    def test_names_of_files_are_allowed_everywhere(self, run):
        for file in run.path.rglob("*"):
            assert set(file.name) <= set(string.ascii_lowercase + string.digits + ".")
            assert len(file.name) < 64


class TestInterruption:
    def test_killed_while_it_is_made_it_is_none_or_whole(self, tmp_path):
        """Before every file that is opened, made or renamed, and within every file."""
        script = textwrap.dedent("""
            import os, resource, signal, sys
            from plausibench.bench.running.job import compute
            from plausibench.bench.running.store import Run
            from toy_jobs import due, jobs
            def kill(event, arguments):
                global left
                if event in ("open", "os.mkdir", "os.rename") and path in str(arguments[:2]):
                    left -= 1
                    if left < 0:
                        os.kill(os.getpid(), 9)
            def limit(size):
                signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            outcome = compute(jobs(1)[0])
            def attempt(name, prepare):
                global path
                path = f"{sys.argv[1]}/{name}"
                if os.fork() == 0:
                    prepare()
                    run = Run.create(path, "toy", {"count": 1}, due(jobs(1)))
                    run.keep(jobs(1)[0], outcome)
                    os._exit(0)
                print(os.waitstatus_to_exitcode(os.wait()[1]))
            for left in range(20):
                attempt(left, lambda: sys.addaudithook(kill))
            for size in range(0, 1400, 50):
                attempt(f"size{size}", lambda: limit(size))
        """)
        arguments = [sys.executable, "-c", script, str(tmp_path)]
        place = str(Path(__file__).parent.parent)
        done = subprocess.run(
            arguments,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": place},
        )
        codes = [int(line) for line in done.stdout.split()]
        assert codes[:20].count(-9) >= 5
        assert codes[:20].count(0) >= 1
        assert codes[20:].count(0) >= 1
        assert codes[20:].count(0) < len(codes[20:]) - 2
        one = jobs(1)[0]
        for path in tmp_path.iterdir():
            run = Run.create(path, "toy", {"count": 1}, due([one]))
            assert run.read(one.key) in (None, replace(compute(one), seconds=0.0, origin={}))
            assert run.finished == (run.read(one.key) is not None)

    def test_what_could_not_be_written_leaves_the_former_and_no_draft(self, run, monkeypatch):
        before = files(run)

        def full(*arguments):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        sentence = refusal(run.keep, jobs(3)[0], Outcome("done"))
        assert sentence == f"out: {str(run.path)!r} cannot be written (No space left on device)"
        assert files(run) == before

    def test_two_processes_may_write_one_file_at_once(self, tmp_path, monkeypatch):
        """One writes it from beginning to end while the other is half done."""
        fsync = os.fsync

        def meanwhile(handle):
            monkeypatch.setattr(os, "fsync", fsync)
            publish(tmp_path / "file", b"whole")
            assert [file.read_bytes() for file in tmp_path.glob("[!.]*")] == [b"whole"]

        monkeypatch.setattr(os, "fsync", meanwhile)
        publish(tmp_path / "file", b"whole")
        assert os.fsync is fsync
        assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"whole"]


class TestDamage:
    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"{",
            b"\xff\xfe",
            b"[]",
            b"3",
            b"{}",
            b"[" * 100_000,
            b"1" * 10_000,
            {"key": 1},
            {"about": {"number": 2}},
            {"about": []},
            {"status": "fine"},
            {"status": ["done"]},
            {"reason": None},
            {"rows": {}},
            {"rows": [1]},
            {"rows": [{"value": [1]}]},
            {"rows": [{"value": 10**400}]},
            b'{"rows": [{"value": NaN}]}',
            b'{"rows": [{"value": 1e999}]}',
        ],
    )
    def test_of_a_record_names_the_file(self, run, content):
        key = list(run.due)[1]
        record = json.loads(run.file(key).read_bytes())
        if isinstance(content, dict):
            content = json.dumps(signed({**record, **content})).encode()
        run.file(key).write_bytes(content)
        for name in ("frame", "jobs"):
            sentence = refusal(getattr, Run.open(run.path), name)
            assert sentence.startswith(f"run: {run.file(key)} is damaged (")

    def test_of_a_record_hides_no_other(self, run):
        one, *others = run.due
        run.file(one).write_bytes(b"")
        assert all(Run.open(run.path).read(key).status == "done" for key in others)

    @pytest.mark.parametrize(
        "content",
        [b"", b"{}", b"[3]", b'[{"key": 1, "about": {}}]', b'[{"key": "../a", "about": {}}]', None],
    )
    def test_of_the_list_of_jobs_is_said(self, run, content):
        file = run.path / "jobs.json"
        file.unlink() if content is None else file.write_bytes(content)
        assert "jobs.json" in refusal(getattr, Run.open(run.path), "frame")

    @pytest.mark.parametrize("text", ["tasks = [", "", "study = 3\nschema = 2\n[options]"])
    def test_of_the_study_is_said(self, run, text):
        (run.path / "study.toml").write_text(text)
        refusal(Run.open, run.path)

    @pytest.mark.parametrize("content", [b"", b"[]", b'{"libraries": [3], "processor": 1}', None])
    def test_of_an_origin_matters_to_nobody(self, run, content):
        file = run.file(next(iter(run.due)), "origins")
        file.unlink() if content is None else file.write_bytes(content)
        found = Run.open(run.path)
        assert len(found.frame) == 6
        assert found.remarks() == []

    def test_foreign_files_are_not_read(self, run):
        before = run.frame
        (run.path / "records" / "notes.json").write_bytes(b"{")
        (run.path / "records" / ".hidden").write_bytes(b"")
        (run.path / "records" / f"{'0' * 32}.json").write_bytes(b"[")
        (run.path / "origins" / "folder").mkdir()
        found = Run.open(run.path)
        assert found.frame.equals(before)
        assert found.finished == 3

    def test_line_ends_and_marks_are_none(self, run):
        for file in [*run.path.glob("*.*"), *run.path.glob("*/*.json")]:
            text = file.read_text()
            file.write_bytes(("\ufeff" + text.replace("\n", "\r\n")).encode())
        found = Run.open(run.path)
        assert found.frame.equals(run.frame)
        assert found.options == run.options


@given(st.data())
def test_whatever_becomes_of_a_file_is_a_result_or_one_sentence(tmp_path_factory, data):
    """And the driver goes on wherever the study and its options can still be read."""
    whole = tmp_path_factory.getbasetemp() / "intact"
    if not whole.exists():
        driver.run("toy", {"count": 3}, jobs(3), whole)
    place = tmp_path_factory.getbasetemp() / "damaged"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(whole, place)
    file = data.draw(st.sampled_from(sorted(f.relative_to(place) for f in place.rglob("*.*"))))
    content = (place / file).read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    resumed = data.draw(st.integers(cut, len(content)))
    (place / file).write_bytes(content[:cut] + data.draw(st.binary()) + content[resumed:])
    for read in ("frame", "jobs", "timings", "finished", "plugins"):
        with suppress(InputError):
            getattr(Run.open(place), read)
    refused = ""
    try:
        driver.run("toy", {"count": 3}, jobs(3), place)
    except InputError as error:
        refused = str(error)
    if refused:
        assert file.name == "study.toml"
        assert "\n" not in refused
    else:
        assert Run.open(place).finished == 3
        assert len(Run.open(place).jobs) == 3


class TestRefusals:
    def test_of_the_former_format_gives_the_command(self, tmp_path):
        folder = tmp_path / "my run"
        folder.mkdir()
        (folder / "spec.toml").write_text("seeds = 2")
        sentence = refusal(Run.open, folder)
        assert "has format 1" in sentence
        assert f"plausibench run '{folder}/spec.toml' --out '{folder}-2'" in sentence
        assert refusal(Run.create, folder, "toy", {}, {}) == sentence

    @pytest.mark.parametrize(
        ("content", "name"), [('{"experiment": "tags"}', "tags"), ("[]", "STUDY"), ("{", "STUDY")]
    )
    def test_of_a_study_in_the_former_format_gives_its_name(self, tmp_path, content, name):
        (tmp_path / "study.json").write_text(content)
        assert f"plausibench run {name} --out {tmp_path}-2" in refusal(Run.open, tmp_path)

    @pytest.mark.parametrize("schema", [SCHEMA + 1, 1, '"2"', "true"])
    def test_of_another_format_says_which(self, run, schema):
        file = run.path / "study.toml"
        file.write_text(file.read_text().replace("schema = 2", f"schema = {schema}"))
        assert f"reads and writes format {SCHEMA}" in refusal(Run.open, run.path)

    @pytest.mark.parametrize("name", ["", "nothing", "file", "x" * 5000])
    def test_of_what_is_no_run_directory(self, tmp_path, name):
        (tmp_path / "file").write_text("")
        assert "lacks study.toml" in refusal(Run.open, tmp_path / name)

    def test_of_a_folder_of_runs_names_them(self, tmp_path):
        for name in ("digits/tuning", "digits/run", "other"):
            Run.create(tmp_path / name, "toy", {}, {})
        there = [str(tmp_path / name) for name in ("other", "digits/run", "digits/tuning")]
        assert refusal(Run.open, tmp_path).endswith(f"there are {', '.join(there)}")

    @pytest.mark.parametrize(
        ("study", "options", "said"),
        [
            ("others", {"count": 3}, "with study 'toy', not 'others'"),
            ("toy", {"count": 4}, "with count 3, not 4"),
            ("toy", {"count": 3, "rule": "mine"}, "with rule None, not 'mine'"),
            ("toy", {}, "with count 3, not None"),
        ],
    )
    def test_of_another_study_or_option_names_it(self, run, study, options, said):
        assert said in refusal(Run.create, run.path, study, options, {})

    def test_of_a_folder_with_other_files(self, tmp_path):
        (tmp_path / "thesis.tex").write_text("")
        assert "holds 'thesis.tex'" in refusal(Run.create, tmp_path, "toy", {}, {})
        assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]

    def test_hidden_files_are_the_systems(self, tmp_path):
        (tmp_path / ".DS_Store").touch()
        assert Run.create(tmp_path, "toy", {}, {}).study == "toy"

    def test_of_a_file(self, tmp_path):
        (tmp_path / "file").write_text("")
        assert "cannot be written" in refusal(Run.create, tmp_path / "file", "toy", {}, {})

    def test_a_folder_that_holds_another_run_is_none(self, run):
        Run.create(run.path / "inner", "toy", {}, {})
        Run.create(run.path.parent, "toy", {}, {})


class TestOrigins:
    @pytest.mark.parametrize(
        ("other", "said"),
        [
            ({"processor": "Slide rule"}, "different processor (Abacus, Slide rule):"),
            ({"python": "4"}, "different python (3, 4):"),
            ({"libraries": {"numpy": "1", "scipy": "1"}}, "different numpy (1, 2):"),
            ({"seconds": 3, "command": ["other"], "engine": "new"}, ""),
        ],
    )
    def test_that_differ_are_told(self, other, said):
        sentence = differences([ORIGIN, {**ORIGIN, **other}])
        assert said in sentence
        assert bool(sentence) == bool(said)

    def test_are_among_the_remarks(self, run):
        one = jobs(3)[0]
        run.keep(one, replace(compute(one), origin={**compute(one).origin, "processor": "Abacus"}))
        (remark,) = Run.open(run.path).remarks()
        assert "different processor" in remark
        assert "Abacus" in remark


@given(st.recursive(st.booleans() | st.integers(-9, 9) | st.text(), st.lists, max_leaves=5))
def test_options_in_a_file_are_those_compared(value):
    options = plain_options({"value": value, "tuple": tuple("ab"), "none": None})
    assert options == {"value": value, "tuple": ["a", "b"]}
    assert plain_options(options) == options


@pytest.mark.parametrize("change", [(b'"n"', b'" n"'), (b"1", b"2"), (b"null", b"true")])
def test_a_changed_letter_or_digit_is_a_damaged_record(tmp_path, change):
    """Though it is JSON still, and of the right types."""
    made = Job({"case": "a"}, print, (), depends="nothing")
    run = Run.create(tmp_path / "run", "toy", {}, {made.key: made.about}, ())
    run.keep(made, Outcome("done", "", [{"n": 1, "low": None}]))
    assert Run(run.path).read(made.key).rows == [{"n": 1, "low": None}]
    head, rows = run.file(made.key).read_bytes().split(b'"rows"')
    run.file(made.key).write_bytes(head + b'"rows"' + rows.replace(*change, 1))
    with pytest.raises(InputError, match="is damaged"):
        Run(run.path).read(made.key)
