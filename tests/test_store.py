"""The run directory: what is written comes back, and damage is refused in one sentence."""

import json
import math
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plausibench.bench.spec import Spec
from plausibench.bench.store import COLUMNS, IDENTITY, SCHEMA, Run, encode, trajectories
from plausibench.kernels.errors import InputError

NAN = float("nan")


def row(**values):
    """A row of results."""
    blank = {
        "step": 0,
        "kind": "training",
        "projection": "all",
        "quantity": "train_loss",
        "value": 0.5,
        "low": NAN,
        "high": NAN,
        "samples": 0,
        "redrawn": "nothing",
        "reference": "",
        "method": "exact",
        "effective_dimension": NAN,
        "flag": "",
    }
    return {**blank, **values}


def record(order, key=None, status="done", reason="", rows=None):
    """A record of the unit of work at a place."""
    unit = {
        "task": "digits",
        "architecture": "mlp",
        "objective": "cross_entropy",
        "rule": "backprop",
        "seed": order,
        "protocol": "shared",
    }
    return {
        "key": key or f"key {order}",
        "unit": unit,
        "status": status,
        "reason": reason,
        "rows": [row(value=float(order))] if rows is None else rows,
    }


def timing(of, seconds=1.0):
    """The timing that belongs to a record."""
    return {
        "key": of["key"],
        "unit": of["unit"],
        "rows": [{"step": 0, "seconds": seconds}],
    }


def write(run, records):
    """Append records as a sweep does."""
    with run.writing() as writer:
        for one in records:
            writer.add(one, timing(one))


@pytest.fixture
def run(tmp_path):
    """An empty run directory."""
    return Run.create(tmp_path / "run", Spec(), {"command": ["test"]})


def shard(run, kind="results"):
    """The file that holds the records."""
    return run.path / kind / "driver.jsonl"


def refusal(path, property="frame"):
    """The one sentence with which reading is refused."""
    with pytest.raises(InputError) as caught:
        getattr(Run.open(path), property)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


class TestEncoding:
    def test_does_not_depend_on_the_order_of_names(self):
        assert encode({"b": 1, "a": {"d": 2, "c": 3}}) == encode({"a": {"c": 3, "d": 2}, "b": 1})

    def test_is_one_line(self):
        assert encode({"reason": "two\nlines\u2028three"}).count(b"\n") == 1
        assert encode({"reason": "two\nlines\u2028three"}).isascii()

    @pytest.mark.parametrize("number", [NAN, math.inf, -math.inf, np.float64("nan"), np.inf])
    def test_what_json_has_no_word_for_becomes_null(self, number):
        assert encode({"value": [number, {"low": number}]}) == b'{"value":[null,{"low":null}]}\n'

    @pytest.mark.parametrize(
        ("number", "plain"),
        [
            (np.float64(0.1), 0.1),
            (np.float32(0.5), 0.5),
            (np.int64(3), 3),
            (np.uint8(3), 3),
            (True, True),
            (2**70, 2**70),
        ],
    )
    def test_numbers_of_numpy_are_plain_numbers(self, number, plain):
        decoded = json.loads(encode({"value": number}))["value"]
        assert decoded == plain
        assert type(decoded) is type(plain)

    @given(st.floats(allow_nan=False, allow_infinity=False))
    def test_floats_come_back_exactly(self, number):
        assert json.loads(encode({"value": number}))["value"] == number


class TestWhatIsWritten:
    def test_comes_back(self, run):
        records = [record(0), record(1, rows=[row(value=0.1), row(value=NAN, flag="diverged")])]
        write(run, records)
        found = Run.open(run.path)
        assert list(found.frame.columns) == list(COLUMNS)
        np.testing.assert_array_equal(found.frame["value"], [0.0, 0.1, NAN])
        assert found.frame["flag"].tolist() == ["", "", "diverged"]
        assert found.frame["seed"].tolist() == [0, 1, 1]
        assert found.units["status"].tolist() == ["done", "done"]
        assert found.timings["seconds"].tolist() == [1.0, 1.0]

    def test_is_ordered_by_the_specification(self, run):
        write(run, [record(2), record(0), record(1)])
        assert Run.open(run.path).frame["seed"].tolist() == [0, 1, 2]

    def test_of_nothing_is_an_empty_table(self, run):
        found = Run.open(run.path)
        assert list(found.frame.columns) == list(COLUMNS)
        assert list(found.units.columns) == [*IDENTITY, "status", "reason"]
        assert len(found.frame) == len(found.units) == len(found.timings) == 0

    def test_numbers_are_floats_even_if_none_is_known(self, run):
        write(run, [record(0, rows=[row(value=NAN)])])
        assert Run.open(run.path).frame["value"].dtype == np.float64

    def test_specification_and_provenance_come_back(self, tmp_path):
        spec = Spec(rules=("node_perturbation[sigma=1e-2]",), learning_rates={"backprop": 0.3})
        Run.create(tmp_path / "run", spec, {"command": ["a", "b"]})
        found = Run.open(tmp_path / "run")
        assert found.spec == spec
        assert found.provenance == {"schema": SCHEMA, "command": ["a", "b"]}

    def test_provenance_is_that_of_the_last_records(self, run):
        with run.writing() as writer:
            writer.describe({"command": ["later"]})
        assert Run.open(run.path).provenance == {"schema": SCHEMA, "command": ["later"]}

    def test_a_shard_is_only_ever_appended_to(self, run):
        write(run, [record(0)])
        before = shard(run).read_bytes()
        write(run, [record(1)])
        assert shard(run).read_bytes() == before + encode(record(1))


class TestInterruption:
    def test_a_torn_last_line_is_dropped_wherever_it_was_torn(self, run):
        write(run, [record(0), record(1)])
        whole = shard(run).read_bytes()
        first = len(encode(record(0)))
        for length in range(first, len(whole)):
            shard(run).write_bytes(whole[:length])
            assert Run.open(run.path).frame["seed"].tolist() == [0], length

    def test_writing_goes_on_behind_the_last_whole_line(self, run):
        write(run, [record(0), record(1)])
        whole = shard(run).read_bytes()
        shard(run).write_bytes(whole[:-7])
        write(run, [record(1)])
        assert shard(run).read_bytes() == whole
        assert Run.open(run.path).units["seed"].tolist() == [0, 1]

    def test_a_torn_timing_is_dropped(self, run):
        write(run, [record(0), record(1)])
        shard(run, "timings").write_bytes(shard(run, "timings").read_bytes()[:-3])
        assert Run.open(run.path).timings["seed"].tolist() == [0]

    def test_a_directory_without_specification_is_begun_anew(self, tmp_path):
        run = Run.create(tmp_path / "run", Spec(), {})
        (run.path / "spec.toml").unlink()
        (run.path / ".spec.toml.draft").write_text("tasks = [")
        assert Run.create(run.path, Spec(), {}).spec == Spec()

    def test_killed_while_it_is_made_it_is_none_or_whole(self, tmp_path):
        """Before every file that is opened, made or renamed, and within every file."""
        script = textwrap.dedent("""
            import os, resource, signal, sys
            from plausibench.bench.spec import Spec
            from plausibench.bench.store import Run
            spec = Spec(seeds=3)
            def kill(event, arguments):
                global left
                if event in ("open", "os.mkdir", "os.rename") and path in str(arguments[:2]):
                    left -= 1
                    if left < 0:
                        os.kill(os.getpid(), 9)
            def limit(size):
                signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            def attempt(name, prepare):
                global path
                path = f"{sys.argv[1]}/{name}"
                if os.fork() == 0:
                    prepare()
                    Run.create(path, spec, {})
                    os._exit(0)
                print(os.waitstatus_to_exitcode(os.wait()[1]))
            for left in range(20):
                attempt(left, lambda: sys.addaudithook(kill))
            for size in range(0, 1500, 50):
                attempt(f"size{size}", lambda: limit(size))
        """)
        arguments = [sys.executable, "-c", script, str(tmp_path)]
        done = subprocess.run(arguments, capture_output=True, text=True, check=True)
        codes = [int(line) for line in done.stdout.split()]
        for part, code in ((codes[:20], -signal.SIGKILL), (codes[20:], -signal.SIGXFSZ)):
            assert part.count(code) >= 5
            assert part.count(0) >= 5
            assert set(part) == {code, 0}
        for place in tmp_path.iterdir():
            assert Run.create(place, Spec(seeds=3), {}).spec == Spec(seeds=3)


class TestSupersession:
    def test_a_failed_record_gives_way(self, run):
        failed = record(0, status="failed", reason="ValueError: no", rows=[])
        write(run, [failed, record(1), record(0)])
        found = Run.open(run.path)
        assert found.units["status"].tolist() == ["done", "done"]
        assert found.frame["seed"].tolist() == [0, 1]

    def test_a_unit_can_fail_twice_in_two_ways(self, run):
        write(run, [record(0, status="failed", reason=reason) for reason in ("one", "two")])
        assert Run.open(run.path).units["reason"].tolist() == ["two"]

    def test_a_unit_computed_from_other_sources_gives_way(self, run):
        write(run, [record(0, key="old"), record(0, key="new", rows=[row(value=7.0)])])
        assert Run.open(run.path).frame["value"].tolist() == [7.0]

    def test_only_the_last_timing_of_a_unit_counts(self, run):
        with run.writing() as writer:
            writer.add(record(0, status="failed"), timing(record(0), seconds=1.0))
            writer.add(record(0), timing(record(0), seconds=2.0))
        assert Run.open(run.path).timings["seconds"].tolist() == [2.0]

    def test_the_same_record_twice_is_one(self, run):
        write(run, [record(0), record(0)])
        assert len(Run.open(run.path).units) == 1

    def test_of_two_results_for_one_key_the_first_counts_and_is_told(self, run):
        first, second = (record(0, rows=[row(value=value)]) for value in (0.5, 0.5 + 2e-9))
        write(run, [first, second, *(record(n) for n in range(1, 90))])
        found = Run.open(run.path)
        assert found.frame["value"][0] == 0.5
        assert len(found.units) == trajectories(found.spec)
        (note,) = found.notes
        assert "differ by up to 4.0e-09 of a value" in note
        assert f"({shard(run)} line 1, not {shard(run)} line 2)" in note

    def test_two_outcomes_of_one_key_are_told_apart(self, run):
        write(run, [record(0), record(0, status="diverged", reason="no")])
        assert Run.open(run.path).units["status"].tolist() == ["done"]
        assert "which differ in more than values" in Run.open(run.path).notes[-1]


class TestRefusals:
    @pytest.mark.parametrize("property", ["frame", "units"])
    @pytest.mark.parametrize(
        "line",
        [
            b"",
            b"{",
            b"\xff\xfe",
            b"[]",
            b"3",
            b"{}",
            b"[" * 100_000,
            b"1" * 10_000,
            encode({**record(1), "key": 1}),
            encode({**record(1), "unit": []}),
            encode({**record(1), "unit": {**record(1)["unit"], "rule": ["backprop"]}}),
            encode({**record(1), "unit": {**record(1)["unit"], "seed": "1"}}),
            encode({**record(1), "unit": {**record(1)["unit"], "value": 1}}),
            encode({**record(1), "status": "fine"}),
            encode({**record(1), "status": ["done"]}),
            encode({**record(1), "reason": None}),
            encode({**record(1), "rows": {}}),
            encode({**record(1), "rows": [1]}),
            encode({**record(1), "rows": [{"value": 1.0}]}),
            encode({**record(1), "rows": [row(value="high")]}),
            encode({**record(1), "rows": [row(value=True)]}),
            encode({**record(1), "rows": [row(value=10**400)]}),
            encode({**record(1), "rows": [row(step=0.5)]}),
            encode({**record(1), "rows": [row(flag=0)]}),
            encode(record(1)).replace(b"1.0", b"NaN"),
            encode(record(1)).replace(b"1.0", b"1e999"),
        ],
    )
    def test_a_damaged_line_names_file_and_line(self, run, line, property):
        write(run, [record(0), record(2)])
        first, last = shard(run).read_bytes().splitlines(keepends=True)
        shard(run).write_bytes(first + line.rstrip(b"\n") + b"\n" + last)
        sentence = refusal(run.path, property)
        assert sentence.startswith(f"run: {shard(run)} line 2 is damaged")

    @pytest.mark.parametrize("line", [b"{}", b"3", encode({**timing(record(0)), "rows": [{}]})])
    def test_a_damaged_timing_is_refused(self, run, line):
        write(run, [record(0)])
        shard(run, "timings").write_bytes(line.rstrip(b"\n") + b"\n")
        assert f"{shard(run, 'timings')} line 1 is damaged" in refusal(run.path, "timings")

    @pytest.mark.parametrize("found", [SCHEMA + 1, SCHEMA - 1, None, "1"])
    def test_another_format_is_refused(self, run, found):
        (run.path / "provenance.json").write_text(json.dumps({"schema": found}))
        sentence = refusal(run.path)
        assert repr(found) in sentence
        assert f"reads format {SCHEMA}" in sentence

    @pytest.mark.parametrize("text", ["", "{", "[]", "\x00", "[" * 100_000])
    def test_damaged_provenance_is_refused(self, run, text):
        (run.path / "provenance.json").write_text(text)
        assert "provenance.json is damaged" in refusal(run.path)

    @pytest.mark.parametrize("text", ["tasks = [", 'rulez = ["backprop"]', "seeds = 'many'"])
    def test_a_damaged_specification_is_refused(self, run, text):
        (run.path / "spec.toml").write_text(text)
        refusal(run.path, "spec")

    @pytest.mark.parametrize("name", ["", "nothing", "file", "x" * 5000])
    def test_what_is_no_run_directory_is_refused(self, tmp_path, name):
        (tmp_path / "file").write_text("")
        assert "is not a run directory; it lacks spec.toml" in refusal(tmp_path / name)

    def test_a_second_writer_is_refused(self, run):
        with run.writing(), pytest.raises(InputError, match="another process is writing"):
            Run.open(run.path).writing().__enter__()

    def test_a_second_process_is_refused_until_the_first_ends(self, run):
        code = (
            "import sys; from plausibench.bench.store import Run\n"
            f"with Run.open({str(run.path)!r}).writing():\n"
            "    print('writing', flush=True); sys.stdin.read()"
        )
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen([sys.executable, "-c", code], **pipes) as other:
            assert other.stdout.readline() == b"writing\n"
            with pytest.raises(InputError, match="another process is writing"):
                write(run, [record(0)])
            other.kill()
        write(run, [record(0)])

    def test_another_specification_is_refused(self, run):
        with pytest.raises(InputError, match="another specification"):
            Run.create(run.path, Spec(samples=7), {})
        with pytest.raises(InputError, match=r"another specification \(seeds is 5, not 4\)"):
            Run.create(run.path, Spec(seeds=4), {})
        assert Run.open(run.path).spec == Spec()

    def test_more_seeds_extend_it(self, run):
        write(run, [record(0)])
        assert Run.create(run.path, Spec(seeds=7), {}).spec == Spec(seeds=7)
        assert Run.open(run.path).units["seed"].tolist() == [0]

    def test_a_folder_with_other_files_is_refused(self, tmp_path):
        (tmp_path / "thesis.tex").write_text("")
        with pytest.raises(InputError, match=r"holds 'thesis\.tex'"):
            Run.create(tmp_path, Spec(), {})
        assert [path.name for path in tmp_path.iterdir() if path.suffix] == ["thesis.tex"]

    @pytest.mark.parametrize("place", ["file", "file/run", "x" * 5000])
    def test_a_folder_that_cannot_be_made_is_refused(self, tmp_path, place):
        (tmp_path / "file").write_text("")
        with pytest.raises(InputError, match=r"out: .* cannot be written \("):
            Run.create(tmp_path / place, Spec(), {})

    def test_a_shard_that_cannot_be_written_is_refused_at_once(self, run):
        shard(run).mkdir(parents=True)
        with pytest.raises(InputError, match="cannot be written"), run.writing():
            pytest.fail("the directory was opened for writing")

    def test_a_full_disk_is_said(self, run, monkeypatch):
        write(run, [record(0)])
        write_whole = os.write
        with run.writing() as writer:
            monkeypatch.setattr(os, "write", lambda file, line: write_whole(file, line[:10]))
            with pytest.raises(InputError, match="cannot be written"):
                writer.add(record(1), timing(record(1)))
            monkeypatch.undo()
        write(run, [record(1)])
        assert Run.open(run.path).units["seed"].tolist() == [0, 1]


def test_reading_executes_nothing(tmp_path):
    for name in ("benign", "hostile"):
        run = Run.create(tmp_path / name, Spec(), {}, {"cites": ["Oja 1982"], "data": {}})
        write(run, [record(0)])
    evil = "__import__('os').system('false')"
    text = (run.path / "spec.toml").read_text()
    text = text.replace("plugins = []", f"plugins = ['{tmp_path / 'plugin.py'}']")
    (run.path / "spec.toml").write_text(text.replace('"backprop"', f'"{evil}"'))
    (tmp_path / "plugin.py").write_text(evil)
    hostile = record(1, reason=evil, rows=[row(quantity=evil, flag=evil)])
    hostile["unit"]["rule"] = evil
    write(run, [hostile])
    script = textwrap.dedent("""
        import sys
        from plausibench.bench.store import Run
        def read(path):
            run = Run.open(path)
            assert run.notes and run.sources
            return run.spec, run.provenance, run.frame, run.units, run.timings
        read(sys.argv[1] + "/benign")  # imports what reading needs
        FORBIDDEN = ("compile", "exec", "import", "os.", "pickle", "subprocess", "ctypes")
        HARMLESS = ("os.listdir", "os.scandir")
        def forbid(event, arguments):
            if event.startswith(FORBIDDEN) and event not in HARMLESS:
                raise SystemExit(f"{event} {arguments}")
        sys.addaudithook(forbid)
        spec, _, frame, units, _ = read(sys.argv[1] + "/hostile")
        print(spec.plugins, spec.rules[0], frame["flag"][0], units["reason"][0], sep="\\n")
    """)
    arguments = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [f"('{tmp_path / 'plugin.py'}',)", evil, evil, evil]


def outcome(read):
    """The sentence with which reading is refused; empty if it is not."""
    try:
        read()
    except InputError as error:
        return str(error)
    return ""


@settings(max_examples=150)
@given(st.data())
def test_garbled_results_are_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("garbled") / "run"
    run = Run.create(path, Spec(), {}, {"cites": ["Oja 1982"], "data": {"digits": "ab"}})
    write(run, [record(0), record(1, status="failed"), record(2)])
    names = ["results/driver.jsonl", "timings/driver.jsonl", "spec.toml", "provenance.json"]
    names.append("sources.json")
    file = path / data.draw(st.sampled_from(names))
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, min(len(content), start + 12)))
        pieces = st.sampled_from(
            [b"null", b"-1", b"1e999", b"9" * 30, b"[]", b"{}", b'""', b'"', b"\n", b"NaN", b"true"]
        )
        content[start:end] = data.draw(st.binary(max_size=6) | pieces)
    file.write_bytes(bytes(content))
    for property in ("frame", "units", "timings", "spec", "provenance", "sources", "notes"):
        assert "\n" not in outcome(lambda name=property: getattr(Run.open(path), name))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@settings(max_examples=150)
@given(st.data())
def test_records_with_other_values_are_read_or_refused(tmp_path_factory, data):
    """Unlike garbled bytes, these are valid JSON with a value of another kind somewhere."""
    run = Run.create(tmp_path_factory.mktemp("other") / "run", Spec(), {})
    changed = record(0)
    place = changed
    while True:
        name = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else [0]))
        inner = place[name]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
            place[name] = data.draw(json_values)
            break
        place = inner
    write(run, [changed, record(1)])
    found = Run.open(run.path)
    refused = outcome(lambda: (found.frame, found.units))
    assert "line 1 is damaged" in refused or not refused
