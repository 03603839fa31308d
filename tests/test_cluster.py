"""A sweep on a Dask cluster of separate processes gives the table of one process."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from distributed import LocalCluster

from plausibench.bench import registry
from plausibench.bench.cli import main
from plausibench.bench.cluster import connected
from plausibench.bench.merging import merge
from plausibench.bench.provenance import provenance
from plausibench.bench.store import Run
from plausibench.bench.sweep import run
from plausibench.kernels.errors import InputError
from sweeps import TINY, results

RULE = """\
from dataclasses import dataclass

from plausibench.rules.feedback_alignment import FeedbackAlignment

@dataclass(frozen=True)
class {name}(FeedbackAlignment):
    pass
"""


@pytest.fixture(autouse=True)
def own_plugins(monkeypatch):
    """A registry without the plug-ins of other tests."""
    monkeypatch.setattr(registry, "_PLUGINS", {kind: {} for kind in registry.KINDS})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The sweep in one process."""
    return run(TINY, tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture(scope="module")
def cluster():
    """Scheduler and two workers, each a process with one thread."""
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as started:
        yield started


def plugin(tmp_path, name="Mine"):
    """Path of a plug-in rule."""
    path = tmp_path / f"{name.lower()}.py"
    path.write_text(RULE.format(name=name))
    return str(path)


def ordered(found, tmp_path):
    """Records as one process writes them, in order."""
    return results(merge([found.path], tmp_path / "ordered"))


def test_a_worker_killed_half_way_changes_nothing(cluster, whole, tmp_path):
    killed = []
    first = {worker.pid for worker in cluster.workers.values()}

    def on_done(record, done, total):
        if done == total // 2:
            killed.append(min(first))
            os.kill(killed[0], signal.SIGKILL)

    with connected(cluster.scheduler_address) as executor:
        found = run(TINY, tmp_path / "run", on_done=on_done, executor=executor)
    assert len(killed) == 1
    assert killed[0] != os.getpid()
    assert found.frame.equals(whole.frame)
    assert ordered(found, tmp_path) == results(whole)
    assert {origin["engine"] for origin in found.origins()} == {provenance([])["engine"]}


def test_text_of_plugins_is_sent_to_the_workers(cluster, tmp_path, monkeypatch):
    """The file is gone before the workers compute."""
    path = plugin(tmp_path)
    spec = TINY.with_values(rules=["mine"], plugins=[path], seeds=1)
    alone = run(spec, tmp_path / "alone")
    with connected(cluster.scheduler_address) as executor:
        submit = executor.client.submit

        def without_file(*arguments, **options):
            Path(path).unlink(missing_ok=True)
            return submit(*arguments, **options)

        monkeypatch.setattr(executor.client, "submit", without_file)
        found = run(spec, tmp_path / "run", executor=executor)
    assert not Path(path).exists()
    assert found.units["status"].tolist() == ["done", "done"]
    assert found.frame.equals(alone.frame)


def test_a_plugin_that_cannot_work_there_is_refused(cluster, tmp_path):
    """It loads where it was written only."""
    path = plugin(tmp_path, name="Homely")
    with open(path, "a") as file:
        file.write(f"\nimport os\nassert os.getpid() == {os.getpid()}, 'far from home'\n")
    spec = TINY.with_values(rules=["homely"], plugins=[path], seeds=1)
    with (
        connected(cluster.scheduler_address) as executor,
        pytest.raises(InputError, match=r"a worker cannot compute: plugin: .*far from home"),
    ):
        run(spec, tmp_path / "run", executor=executor)


@pytest.mark.parametrize("changed", [{"engine": "new"}, {"libraries": {"numpy": "0.1"}}])
def test_other_versions_there_are_refused(cluster, tmp_path, monkeypatch, changed):
    def older(command):
        found = provenance(command)
        libraries = {**found["libraries"], **changed.get("libraries", {})}
        return {**found, **changed, "libraries": libraries}

    monkeypatch.setattr("plausibench.bench.cluster.provenance", older)
    with (
        connected(cluster.scheduler_address) as executor,
        pytest.raises(InputError, match="other sources of plausibench, or other versions of"),
    ):
        run(TINY, tmp_path / "run", executor=executor)
    assert Run.open(tmp_path / "run").records() == []


def test_from_the_command_line(cluster, whole, tmp_path):
    TINY.write(tmp_path / "spec.toml")
    arguments = ["run", str(tmp_path / "spec.toml"), "--out", str(tmp_path / "run")]
    done = CliRunner().invoke(
        main, [*arguments, "--scheduler", cluster.scheduler_address, "--no-pictures"]
    )
    assert done.exit_code == 0, done.output
    merged = merge([tmp_path / "run"], tmp_path / "merged")
    assert results(merged) == results(whole)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--scheduler", "tcp://127.0.0.1:9"], r"no Dask scheduler answers at 'tcp://127.0.0.1:9'"),
        (["--scheduler", "nonsense://x"], r"scheduler: 'nonsense://x' is not an address"),
        (["--scheduler", "foo"], r"scheduler: 'foo' is not an address such as tcp://"),
        (["--scheduler", "tcp://127.0.0.1:9", "--jobs", "2"], "jobs: the scheduler decides"),
    ],
)
def test_no_cluster_is_said_before_anything_is_written(tmp_path, monkeypatch, options, sentence):
    monkeypatch.setattr("plausibench.bench.cluster.PATIENCE", 1)
    TINY.write(tmp_path / "spec.toml")
    arguments = ["run", str(tmp_path / "spec.toml"), "--out", str(tmp_path / "run"), *options]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2, done.output
    assert re.search(sentence, done.stderr)
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_without_dask_the_extra_is_named():
    code = (
        "import sys; sys.modules['distributed'] = None\n"
        "from plausibench.bench.cluster import connected\n"
        "try: connected('tcp://127.0.0.1:9').__enter__()\n"
        "except ValueError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'plausibench[dask]'" in done.stdout


def test_a_scheduler_without_workers_is_told(tmp_path):
    TINY.write(tmp_path / "spec.toml")
    with LocalCluster(
        n_workers=0, processes=False, protocol="tcp", dashboard_address=":0"
    ) as empty:
        told = []

        def come():
            told.append("waiting")
            empty.scale(1)

        with connected(empty.scheduler_address, come) as executor:
            found = run(TINY.with_values(rules=("backprop",)), tmp_path / "run", executor=executor)
        assert told == ["waiting"]
        assert len(found.units) == 4
        with connected(empty.scheduler_address, come):
            pass
        assert told == ["waiting"]
