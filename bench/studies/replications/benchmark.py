"""Test errors of several rules that train the same network alike."""

from collections.abc import Mapping
from dataclasses import dataclass

from plausibench.architectures.network import Network
from plausibench.bench.tasks.task import Task
from plausibench.bench.training.training import accuracy, answers, train
from plausibench.objectives.cross_entropy import CrossEntropy
from plausibench.rules.rule import Rule


@dataclass(frozen=True)
class Run:
    """Training by Adam.

    Parameters
    ----------
    epochs
        Passes over the training set.
    batch
        Examples of an update.
    rate
        Learning rate.
    """

    epochs: int
    batch: int
    rate: float

    def __str__(self) -> str:
        return (
            f"Adam at rate {self.rate:g}, batch {self.batch}, {self.epochs} epochs, cross-entropy"
        )


def errors(
    rules: Mapping[str, Rule], task: Task, network: Network, run: Run, seed: int
) -> dict[str, float]:
    """Test error in percent after training by each rule; NaN where it diverged."""
    steps = run.epochs * (task.train.size // run.batch)
    found = {}
    for name, rule in rules.items():
        done = train(
            rule,
            task,
            network,
            CrossEntropy(),
            steps=steps,
            batch_size=run.batch,
            optimiser="adam",
            learning_rate=run.rate,
            seed=seed,
            evaluate_every=max(steps, 1),
        )
        output = answers(rule, done.network, task.test.inputs)
        share = float("nan") if done.diverged else accuracy(output, task.test)
        found[f"{name}: test error, %"] = 100 * (1 - share)
    return found
