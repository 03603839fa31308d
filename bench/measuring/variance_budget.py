"""The variance budget: how much of a rule's variance comes from feedback, data and noise.

A balanced nested design, feedback > data > within (rule, action, spike), analysed with the
unbiased mean squares of a nested analysis of variance (Searle, Casella & McCulloch 1992).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from plausibench.architectures.network import Network
from plausibench.bench.components.arguments import check_parts
from plausibench.bench.measuring.draws import WITHIN, Setting, formed_blocks, prepare, reference_of
from plausibench.bench.measuring.exact import exact, is_exact
from plausibench.bench.measuring.factors import largest
from plausibench.bench.measuring.statistics import GROUPS, NO_GRADIENT, NOT_FINITE, interval, unit
from plausibench.bench.measuring.vectors import vector, vectors
from plausibench.bench.tasks.task import Task
from plausibench.kernels.errors import integer
from plausibench.kernels.streams import stream
from plausibench.kernels.threads import one_blas_thread
from plausibench.objectives.objective import Objective
from plausibench.rules.rule import Rule, State

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray

QUANTITIES = (
    "variance_feedback",
    "variance_data",
    "variance_within",
    "variance_total",
    "marginal_bias_squared",
    "conditional_bias_squared",
)


class Sizes(NamedTuple):
    """Feedback draws, batches in each, and samples in each batch."""

    feedbacks: int
    batches: int
    samples: int


SWEEP = Sizes(feedbacks=10, batches=4, samples=16)
"""Of the design that a sweep computes at every checkpoint."""


@dataclass(frozen=True)
class Units:
    """Outermost units of the design: feedback draws, or batches where feedback is not redrawn.

    Attributes
    ----------
    gram
        Inner products of the units' mean deviations from the reference, ``(U, U)``.
    between
        Per unit, variance between the means of its batches; zero where a unit is a batch.
    within
        Per unit, mean variance over rule, action and spike noise.
    error
        Per unit, mean variance of a cell's mean; zero where the cell is known exactly.
    batches
        Batches in a unit.
    """

    gram: Array
    between: Array
    within: Array
    error: Array
    batches: int

    def without(self, group: int, groups: int) -> "Units":
        """The design without every unit of a group; unit i is in group i mod ``groups``."""
        keep = np.arange(len(self.gram)) % groups != group
        return Units(
            self.gram[np.ix_(keep, keep)],
            self.between[keep],
            self.within[keep],
            self.error[keep],
            self.batches,
        )

    def components(self) -> dict[str, float]:
        """Unbiased estimates of ``QUANTITIES``, absolute."""
        units = len(self.gram)
        mean2 = self.gram.sum() / units**2
        spread = (np.trace(self.gram) - units * mean2) / (units - 1)
        within, error = self.within.mean(), self.error.mean()
        if self.batches == 1:
            feedback, data, inner = 0.0, spread - error, spread
        else:
            inner = self.between.mean() / self.batches
            feedback, data = spread - inner, self.between.mean() - error
        marginal = mean2 - spread / units
        conditional = marginal if self.batches == 1 else np.trace(self.gram) / units - inner
        values = (feedback, data, within, feedback + data + within, marginal, conditional)
        return dict(zip(QUANTITIES, (float(v) for v in values), strict=True))


@dataclass(frozen=True)
class Design:
    """What is held while feedback, batches and noise are redrawn."""

    rule: Rule
    task: Task
    network: Network
    objective: Objective
    samples: int
    batch_size: int
    seed: int
    reference: Array
    power: int = 0
    """Deviations, and their squares, are in the unit ``2**power``."""

    def cell(self, state: State, *place: int) -> tuple[Array, float, float]:
        """Mean deviation for one batch, variance within, and variance of the mean."""
        own = stream(self.seed, "budget", *place)
        batch = self.task.batch(self.batch_size, seed=own)
        setting = prepare(self.rule, self.network, self.objective, batch, state, own)
        answer = exact(setting, WITHIN)
        if answer is not None:
            mean = vector(self.network, answer.mean)
            variance = np.ldexp(sum(answer.variance.values()), -2 * self.power)
            return np.ldexp(mean - self.reference, -self.power), float(variance), 0.0
        return self._sampled(setting)

    def _sampled(self, setting: Setting) -> tuple[Array, float, float]:
        total, squares = np.zeros(self.reference.size), 0.0
        for block in formed_blocks(setting, self.samples, WITHIN):
            d = np.ldexp(vectors(self.network, block) - self.reference, -self.power)
            total += d.sum(axis=0)
            squares += float(np.einsum("kp,kp->", d, d))
        variance = (squares - float(total @ total) / self.samples) / (self.samples - 1)
        return total / self.samples, variance, variance / self.samples

    def feedback_units(self, feedbacks: int, batches: int) -> Units:
        """Nested design with feedback redrawn."""
        means, between, within, error = [], [], [], []
        for number in range(feedbacks):
            state = self.rule.initial_state(self.network, stream(self.seed, "redraw", number))
            cells = [self.cell(state, number, batch) for batch in range(batches)]
            cell_means = np.stack([cell[0] for cell in cells])
            means.append(cell_means.mean(axis=0))
            between.append(((cell_means - means[-1]) ** 2).sum() / (batches - 1))
            within.append(float(np.mean([cell[1] for cell in cells])))
            error.append(float(np.mean([cell[2] for cell in cells])))
        return _units(means, between, within, error, batches)

    def batch_units(self, batches: int) -> Units:
        """Design with batches as units, for a rule whose feedback is not random."""
        state = self.rule.initial_state(self.network, self.seed)
        means, within, error = zip(*self._cells(state, batches), strict=True)
        return _units(list(means), [0.0] * batches, list(within), list(error), 1)

    def _cells(self, state: State, batches: int) -> Iterator[tuple[Array, float, float]]:
        for number in range(batches):
            yield self.cell(state, number)


def _units(
    means: list[Array],
    between: list[float],
    within: list[float],
    error: list[float],
    batches: int,
) -> Units:
    stacked = np.stack(means)
    return Units(stacked @ stacked.T, np.array(between), np.array(within), np.array(error), batches)


def budget(
    rule: Rule,
    task: Task,
    network: Network,
    objective: Objective,
    *,
    feedbacks: int = 20,
    batches: int = 4,
    samples: int = 16,
    batch_size: int = 32,
    seed: int = 0,
) -> "pd.DataFrame":
    """Split a rule's variance over what is redrawn: feedback > data > rule, action, spike.

    Parameters
    ----------
    rule, task, network, objective
        The cell; batches are drawn from the task, and the reference is the gradient over its
        whole training set.
    feedbacks, batches, samples
        Sizes of the nested design: feedback draws, batches in each, samples in each batch.
        A rule without random feedback gets ``feedbacks * batches`` batches instead; where the
        mean and variance over samples are known exactly, none are drawn.
    batch_size
        Examples in a batch.
    seed
        Root of the random streams.

    Returns
    -------
    DataFrame
        Columns ``quantity``, ``value``, ``low``, ``high``, ``samples`` (draws in all),
        ``redrawn``, ``reference``, ``method`` and ``flag`` (why there is no value). Relative to
        ``|g|^2``: ``variance_feedback``, ``variance_data``, ``variance_within``, their sum
        ``variance_total``, ``marginal_bias_squared`` (of the mean over everything) and
        ``conditional_bias_squared`` (mean over feedback draws). Intervals are 95 %, by
        jackknife over groups of the outermost units. A component may come out negative; it is
        not clipped.

    Raises
    ------
    InputError
        If an argument is not allowed or the parts do not fit.
    """
    import pandas as pd

    rows = budget_rows(
        rule,
        task,
        network,
        objective,
        feedbacks=feedbacks,
        batches=batches,
        samples=samples,
        batch_size=batch_size,
        seed=seed,
    )
    return pd.DataFrame(rows)


def budget_rows(
    rule: Rule,
    task: Task,
    network: Network,
    objective: Objective,
    *,
    feedbacks: int = 20,
    batches: int = 4,
    samples: int = 16,
    batch_size: int = 32,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Rows of :func:`budget`."""
    feedbacks = integer("feedbacks", feedbacks, least=3)
    batches = integer("batches", batches, least=2)
    samples = integer("samples", samples, least=2)
    batch_size = integer("batch_size", batch_size, least=1)
    seed = integer("seed", seed)
    check_parts(rule=rule, task=task)
    with one_blas_thread():
        whole = prepare(rule, network, objective, task.full(), None, seed)
        name, reference = reference_of(whole)
        g = vector(network, reference)
        power = unit(largest(g))
        design = Design(rule, task, network, objective, samples, batch_size, seed, g, power)
        with np.errstate(over="ignore", invalid="ignore"):
            if "feedback" in rule.randomness():
                units = design.feedback_units(feedbacks, batches)
            else:
                units = design.batch_units(feedbacks * batches)
            groups = min(GROUPS, len(units.gram))
            listed = [units, *(units.without(group, groups) for group in range(groups))]
            components = [one.components() for one in listed]
            scaled = np.ldexp(g, -power)
            length = scaled @ scaled
    drawn = feedbacks * batches * (1 if is_exact(rule, WITHIN) else samples)
    about = {
        "samples": drawn,
        "redrawn": "+".join(sorted({"data"} | rule.randomness() & (WITHIN | {"feedback"}))),
        "reference": name,
        "method": "sampled",
    }
    rows = []
    for quantity in QUANTITIES:
        values = np.array([one[quantity] for one in components])
        with np.errstate(invalid="ignore", over="ignore"):
            ends = interval(values / length if length > 0 else np.full(values.shape, np.nan))
        value, low, high = ends
        flag = "" if np.isfinite(ends).all() else NOT_FINITE if length else NO_GRADIENT
        row = {"quantity": quantity, "value": value, "low": low, "high": high}
        rows.append({**row, **about, "flag": flag})
    return rows
