"""Networks, batches and rules whose training and progress are known."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from plausibench import bench
from plausibench.bench.measuring.statistics import student_quantile
from plausibench.rules.estimate import Dense
from plausibench.rules.rule import Rule, RuleCard

CROSS_ENTROPY = bench.make("objective", "cross_entropy")
SQUARED_ERROR = bench.make("objective", "mean_squared_error")
TASK = bench.make("task", "teacher_student", inputs=5, outputs=3, examples=60)
BACKPROP = bench.make("rule", "backprop")


def mlp(*hidden, seed=0, **options):
    sizes = [TASK.inputs_size, *hidden, TASK.outputs_size]
    return bench.make("architecture", "mlp", sizes=sizes, seed=seed, **options)


def card(*randomness):
    return RuleCard(
        summary="",
        equation="",
        randomness=frozenset(randomness),
        unbiased=False,
        exact_when="",
        variance_law="",
        synapse_knows="",
        cites="",
    )


def flat(arrays):
    """Parameters end to end; draws ``(S, *shape)`` as rows if the arrays have one more axis."""
    return np.concatenate([array.reshape(-1) for array in arrays.values()])


def rows_of(draws):
    return np.concatenate([array.reshape(len(array), -1) for array in draws.values()], axis=1)


def standard_error(low, high, groups):
    """Of a value with an interval by Student's t over so many groups."""
    return (high - low) / (2 * student_quantile(0.95, groups - 1))


@dataclass(frozen=True)
class Scaled(Rule):
    """The gradient times a factor."""

    factor: float
    card: ClassVar[RuleCard] = card()

    def estimate(self, network, objective, batch, clean, state, noise):
        exact = bench.gradient(network, objective, batch)
        return {name: Dense(self.factor * array) for name, array in exact.items()}
