"""The driver: the same results however a study is run, and nothing done twice."""

import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

import toy_jobs
from plausibench.bench.running import driver, executor, store
from plausibench.bench.running.executor import InProcess, Processes
from plausibench.bench.running.shards import Shard
from plausibench.bench.running.store import Run
from plausibench.kernels.errors import InputError
from toy_jobs import files, job, jobs

TESTS = str(Path(__file__).parent.parent)


def run(path, listed=None, **options):
    return driver.run("toy", {"count": 5}, jobs() if listed is None else listed, path, **options)


@pytest.fixture
def whole(tmp_path):
    """Of one process, never interrupted."""
    return run(tmp_path / "whole")


class Recorded:
    """Computes in this process; notes what it is given."""

    def __init__(self):
        self.given = []

    def outcomes(self, todo, plugins=()):
        for one in todo:
            self.given.append(one.about["number"])
            yield from InProcess().outcomes([one])


def done_by(path, listed=None, **options):
    """Numbers of the jobs that a driver does."""
    recorded = Recorded()
    run(path, listed, executor=recorded, **options)
    return recorded.given


def refusal(*arguments, **options):
    with pytest.raises(InputError) as caught:
        run(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestResults:
    def test_do_not_depend_on_the_order_of_the_work(self, whole, tmp_path):
        listed = [replace(one, cost=-one.cost) for one in jobs()]
        found = run(tmp_path / "run", listed)
        assert files(found) == files(whole)
        assert found.frame.equals(whole.frame)

    def test_do_not_depend_on_processes(self, whole, tmp_path):
        found = run(tmp_path / "run", executor=Processes(2))
        assert files(found) == files(whole)
        assert found.frame.equals(whole.frame)

    @pytest.mark.parametrize("count", [2, 7])
    def test_do_not_depend_on_shares(self, whole, tmp_path, count):
        for index in range(count, 0, -1):
            found = run(tmp_path / "run", share=Shard(index, count))
        assert files(found) == files(whole)
        assert found.frame.equals(whole.frame)
        assert found.remarks() == []

    def test_are_in_the_order_of_the_jobs(self, whole):
        assert whole.frame["number"].tolist() == [n for n in range(5) for _ in range(2)]

    def test_hold_what_went_wrong(self, tmp_path):
        listed = [
            job(0),
            job(1, toy_jobs.diverging),
            job(2, toy_jobs.failing),
            job(3, toy_jobs.killed, reason="cannot"),
            job(4, toy_jobs.remarked),
        ]
        found = run(tmp_path / "run", listed).jobs
        assert found["status"].tolist() == ["done", "diverged", "failed", "unsupported", "done"]
        assert found["reason"].tolist() == [
            "",
            "the weights overflow",
            "ValueError: no luck",
            "cannot",
            "unfit for much",
        ]


class TestOrder:
    def test_the_most_expensive_first(self, tmp_path):
        assert done_by(tmp_path / "run") == [2, 1, 4, 0, 3]

    def test_shares_cost_alike(self, tmp_path):
        costs = [90, 80, 20, 10, 0, 70]
        listed = [job(number, cost=float(cost)) for number, cost in enumerate(costs)]
        shares = [done_by(tmp_path / "run", listed, share=Shard(i, 2)) for i in (1, 2)]
        assert shares == [[0, 5, 3], [1, 2, 4]]

    def test_progress_counts_what_was_there(self, tmp_path):
        seen = []
        run(tmp_path / "run", share=Shard(1, 2))
        run(tmp_path / "run", on_done=lambda one, outcome, *counts: seen.append(counts))
        assert seen == [(4, 5), (5, 5)]


class TestResume:
    def test_does_what_is_missing(self, whole):
        before = files(whole)
        gone = [list(whole.due)[place] for place in (1, 3)]
        for key in gone:
            whole.file(key).unlink()
        assert done_by(whole.path) == [1, 3]
        assert files(whole) == before
        assert done_by(whole.path) == []

    def test_computes_what_failed_again(self, tmp_path):
        listed = [job(0), job(1, toy_jobs.failing_once, str(tmp_path / "mark"))]
        first = run(tmp_path / "run", listed)
        assert first.jobs["status"].tolist() == ["done", "failed"]
        assert done_by(tmp_path / "run", listed) == [1]
        assert Run.open(tmp_path / "run").jobs["status"].tolist() == ["done", "done"]

    @pytest.mark.parametrize("status", ["diverging", "remarked"])
    def test_an_outcome_is_not_computed_again(self, tmp_path, status):
        listed = [job(0, getattr(toy_jobs, status))]
        assert done_by(tmp_path / "run", listed) == [0]
        assert done_by(tmp_path / "run", listed) == []

    @pytest.mark.parametrize("content", [b"", b"{", b"\0" * 300])
    def test_mends_a_damaged_record(self, whole, content):
        before, key = files(whole), list(whole.due)[2]
        whole.file(key).write_bytes(content)
        assert done_by(whole.path) == [2]
        assert files(whole) == before

    def test_mends_a_damaged_list_of_jobs(self, whole):
        (whole.path / "jobs.json").write_bytes(b"[")
        assert done_by(whole.path) == []
        assert run(whole.path).frame.equals(whole.frame)

    def test_goes_on_from_what_an_interruption_left(self, whole, tmp_path):
        """A list of jobs without a study, drafts, and records of an unknown time."""
        path = tmp_path / "run"
        path.mkdir()
        (path / "jobs.json").write_bytes(b"[]")
        (path / ".study.toml.0123").write_bytes(b"sche")
        assert files(run(path)) == files(whole)

    def test_from_changed_sources_computes_what_changed(self, whole):
        listed = [
            replace(one, depends="edited") if number == 2 else one
            for number, one in enumerate(jobs())
        ]
        assert done_by(whole.path, listed) == [2]
        found = Run.open(whole.path)
        assert found.finished == 5
        assert found.frame.equals(whole.frame)
        assert done_by(whole.path) == []  # what was there for the former is there still

    def test_leaves_to_others_what_they_do_meanwhile(self, whole, tmp_path):
        def meanwhile(one, outcome, done, total):
            for key in whole.due:
                if key not in found.records:
                    found.put(key, whole.file(key).read_bytes(), None)

        found = Run.create(tmp_path / "run", "toy", {"count": 5}, whole.due)
        recorded, seen = Recorded(), []

        def on_done(*arguments):
            seen.append(arguments[2:])
            meanwhile(*arguments)

        run(found.path, executor=recorded, on_done=on_done)
        assert recorded.given == [2]
        assert files(found) == files(whole)


class TestRefusals:
    def test_of_other_options_before_anything_is_computed(self, whole):
        before = sorted(whole.path.rglob("*"))
        for options, said in (({"count": 6}, "count 5, not 6"), ({}, "count 5, not None")):
            with pytest.raises(InputError, match=said):
                driver.run("toy", options, [job(9, toy_jobs.killed)], whole.path)
        with pytest.raises(InputError, match="study 'toy', not 'other'"):
            driver.run("other", {"count": 5}, [job(9, toy_jobs.killed)], whole.path)
        assert sorted(whole.path.rglob("*")) == before

    def test_of_a_share_from_other_sources(self, whole):
        listed = [replace(one, depends="edited") for one in jobs()]
        before = files(whole)
        sentence = refusal(whole.path, listed, share=Shard(2, 3))
        assert "other sources" in sentence
        assert "share 2/3" in sentence
        assert files(whole) == before
        assert Run.open(whole.path).due == whole.due

    def test_of_nothing_to_do(self, tmp_path):
        assert "there are none" in refusal(tmp_path / "run", [])
        listed = [job(0, reason="it has no dendrites"), job(1, reason="nor has this")]
        assert "nothing can run; 0 cannot because it has no" in refusal(tmp_path / "run", listed)
        assert not (tmp_path / "run").exists()

    def test_of_two_jobs_about_the_same(self, tmp_path):
        assert "two about {'number': 1}" in refusal(
            tmp_path / "run", [job(1), job(1, toy_jobs.slow, 0)]
        )

    def test_of_a_full_disk_is_one_sentence_and_damages_nothing(self, whole, tmp_path):
        """A limit on the size of files stands in for it."""
        script = textwrap.dedent("""
            import resource, signal, sys
            from plausibench.bench.running import driver
            from plausibench.kernels.errors import InputError
            from toy_jobs import jobs
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            def on_done(job, outcome, done, total):
                if done == 3:
                    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
            try:
                driver.run("toy", {"count": 5}, jobs(), sys.argv[1], on_done=on_done)
            except InputError as error:
                sys.exit(str(error))
        """)
        done = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / "run")],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": TESTS},
        )
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith("out: ")
        found = Run.open(tmp_path / "run")
        assert found.finished == len(found.records) == 3
        assert done_by(found.path) == [0, 3]
        assert files(found) == files(whole)


class TestInterruption:
    def test_keeps_what_is_done(self, tmp_path):
        listed = [job(0), job(1), job(2, toy_jobs.interrupted)]
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "run", listed)
        assert Run.open(tmp_path / "run").jobs["status"].tolist() == ["done", "done", "due"]

    def test_from_the_callback_ends_the_work(self, tmp_path):
        def on_done(one, outcome, done, total):
            if done == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "run", executor=Processes(2), on_done=on_done)
        assert Run.open(tmp_path / "run").finished == 2


def test_needs_no_locks_and_no_signal_masks(whole, tmp_path):
    """As on Windows, which has neither: nothing of running/ asks for them."""
    script = textwrap.dedent("""
        import signal, sys
        sys.modules["fcntl"] = None
        for name in ("pthread_sigmask", "SIGKILL", "SIGHUP"):
            delattr(signal, name)
        from plausibench.bench.running import driver
        from plausibench.bench.running.executor import Processes
        from plausibench.bench.running.merging import merge
        from pathlib import Path
        import multiprocessing.resource_tracker
        import multiprocessing.util
        import toy_jobs
        if __name__ == "__main__":
            multiprocessing.resource_tracker._HAVE_SIGMASK = False
            place = Path(sys.argv[1])
            jobs = [toy_jobs.job(number) for number in range(5)]
            found = driver.run("toy", {"count": 5}, jobs, place / "run", Processes(2))
            merge([found.path], place / "merged")
            print(len(found.frame))
    """)
    (tmp_path / "script.py").write_text(script)
    toy = (Path(TESTS) / "toy_jobs.py").read_text()
    (tmp_path / "toy_jobs.py").write_text(toy)
    done = subprocess.run(
        [sys.executable, "script.py", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "10\n"
    assert files(Run.open(tmp_path / "merged")) == files(Run.open(tmp_path / "run"))


def test_running_knows_no_study_and_nothing_that_only_some_systems_have():
    folder = Path(store.__file__).parent
    for file in folder.glob("*.py"):
        text = file.read_text()
        assert "bench.studies" not in text, file
        assert "fcntl" not in text, file
        if file != Path(executor.__file__):
            assert "signal" not in text, file
