"""How many neurons, for how long: what is identified of neurons that compute the same.

Neurons of ``simulated_neurons`` have one receptive field at places of their own, and single
trials of which noise makes up 86 % (Klindt et al. 2017, Fig. 3; images of 24 x 24 pixels, kernels
of 9 x 9). All numbers are for responses without noise to images that were not shown.

**Surface.** A shared kernel with a mask for each neuron, fitted to 1 to 1000 neurons and 128 to
4096 images. Neurons share what they compute, so with more of them only places remain to be found,
and less of each is needed.

**Models.** At 100 neurons: the kernel known; a readout of one point; a mask fixed beforehand; the
network with responses to other images (the null); and linear regression neuron by neuron at
places that are given, by least squares, ridge and lasso.

**Two types.** Two kinds of receptive field and two kernels (Fig. 4): readouts are factorised,
dense, fixed masks or points, and neurons are sorted into types by their features.

**Rules.** The kernel is learned by the estimates of a rule, the masks by their exact gradient,
which is local: what does a local rule identify? The null is a kernel that stays as it was drawn.

**Natural scenes.** The features of a frozen random network of two layers, on patches of
photographs, identified by a network of that shape with factorised, dense and fixed readouts
(in place of Fig. 5, whose features are those of a trained network).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from plausibench.bench.components.selectors import select
from plausibench.bench.components.support import runnable
from plausibench.bench.identification.baselines import BASELINES, baseline
from plausibench.bench.identification.fit import Fitting, fit
from plausibench.bench.identification.learning import Learning, learn
from plausibench.bench.identification.scores import (
    NEAR,
    correlation_of_means,
    explainable_variance_explained,
    explained_variance,
    kernel_correlation,
    location_errors,
    type_accuracy,
)
from plausibench.bench.running.job import Job, Row
from plausibench.bench.studies.study import Study
from plausibench.bench.tasks.natural_scenes import KERNEL, NaturalScenes
from plausibench.bench.tasks.neurons import Array, Neurons
from plausibench.bench.tasks.simulated_neurons import SimulatedNeurons
from plausibench.kernels.errors import Divergence, integer

PATCH = 9
NEURONS = {1: 8, 10: 2, 100: 1, 1000: 1}
"""Neurons recorded together, with the number of groups of them in a seed."""
SAMPLES = (128, 256, 512, 1024, 2048, 4096)
MODELS = ("kernel_known", "point", "fixed_mask", "shuffled", *BASELINES)
"""Besides the factorised readout, at 100 neurons."""
MODEL_SAMPLES = (256, 1024, 4096)
POPULATION = 100
ALONE = 16
"""Neurons that regression is tried on; it treats them one by one."""
TYPES = ("factorised", "dense", "fixed_mask", "point")
TYPE_SAMPLES = (512, 2048)
RULES = ("backprop", "feedback_alignment", "sign_symmetry", "node_perturbation")
RULE_NEURONS, RULE_SAMPLES = 16, 2048
RULE_STEPS = 300
SCENES = ("factorised", "dense", "fixed_mask")
SCENE_NEURONS, SCENE_SAMPLES, SCENE_SIDE, SCENE_STEPS = 24, 2048, 16, 400
TEST = 1000
REPEATS = 4
"""Trials of each test image, where scores are estimated from them."""
ALL = slice(None)


@dataclass(frozen=True)
class Options:
    """What to measure.

    Parameters
    ----------
    neurons
        The most neurons recorded together, at least 10.
    samples
        The most images shown, at least 128.
    rules
        Rules that learn the shared kernel.
    seeds, seed
        Number of seeds, at least 2, and the first; each has its own neurons, images, noise and
        initial values.

    Raises
    ------
    InputError
        If a value is not allowed, or a rule cannot learn the kernel.
    """

    neurons: int = 1000
    samples: int = 4096
    rules: tuple[str, ...] = RULES
    seeds: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        integer("neurons", self.neurons, least=10)
        integer("samples", self.samples, least=SAMPLES[0])
        integer("seeds", self.seeds, least=2)
        integer("seed", self.seed, least=0)
        for rule in self.rules:
            _check(rule)


def jobs(options: Options) -> list[Job]:
    """A job for each axis, model, number of neurons and of images, and seed.

    Rows have ``quantity`` and ``value``; where a model diverged, there is one row with the
    quantity ``diverged``.
    """
    most = options.samples
    population = min(POPULATION, options.neurons)
    together = [count for count in sorted(NEURONS, reverse=True) if count <= options.neurons]
    surface = [(count, shown) for count in together for shown in SAMPLES if shown <= most]
    models = [(population, shown) for shown in MODEL_SAMPLES if shown <= most]
    types = [(population, shown) for shown in TYPE_SAMPLES if shown <= most]
    rules = [(RULE_NEURONS, min(RULE_SAMPLES, most))]
    scenes = [(SCENE_NEURONS, min(SCENE_SAMPLES, most))]
    grid = (
        ("surface", ("factorised",), surface),
        ("models", MODELS, models),
        ("two types", TYPES, types),
        ("rules", (*options.rules, "none"), rules),
        ("natural scenes", SCENES, scenes),
    )
    return [
        _job(axis, model, neurons, samples, seed)
        for axis, named, sizes in grid
        for model in named
        for neurons, samples in sizes
        for seed in range(options.seed, options.seed + options.seeds)
    ]


def _job(axis: str, model: str, neurons: int, samples: int, seed: int) -> Job:
    about: Row = {
        "axis": axis,
        "model": model,
        "neurons": 1 if model in BASELINES else neurons,  # regression treats them one by one
        "samples": samples,
        "seed": seed,
    }
    arguments = (axis, model, neurons, samples, seed)
    return Job(about, rows_of, arguments, cost=neurons * samples)


def rows_of(axis: str, model: str, neurons: int, samples: int, seed: int) -> Iterator[Row]:
    """A row for each score of a model, or that it diverged."""
    try:
        scores = SCORES[axis](model, neurons, samples, seed)
    except Divergence:
        yield {"quantity": "diverged", "value": 1.0}
        raise
    for quantity, value in scores.items():
        yield {"quantity": quantity, "value": float(value)}


def surface_scores(readout: str, together: int, samples: int, seed: int) -> dict[str, float]:
    """Readouts of groups of neurons that are fitted apart."""
    groups = NEURONS[together]
    task = _simulated(together * groups, samples, seed)
    values: dict[str, list[float]] = {}
    for group in range(groups):
        own = slice(group * together, (group + 1) * together)
        found = fit(task.train.inputs, task.train.targets[:, own], Fitting(readout), seed)
        scores = {
            **explained(found.predict(task.test.inputs), task, own),
            "kernel_correlation": kernel_correlation(found.kernels[0], task.kernel()),
        }
        if together > 1:  # of one neuron, any shift can be taken out
            errors = location_errors(found.places, task.places[own])
            scores["located"] = (errors <= NEAR).mean()
        for name, value in scores.items():
            values.setdefault(name, []).append(float(value))
    return {name: float(np.mean(one)) for name, one in values.items()}


def model_scores(model: str, neurons: int, samples: int, seed: int) -> dict[str, float]:
    """Another model of the same neurons."""
    task = _simulated(neurons, samples, seed, shuffled=model == "shuffled")
    train, test = task.train, task.test
    if model in BASELINES:
        own = slice(0, ALONE)
        predicted = baseline(
            train.inputs, train.targets[:, own], test.inputs, task.places[own], PATCH, model
        )
        return explained(predicted, task, own)
    readout = model if model in ("point", "fixed_mask") else "factorised"
    known = task.kernel()[None] if model == "kernel_known" else None
    found = fit(train.inputs, train.targets, Fitting(readout), seed, known)
    errors = location_errors(found.places, task.places)
    return {
        **explained(found.predict(test.inputs), task),
        "located": float((errors <= NEAR).mean()),
        "kernel_correlation": kernel_correlation(found.kernels[0], task.kernel()),
    }


def type_scores(readout: str, neurons: int, samples: int, seed: int) -> dict[str, float]:
    """Two types of neurons, two kernels."""
    task = _simulated(neurons, samples, seed, types=2)
    fitting = Fitting(readout, channels=2)
    found = fit(task.train.inputs, task.train.targets, fitting, seed)
    errors = location_errors(found.places, task.places)
    return {
        **explained(found.predict(task.test.inputs), task),
        "located": float((errors <= NEAR).mean()),
        "type_accuracy": type_accuracy(found.features.astype(float), task.kinds),
    }


def rule_scores(name: str, neurons: int, samples: int, seed: int) -> dict[str, float]:
    """The shared kernel learned by a rule; by none of them where the name is ``none``."""
    task = _simulated(neurons, samples, seed)
    rule = None if name == "none" else select("rule", name).make()
    found = learn(rule, task, Learning(kernel=PATCH, steps=RULE_STEPS), seed)
    kernel = found.network.parameters["layer1.weights"][0, :, :, 0]
    return {
        **explained(found.predict(task.test.inputs), task),
        "kernel_correlation": kernel_correlation(kernel, task.kernel()),
    }


def scene_scores(readout: str, neurons: int, samples: int, seed: int) -> dict[str, float]:
    """Features of photographs, by networks with the shape of what made them."""
    task = NaturalScenes(
        neurons=neurons,
        examples=samples,
        test_examples=TEST,
        side=SCENE_SIDE,
        seed=seed,
    )
    shape = task.hidden, task.features
    learning = Learning(readout, shape, KERNEL, "relu", SCENE_STEPS, penalty=0.0)
    found = learn(select("rule", "backprop").make(), task, learning, seed)
    return explained(found.predict(task.test.inputs), task)


def explained(predicted: Array, task: Neurons, own: slice = ALL) -> dict[str, float]:
    """Explained variance of responses without noise, and what a laboratory has in its place.

    That is an estimate from repeated trials, or the correlation with means over them. Means over
    neurons; those without a signal that can be told from noise, for whom no variance is explained
    or missed, are left out and counted as ``unresolved``.
    """
    repeats = task.repeats(REPEATS)[..., own]
    found = {
        "explained_variance": explained_variance(predicted, task.test.targets[:, own]),
        "explainable_variance_explained": explainable_variance_explained(
            predicted, repeats, limited=False
        ),
        "correlation_of_means": correlation_of_means(predicted, repeats),
    }
    known = {name: each[np.isfinite(each)] for name, each in found.items()}
    means = {name: float(each.mean()) if each.size else np.nan for name, each in known.items()}
    lost = predicted.shape[1] - min(each.size for each in known.values())
    return {**means, "unresolved": float(lost)} if lost else means


SCORES: Mapping[str, Callable[[str, int, int, int], dict[str, float]]] = {
    "surface": surface_scores,
    "models": model_scores,
    "two types": type_scores,
    "rules": rule_scores,
    "natural scenes": scene_scores,
}
"""What is scored in each part of the study, by model, neurons, images and seed."""


def _simulated(
    neurons: int, samples: int, seed: int, types: int = 1, shuffled: bool = False
) -> SimulatedNeurons:
    return SimulatedNeurons(
        neurons=neurons,
        examples=samples,
        test_examples=TEST,
        shuffled=shuffled,
        seed=seed,
        patch=PATCH,
        types=types,
    )


def _check(name: str) -> None:
    """Refuse a rule that cannot learn the kernel, before anything is computed."""
    from plausibench.architectures.what_where import WhatWhere
    from plausibench.objectives.mean_squared_error import MeanSquaredError

    network = WhatWhere(shape=(4, 4), channels=(1,), kernel=3, padding=0, outputs=2).build()
    runnable(name, network, MeanSquaredError())


IDENTIFICATION = Study(
    name="identification",
    summary="what neurons compute and where they look, against neurons and time",
    options=Options,
    keys=("axis", "model", "neurons", "samples", "seed", "quantity"),
    jobs=jobs,
    report="plausibench.bench.studies.identification.report:report",
)
