"""Nulls: what an accuracy is worth nothing without, and what they are called in results.

Readout only is the rule of that name on the network of the rules beside it: hidden layers stay as
they were drawn. Where hidden neurons draw what they do it learns from one pattern in a step, as the
rules beside it do, and not from the sum over all. Linear is a network without hidden layers,
trained by backpropagation. Chance is the best answer that does not look at the input.
"""

import numpy as np

from plausibench.architectures.network import Network
from plausibench.bench.tasks.task import Task
from plausibench.bench.training.training import constant_accuracy
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective, in_rows
from plausibench.rules.patterns import DRAWING

Array = np.ndarray

NULL = "null"
"""Protocol of what is trained as a null: on its own, and nothing but its performance is wanted."""
READOUT, LINEAR = "readout_only", "backprop"
"""Rules of the two nulls that are trained."""
CHANCE = {"test_accuracy": "chance_accuracy", "test_loss": "chance_loss"}
"""Quantity of chance, by that of a network which it stands beside."""
FACTORS = (0.1, 1.0, 10.0)
"""Learning rates that a null tries, times the common one: a weak null would flatter every rule."""


def readout(network: Network) -> str:
    """Selector of the rule that trains readout only on a network."""
    return f"{READOUT}[patterns=drawn]" if network.dynamics in DRAWING else READOUT


def linear(task: Task) -> str:
    """Selector of the network of a task that has no hidden layer; its sizes are named."""
    return f"linear[sizes={task.inputs_size}-{task.outputs_size},bias=true]"


def chance(task: Task, objective: Objective) -> dict[str, float]:
    """What the best constant answer reaches on the test set.

    For classes it is the accuracy of the answer that is right most often; for numbers, which may
    be anything, the loss of the mean of the training targets.
    """
    if task.kind == "classification":
        level = constant_accuracy(task.test, task.outputs_size, task.idle)
        return {CHANCE["test_accuracy"]: level}
    if not objective.reads_targets:
        return {}
    targets, weights = in_rows(_blank(task, task.train), task.train)
    mean = np.average(targets, axis=0, weights=None if weights is None else weights.reshape(-1))
    output = _blank(task, task.test) + mean
    return {CHANCE["test_loss"]: float(objective.data.batch_loss(output, task.test))}


def _blank(task: Task, batch: Batch) -> Array:
    """Output of 0 for every step and example."""
    steps = batch.inputs.shape[1] if task.steps is not None else 1
    return np.zeros((steps * batch.size, task.outputs_size))
