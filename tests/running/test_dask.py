"""Jobs on a Dask cluster of separate processes give the records of one process."""

import os
import re
import signal
import subprocess
import sys

import pytest
from distributed import LocalCluster

import toy_jobs
from plausibench.bench.components import registry
from plausibench.bench.running import dask, driver
from plausibench.bench.running.dask import connected
from plausibench.bench.running.store import Run
from plausibench.kernels.errors import InputError
from toy_jobs import files, job, jobs

PLUGIN = """\
import os
from plausibench.bench.running.job import Job

def work(number):
    return [{"value": number}]

JOBS = [Job({"number": number}, work, (number,)) for number in range(3)]
"""


@pytest.fixture(scope="module")
def cluster():
    """Scheduler and two workers, each a process with one thread."""
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
    ) as started:
        yield started


def run(path, listed, **options):
    return driver.run("toy", {}, listed, path, **options)


def test_a_worker_killed_half_way_changes_nothing(cluster, tmp_path):
    listed = [job(number, toy_jobs.slow, 0.05) for number in range(12)]
    whole, killed = run(tmp_path / "whole", listed), []
    first = {worker.pid for worker in cluster.workers.values()}

    def on_done(one, outcome, done, total):
        if done == total // 2:
            killed.append(min(first))
            os.kill(killed[0], signal.SIGKILL)

    with connected(cluster.scheduler_address) as executor:
        found = run(tmp_path / "run", listed, executor=executor, on_done=on_done)
    assert len(killed) == 1
    assert files(found) == files(whole)
    assert found.remarks() == []


def test_text_of_plugins_is_sent_to_the_workers(cluster, tmp_path, monkeypatch):
    """The file is gone before the workers compute."""
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    listed = registry.import_plugin(path).JOBS
    with connected(cluster.scheduler_address) as executor:
        submit = executor.client.submit

        def without_file(*arguments, **options):
            path.unlink(missing_ok=True)
            return submit(*arguments, **options)

        monkeypatch.setattr(executor.client, "submit", without_file)
        found = run(tmp_path / "run", listed, executor=executor, plugins=[str(path)])
    assert not path.exists()
    assert found.frame["value"].tolist() == [0, 1, 2]


def test_a_plugin_that_cannot_work_there_is_refused(cluster, tmp_path):
    path = tmp_path / "homely.py"
    path.write_text(f"{PLUGIN}\nassert os.getpid() == {os.getpid()}, 'far from home'\n")
    listed = registry.import_plugin(path).JOBS
    with (
        connected(cluster.scheduler_address) as executor,
        pytest.raises(InputError, match=r"a worker cannot compute: plugin: .*far from home"),
    ):
        run(tmp_path / "run", listed, executor=executor, plugins=[str(path)])


@pytest.mark.parametrize("changed", [{"engine": "new"}, {"libraries": {"numpy": "0.1"}}])
def test_other_versions_there_are_refused(cluster, tmp_path, monkeypatch, changed):
    here = dask.origin()
    older = {**here, **changed, "libraries": {**here["libraries"], **changed.get("libraries", {})}}
    monkeypatch.setattr(dask, "origin", lambda: older)
    with (
        connected(cluster.scheduler_address) as executor,
        pytest.raises(InputError, match="other sources of plausibench, or other versions of"),
    ):
        run(tmp_path / "run", [job(0)], executor=executor)
    assert Run.open(tmp_path / "run").finished == 0


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("tcp://127.0.0.1:9", r"no Dask scheduler answers at 'tcp://127.0.0.1:9'"),
        ("nonsense://x", r"scheduler: 'nonsense://x' is not an address"),
        ("foo", r"scheduler: 'foo' is not an address such as tcp://"),
    ],
)
def test_no_cluster_is_said(monkeypatch, address, sentence):
    monkeypatch.setattr(dask, "PATIENCE", 1)
    with pytest.raises(InputError) as caught, connected(address):
        pass
    assert re.search(sentence, str(caught.value))
    assert "\n" not in str(caught.value)


def test_without_dask_the_extra_is_named():
    code = (
        "import sys; sys.modules['distributed'] = None\n"
        "from plausibench.bench.running.dask import connected\n"
        "try: connected('tcp://127.0.0.1:9').__enter__()\n"
        "except ValueError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'plausibench[dask]'" in done.stdout


def test_a_scheduler_without_workers_is_told(tmp_path):
    with LocalCluster(
        n_workers=0, processes=False, protocol="tcp", dashboard_address=":0"
    ) as empty:
        told = []

        def come():
            told.append("waiting")
            empty.scale(1)

        with connected(empty.scheduler_address, come) as executor:
            found = driver.run("toy", {"count": 2}, jobs(2), tmp_path / "run", executor)
        assert told == ["waiting"]
        assert found.finished == 2
        with connected(empty.scheduler_address, come):
            pass
        assert told == ["waiting"]
