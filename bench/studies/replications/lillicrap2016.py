"""Feedback alignment in a linear network (Lillicrap, Cownden, Tweed & Akerman 2016, Fig. 1, 2).

A linear network of 30, 20 and 10 units learns a linear map through fixed random feedback. The error
that feedback sends to the hidden layer is at a right angle to the one of backpropagation at first,
and the angle falls as the weights align with the feedback.
"""

import numpy as np

from plausibench.architectures.linear import Linear
from plausibench.bench.studies.replications.feedback import angle
from plausibench.bench.studies.replications.recipe import Recipe, Setting, Target
from plausibench.bench.tasks.linear_regression import LinearRegression
from plausibench.bench.training.optimisers import Sgd
from plausibench.bench.training.training import evaluate, trajectory
from plausibench.kernels.errors import Divergence
from plausibench.kernels.streams import stream
from plausibench.kernels.threads import one_blas_thread
from plausibench.objectives.mean_squared_error import MeanSquaredError
from plausibench.rules.feedback_alignment import FeedbackAlignment

SIZES = (30, 20, 10)
NETWORKS = 8
"""Networks in a seed, over which it takes the mean."""
STEPS, RATE, BATCH = 1000, 0.02, 4
INITIAL = 0.1
"""Share of the usual initial weights that networks start with."""
EXAMPLES = 2000

START = "angle of hidden errors at the start, degrees"
END = "angle of hidden errors after training, degrees"
CHANGE = "change of that angle by training, degrees"
LOSS = "loss after training over that before"


def aligned(seed: int, data: str) -> dict[str, float]:
    """Angles at the start and the end, and how far the loss fell."""
    rows = [_one(stream(seed, "network", number)) for number in range(NETWORKS)]
    start, end, loss = np.mean(rows, axis=0).tolist()
    return {START: start, END: end, CHANGE: end - start, LOSS: loss}


def _one(seed: int) -> tuple[float, float, float]:
    task = LinearRegression(inputs=SIZES[0], outputs=SIZES[-1], examples=EXAMPLES, seed=seed)
    network = Linear(SIZES).build(seed)
    network = network.with_parameters({k: INITIAL * w for k, w in network.parameters.items()})
    rule, goal = FeedbackAlignment(), MeanSquaredError()
    probe = task.test.take(range(200))
    angles, losses = [], []
    try:
        with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
            for reached in trajectory(
                rule, rule, network, goal, task, Sgd(RATE), (0, STEPS), BATCH, seed
            ):
                angles.append(angle(reached.network, goal, probe, reached.state))
                losses.append(evaluate(reached.network, goal, task)["test_loss"])
    except Divergence:
        return float("nan"), float("nan"), float("nan")
    return angles[0], angles[1], losses[1] / losses[0]


RECIPE = Recipe(
    name="lillicrap2016",
    source="Fig. 2, linear network of 30-20-10 units",
    cites="Lillicrap, Cownden, Tweed & Akerman 2016",
    whole=Setting(
        description=(
            f"linear network 30-20-10, feedback alignment, targets of a random linear map, "
            f"{STEPS} steps of {BATCH} examples at rate {RATE:g}; a seed is the mean of "
            f"{NETWORKS} networks"
        ),
        deviations=(
            "rate, batch and number of steps are ours",
            (
                f"initial weights are gaussian, {INITIAL:g} of what keeps the variance of "
                "activity; the random feedback is gaussian"
            ),
        ),
        targets=(
            Target(START, 90.0, "P", tolerance=10.0),
            Target(END, None, "P", below=90.0),
            Target(CHANGE, None, "P", below=0.0),
            Target(LOSS, None, "P", below=1.0),
        ),
        work=aligned,
    ),
)
