"""Whether bias and variance suffice: they are measured, and given to backpropagation.

Each rule is trained, and at checkpoints the bias and variance of its estimate are measured for
every projection. Then backpropagation is trained from the same weights on the same batches at
the same rate, with these two numbers added to its gradient g: a bias of the measured length and
gaussian noise of the measured variance, both relative to ``|g|`` of the projection. If the two
numbers are what matters for learning, the curves are those of the rule.

A length has no direction, so what it means to inject a bias has to be chosen:

- ``redrawn``: a random direction, new at every step. It averages out, so that bias and variance
  are one number, the mean squared error.
- ``fixed``: one random direction for the whole training, as of a rule that errs in the same way.
- ``shrinking``: along -g, the worst that a bias of this length can do to a single step: a
  relative bias of 1 stops learning.

Three further doses show what is missing where these fail. ``local`` is as ``redrawn``, but bias and
noise have the shape of what a synapse can form: random postsynaptic factors for every example,
times the presynaptic activity, not noise of all directions alike. The others take a third measured
number, the gain ``g . mean / |g|^2``, and put only the rest of the bias into a random direction at
right angles to g, ``gain, redrawn`` or ``gain, fixed``.

The distance between two curves is the mean absolute difference of the logarithms of their test
losses over the checkpoints. It lies between two others, over the same seeds:

- the floor, the distance to the rule itself from the same weights, on the same batches, with its
  noise and its feedback drawn anew (``other draws``): a perfect prediction is that far away. It is
  0 for a rule without random draws. Another seed changes weights and batches as well, which the
  prediction shares with the rule: its distance is no floor;
- the nulls, backpropagation with no dose (``none``) and with the two numbers of another rule
  (``of another rule``, redrawn). Where no dose is as near as the floor, nothing is shown: the rule
  has to learn long enough for its noise or its bias to matter.

All three are differences within a seed, and so are compared by pairs.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.bench.components.networks import build_network
from plausibench.bench.components.selectors import select
from plausibench.bench.components.support import runnable
from plausibench.bench.measuring.draws import WITHIN, prepare
from plausibench.bench.measuring.exact import closed_form
from plausibench.bench.measuring.measurement import Measurement, measure
from plausibench.bench.running.job import Job, Row
from plausibench.bench.studies.study import Study
from plausibench.bench.tasks.task import Task
from plausibench.bench.training.optimisers import Sgd
from plausibench.bench.training.training import evaluate, trajectory
from plausibench.kernels.errors import Divergence, integer, refusal
from plausibench.kernels.streams import generator, stream
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Dense, Estimates
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Rule, RuleCard, State, Step

Array = np.ndarray

TASK, ARCHITECTURE, OBJECTIVE, HIDDEN = "digits", "mlp", "cross_entropy", (32, 32)
BATCH, PROBES = 32, 4
"""Examples of a training step, and batches of that size at which a dose is measured."""
KINDS = ("none", "redrawn", "fixed", "shrinking", "local", "gain, redrawn", "gain, fixed")
"""What is injected: nothing, two numbers, and with the gain three."""
ANOTHER = "of another rule"
"""The null: what is injected, redrawn, is the two numbers of another rule."""
AGAIN = "other draws"
"""The floor: the rule itself, from the same weights, on the same batches."""
REDRAWN = 2
"""How often it is trained again."""
RATES = {
    "node_perturbation": 0.05,
    "weight_perturbation": 0.015,
    "attention_gated": 0.05,
    "direct_random_target_projection": 0.2,
}
RATE = 0.1
"""Learning rate of rules without one of their own. All are from a coarse search on training
examples held out. That of weight perturbation is so large that its noise matters: the loss falls at
first, and rises again before the last checkpoint."""
RULES = (
    "node_perturbation",
    "weight_perturbation",
    "attention_gated",
    "sign_symmetry",
    "kolen_pollack",
    "feedback_alignment",
    "direct_feedback_alignment",
    "direct_random_target_projection",
)
CHECKPOINTS = (0, 10, 25, 50, 100, 200, 400, 800)


@dataclass(frozen=True)
class Dose:
    """What was measured of one projection, relative to the length of the gradient.

    Attributes
    ----------
    projection
        Name of its parameter.
    bias
        Length of the bias.
    variance
        Total variance.
    gain
        ``g . mean / |g|^2``.
    """

    projection: str
    bias: float
    variance: float
    gain: float


@dataclass(frozen=True)
class Dosed(Rule):
    """Backpropagation with an injected bias and variance.

    Parameters
    ----------
    kind
        One of ``KINDS``, or ``ANOTHER``.
    doses
        Training steps in their order, from 0, with the doses that hold from there on.
    """

    kind: str
    doses: tuple[tuple[int, tuple[Dose, ...]], ...]

    card: ClassVar[RuleCard] = RuleCard(
        summary="the exact gradient with a bias and a variance that were measured elsewhere",
        equation="g + b |g| u + sqrt(v / P) |g| xi for each projection of P weights",
        randomness=frozenset({"feedback", "rule"}),
        unbiased=False,
        exact_when="all doses are 0",
        variance_law="v |g|^2, and b^2 |g|^2 where the direction u is redrawn",
        synapse_knows="its gradient, and the length of that of its projection",
        cites="after Richards et al. 2019, Fig. 2",
    )

    def initial_state(self, network: Network, seed: int) -> State:
        """The fixed directions, and the number of steps taken."""
        drawn = {
            p.name: generator(seed, "feedback", "dose", p.name).standard_normal(p.synapse.shape)
            for p in network.projections
        }
        return {**drawn, "step": np.zeros(1)}

    def advance(self, state: State, step: Step) -> State:
        """Count the step."""
        return {**state, "step": state["step"] + 1}

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        exact = network.gradient(objective, batch, clean)
        if self.kind == "none":
            return {name: Dense(g) for name, g in exact.items()}
        directions: Mapping[str, Array] = state
        if self.kind == "local":
            directions, spread = (
                _local(network, clean, noise, part) for part in ("direction", "spread")
            )
        else:
            spread = noise.parameters(exact)
            if self.kind != "fixed" and self.kind != "gain, fixed":
                renamed = noise.parameters({f"direction {name}": g for name, g in exact.items()})
                directions = {name: renamed[f"direction {name}"] for name in exact}
        now = max(step for step, _ in self.doses if step <= state["step"][0])
        return {
            dose.projection: Dense(
                self._dosed(
                    dose,
                    exact[dose.projection],
                    directions[dose.projection],
                    spread[dose.projection],
                )
            )
            for dose in dict(self.doses)[now]
        }

    def _dosed(self, dose: Dose, g: Array, direction: Array, spread: Array) -> Array:
        """Estimate of one projection, with a leading sample axis where noise has one."""
        length = np.linalg.norm(g)
        if self.kind == "local":
            # Of unit length, whatever the presynaptic activity is; the sign is random.
            noisy = np.sqrt(dose.variance) * length * _unit(spread, g.ndim)
        else:
            noisy = np.sqrt(dose.variance / g.size) * length * spread
        if self.kind == "shrinking":
            return (1 - dose.bias) * g + noisy
        if not self.kind.startswith("gain"):
            return g + dose.bias * length * _unit(direction, g.ndim) + noisy
        rest = np.sqrt(max(dose.bias**2 - (1 - dose.gain) ** 2, 0.0))
        if length:
            axes = tuple(range(-g.ndim, 0))
            along = (direction * g).sum(axis=axes, keepdims=True) / length**2
            direction = direction - along * g
        return dose.gain * g + rest * length * _unit(direction, g.ndim) + noisy


def _local(network: Network, clean: Activity, noise: Noise, part: str) -> dict[str, Array]:
    """Random postsynaptic factors for every example, times the presynaptic activity."""
    names = {p.name: f"{part} {p.name}" for p in network.projections}
    drawn = noise.examples({names[p.name]: clean.drive[p.target] for p in network.projections})
    return {
        p.name: p.synapse.outer(drawn[names[p.name]], clean.presynaptic(p))
        for p in network.projections
    }


def _unit(direction: Array, axes: int) -> Array:
    """Direction of length 1 over the last axes; zeros stay zeros."""
    squares = (direction**2).sum(axis=tuple(range(-axes, 0)), keepdims=True)
    return direction / np.sqrt(np.where(squares > 0, squares, 1.0))


def measured(found: Iterable[Measurement]) -> tuple[Dose, ...]:
    """Doses from measurements at several batches; lengths are averaged before their ratio.

    A squared bias that is estimated to be negative is injected as none.
    """
    listed = list(found)
    doses = []
    for name in listed[0].reference:
        lengths = np.array([np.sum(one.reference[name] ** 2) for one in listed])
        total = lengths.sum() or 1.0
        bias = sum(one.value("absolute_bias_squared", name) for one in listed) / total
        variance = sum(one.value("absolute_variance", name) for one in listed) / total
        along = sum(float(np.sum(one.mean[name] * one.reference[name])) for one in listed) / total
        doses.append(Dose(name, float(np.sqrt(max(bias, 0.0))), float(variance), float(along)))
    return tuple(doses)


@dataclass(frozen=True)
class Options:
    """What to measure.

    Parameters
    ----------
    rules
        At least two rules for feed-forward networks and the cross-entropy, as selectors.
    checkpoints
        Training steps at which doses are measured and networks are tested, from 0.
    samples
        Draws of rules whose bias and variance have no closed form.
    seeds, seed
        Number of seeds, at least 2, and the first.

    Raises
    ------
    InputError
        If a value is not allowed, or a rule cannot run on the network.
    """

    rules: tuple[str, ...] = RULES
    checkpoints: tuple[int, ...] = CHECKPOINTS
    samples: int = 1000
    seeds: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        integer("samples", self.samples, least=1)
        integer("seeds", self.seeds, least=2)
        integer("seed", self.seed, least=0)
        for step in self.checkpoints:
            integer("checkpoints", step, least=0)
        if len(set(_names(self.rules))) < 2:
            raise refusal("rules", list(self.rules), "a list of at least two rules")
        network = build_network(ARCHITECTURE, select("task", TASK).make(), HIDDEN, 0)
        for rule in self.rules:
            runnable(rule, network, select("objective", OBJECTIVE).make())


def jobs(options: Options) -> list[Job]:
    """A job for each rule and seed.

    Rows have ``kind`` (``own`` for the rule itself, ``other draws`` for it trained again, else what
    is injected), ``draw`` (number of the training again, else 0), ``step``, ``projection``,
    ``quantity`` and ``value``, which is NaN from where training diverged.
    """
    names, steps = _names(options.rules), tuple(sorted({0, *options.checkpoints}))
    # Half of the list away, so that the rule of the null is of another kind.
    others = [names[(place + len(names) // 2) % len(names)] for place in range(len(names))]
    return [
        Job({"rule": name, "seed": seed}, rows_of, (name, other, steps, options.samples, seed))
        for name, other in zip(names, others, strict=True)
        for seed in range(options.seed, options.seed + options.seeds)
    ]


def _names(rules: tuple[str, ...]) -> list[str]:
    return [str(select("rule", rule)) for rule in rules]


def rows_of(
    rule: str, other: str, checkpoints: tuple[int, ...], samples: int, seed: int
) -> Iterator[Row]:
    """Curve of a rule, its doses, and the curves of backpropagation with these and others.

    Raises
    ------
    Divergence
        If a network did not stay finite, when all have been trained.
    """
    task: Task = select("task", TASK).make()
    made: Rule = select("rule", rule).make()
    diverged = dict[str, None]()

    def told(kind: str, draw: int, found: Course) -> Iterator[Row]:
        if found.diverged:
            diverged[kind] = None
        for row in found.rows:
            yield {"kind": kind, "draw": draw, **row}

    own = course(made, task, checkpoints, _rate(rule), samples, seed)
    yield from told("own", 0, own)
    for draw in range(1, REDRAWN + 1):
        again = course(made, task, checkpoints, _rate(rule), 0, seed, draw)
        yield from told(AGAIN, draw, again)
    another = course(select("rule", other).make(), task, checkpoints, _rate(other), samples, seed)
    for kind, doses in (*((kind, own.doses) for kind in KINDS), (ANOTHER, another.doses)):
        dosed = Dosed(kind, tuple(doses.items()))
        yield from told(kind, 0, course(dosed, task, checkpoints, _rate(rule), 0, seed))
    if diverged:
        raise Divergence(f"{', '.join(diverged)} did not stay finite")


def _rate(rule: str) -> float:
    return RATES.get(rule.partition("[")[0], RATE)


@dataclass(frozen=True)
class Course:
    """A learning curve.

    Attributes
    ----------
    rows
        Of losses, accuracies and doses; the loss is NaN from where it diverged.
    doses
        What was measured, by training step.
    diverged
        Whether it did.
    """

    rows: list[dict[str, Any]]
    doses: dict[int, tuple[Dose, ...]]
    diverged: bool


def course(
    rule: Rule,
    task: Task,
    checkpoints: tuple[int, ...],
    rate: float,
    samples: int,
    seed: int,
    draw: int = 0,
) -> Course:
    """Learning curve of a rule, and with ``samples`` its doses at the checkpoints.

    With another ``draw`` than 0, noise and feedback are drawn anew, weights and batches are not.
    """
    network = build_network(ARCHITECTURE, task, HIDDEN, seed)
    objective: Objective = select("objective", OBJECTIVE).make()
    rows: list[dict[str, Any]] = []
    given: dict[int, tuple[Dose, ...]] = {}
    diverged = False

    def row(step: int, quantity: str, value: float, projection: str = "all") -> dict[str, Any]:
        return {"step": step, "projection": projection, "quantity": quantity, "value": value}

    try:
        for reached in trajectory(
            *(rule, rule, network, objective, task, Sgd(rate), checkpoints, BATCH, seed),
            draws=stream(seed, "dose", "draws", draw) if draw else seed,
        ):
            tested = evaluate(reached.network, objective, task, rule)
            rows += [
                row(reached.step, name, tested[name]) for name in ("test_loss", "test_accuracy")
            ]
            if samples:
                given[reached.step] = measured(
                    at(rule, reached.network, objective, task, reached.state, samples, seed)
                )
    except Divergence:
        diverged = True
        lost = [step for step in checkpoints if step not in {one["step"] for one in rows}]
        rows += [row(step, "test_loss", float("nan")) for step in lost]
    for step, doses in given.items():
        for dose in doses:
            rows += [
                row(step, quantity, getattr(dose, quantity), dose.projection)
                for quantity in ("bias", "variance", "gain")
            ]
    return Course(rows, given, diverged)


def at(
    rule: Rule,
    network: Network,
    objective: Objective,
    task: Task,
    state: State,
    samples: int,
    seed: int,
) -> list[Measurement]:
    """Bias and variance at several batches against the gradient, exact where that is known."""
    found = []
    for probe in range(PROBES):
        batch = task.batch(BATCH, seed=stream(seed, "dose", probe))
        setting = prepare(rule, network, objective, batch, state, seed)
        known = closed_form(setting, WITHIN) is not None
        found.append(
            measure(
                *(rule, network, objective, batch, samples, seed),
                state=state,
                method="exact" if known else "auto",
                reference="objective",
                threads=1,
            )
        )
    return found


DOSE_RESPONSE = Study(
    name="dose_response",
    summary="whether bias and variance, measured and given to backprop, predict learning",
    options=Options,
    keys=("rule", "seed", "kind", "draw", "step", "projection", "quantity"),
    jobs=jobs,
    report="plausibench.bench.studies.dose_response.report:report",
)
