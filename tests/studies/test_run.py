"""Studies in stages: what is done depends on what was found before."""

from dataclasses import dataclass

import pytest

from plausibench.bench.running.job import Job
from plausibench.bench.running.shards import Shard
from plausibench.bench.running.store import Run
from plausibench.bench.studies.run import run
from plausibench.bench.studies.study import Stage, Study
from plausibench.kernels.errors import InputError
from toy_jobs import files


@dataclass(frozen=True)
class Options:
    rates: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4)
    best: float = 0.0


def loss(rate):
    return [{"loss": (rate - 0.3) ** 2}]


def search(options):
    return [Job({"rate": rate}, loss, (rate,), depends="toy") for rate in options.rates]


def measured(options):
    return [Job({"seed": seed}, loss, (options.best + seed,), depends="toy") for seed in range(3)]


def made(name, jobs):
    return Study(name, "", Options, (), jobs, "module:function")


SEARCH, MEASURED = made("search", search), made("measured", measured)


def staged(options):
    found = yield Stage("search", SEARCH, options)
    best = found.frame.set_index("rate")["loss"].idxmin()
    yield Stage("", MEASURED, Options(best=float(best)))


TUNED = made("tuned", staged)


def test_a_stage_knows_what_the_one_before_found(tmp_path):
    runs = run(TUNED, Options(), tmp_path / "run")
    assert [one.path for one in runs] == [tmp_path / "run" / "search", tmp_path / "run"]
    found = Run.open(tmp_path / "run")
    assert found.study == "measured"
    assert found.options["best"] == 0.3
    assert found.frame["loss"].round(9).tolist() == [0, 1, 4]


def test_goes_on_where_it_stopped(tmp_path):
    def stop(job, outcome, done, total):
        if job.about == {"seed": 1}:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(TUNED, Options(), tmp_path / "run", on_done=stop)
    done = []
    run(TUNED, Options(), tmp_path / "run", on_done=lambda job, *_: done.append(job.about))
    assert done == [{"seed": 2}]


def test_shares_wait_for_each_other(tmp_path):
    whole = run(TUNED, Options(), tmp_path / "whole")
    one, two = (Shard(index, 2) for index in (1, 2))
    begun = [len(run(TUNED, Options(), tmp_path / "run", share=share)) for share in (one, two, one)]
    assert begun == [1, 2, 2]
    found = [Run.open(tmp_path / "run" / "search"), Run.open(tmp_path / "run")]
    assert [files(one) for one in found] == [files(one) for one in whole]


def test_stages_may_have_stages(tmp_path):
    def settings(options):
        for name in ("digits", "deep"):
            yield Stage(name, TUNED, options)

    runs = run(made("settings", settings), Options(), tmp_path)
    places = [one.path.relative_to(tmp_path).as_posix() for one in runs]
    assert places == ["digits/search", "digits", "deep/search", "deep"]


def test_other_options_are_refused_in_the_first_stage(tmp_path):
    run(TUNED, Options(), tmp_path / "run")
    with pytest.raises(InputError, match="with rates"):
        run(TUNED, Options(rates=(0.1, 0.3)), tmp_path / "run")


def test_a_study_without_stages_is_one_run(tmp_path):
    (found,) = run(SEARCH, Options(), tmp_path / "run")
    assert found.finished == 4
