"""Four inductive biases, with and without, against the amount of data (Richards et al., Box 2).

- **parsimony**: a dictionary is learned from mixtures of few causes, twice as many as there are
  inputs, with codes that are to be few (absolute values) or small (squares). Score: share of the
  causes' patterns that it recovers, with a cosine above 0.9. Null: gaussian causes.
- **object permanence**: the outputs of a network are to change slowly over a film of moving
  objects behind a pillar (temporal coherence). Score: share of frames of another film whose object
  a linear readout names, fitted to 40 named frames. Null: the same from shuffled frames; and a
  network that has not learned.
- **translation invariance**: convolution that is pooled over space, against convolution that is
  read out densely, and locally connected and dense networks, on digits at places where none was in
  training. Null: pixels that have changed places.
- **focused attention**: a gate that multiplies what is seen, against a network of as many weights
  to which the cue is added. Null: a cue that says nothing.

Networks learn by backpropagation with Adam for a fixed number of steps, and those that are compared
have about as many weights. Seeds have examples of their own from the same worlds: the patterns of
causes, objects and channels, the digits of the test set, and the pixels' order of the null are
those of all seeds.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from plausibench.architectures.network import Network
from plausibench.bench.components.registry import make
from plausibench.bench.running.job import Job, Row
from plausibench.bench.studies.inductive_biases.dictionary import learned, recovered
from plausibench.bench.studies.shared.worlds import Cued, Field, Movie, Sources, World
from plausibench.bench.studies.study import Study
from plausibench.bench.training.optimisers import Adam
from plausibench.bench.training.training import accuracy, trajectory
from plausibench.kernels.errors import Divergence, integer, refusal
from plausibench.rules.backprop import Backprop

Array = np.ndarray

STEPS = 300
LABELLED = 40
"""Frames with a name that the readout of a film is fitted to."""


@dataclass(frozen=True)
class Setting:
    """Where a bias is put to the test.

    Attributes
    ----------
    world
        Where.
    budgets
        Examples of training.
    score, chance
        What is measured, and its value by guessing.
    batch_size, rate
        Of training.
    objective
        What is minimised.
    """

    world: type[World]
    budgets: tuple[int, ...]
    score: str
    chance: float
    batch_size: int = 32
    rate: float = 0.005
    objective: str = "cross_entropy"


@dataclass(frozen=True)
class Variant:
    """What has a bias, or has it not.

    Attributes
    ----------
    bias
        Which.
    name
        What the variant is called.
    helps
        Whether it has the bias.
    architecture, options
        Its network; for dictionaries no network, and the cost of activity.
    learns
        Whether it is trained.
    """

    bias: str
    name: str
    helps: bool
    architecture: str
    options: tuple[tuple[str, Any], ...]
    learns: bool = True


SETTINGS = {
    "parsimony": Setting(Sources, (100, 400, 1600), "share of patterns recovered", 0.0),
    "object permanence": Setting(
        *(Movie, (200, 400, 1600), "objects named", 1 / 3, 200, 0.01, "temporal_coherence")
    ),
    "translation invariance": Setting(Field, (350, 1200), "accuracy at new places", 0.1),
    "focused attention": Setting(Cued, (100, 400, 1600), "accuracy", 1 / 3),
}
_FILM = (("sizes", (12, 64, 3)),)
_FIELD = (("shape", (16, 16)), ("kernel", 3), ("stride", 2))
VARIANTS = (
    Variant("parsimony", "few causes", True, "", (("cost", "absolute"),)),
    Variant("parsimony", "small causes", False, "", (("cost", "squares"),)),
    Variant("object permanence", "slow", True, "mlp", _FILM),
    Variant("object permanence", "has not learned", False, "mlp", _FILM, learns=False),
    Variant(
        "translation invariance",
        "convolutional, pooled",
        True,
        "what_where",
        (*_FIELD, ("channels", (12, 32)), ("readout", "fixed_mask"), ("width", 100.0)),
    ),
    Variant(
        "translation invariance",
        "convolutional, read out densely",
        False,
        "convolutional",
        (*_FIELD, ("channels", (8, 16))),
    ),
    Variant(
        *("translation invariance", "locally connected", False, "locally_connected"),
        (*_FIELD, ("channels", (3, 4))),
    ),
    Variant("translation invariance", "dense", False, "mlp", (("sizes", (256, 15, 10)),)),
    Variant(
        "focused attention",
        "multiplied by a gate",
        True,
        "attention_gated_network",
        (("inputs", 28), ("cue", 4), ("hidden", (24,)), ("outputs", 3)),
    ),
    Variant("focused attention", "cue added", False, "mlp", (("sizes", (28, 25, 3)),)),
)


@dataclass(frozen=True)
class Options:
    """What to measure.

    Parameters
    ----------
    seeds, seed
        Number of seeds, at least 2, and the first; each has its own examples and weights, in
        worlds whose patterns, and permutation of pixels, are those of all seeds.
    checkpoints
        The last one is the number of training steps.

    Raises
    ------
    InputError
        If a value is not allowed.
    """

    seeds: int = 5
    seed: int = 0
    checkpoints: tuple[int, ...] = (STEPS,)

    def __post_init__(self) -> None:
        integer("seeds", self.seeds, least=2)
        integer("seed", self.seed, least=0)
        if not self.checkpoints:
            raise refusal("checkpoints", self.checkpoints, "a number of training steps")
        for step in self.checkpoints:
            integer("checkpoints", step, least=1)


def jobs(options: Options) -> list[Job]:
    """A job for each variant, with and without its structure, amount of data and seed.

    Each makes a row: ``helps``, ``parameters`` and ``score``, which is NaN where the network
    diverged.
    """
    steps = max(options.checkpoints)
    return [
        Job(
            about={
                "bias": variant.bias,
                "variant": variant.name,
                "null": null,
                "budget": budget,
                "seed": seed,
            },
            work=rows_of,
            arguments=(place, null, budget, steps, seed),
        )
        for place, variant in enumerate(VARIANTS)
        for null in (False, True)
        for budget in SETTINGS[variant.bias].budgets
        for seed in range(options.seed, options.seed + options.seeds)
    ]


def rows_of(place: int, null: bool, budget: int, steps: int, seed: int) -> Iterator[Row]:
    """Score of one variant with one amount of data.

    Raises
    ------
    Divergence
        After a row without a score, if the network diverges.
    """
    variant = VARIANTS[place]
    setting = SETTINGS[variant.bias]
    world = setting.world(examples=budget, null=null, seed=seed)
    options = dict(variant.options)
    if isinstance(world, Sources):
        columns = learned(world.train.inputs, world.causes, seed=seed, **options)
        score = recovered(columns, world.patterns)
        yield {"helps": variant.helps, "parameters": columns.size, "score": score}
        return
    network: Network = make("architecture", variant.architecture, seed=seed, **options)
    about = {"helps": variant.helps, "parameters": network.size}
    try:
        if variant.learns:
            network = trained(network, setting, world, steps, seed)
        score = named(network, world) if isinstance(world, Movie) else right(network, world)
    except Divergence:
        yield {**about, "score": float("nan")}
        raise
    yield {**about, "score": score}


def trained(network: Network, setting: Setting, world: World, steps: int, seed: int) -> Network:
    """The network after training."""
    objective = make("objective", setting.objective)
    size = min(setting.batch_size, world.examples)
    (last,) = trajectory(
        *(Backprop(), Backprop(), network, objective, world),
        *(Adam(setting.rate), (steps,), size, seed),
    )
    return last.network


def named(network: Network, film: Movie) -> float:
    """Share of frames of another film whose object a linear readout names."""
    half = film.test.size // 2
    known = np.arange(LABELLED) * (half // LABELLED)
    features = network.forward(film.test.inputs).output
    features = np.c_[features, np.ones(len(features))]
    indicators = np.eye(film.objects)[film.test.targets]
    # Both halves have frames of their own; the ridge is far below the features' variance.
    gram = features[known].T @ features[known] + 1e-3 * np.eye(features.shape[1])
    weights = np.linalg.solve(gram, features[known].T @ indicators[known])
    answers = (features[half:] @ weights).argmax(axis=1)
    return float((answers == film.test.targets[half:]).mean())


def right(network: Network, world: World) -> float:
    """Accuracy on the test set."""
    return accuracy(network.forward(world.test.inputs).output, world.test)


INDUCTIVE_BIASES = Study(
    name="inductive_biases",
    summary="what sparseness, slowness, convolution and a gate are good for",
    options=Options,
    keys=("bias", "variant", "null", "budget", "seed"),
    jobs=jobs,
    report="plausibench.bench.studies.inductive_biases.report:report",
)
