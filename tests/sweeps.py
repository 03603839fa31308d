"""A run of the benchmark that takes seconds, for the tests of what runs and reads it."""

from pathlib import Path

from plausibench.bench.running.executor import IN_PROCESS
from plausibench.bench.running.shards import EVERYTHING
from plausibench.bench.studies.benchmark.spec import Spec
from plausibench.bench.studies.benchmark.study import BENCHMARK
from plausibench.bench.studies.run import run as run_study

TINY = Spec(
    tasks=("teacher_student[inputs=5,outputs=3,examples=60]",),
    architectures=("mlp",),
    objectives=("mean_squared_error",),
    rules=("backprop", "feedback_alignment", "weight_perturbation"),
    hidden=(6,),
    checkpoints=(0, 5),
    seeds=2,
    samples=64,
    marginal_samples=20,
    averaging_samples=16,
    batch_size=8,
    training_batch_size=8,
)


def run(spec, path, executor=IN_PROCESS, share=EVERYTHING, on_done=None):
    """Run the benchmark in a folder."""
    how = {"executor": executor, "share": share, "on_done": on_done}
    (found,) = run_study(BENCHMARK, spec, Path(path), **how)
    return found


class Idle:
    """Computes nothing, and fails where there is something to compute."""

    def outcomes(self, todo, plugins=()):
        for job in todo:
            raise AssertionError(f"computed: {job.label}")
        yield from ()


IDLE = Idle()
