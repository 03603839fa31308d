r"""Representation change across a hierarchy (Richards et al. 2019, Fig. 4), for several rules.

If the brain assigns credit end to end, perceptual learning by reward changes tuning most at the
top of the visual hierarchy, less in the middle and least at the bottom. A convolutional network
of three layers (V1-, V2-, V4-like) and a dense one (IT-like) first learns a coarse task, the
orientation of gratings in eight classes, by backpropagation. Then it has a new choice to make,
between two orientations 12 degrees apart, and learns it by reward with a learning rule.

Tuning is the response to 36 orientations, averaged over phases, without noise. Its change is
taken relative to what it was, ``|after - before| / |before|``, for each layer. **Weights that
wander change tuning too, and more at the top**: so the control is the same network, rule and
images with the rewards shuffled among the trials, which no policy can earn, and the change by
learning is what exceeds the control's. Networks that answer less than 90 % right after learning
are left out of the means, and counted.

The control is severe. A network that has learned comes to rest, as its errors vanish; with shuffled
rewards they never do, and a rule whose updates grow with the error (REINFORCE, AGREL) goes on
wandering. A lower learning rate, with more trials, leaves less of that. What is missing is a fairer
one, yoked to the network that learns: its rewards, permuted among the trials of each batch, so that
both get rewards as often, and the control's errors shrink as the learner's do.

The profile is *top-heavy* where the layer at the top changes more than that at the bottom, and
*ordered* where each changes more than the one below.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from plausibench.architectures.convolutional import Convolutional
from plausibench.architectures.network import Network
from plausibench.bench.components.selectors import select
from plausibench.bench.components.support import runnable
from plausibench.bench.running.job import Job, Row
from plausibench.bench.studies.study import Study
from plausibench.bench.tasks.gratings import Gratings, grating
from plausibench.bench.tasks.task import Task
from plausibench.bench.training.optimisers import make_optimiser
from plausibench.bench.training.training import accuracy, answers, trajectory
from plausibench.kernels.errors import Divergence, InputError, integer, positive
from plausibench.kernels.streams import stream
from plausibench.objectives.cross_entropy import CrossEntropy
from plausibench.objectives.expected_reward import ExpectedReward
from plausibench.objectives.objective import Objective
from plausibench.rules.backprop import Backprop
from plausibench.rules.rule import Rule

Array = np.ndarray

RATES: Mapping[str, float] = {
    "reinforce[baseline=running]": 5e-4,
    "attention_gated": 2.5e-4,
    "node_perturbation": 5e-4,
    "sign_symmetry": 2.5e-4,
    "feedback_alignment": 2.5e-4,
}
"""Learning rates of rules."""
RULES = tuple(RATES)[:4]
"""Rules by default."""
OTHER_RATE = 1e-3
"""Learning rate of other rules."""

PIXELS = 16
SHAPE = Convolutional(
    shape=(PIXELS, PIXELS),
    channels=(12, 16, 24),
    kernel=(5, 3, 3),
    stride=2,
    padding=1,
    hidden=(32,),
    activation="relu",
    outputs=2,
)
LAYERS = {"layer1": "V1-like", "layer2": "V2-like", "layer3": "V4-like", "layer4": "IT-like"}
"""Layers whose tuning is measured, and what they stand for."""
HEAD = "layer5"
"""The output layer, which is a new one for the fine task."""
BATCH = 64
COARSE_STEPS, COARSE_RATE = 500, 2e-3
STEPS = 800
"""Batches of rewarded trials."""
ORIENTATIONS, PHASES = 36, 16
"""At which tuning is measured."""
LEARNED = 0.9
"""Share of right answers from which a network has learned."""


@dataclass(frozen=True)
class Options:
    """What to measure.

    Parameters
    ----------
    rules
        Selectors of the rules that learn by reward.
    optimiser
        ``sgd`` or ``adam``, for the fine task; the coarse one is learned with Adam.
    learning_rate
        Of all rules; by default one for each.
    seeds, seed
        Number of seeds, at least 2, and the first; each has its own initial weights, images,
        feedback and draws.
    checkpoints
        Number of batches of the fine task, one.
    coarse_steps
        Batches of the coarse task.

    Raises
    ------
    InputError
        If a value is not allowed, or a rule cannot run on the network.
    """

    rules: tuple[str, ...] = RULES
    optimiser: str = "adam"
    learning_rate: float | None = None
    seeds: int = 10
    seed: int = 0
    checkpoints: tuple[int, ...] = (STEPS,)
    coarse_steps: int = COARSE_STEPS

    def __post_init__(self) -> None:
        integer("seeds", self.seeds, least=2)
        integer("seed", self.seed, least=0)
        if self.learning_rate is not None:
            positive("learning_rate", self.learning_rate)
        if len(self.checkpoints) != 1:
            raise InputError(
                f"checkpoints: {len(self.checkpoints)} numbers of training steps; allowed is one"
            )
        integer("checkpoints", self.checkpoints[0], least=1)
        integer("coarse_steps", self.coarse_steps, least=1)
        for rule in self.rules:
            runnable(rule, SHAPE.build(0), ExpectedReward())
            make_optimiser(self.optimiser, self.rate(rule))

    def rate(self, rule: str) -> float:
        """Learning rate of a rule."""
        if self.learning_rate is not None:
            return float(self.learning_rate)
        return RATES.get(rule, OTHER_RATE)


def jobs(options: Options) -> list[Job]:
    """A job for each seed and rule.

    Each makes rows with ``reward`` (earned or shuffled), ``layer`` (or ``""``), ``quantity``
    (accuracy; change) and ``value``; the accuracy of a network that diverged is NaN.
    """
    (steps,) = options.checkpoints
    # Those of a seed after each other: a process then needs the coarse task only once.
    return [
        Job(
            about={"rule": rule, "seed": seed},
            work=rows_of,
            arguments=(
                *(rule, options.optimiser, options.rate(rule)),
                *(steps, options.coarse_steps, seed),
            ),
        )
        for seed in range(options.seed, options.seed + options.seeds)
        for rule in options.rules
    ]


def rows_of(
    rule: str, optimiser: str, rate: float, steps: int, coarse_steps: int, seed: int
) -> Iterator[Row]:
    """Change of tuning by layer, with rewards that are earned and with shuffled ones.

    Raises
    ------
    Divergence
        After all rows, if a network diverged.
    """
    made: Rule = select("rule", rule).make()
    begin = with_new_head(coarse(coarse_steps, seed), seed)
    before = tuning(begin)
    diverged: list[Divergence] = []
    for reward in ("earned", "shuffled"):
        task = Gratings(shuffled=reward == "shuffled", examples=BATCH * steps, seed=seed)
        accurate = {"reward": reward, "layer": "", "quantity": "accuracy"}
        try:
            end = trained(made, begin, ExpectedReward(), task, optimiser, rate, steps, seed)
        except Divergence as error:
            diverged.append(error)
            yield {**accurate, "value": float("nan")}
            continue
        yield {**accurate, "value": accuracy(answers(made, end, task.test.inputs), task.test)}
        for layer, value in changed(before, tuning(end)).items():
            yield {"reward": reward, "layer": layer, "quantity": "change", "value": value}
    if diverged:
        raise diverged[0]


@lru_cache(maxsize=2)
def coarse(steps: int, seed: int) -> Network:
    """Network that has learned the coarse task, by backpropagation."""
    task = Gratings(
        classes=8, first=0.0, separation=22.5, spread=22.5, examples=BATCH * steps, seed=seed
    )
    network = replace(SHAPE, outputs=task.outputs_size).build(stream(seed, "coarse"))
    return trained(Backprop(), network, CrossEntropy(), task, "adam", COARSE_RATE, steps, seed)


def with_new_head(network: Network, seed: int) -> Network:
    """The network with an output layer for two classes, at its initial weights."""
    fresh = SHAPE.build(stream(seed, "fine"))
    kept = {name: array for name, array in network.parameters.items() if not name.startswith(HEAD)}
    return fresh.with_parameters({**fresh.parameters, **kept})


def trained(
    rule: Rule,
    network: Network,
    objective: Objective,
    task: Task,
    optimiser: str,
    rate: float,
    steps: int,
    seed: int,
) -> Network:
    """Network after so many batches, each example being seen once.

    Raises
    ------
    Divergence
        If the weights are no longer finite.
    """
    optimise = make_optimiser(optimiser, rate)
    course = trajectory(
        rule, rule, network, objective, task, optimise, [steps], BATCH, stream(seed, "learning")
    )
    (last,) = course
    return last.network


def tuning(network: Network) -> dict[str, Array]:
    """Tuning curves ``(ORIENTATIONS, N)`` of each hidden layer, phases averaged."""
    orientations = np.repeat(np.arange(ORIENTATIONS) * 180 / ORIENTATIONS, PHASES)
    phases = np.tile(np.arange(PHASES) * 360 / PHASES, ORIENTATIONS)
    activity = network.forward(grating(orientations, phases, PIXELS)).activity
    return {
        layer: activity[layer].reshape(ORIENTATIONS, PHASES, -1).mean(axis=1) for layer in LAYERS
    }


def changed(before: Mapping[str, Array], after: Mapping[str, Array]) -> dict[str, float]:
    """Change of tuning of each layer, relative to what it was."""
    return {
        layer: float(np.linalg.norm(after[layer] - curves) / np.linalg.norm(curves))
        for layer, curves in before.items()
    }


REPRESENTATION_CHANGE = Study(
    name="representation_change",
    summary="tuning change by layer after learning by reward, minus a control",
    options=Options,
    keys=("rule", "seed", "reward", "layer", "quantity"),
    jobs=jobs,
    report="plausibench.bench.studies.representation_change.report:report",
)
