"""A sweep that takes seconds, for the tests of what runs sweeps."""

from plausibench.bench.spec import Spec

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


def results(run, name="driver"):
    """Bytes of the records of a shard."""
    return (run.path / "results" / f"{name}.jsonl").read_bytes()
