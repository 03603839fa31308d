"""How bias and variance of rules in time change with the trial, the network and its recurrence.

All networks are leaky tanh rates at initialisation, on white noise, with a random teacher of the
same shape.

**Trial length, variance.** Weight perturbation holds its noise for the whole trial: its variance
relative to ``|g|^2`` is ``P + 1`` for P weights, however long the trial. Node perturbation draws
new noise at every step, so the noise has as many dimensions as neurons times steps (Zuege, Klos &
Memmesheimer 2023). With an outcome at the end of the trial, the noise of every step enters the
eligibility and only the last few steps matter for the loss: the relative variance grows in
proportion to the length, from a few time constants on. With a loss at every step, and inputs of
few dimensions, the gradients of different steps add up rather than cancel; then the relative
variance of node perturbation levels off too, and there is no exponent.

**Bias.** e-prop and RFLO leave out what returns through recurrent weights. For weak recurrence
the part that is left out is linear in its strength, so the bias relative to ``|g|`` is too, with
feedback from the transposed readout; with random feedback it is there without recurrence. With
a cue at the first step and an outcome after a delay, what is left out is what bridges the delay.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from plausibench.architectures.network import Network
from plausibench.architectures.rate_rnn import RateRnn
from plausibench.bench.components.selectors import select
from plausibench.bench.measuring.exponents import Law
from plausibench.bench.measuring.factors import RUN
from plausibench.bench.measuring.measurement import measure
from plausibench.bench.measuring.statistics import GROUPS
from plausibench.bench.running.job import Job, Row
from plausibench.bench.studies.study import Study, each
from plausibench.kernels.errors import integer
from plausibench.kernels.streams import generator, stream
from plausibench.objectives.batch import Batch
from plausibench.objectives.mean_squared_error import MeanSquaredError

INPUTS, OUTPUTS, EXAMPLES, LEAK = 4, 2, 4, 0.5

PERTURBING = ("weight_perturbation", "node_perturbation", "uoro")
"""Rules whose variance is measured: unbiased ones."""
DIRECTED = (
    "e_prop",
    "rflo[feedback=symmetric]",
    "rflo",
    "random_feedback_through_time",
)
"""Rules whose bias is measured: they have no noise."""
QUANTITIES = ("variance", "bias_squared", "direction_bias")


@dataclass(frozen=True)
class Point:
    """One place of an axis."""

    axis: str
    value: float
    rules: tuple[str, ...]
    steps: int = 16
    neurons: int = 16
    recurrence: float = 1.0


STRENGTHS = (0.5, 1.0, 1.5)
"""Strengths of recurrence at which trials of several lengths are measured."""
LENGTHS = (4, 8, 16, 32, 64, 128)
POINTS = (
    *(Point("trial length", n, (*PERTURBING, *DIRECTED), steps=n) for n in LENGTHS),
    *(
        Point(f"trial length, recurrence {g:g}", n, (*PERTURBING, *DIRECTED), steps=n, recurrence=g)
        for g in STRENGTHS
        if g != 1.0
        for n in (4, 16, 64)
    ),
    *(Point("trial length, loss at every step", n, PERTURBING[:2], steps=n) for n in LENGTHS),
    *(Point("delay", n, DIRECTED, steps=n + 1) for n in (1, 2, 4, 8, 16)),
    *(
        Point("recurrence", g, (*PERTURBING[2:], *DIRECTED), recurrence=g)
        for g in (0.01, 0.03, 0.1, 0.25, 0.5, 1.0, 1.5)
    ),
    *(Point("network size", n, PERTURBING, neurons=n) for n in (8, 16, 32, 64)),
)


def _estimator(rule: str) -> str:
    return "antithetic" if rule.endswith("perturbation") else "–"


def _law(
    axis: str,
    rule: str,
    quantity: str,
    against: str,
    theory: float | None,
    held: str,
    shift: int = 0,
    between: tuple[float, float] = (0.0, float("inf")),
) -> Law:
    estimator = _estimator(rule)
    return Law(axis, rule, quantity, against, theory, held, estimator, shift, between)


_END = "16 neurons; outcome at the end"
LAWS = (
    _law("trial length", "weight_perturbation", "variance", "steps", 0.0, _END),
    _law(
        "trial length",
        "node_perturbation",
        "variance",
        "steps",
        1.0,
        f"{_END}, trials of 8 time constants or more",
        between=(16, 1000),
    ),
    _law("trial length", "uoro", "variance", "steps", None, _END),
    *(
        _law(
            "trial length, loss at every step",
            rule,
            "variance",
            "steps",
            theory,
            "16 neurons; loss at every step",
        )
        for rule, theory in (("weight_perturbation", 0.0), ("node_perturbation", None))
    ),
    *(
        _law(axis, rule, "bias", against, None, held)
        for axis, against, held in (
            ("trial length", "steps", _END),
            ("delay", "delay", "16 neurons; a cue at the first step"),
        )
        for rule in DIRECTED
    ),
    *(
        _law(
            "recurrence",
            rule,
            "bias",
            "recurrence",
            theory,
            f"{_END} of 16 steps; weak recurrence",
            between=(0.0, 0.1),
        )
        for rule, theory in (
            ("e_prop", 1.0),
            ("rflo[feedback=symmetric]", 1.0),
            ("rflo", 0.0),
            ("random_feedback_through_time", 0.0),
        )
    ),
    _law("recurrence", "uoro", "variance", "recurrence", None, f"{_END} of 16 steps"),
    _law(
        "network size",
        "weight_perturbation",
        "variance",
        "weights",
        1.0,
        "16 steps; outcome at the end",
        shift=1,
    ),
    *(
        _law(
            "network size",
            rule,
            "variance",
            "neurons",
            None,
            "16 steps; outcome at the end",
        )
        for rule in ("node_perturbation", "uoro")
    ),
)


@dataclass(frozen=True)
class Options:
    """What to measure.

    Parameters
    ----------
    samples
        Draws at each point of rules that are random.
    seeds, seed
        Number of seeds, at least 2, and the first; each has its own weights, teacher, feedback,
        trials and noise.
    points
        Where to measure.

    Raises
    ------
    InputError
        If a value is not allowed.
    """

    samples: int = 640
    seeds: int = 5
    seed: int = 0
    points: tuple[Point, ...] = POINTS

    def __post_init__(self) -> None:
        integer("samples", self.samples, least=RUN * GROUPS)
        integer("seeds", self.seeds, least=2)
        integer("seed", self.seed, least=0)
        object.__setattr__(self, "points", each("points", Point, self.points))


def jobs(options: Options) -> list[Job]:
    """A job for each place of an axis, seed and rule.

    ``at`` is the place on the ``axis``. Each makes a row for each value: ``estimator``,
    ``quantity``, what x may be (``steps``, ``delay``, ``recurrence``, ``neurons``, ``weights``),
    ``value``, ``low`` and ``high`` (95 %), and ``exact``, the closed form where there is one.
    """
    return [
        Job(
            about={"axis": point.axis, "at": point.value, "rule": rule, "seed": seed},
            work=rows_of,
            arguments=(point, rule, options.samples, seed),
            cost=point.steps * point.neurons**2,
        )
        for point in options.points
        for seed in range(options.seed, options.seed + options.seeds)
        for rule in point.rules
    ]


def setting(point: Point, seed: int) -> tuple[Network, Batch]:
    """Network at initialisation, and trials of a teacher of the same shape."""
    shape = RateRnn(
        (INPUTS, point.neurons, OUTPUTS), leak=LEAK, recurrence=point.recurrence, bias=False
    )
    draw = generator(seed, "data", "time", point.axis, float(point.value))
    inputs = draw.standard_normal((EXAMPLES, point.steps, INPUTS))
    if point.axis == "delay":
        inputs[:, 1:] = 0
    # The teacher's own first weights are those of another seed; its output is known at any step.
    output = shape.build(stream(seed, "teacher")).forward(inputs).output
    targets = output.reshape(point.steps, EXAMPLES, OUTPUTS).swapaxes(0, 1)
    if point.axis != "trial length, loss at every step":
        targets = targets[:, -1]
    return shape.build(seed), Batch(inputs, targets)


def rows_of(point: Point, rule: str, samples: int, seed: int) -> Iterator[Row]:
    """Bias and variance of a rule at one point, sampled, and in closed form where known."""
    network, batch = setting(point, seed)
    made: Any = select("rule", rule).make()
    cell = (made, network, MeanSquaredError(), batch)
    # Without companions, whose variance is the closed form.
    measured = measure(*cell, samples, stream(seed, "time"), threads=1, method="sampled")
    known = rule in ("weight_perturbation", "node_perturbation")
    exact = measure(*cell, method="exact") if known else None
    about: dict[str, Any] = {
        "estimator": _estimator(rule),
        "steps": point.steps,
        "delay": point.steps - 1,
        "recurrence": point.recurrence,
        "neurons": point.neurons + OUTPUTS,
        "weights": network.size,
    }
    for row in measured.rows:
        if row["projection"] == "all" and row["quantity"] in QUANTITIES:
            ends = {name: row[name] for name in ("quantity", "value", "low", "high")}
            closed = float("nan") if exact is None else exact.value(row["quantity"])
            yield {**about, **ends, "exact": closed}


TIME = Study(
    name="time",
    summary="bias and variance in recurrent networks against trial length, delay and recurrence",
    options=Options,
    keys=("axis", "at", "rule", "seed", "quantity"),
    jobs=jobs,
    report="plausibench.bench.studies.time.report:report",
)
