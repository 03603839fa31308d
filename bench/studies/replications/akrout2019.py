"""Angles and accuracy of feedback that is fixed, or learns (Akrout et al. 2019).

The logs of the authors give, after each epoch, the angle between the error that a rule sends to
the hidden layer and that of backpropagation, and the accuracy on the test set.
"""

import numpy as np

from plausibench.architectures.mlp import Mlp
from plausibench.architectures.network import Network
from plausibench.bench.studies.replications.feedback import angle
from plausibench.bench.studies.replications.mnist import FILES
from plausibench.bench.studies.replications.recipe import Recipe, Setting, Target
from plausibench.bench.tasks.digits import Digits
from plausibench.bench.tasks.mnist import Mnist
from plausibench.bench.tasks.task import Task
from plausibench.bench.training.optimisers import Sgd
from plausibench.bench.training.training import accuracy, trajectory
from plausibench.kernels.errors import Divergence
from plausibench.kernels.streams import generator
from plausibench.kernels.threads import one_blas_thread
from plausibench.objectives.binary_cross_entropy import BinaryCrossEntropy
from plausibench.rules.feedback_alignment import FeedbackAlignment
from plausibench.rules.kolen_pollack import KolenPollack
from plausibench.rules.rule import Rule
from plausibench.rules.weight_mirror import WeightMirror

Array = np.ndarray

RULES: dict[str, tuple[Rule, float]] = {
    "FA": (FeedbackAlignment(), 0.2),
    "KP": (KolenPollack(), 0.3),
    "WM": (WeightMirror(), 0.05),
}
"""Feedback alignment, Kolen-Pollack and weight mirror, with the learning rates of the authors."""
EPOCHS = (1, 10, 50)
ANGLES = {"FA": (42.1, 26.1, 36.9), "KP": (19.4, 12.2, 5.7), "WM": (63.4, 16.9, 13.4)}
ACCURACIES = {
    "FA": (85.49, 90.86, 94.62),
    "KP": (88.90, 95.41, 97.95),
    "WM": (78.48, 90.49, 96.51),
}
"""Of the authors' logs, degrees and percent, after each of ``EPOCHS``."""
NEAR, CLOSE = 5.0, 1.5
"""Tolerances, degrees and percent: angles of single samples scatter, and the logs have one seed."""
HIDDEN, BATCH = 500, 128
SMALL_HIDDEN, SMALL_BATCH = 100, 32
PROBED = 100
"""Training samples whose angles are averaged."""


def logs(task: Task, hidden: int, batch: int, seed: int) -> dict[str, float]:
    """Angle and accuracy of every rule after each of ``EPOCHS``."""
    epoch = task.train.size // batch
    goal, probe = BinaryCrossEntropy(), task.train.take(range(min(PROBED, task.train.size)))
    network = started(task, hidden, seed)
    found: dict[str, float] = {}
    for name, (rule, rate) in RULES.items():
        found |= {_angle(name, n): float("nan") for n in EPOCHS}
        found |= {_accuracy(name, n): float("nan") for n in EPOCHS}
        stops = [n * epoch for n in EPOCHS]
        course = trajectory(rule, rule, network, goal, task, Sgd(rate), stops, batch, seed)
        try:
            with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
                for n, reached in zip(EPOCHS, course, strict=True):
                    output = reached.network.forward(task.test.inputs).output
                    found[_accuracy(name, n)] = 100 * accuracy(output, task.test)
                    found[_angle(name, n)] = angle(reached.network, goal, probe, reached.state)
        except Divergence:
            continue
    first, last = EPOCHS[0], EPOCHS[-1]
    found[LEARNS] = found[_angle("KP", last)] - found[_angle("KP", first)]
    for name, what in BELOW.items():
        found[what] = found[_angle(name, last)] - found[_angle("FA", last)]
    return found


def started(task: Task, hidden: int, seed: int) -> Network:
    """Network with weights from N(0, 1 / (inputs + outputs)) of each layer."""
    network = Mlp((task.inputs_size, hidden, task.outputs_size), "sigmoid").build(seed)
    drawn = {
        name: generator(seed, "init", "akrout2019", name).standard_normal(weights.shape)
        / sum(weights.shape) ** 0.5
        for name, weights in network.parameters.items()
        if weights.ndim == 2
    }
    return network.with_parameters({**network.parameters, **drawn})


def _angle(name: str, epoch: int) -> str:
    return f"{name}: angle after epoch {epoch}, degrees"


def _accuracy(name: str, epoch: int) -> str:
    return f"{name}: test accuracy after epoch {epoch}, %"


LEARNS = f"KP: angle after epoch {EPOCHS[-1]} minus that after epoch {EPOCHS[0]}"
BELOW = {name: f"{name} minus FA: angle after epoch {EPOCHS[-1]}" for name in ("KP", "WM")}


def _each(angle_within: float | None, accuracy_within: float | None) -> tuple[Target, ...]:
    return tuple(
        Target(label(name, epoch), value, "F", tolerance=within)
        for label, published, within in (
            (_angle, ANGLES, angle_within),
            (_accuracy, ACCURACIES, accuracy_within),
        )
        for name, values in published.items()
        for epoch, value in zip(EPOCHS, values, strict=True)
    )


ORDER = (
    Target(LEARNS, ANGLES["KP"][-1] - ANGLES["KP"][0], "F", below=0.0),
    *(
        Target(what, ANGLES[name][-1] - ANGLES["FA"][-1], "F", below=0.0)
        for name, what in BELOW.items()
    ),
)
SHARED = (
    "examples are shuffled anew in every epoch; the authors did not shuffle",
    "no weight decay, as in the code of the authors; the paper has some with Kolen-Pollack",
    f"the angle is the mean of {PROBED} training samples; the authors logged one",
    (
        "the mirror replaces a tenth of its feedback in a step, mean responses subtracted; in the "
        "code of the authors feedback grows without decay, after one epoch of mirroring alone"
    ),
)


def _whole(seed: int, data: str) -> dict[str, float]:
    return logs(Mnist(data), HIDDEN, BATCH, seed)


def _smaller(seed: int, data: str) -> dict[str, float]:
    return logs(Digits(), SMALL_HIDDEN, SMALL_BATCH, seed)


RECIPE = Recipe(
    name="akrout2019",
    source="logs of the authors, MNIST 784-500-10, one seed",
    cites="Akrout, Wilson, Humphreys, Lillicrap & Tweed 2019",
    whole=Setting(
        description=(
            f"MNIST, sigmoid network 784-{HIDDEN}-10, sigmoid cross-entropy, SGD, batch {BATCH}, "
            f"the learning rates of the authors, {EPOCHS[-1]} epochs"
        ),
        deviations=SHARED,
        targets=(*ORDER, *_each(NEAR, CLOSE)),
        work=_whole,
    ),
    smaller=Setting(
        description=(
            f"digits of scikit-learn, sigmoid network 64-{SMALL_HIDDEN}-10, sigmoid cross-entropy, "
            f"SGD, batch {SMALL_BATCH}, the learning rates of the authors, {EPOCHS[-1]} epochs"
        ),
        deviations=(
            (
                "1437 training images of 8 x 8 pixels instead of 60000 of 28 x 28, 100 hidden "
                "units instead of 500, so that an epoch has 44 steps instead of 468: only what "
                "must hold at any size is judged"
            ),
            *SHARED,
        ),
        targets=(*ORDER, *_each(None, None)),
        work=_smaller,
    ),
    needs=FILES,
)
