"""Shares of the work: many processes write one directory."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from plausibench.bench.cli import main
from plausibench.bench.running.shards import Shard, shard_of_array
from plausibench.bench.running.store import Run
from plausibench.bench.studies.benchmark.units import units
from plausibench.kernels.errors import InputError
from sweeps import TINY, run


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """In one process."""
    return run(TINY, tmp_path_factory.mktemp("whole") / "run")


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
            (["--resume", "held", "--samples", "65"], "another run, with samples 64, not 65"),
            (["held"], "plausibench run --resume held"),
        ],
    )
    def test_bad_input_is_refused(self, call, arguments, sentence):
        Run.create("held", "benchmark", TINY, {})
        before = sorted(Path().rglob("*"))
        said = call(*arguments, code=2)
        assert sentence in said
        assert said.count("\n") == 1
        assert sorted(Path().rglob("*")) == before
