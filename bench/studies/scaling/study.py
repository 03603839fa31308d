"""How bias and variance of weight and node perturbation grow with the network and the noise.

All networks are at initialisation, on gaussian inputs with a random teacher of the same shape.

**Variance**, relative to ``|g|^2``, gaussian noise, vanishing amplitude:

- weight perturbation: ``P + 1`` for P weights, whatever the network, exactly;
- node perturbation on one example: ``sum_l |a_l|^2 N_l |delta|^2 / |g|^2 + 1``, which is
  ``N + 1`` for N nodes if the presynaptic ``|a_l|^2`` of all layers are alike. So width and depth
  are varied in linear networks, whose weights preserve that norm, on one example, and the number
  of outputs in a single layer, where the law is exact (Werfel, Xie & Seung 2005). The same
  depths with tanh show what happens outside of that regime, and have no theoretical exponent.
- against the batch size B: that of weight perturbation, relative to ``|g|^2``, does not change,
  as one noise is shared by the batch; the absolute one of node perturbation falls as 1/B, as
  every example has its own noise and loss.

**Amplitude.** Noise is symmetric, so the one-sided and the antithetic estimator have the *same
mean*, and the **bias** of both is of order sigma squared: averaging the one-sided estimate over
a noise and its mirror image is the antithetic one. What is of order sigma one-sided and sigma
squared antithetic is the **error of single draws**, their root mean squared distance to the
forward gradient ``(g . xi) xi`` of the same noise. Both are measured from that difference, which
takes out the variance that remains as sigma vanishes: the same seed gives the same noise at any
amplitude. The error, and the antithetic bias, are fitted at small amplitudes; the one-sided bias
can be told from its noise at large amplitudes only. There the law stays exact for weight
perturbation in a linear network of two layers (the loss is of fourth degree in the weights, and
gaussian smoothing of it ends at sigma squared), while node perturbation has terms in sigma^4, 3 %
of the bias at 0.1, beyond which it is not fitted.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from plausibench.architectures.mlp import Mlp
from plausibench.architectures.network import Network
from plausibench.bench.measuring.draws import WITHIN, formed_blocks, prepare
from plausibench.bench.measuring.exponents import Law
from plausibench.bench.measuring.factors import RUN
from plausibench.bench.measuring.measurement import measure
from plausibench.bench.measuring.quick import gradient
from plausibench.bench.measuring.statistics import GROUPS, GroupSums, interval, quantities
from plausibench.bench.measuring.vectors import vector, vectors
from plausibench.bench.running.job import Job, Row
from plausibench.bench.studies.study import Study, each
from plausibench.kernels.errors import integer
from plausibench.kernels.streams import generator, stream
from plausibench.objectives.batch import Batch
from plausibench.objectives.mean_squared_error import MeanSquaredError
from plausibench.rules.node_perturbation import NodePerturbation
from plausibench.rules.weight_perturbation import WeightPerturbation

Array = np.ndarray

Perturbation = type[WeightPerturbation] | type[NodePerturbation]

RULES: dict[str, Perturbation] = {
    "weight_perturbation": WeightPerturbation,
    "node_perturbation": NodePerturbation,
}
LIMIT = 1e-5
"""Amplitude that stands for its limit 0: the rest is below 1e-9 of the gradient."""
SMALL = (0.003, 0.01, 0.03)
LARGE = {"weight_perturbation": (0.25, 0.5, 1.0), "node_perturbation": (0.05, 0.1)}
REPEATS = 5
"""Draws at each amplitude, in units of those at each size: a bias takes more than a variance."""


@dataclass(frozen=True)
class Point:
    """One place of an axis: the layers' sizes, their activation, and the examples in the batch."""

    axis: str
    value: float
    sizes: tuple[int, ...]
    activation: str = "identity"
    batch_size: int = 1


POINTS = (
    *(Point("width", n, (n,) * 4) for n in (16, 32, 64, 128)),
    *(Point("depth", n, (32,) * (n + 1)) for n in (1, 2, 4, 8, 16)),
    *(Point("depth, tanh", n, (32,) * (n + 1), "tanh") for n in (1, 2, 4, 8, 16)),
    *(Point("outputs", n, (32, n)) for n in (4, 8, 16, 32, 64, 128)),
    *(Point("batch size", n, (32, 32, 32, 10), "tanh", n) for n in (8, 16, 32, 64, 128)),
)
NETS = {
    "weight_perturbation": Point("amplitude", 0, (8, 4, 4), "identity", 8),
    "node_perturbation": Point("amplitude", 0, (8, 8, 8, 4), "tanh", 32),
}
"""Where the amplitude is varied."""

_HELD = {
    "width": "3 linear layers of equal width; one example",
    "depth": "linear layers of 32; one example",
    "outputs": "one linear layer, 32 inputs; one example",
}
LAWS = (
    *(
        Law(axis, rule, "variance", count, 1.0, held, shift=1)
        for rule, count in (("weight_perturbation", "weights"), ("node_perturbation", "nodes"))
        for axis, held in _HELD.items()
    ),
    Law(
        "depth, tanh",
        "node_perturbation",
        "variance",
        "nodes",
        None,
        "tanh layers of 32, whose activity shrinks; one example",
        shift=1,
    ),
    Law("batch size", "weight_perturbation", "variance", "batch_size", 0.0, "32-32-32-10, tanh"),
    Law(
        "batch size",
        "node_perturbation",
        "absolute_variance",
        "batch_size",
        -1.0,
        "32-32-32-10, tanh",
    ),
    *(
        Law("amplitude", rule, "error of single draws", "sigma", order, held, side, 0, (0, 0.04))
        for rule, held in (
            ("weight_perturbation", "8-4-4, linear; batch of 8"),
            ("node_perturbation", "8-8-8-4, tanh; batch of 32"),
        )
        for side, order in (("one-sided", 1.0), ("antithetic", 2.0))
    ),
    *(
        Law("amplitude", rule, "bias", "sigma", 2.0, held, side, 0, between)
        for rule, held in (
            ("weight_perturbation", "8-4-4, linear; batch of 8"),
            ("node_perturbation", "8-8-8-4, tanh; batch of 32"),
        )
        for side, between in (("one-sided", (0.02, 2.0)), ("antithetic", (0.0, 0.04)))
    ),
)


@dataclass(frozen=True)
class Options:
    """What to measure.

    Parameters
    ----------
    samples
        Draws at each size; five times as many at each amplitude.
    seeds, seed
        Number of seeds, at least 2, and the first; each has its own weights, teacher, examples
        and noise.
    points
        Sizes to measure at.

    Raises
    ------
    InputError
        If a value is not allowed.
    """

    samples: int = 4000
    seeds: int = 5
    seed: int = 0
    points: tuple[Point, ...] = POINTS

    def __post_init__(self) -> None:
        integer("samples", self.samples, least=RUN * GROUPS)
        integer("seeds", self.seeds, least=2)
        integer("seed", self.seed, least=0)
        object.__setattr__(self, "points", each("points", Point, self.points))


def jobs(options: Options) -> list[Job]:
    """A job for each rule and seed at each amplitude, and at each place of every other axis.

    ``at`` is the place on the ``axis``. Each makes a row for each value: ``estimator``,
    ``quantity``, what x may be (``weights``, ``nodes``, ``batch_size``, ``sigma``), ``value``,
    ``low`` and ``high`` (95 %), and ``exact``, the closed form where there is one.
    """
    replicates = range(options.seed, options.seed + options.seeds)
    more = REPEATS * options.samples
    amplitudes = [
        Job(
            about={"axis": "amplitude", "at": sigma, "rule": rule, "seed": seed},
            work=amplitude_rows,
            arguments=(rule, sigma, more, seed),
            cost=_cost(NETS[rule], more),
        )
        for rule in RULES
        for sigma in (*SMALL, *LARGE[rule])
        for seed in replicates
    ]
    sizes = [
        Job(
            about={"axis": point.axis, "at": point.value, "rule": rule, "seed": seed},
            work=size_rows,
            arguments=(point, rule, options.samples, seed),
            cost=_cost(point, options.samples),
        )
        for point in options.points
        for seed in replicates
        for rule in RULES
    ]
    return [*amplitudes, *sizes]


def _cost(point: Point, samples: int) -> int:
    """Multiplications of a pass of all samples."""
    weights = sum(one * other for one, other in pairwise(point.sizes))
    return weights * point.batch_size * samples


def setting(point: Point, seed: int) -> tuple[Network, Batch]:
    """Network at initialisation, and examples of a teacher of the same shape."""
    shape = Mlp(point.sizes, activation=point.activation, bias=False)
    draw = generator(seed, "data", "scaling", point.axis, float(point.value))
    inputs = draw.standard_normal((point.batch_size, point.sizes[0]))
    targets = shape.build(stream(seed, "teacher")).forward(inputs).output
    return shape.build(seed), Batch(inputs, targets)


def size_rows(point: Point, rule: str, samples: int, seed: int) -> Iterator[Row]:
    """Variance and squared bias of a rule at one size, sampled and in closed form."""
    network, batch = setting(point, seed)
    made = RULES[rule]()
    cell = (made, network, MeanSquaredError(), batch)
    exact = measure(*cell, method="exact")
    # Without companions, whose variance is the closed form.
    measured = measure(*cell, samples, stream(seed, "scaling"), method="sampled")
    about = _about(point, network, "antithetic", made.sigma)
    for row in measured.rows:
        quantity = row["quantity"]
        wanted = quantity in ("variance", "absolute_variance", "bias_squared")
        if row["projection"] == "all" and wanted:
            ends = {name: row[name] for name in ("quantity", "value", "low", "high")}
            yield {**about, **ends, "exact": exact.value(quantity)}


def amplitude_rows(rule: str, sigma: float, samples: int, seed: int) -> Iterator[Row]:
    """Bias, and error of single draws, one-sided and antithetic, on the same noise."""
    point = NETS[rule]
    network, batch = setting(point, seed)
    g = vector(network, gradient(network, MeanSquaredError(), batch))
    noise = stream(seed, "scaling", sigma)

    def draws(amplitude: float, antithetic: bool) -> Iterator[Array]:
        made = RULES[rule](sigma=amplitude, antithetic=antithetic)
        cell = prepare(made, network, MeanSquaredError(), batch, None, noise)
        return (vectors(network, block) for block in formed_blocks(cell, samples, WITHIN))

    sides = {"one-sided": Deviations(g), "antithetic": Deviations(g)}
    each = zip(draws(sigma, False), draws(sigma, True), draws(LIMIT, True), strict=True)
    for index, (one_sided, antithetic, limit) in enumerate(each):
        sides["one-sided"].add(index, one_sided - limit)
        sides["antithetic"].add(index, antithetic - limit)
    for side, deviations in sides.items():
        for quantity, ends in deviations.results().items():
            yield {
                **_about(point, network, side, sigma),
                "quantity": quantity,
                **dict(zip(("value", "low", "high"), ends, strict=True)),
                "exact": float("nan"),
            }


class Deviations:
    """Sums of the distances of draws to the forward gradient on the same noise."""

    def __init__(self, reference: Array) -> None:
        self.reference = reference
        self.count = np.zeros(GROUPS)
        self.total = np.zeros((GROUPS, reference.size))
        self.squares = np.zeros(GROUPS)

    def add(self, index: int, deviations: Array) -> None:
        """Add block ``index`` of deviations ``(S, P)``."""
        group = index % GROUPS
        self.count[group] += len(deviations)
        self.total[group] += deviations.sum(axis=0)
        self.squares[group] += (deviations**2).sum()

    def results(self) -> dict[str, tuple[float, float, float]]:
        """Squared bias, and error of single draws, relative to ``|g|``, with intervals."""
        used = self.count > 0
        total, length = self.total[used], float(self.reference @ self.reference)
        sums = GroupSums(
            count=self.count[used],
            gram=total @ total.T,
            cross=total @ self.reference,
            squares=self.squares[used],
            cross_squares=np.zeros(len(total)),
            reference=length,
        )
        found = quantities(sums)
        # Mean squared distance: what bias and variance add up to.
        error = np.sqrt(found["bias_squared"] + found["variance"])
        return {
            "bias_squared": interval(found["bias_squared"]),
            "error of single draws": interval(error),
        }


def _about(point: Point, network: Network, estimator: str, sigma: float) -> dict[str, Any]:
    return {
        "estimator": estimator,
        "weights": network.size,
        "nodes": sum(point.sizes[1:]),
        "batch_size": point.batch_size,
        "sigma": sigma,
    }


SCALING = Study(
    name="scaling",
    summary="bias and variance of perturbation rules against size, batch and amplitude",
    options=Options,
    keys=("axis", "at", "rule", "seed", "estimator", "quantity"),
    jobs=jobs,
    report="plausibench.bench.studies.scaling.report:report",
)
