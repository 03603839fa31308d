"""Many processes write one directory, and many directories become one."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from plausibench.bench import workers
from plausibench.bench.cli import main
from plausibench.bench.merging import differences, merge
from plausibench.bench.shards import Shard, shard_of_array
from plausibench.bench.store import Run
from plausibench.bench.sweep import run, units
from plausibench.kernels.errors import InputError
from sweeps import TINY, results


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The sweep in one process."""
    return run(TINY, tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture(scope="module")
def sharded(tmp_path_factory):
    """The sweep in three shards of one directory, the last first."""
    folder = tmp_path_factory.mktemp("sharded") / "run"
    for index in (3, 2, 1):
        found = run(TINY, folder, shard=Shard(index, 3))
    return found


def refusal(call, *arguments, **options):
    """The one sentence with which a call is refused."""
    with pytest.raises(InputError) as caught:
        call(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def array(task, first, last, count):
    """SLURM's variables in the tasks of a job array."""
    names = ("ID", "MIN", "MAX", "COUNT")
    values = (task, first, last, count)
    pairs = zip(names, values, strict=True)
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in pairs}


class TestShare:
    @pytest.mark.parametrize("of", [1, 2, 3, 5, 12, 13])
    def test_every_unit_is_in_one_shard(self, of):
        todo = units(TINY)
        shares = [Shard(index, of).share(todo) for index in range(1, of + 1)]
        assert sorted(todo.index(unit) for share in shares for unit in share) == list(
            range(len(todo))
        )
        assert max(map(len, shares)) - min(map(len, shares)) <= 1

    def test_rules_are_spread(self):
        for index in (1, 2):
            rules = [unit.rule for unit in Shard(index, 2).share(units(TINY))]
            assert [rules.count(rule) for rule in TINY.rules] == [2, 2, 2]

    @pytest.mark.parametrize("text", ["", "3", "0/8", "9/8", "1/0", "-1/8", "1/8/9", "a/b", " 1/8"])
    def test_what_is_no_shard_is_refused(self, text):
        assert refusal(Shard.parse, text).startswith("shard: '")

    def test_counts_from_one(self):
        assert Shard.parse("3/8") == Shard(3, 8)
        assert Shard.parse("1/1").share([1, 2]) == [1, 2]


class TestJobArray:
    @pytest.mark.parametrize("first", [0, 1, 7])
    def test_counts_from_the_first_task(self, first):
        last = first + 3
        found = [shard_of_array(array(task, first, last, 4)) for task in range(first, last + 1)]
        assert found == [Shard(1, 4), Shard(2, 4), Shard(3, 4), Shard(4, 4)]

    def test_without_an_array_is_everything(self):
        assert shard_of_array({"SLURM_JOB_ID": "3"}) == Shard(1, 1)

    @pytest.mark.parametrize("values", [(1, 1, 7, 3), (8, 1, 7, 7), (0, 1, 7, 7), ("x", 1, 7, 7)])
    def test_with_gaps_or_nonsense_is_refused(self, values):
        assert "give --shard i/n" in refusal(shard_of_array, array(*values))


class TestSharedDirectory:
    def test_gives_the_table_of_one_process(self, whole, sharded):
        assert sharded.frame.equals(whole.frame)
        assert sharded.units.equals(whole.units)
        names = {file.name for file in (sharded.path / "results").iterdir()}
        assert names == {f"shard-{index}-of-3.jsonl" for index in (1, 2, 3)}

    def test_says_where_each_shard_was_computed(self, sharded):
        assert [origin["shard"] for origin in sharded.origins()] == ["1/3", "2/3", "3/3"]
        assert differences(sharded.origins()) == ""

    def test_computes_its_share_only(self, tmp_path):
        done = []
        run(TINY, tmp_path / "run", on_done=lambda *a: done.append(a), shard=Shard(5, 5))
        share = [unit.identity() for unit in units(TINY)[4::5]]
        assert [record["unit"] for record, *_ in done] == share
        assert len(share) == 2
        assert [(count, total) for _, count, total in done] == [(1, 2), (2, 2)]

    def test_what_other_shards_did_is_not_done_again(self, sharded, monkeypatch):
        monkeypatch.setattr(workers, "measure_unit", lambda *_: pytest.fail("done again"))
        run(TINY, sharded.path)
        run(TINY, sharded.path, shard=Shard(2, 7))

    @pytest.mark.parametrize("second", ["2/3", "1/1"])
    def test_two_processes_on_one_shard_are_refused(self, tmp_path, second):
        found = Run.create(tmp_path / "run", TINY, {})
        with found.writing(Shard(2, 3)):
            sentence = refusal(found.writing(Shard.parse(second)).__enter__)
            assert "another process is writing to" in sentence
            assert ("shard 2/3" in sentence) == (second == "2/3")
            with found.writing(Shard(1, 3)):
                pass
        with found.writing(), pytest.raises(InputError, match="another process is writing"):
            found.writing(Shard(1, 3)).__enter__()

    def test_a_failed_record_of_another_shard_gives_way(self, tmp_path, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr(workers, "measure_unit", lambda *_: ("failed", "no luck", [], []))
            run(TINY, tmp_path / "run", shard=Shard(2, 2))
        found = run(TINY, tmp_path / "run")
        assert set(found.units["status"]) == {"done"}

    def test_results_of_old_sources_in_another_shard_are_not_superseded(
        self, tmp_path, monkeypatch
    ):
        run(TINY, tmp_path / "run", shard=Shard(2, 2))
        monkeypatch.setattr("plausibench.bench.sweep.engine_digest", lambda: "new")
        assert "in another shard" in refusal(run, TINY, tmp_path / "run")
        found = run(TINY, tmp_path / "run", shard=Shard(2, 2))
        assert len(found.units) == 6


class TestMerge:
    def test_of_shards_is_the_file_of_one_process(self, whole, sharded, tmp_path):
        merged = merge([sharded.path], tmp_path / "merged")
        assert results(merged) == results(whole)
        assert [origin["shard"] for origin in merged.origins()] == ["1/3", "2/3", "3/3"]
        assert len(merged.timings) == len(sharded.timings) > 0

    def test_of_directories_that_overlap(self, whole, tmp_path):
        for index in (1, 2):
            run(TINY, tmp_path / str(index), shard=Shard(index, 2))
        merged = merge([tmp_path / "2", whole.path, tmp_path / "1"], tmp_path / "merged")
        assert results(merged) == results(whole)
        assert merged.spec == TINY

    def test_of_a_part_can_be_resumed(self, whole, tmp_path):
        run(TINY, tmp_path / "part", shard=Shard(2, 2))
        merge([tmp_path / "part"], tmp_path / "merged")
        assert run(TINY, tmp_path / "merged").frame.equals(whole.frame)

    def test_of_two_results_for_one_key_the_first_counts_and_is_told(self, whole, tmp_path):
        run(TINY, tmp_path / "other", shard=Shard(1, 2))
        file = tmp_path / "other" / "results" / "shard-1-of-2.jsonl"
        record = json.loads(file.read_bytes().splitlines()[1])
        record["rows"][0]["value"] += 1e-15
        text = json.dumps(record, sort_keys=True, separators=(",", ":")) + "\n"
        file.write_text(text)
        notes = []
        merged = merge([whole.path, tmp_path / "other"], tmp_path / "merged", notes.append)
        assert results(merged) == results(whole)
        assert f"not {file} line 1)" in notes[0]
        assert "different processors or versions" in notes[0]
        assert notes[1:] == []

    def test_of_other_sources_is_refused(self, whole, tmp_path, monkeypatch):
        monkeypatch.setattr("plausibench.bench.sweep.engine_digest", lambda: "new")
        run(TINY, tmp_path / "other", shard=Shard(1, 4))
        sentence = refusal(merge, [whole.path, tmp_path / "other"], tmp_path / "merged")
        assert "other sources" in sentence
        assert "put one of the two files aside" in sentence
        assert "shard-1-of-4.jsonl line 1" in sentence
        assert not (tmp_path / "merged").exists()

    def test_of_other_specifications_is_refused(self, whole, tmp_path):
        Run.create(tmp_path / "other", TINY.with_values(samples=65), {})
        sentence = refusal(merge, [whole.path, tmp_path / "other"], tmp_path / "merged")
        assert sentence.endswith("samples is 65, not 64")
        assert not (tmp_path / "merged").exists()

    def test_into_a_run_is_refused(self, whole):
        before = results(whole)
        assert "holds a run already" in refusal(merge, [whole.path], whole.path)
        assert results(whole) == before

    def test_says_that_processors_and_versions_differ(self, sharded, tmp_path):
        merged = merge([sharded.path], tmp_path / "merged")
        file = merged.path / "origins" / "driver.jsonl"
        first, *others = map(json.loads, file.read_text().splitlines())
        first["processor"] = "Abacus"
        first["libraries"]["numpy"] = "0.1"
        lines = [json.dumps(origin) + "\n" for origin in (first, *others)]
        file.write_text("".join(lines))
        arguments = ["merge", str(merged.path), "--out", str(tmp_path / "again")]
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 0
        assert "12 trajectories of 1 directories" in done.stdout
        assert "Abacus" in done.stderr
        assert "numpy (0.1, " in done.stderr


class TestCommand:
    """Of a run: its shares, and how it is resumed."""

    @pytest.fixture
    def call(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        TINY.write(Path("spec.toml"))
        for name in [name for name in os.environ if name.startswith("SLURM_ARRAY")]:
            monkeypatch.delenv(name)

        def call(*arguments, code=0, **variables):
            done = CliRunner().invoke(main, ["run", *arguments], env=variables)
            assert done.exit_code == code, done.output
            return done.stdout if code == 0 else done.stderr

        return call

    def test_tasks_of_a_job_array_fill_one_directory_that_resume_reads(self, call, whole):
        for task in (3, 4):
            said = call("spec.toml", "--out", "run", "--jobs", "1", **array(task, 3, 4, 2))
            assert said == f"Shard {task - 2}/2 is done: run\n"
        call("--resume", "run", "--jobs", "1", "--no-pictures")
        assert Run.open("run").frame.equals(whole.frame)

    def test_an_option_goes_before_the_job_array(self, call):
        said = call("spec.toml", "--out", "run", "--shard", "9/12", **array(3, 3, 4, 2))
        assert said == "Shard 9/12 is done: run\n"

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["spec.toml", "--shard", "9/8"], "shard: '9/8' is not i/n"),
            (["--resume", "nowhere"], "run: 'nowhere' is not a run directory"),
            (["spec.toml", "--resume", "held"], "leave 'spec.toml' out"),
            (["--resume", "held", "--out", "other"], "cannot be given with --resume"),
            (["--resume", "held", "--samples", "65"], "holds a run with another specification"),
            (["held"], "plausibench run --resume held"),
        ],
    )
    def test_bad_input_is_refused(self, call, arguments, sentence):
        Run.create("held", TINY, {})
        before = sorted(Path().rglob("*"))
        said = call(*arguments, code=2)
        assert sentence in said
        assert said.count("\n") == 1
        assert sorted(Path().rglob("*")) == before
