"""How many draws a precision takes: a pilot of every rule and cell, then a share for each rule.

The precision is the half-width of the 95 % interval of the relative squared bias. With K draws
the U-statistic has the variance ``2 tr Sigma^2 / K^2 + 4 beta' Sigma beta / K``; both terms come
from a pilot whose random streams are never used in the measurement. Draws are given where they
are needed: with all rules at one precision, a rule whose estimate is noisier gets more. Where a
limit does not allow for the precision asked for, it is the finest that the limit allows.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from plausibench.bench.components.selectors import select
from plausibench.bench.measuring.draws import WITHIN, prepare, reference_of, sum_block, sums_of
from plausibench.bench.measuring.exact import is_exact
from plausibench.bench.measuring.factors import BLOCK, RUN
from plausibench.bench.measuring.statistics import (
    GROUPS,
    LEAST_PAIRED,
    LEAST_SAMPLES,
    GroupSums,
    effective_dimension,
    quantities,
    student_quantile,
)
from plausibench.bench.studies.benchmark.cell import Cell, cells
from plausibench.bench.studies.benchmark.spec import Spec
from plausibench.bench.studies.benchmark.units import Unit, units
from plausibench.kernels.errors import Divergence, InputError
from plausibench.kernels.streams import stream
from plausibench.kernels.threads import one_blas_thread
from plausibench.rules.rule import Rule

Array = np.ndarray

PILOT = 1280
"""Draws of the pilot at every cell."""
STEP = RUN * GROUPS
"""Draws come in multiples of this, so that all groups of the jackknife are alike."""
FEWEST = STEP * -(-LEAST_SAMPLES // STEP)
"""Fewer draws have intervals that may not cover, whatever their width; less with companions."""
OPERATIONS = 1e13
"""Multiplications that a precision may take, over all draws, where no time is given."""
MARGIN = 1.3
"""Widths vary, as they are estimated from 20 groups: this factor keeps most below the goal."""
JACKKNIFE = 2.06
"""How much the jackknife overstates the variance of an unbiased estimate's U-statistic."""


@dataclass(frozen=True)
class Pilot:
    """What a rule needs at one cell, relative to ``|g|^2``.

    Attributes
    ----------
    rule
        Selector.
    spread
        ``tr Sigma^2``, that is, squared variance over effective dimension.
    along
        ``beta' Sigma beta``, the variance along the bias.
    operations
        Multiplications in one draw.
    fewest
        Draws below which intervals may not cover, whatever their width.
    seconds
        Time of one draw.
    """

    rule: str
    spread: float
    along: float
    operations: float
    fewest: int = FEWEST
    seconds: float = 0.0

    def samples(self, precision: float) -> int:
        """Draws with which most intervals are no wider than the precision."""
        goal = (precision / MARGIN / student_quantile(0.95, GROUPS - 1)) ** 2
        linear, constant = 4 * self.along / goal, JACKKNIFE * 2 * self.spread / goal
        most = linear / 2 + np.sqrt((linear / 2) ** 2 + constant)
        return max(self.fewest, STEP * int(np.ceil(most / STEP)))


def resolve(
    spec: Spec,
    precision: float,
    budget: float | None = None,
    on_done: Callable[[str, int, int], None] | None = None,
) -> Spec:
    """Resolve a precision to draws of every rule, by a pilot.

    Parameters
    ----------
    spec
        What to measure.
    precision
        Half-width asked for; at least 0.01, below which a squared bias is of no concern.
    budget
        Seconds that the draws may take on one core, training and pilot apart; by default they
        are bounded by ``OPERATIONS``.
    on_done
        Called after each trajectory of the pilot with its rule, the number done and in all.

    Returns
    -------
    Spec
        With ``precision``, and ``samples_of`` for every rule that is sampled: it gives the same
        table wherever it runs, without a pilot.

    Raises
    ------
    InputError
        If a value is not allowed or the limit does not suffice for a least number of draws.
    """
    # Checked, before the pilot takes its time.
    spec = spec.with_values(precision=precision, samples_of={})
    found: list[Pilot] = []
    todo = [unit for unit in units(spec) if unit.reason is None]
    for number, unit in enumerate(todo, start=1):
        # Divergence is an outcome of the measurement; what came before it counts.
        with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"), suppress(Divergence):
            found.extend(one for _, one in pilots(unit, spec))
        if on_done is not None:
            on_done(unit.rule, number, len(todo))
    return resolved(spec, found, budget)


def resolved(spec: Spec, found: Iterable[Pilot], budget: float | None = None) -> Spec:
    """The specification with the draws that its precision takes, as :func:`resolve`.

    Parameters
    ----------
    spec
        What to measure, with a precision.
    found
        Pilots of its rules at all cells.
    budget
        Seconds that the draws may take on one core.
    """
    if budget is None:
        limit, cost = OPERATIONS, "operations"
    else:
        limit, cost = budget, "seconds"
    return spec.with_values(samples_of=allocate(found, spec.precision, limit, cost))


def pilots(unit: Unit, spec: Spec) -> Iterator[tuple[int, Pilot]]:
    """Step and pilot of a unit at every checkpoint; none of a rule that is not sampled."""
    rule: Rule = select("rule", unit.rule).make()
    if not is_exact(rule, WITHIN):
        for cell in cells(unit, spec):
            yield cell.checkpoint.step, pilot(cell)


def allocate(
    pilots: Iterable[Pilot], precision: float, limit: float, cost: str = "operations"
) -> dict[str, int]:
    """Draws of each rule, the same at all its cells, for one precision within a limit.

    Parameters
    ----------
    pilots
        Of every rule and cell.
    precision
        Half-width asked for.
    limit
        What all draws may cost, in units of ``cost``.
    cost
        ``operations`` or ``seconds``.

    Returns
    -------
    dict
        Draws by rule.

    Raises
    ------
    InputError
        If the limit does not suffice for the least number of draws.
    """
    cells_of: dict[str, list[Pilot]] = {}
    for one in pilots:
        if np.isfinite([one.spread, one.along]).all():
            cells_of.setdefault(one.rule, []).append(one)
    price = {rule: sum(float(getattr(one, cost)) for one in own) for rule, own in cells_of.items()}

    def counts(goal: float) -> dict[str, int]:
        return {rule: max(one.samples(goal) for one in own) for rule, own in cells_of.items()}

    def total(draws: dict[str, int]) -> float:
        return sum(price[rule] * count for rule, count in draws.items())

    least = {rule: max(one.fewest for one in own) for rule, own in cells_of.items()}
    if total(least) > limit:
        unit = "s" if cost == "seconds" else " operations"
        raise InputError(
            f"budget: {limit:g}{unit} is less than the {total(least):.2g}{unit} of the fewest "
            f"draws allowed at every cell, {min(least.values())} to {max(least.values())}"
        )
    best = counts(precision)
    if total(best) <= limit:
        return best
    # The finest precision that the limit allows, by halving intervals of its logarithm.
    fine, coarse = precision, 2 * precision
    while total(counts(coarse)) > limit:
        coarse *= 2
    for _ in range(40):
        middle = float(np.sqrt(fine * coarse))
        if total(counts(middle)) > limit:
            fine = middle
        else:
            coarse = middle
    return counts(coarse)


def pilot(cell: Cell, samples: int = PILOT) -> Pilot:
    """Estimate what a rule needs at a cell, from random streams of the pilot's own."""
    checkpoint = cell.checkpoint
    setting = prepare(
        cell.rule,
        checkpoint.network,
        cell.objective,
        cell.batch,
        checkpoint.state,
        stream(cell.unit.seed, "pilot"),
    )
    _, reference = reference_of(setting)
    moments = sums_of(setting, reference, WITHIN)
    times = []
    for index in range(-(-samples // BLOCK)):
        started = time.perf_counter()
        moments.add(sum_block(setting, moments, index, WITHIN))
        times.append(time.perf_counter() - started)
    sums = moments.results()[0]["all"]
    scale = sums.reference**2
    variance = float(quantities(sums)["spread"][0])
    dimension = effective_dimension(sums)
    # Without a dimension, the fewest: more draws than needed rather than too few.
    spread = variance**2 / (dimension if dimension > 1 else 1.0)
    passes = cell.rule.card.forward_passes * cell.batch.size
    return Pilot(
        cell.unit.rule,
        spread,
        variance_along(sums) / scale if scale else float("nan"),
        float(passes * setting.network.size),
        FEWEST if moments.companion is None else LEAST_PAIRED,
        # The median: the first block compiles, and others may wait for the processor.
        float(np.median(times)) / BLOCK,
    )


def variance_along(sums: GroupSums) -> float:
    """``beta' Sigma beta`` of single draws, from the sums of groups.

    A U-statistic over the groups' means: for every two groups, the products of their difference
    with two different others. Where noise makes it negative, it is 0.
    """
    means = sums.gram / np.outer(sums.count, sums.count)
    products = []
    for i in range(1, len(means)):
        for j in range(i):
            toward = np.delete(means[i] - means[j], [i, j])
            pairs = toward.size * (toward.size - 1)
            products.append((toward.sum() ** 2 - (toward**2).sum()) / pairs)
    return max(0.0, float(np.mean(products)) / 2 * float(sums.count.mean()))


def seconds(text: str, field: str = "budget") -> float:
    """Seconds from a text such as ``90s``, ``5m`` or ``2h``, given as the option ``field``.

    Raises
    ------
    InputError
        If it is something else, or not above 0.
    """
    units_of = {"s": 1.0, "m": 60.0, "h": 3600.0}
    number, unit = text[:-1], text[-1:]
    try:
        amount = float(number) * units_of[unit]
    except (KeyError, ValueError):
        amount = float("nan")
    if not 0 < amount < float("inf"):
        raise InputError(
            f"{field}: {text!r} is not a time above 0 with its unit, such as 60s, 5m or 2h"
        )
    return amount
