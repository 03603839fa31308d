"""Studies lose nothing and do nothing twice: driver, workers and those of a cluster are killed."""

import os
import signal
import textwrap
from pathlib import Path

import pytest
from distributed import LocalCluster

from kills import SAYING, faults_of
from plausibench.bench.running.dask import connected
from plausibench.bench.studies.run import run
from plausibench.bench.studies.study import find
from toy_jobs import files

OPTIONS = {
    "benchmark": {
        "tasks": ["teacher_student[inputs=5,outputs=3,examples=60]"],
        "architectures": ["mlp"],
        "objectives": ["mean_squared_error"],
        "rules": ["backprop", "feedback_alignment", "weight_perturbation"],
        "hidden": [6],
        "checkpoints": [0, 5],
        "seeds": 3,
        "samples": 64,
        "marginal_samples": 20,
        "averaging_samples": 16,
        "batch_size": 8,
        "training_batch_size": 8,
    },
    "tags": {"rules": ["attention_gated", "reinforce"], "samples": 20, "seeds": 12},
}
"""Of the benchmark and of another study: some two dozen jobs of tens of milliseconds."""
studies = pytest.mark.parametrize("name", OPTIONS)


def script(name):
    return SAYING + textwrap.dedent(f"""
        import sys
        from pathlib import Path
        from plausibench.bench.running.executor import IN_PROCESS, Processes
        from plausibench.bench.studies.run import run
        from plausibench.bench.studies.study import find
        if __name__ == "__main__":
            study = find({name!r})
            executor = Processes(2) if sys.argv[2] == "2" else IN_PROCESS
            options = study.choose({OPTIONS[name]!r})
            run(study, options, Path(sys.argv[1]), executor=executor, on_done=on_done)
    """)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Runs of one process, never interrupted."""
    made = {}

    def of(name):
        if name not in made:
            study = find(name)
            options = study.choose(OPTIONS[name])
            (made[name],) = run(study, options, tmp_path_factory.mktemp(name) / "run")
        return made[name]

    return of


@pytest.mark.acceptance
@pytest.mark.timeout(7200)
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux's /proc")
@studies
def test_two_hundred_kills(tmp_path, whole, name, record_figure):
    faults, finished = faults_of(script(name), tmp_path, whole(name), kills=200, seed=3)
    record_figure(f"{name}: jobs lost, changed or doubled by 200 kills", faults, "0")
    record_figure(f"{name}: runs with the same table, byte for byte", finished, "all, at least 10")
    assert faults == 0
    assert finished >= 10


@pytest.mark.parametrize("name", [pytest.param("benchmark", marks=pytest.mark.acceptance), "tags"])
def test_a_worker_of_a_cluster_killed_half_way_changes_nothing(tmp_path, whole, name):
    study, killed = find(name), []

    def on_done(job, outcome, done, total):
        if done == total // 2:
            killed.append(min(workers))
            os.kill(killed[0], signal.SIGKILL)

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
    ) as cluster:
        workers = {worker.pid for worker in cluster.workers.values()}
        with connected(cluster.scheduler_address) as executor:
            options = study.choose(OPTIONS[name])
            how = {"executor": executor, "on_done": on_done}
            (found,) = run(study, options, tmp_path / "run", **how)
    assert len(killed) == 1
    assert files(found) == files(whole(name))
    assert found.frame.to_csv() == whole(name).frame.to_csv()
    assert found.remarks() == []
