"""Progress of the best step along a rule's estimate, as a share of the gradient's."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from plausibench.architectures.network import Network
from plausibench.bench.components.arguments import check_parts
from plausibench.bench.measuring.draws import WITHIN, Setting, formed_blocks, prepare, reference_of
from plausibench.bench.measuring.exact import exact
from plausibench.bench.measuring.factors import BLOCK
from plausibench.bench.measuring.statistics import NO_GRADIENT, NOT_FINITE, interval, mean_interval
from plausibench.bench.measuring.vectors import shaped, vector, vectors
from plausibench.bench.tasks.task import Task
from plausibench.kernels.errors import Divergence, integer
from plausibench.kernels.streams import stream
from plausibench.kernels.threads import one_blas_thread
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.rule import Rule, State

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray
Arrays = dict[str, Array]
Values = dict[str, tuple[float, float, float]]

STEP = 1e-3
"""Length of the step for second differences, relative to the length of the weights."""
MOST = 64
"""Draws along which steps are taken, at most."""
TRAINING_DRAWS = 16
"""Draws at the training set, whose passes are longer."""
TRAINING_EXAMPLES = 2048
"""Examples that stand for the training set, at most."""
QUANTITIES = ("best_step", "realised_progress", "predicted_progress", "realised_decrease")
TRAINING = "_training"
"""End of the names of what is measured on the training set."""
DOUBLINGS = 40
"""How often a line search doubles or halves its step before it gives up."""
TOLERANCE = 3e-3
"""Of the logarithm of the best step. The decrease is flat there: off by its square."""


def progress(
    rule: Rule,
    network: Network,
    objective: Objective,
    batch: Batch,
    samples: int = MOST,
    seed: int = 0,
    *,
    state: State | None = None,
    training: Batch | None = None,
) -> "pd.DataFrame":
    """What the best step along the estimate lowers F by, as a share of the gradient's best step.

    A step ``-eta`` times the estimate lowers F by ``E[F(w) - F(w - eta estimate)]``, on average
    over the draws. It is maximised over eta, one for all draws, by a line search from
    ``eta* = g.mu / E[estimate^T H estimate]``, the best step to second order; the same is done
    along the exact gradient, and the ratio is ``realised_progress``. Where H = c I it is the
    ``progress`` of ``measure``.

    Parameters
    ----------
    rule, network, objective, batch
        The cell; neither weights nor state are changed.
    samples
        Draws, from 2 to 64, each of which costs two passes for the second difference of F
        along it and about fifteen for the line search. A deterministic rule is drawn once.
    seed
        Root of the random streams; the draws are those of ``estimates``.
    state
        State of the rule; by default its initial state from the same seed.
    training
        Examples that stand for the training set, such as ``training_sample`` takes. Estimate,
        gradient and F are then measured on them too, with at most 16 draws, in rows whose
        quantities end in ``_training``.

    Returns
    -------
    DataFrame
        Columns ``quantity``, ``value``, ``low``, ``high`` (95 % over draws), ``samples``,
        ``redrawn``, ``reference``, ``method`` and ``flag`` (why there is no value). Quantities:
        ``best_step`` (0 where the mean estimate points uphill), ``realised_progress``,
        ``predicted_progress`` (the same to second order: NaN without positive curvature along
        estimates or gradient) and ``realised_decrease``, of F by the best step.

    Raises
    ------
    InputError
        If an argument is not allowed or the parts do not fit.
    """
    import pandas as pd

    cell = (rule, network, objective)
    rows = progress_rows(*cell, batch, samples, seed, state=state)
    if training is not None:
        rows += training_rows(*cell, training, samples, seed, state=state)
    return pd.DataFrame(rows)


def training_sample(task: Task) -> Batch:
    """The training set of a task, or 2048 fixed examples of a larger one."""
    if task.train.size <= TRAINING_EXAMPLES:
        return task.train
    return task.batch(TRAINING_EXAMPLES, seed=stream(0, "training sample"))


def training_rows(
    rule: Rule,
    network: Network,
    objective: Objective,
    training: Batch,
    samples: int = TRAINING_DRAWS,
    seed: int = 0,
    *,
    state: State | None = None,
) -> list[dict[str, Any]]:
    """Rows of :func:`progress` on the training set."""
    samples = min(integer("samples", samples, least=2, most=MOST), TRAINING_DRAWS)
    rows = progress_rows(rule, network, objective, training, samples, seed, state=state)
    return [{**row, "quantity": row["quantity"] + TRAINING} for row in rows]


def progress_rows(
    rule: Rule,
    network: Network,
    objective: Objective,
    batch: Batch,
    samples: int = MOST,
    seed: int = 0,
    *,
    state: State | None = None,
) -> list[dict[str, Any]]:
    """Rows of :func:`progress` on one batch."""
    samples = integer("samples", samples, least=2, most=MOST)
    seed = integer("seed", seed)
    check_parts(rule=rule)
    sources = rule.randomness() & WITHIN
    with one_blas_thread():
        setting = prepare(rule, network, objective, batch, state, seed)
        name, reference = reference_of(setting, "objective")
        g = vector(setting.network, reference)
        drawn, mean = draws_of(setting, samples)
        along = steps_along(setting, drawn, g)
        known = None if mean is None else float(mean @ g)
        values = realised(along, steps_along(setting, g[None], g), known)
    about = {
        "samples": len(drawn),
        "redrawn": "+".join(sorted(sources)) or "nothing",
        "reference": name,
        "method": "sampled" if sources else "exact",
    }
    rows = []
    for quantity, (value, *ends) in values.items():
        # One draw of a deterministic rule says it all.
        low, high = ends if sources else (value, value)
        flag = _flag(g, along, (value, low, high), mean is not None)
        rows.append(
            {"quantity": quantity, "value": value, **about, "low": low, "high": high, "flag": flag}
        )
    return rows


def draws_of(setting: Setting, samples: int) -> tuple[Array, Array | None]:
    """Draws of the estimate ``(S, P)``, one if they are alike, and their mean where it is known."""
    sources = setting.rule.randomness() & WITHIN
    blocks = formed_blocks(setting, samples if sources else 1, WITHIN)
    drawn = np.concatenate([vectors(setting.network, block) for block in blocks])
    answer = exact(setting, WITHIN)
    return drawn, None if answer is None else vector(setting.network, answer.mean)


@dataclass(frozen=True)
class Steps:
    """Steps of equal multiples along each of K draws.

    Attributes
    ----------
    slopes, curvatures
        ``draw . g`` and ``draw^T H draw``, ``(K,)``.
    decreases
        From a multiple to the decreases of F that it makes, ``(K,)``.
    short
        A multiple to begin with where curvature tells none.
    """

    slopes: Array
    curvatures: Array
    decreases: Callable[[float], Array]
    short: float


def steps_along(setting: Setting, draws: Array, g: Array) -> Steps:
    """Steps along draws ``(K, P)``, with the loss that is there."""
    blocks = [
        shaped(setting.network, draws[start : start + BLOCK])
        for start in range(0, len(draws), BLOCK)
    ]

    def decreases(step: float) -> Array:
        return np.concatenate([decrease(setting, block, step) for block in blocks])

    curvatures = np.concatenate([curvature(setting, block) for block in blocks])
    length = float(np.sqrt((draws**2).sum(axis=1).mean()))
    return Steps(draws @ g, curvatures, decreases, _short(setting) / (length or 1.0))


def realised(estimate: Steps, gradient: Steps, known: float | None = None) -> Values:
    """Quantities of :func:`progress` with their intervals, by the jackknife over draws.

    The mean slope is squared, and so overstated by its variance over K: the same is taken away
    as from the ``progress`` of ``measure``, and the interval is that of the root, squared. Which
    draws are left out hardly moves the best step, where the decrease is flat, and so it is held.

    Parameters
    ----------
    estimate, gradient
        Steps along draws of the estimate, and along the one gradient.
    known
        Mean of the slopes, where draws are not needed to tell.
    """
    slopes = estimate.slopes if known is None else np.full(len(estimate.slopes), known)

    def decreases(step: float) -> Array:
        # The first order of each draw is known, where the mean slope is.
        return estimate.decreases(step) + step * (slopes - estimate.slopes)

    slope, curved = _leave_one_out(slopes), _leave_one_out(estimate.curvatures)
    step, _ = best_step(replace(estimate, decreases=decreases), slope[0])
    _, of_gradient = best_step(gradient, gradient.slopes[0])
    lowered = _leave_one_out(decreases(step) if step else np.full(len(slopes), step))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        told = np.where(slope > 0, _squared_mean(slopes, known) / slope**2, 0.0 * slope)
        second_of_gradient = gradient.slopes**2 / _positive(gradient.curvatures)
        second = slope**2 / _positive(curved) / _positive(second_of_gradient)
        # Uphill no step is taken; what is possible is told to second order.
        shares = np.maximum(lowered, 0) / _positive(of_gradient) if slope[0] > 0 else second

        def downhill(progress: Array) -> float:
            """Without what the noise of the mean slope adds, and 0 where that points uphill."""
            uphill = slope[0] <= 0 < gradient.slopes[0]
            return 0.0 if uphill else float(told[0] * progress[0])

        # By how much draws left out move it, to second order.
        moved = (
            (slope / slope[0]) / (_positive(curved) / curved[0]) if step else np.ones(slope.size)
        )
        moved[0] = 1.0
        return {
            "best_step": interval(step * moved),
            "realised_progress": _squared(downhill(shares), np.sign(slope) * np.sqrt(shares)),
            "predicted_progress": _squared(downhill(second), np.sign(slope) * np.sqrt(second)),
            "realised_decrease": interval(told * lowered),
        }


def best_step(steps: Steps, slope: float) -> tuple[float, float]:
    """Step with the largest mean decrease, and that decrease, by a line search.

    It begins at the best step to second order, doubles or halves it while that helps, and then
    closes in between the neighbours of the best.

    Returns
    -------
    step, decrease
        Both 0 uphill, and NaN where the decrease has no end.
    """
    from scipy.optimize import minimize_scalar

    if not slope > 0:
        return (0.0, 0.0) if slope <= 0 else (float("nan"), float("nan"))
    curved = float(steps.curvatures.mean())
    start = slope / curved if curved > 0 else steps.short
    tried: dict[float, float] = {}

    def decreased(power: float) -> float:
        """By the step ``2**power`` times the first; what is not finite is no decrease."""
        if power not in tried:
            mean = float(steps.decreases(start * 2.0**power).mean())
            tried[power] = mean if np.isfinite(mean) else -np.inf
        return tried[power]

    power = 0.0
    while decreased(power + 1) > decreased(power):
        power += 1
        if power >= DOUBLINGS:
            return float("nan"), float("nan")
    while decreased(power - 1) > decreased(power) or not decreased(power) > 0:
        power -= 1
        if power <= -DOUBLINGS:
            return 0.0, 0.0  # a loss with steps is lowered by none
    minimize_scalar(
        lambda between: -decreased(float(between)),
        bounds=(power - 1, power + 1),
        method="bounded",
        options={"xatol": TOLERANCE},
    )
    best = max(tried, key=lambda power: tried[power])
    return start * 2.0**best, tried[best]


def decrease(setting: Setting, draws: Arrays, step: Array | float) -> Array:
    """F(w) - F(w - step draw) for draws ``(S, *shape)``, with a step for all or one for each.

    NaN where a step leads to weights at which activity does not settle.
    """
    steps = np.broadcast_to(step, len(next(iter(draws.values()))))
    moved = {
        name: weights - steps.reshape(-1, *(1,) * weights.ndim) * draws[name]
        for name, weights in setting.network.parameters.items()
    }
    try:
        output = setting.network.forward(setting.batch.inputs, parameters=moved).output
    except Divergence:  # of a step on trial; the network itself did settle
        return np.full(len(steps), np.nan)
    data, batch = setting.objective.data, setting.batch
    gained = data.batch_loss(setting.clean.output, batch) - data.batch_loss(output, batch)
    penalty = setting.objective.penalty
    costs = [penalty({name: array[k] for name, array in moved.items()}) for k in range(len(steps))]
    return gained + penalty(setting.network.parameters) - np.array(costs)


def curvature(setting: Setting, draws: Arrays) -> Array:
    """Second difference of F along each draw ``(S, *shape)``: draw^T H draw."""
    rows = vectors(setting.network, draws)
    lengths = np.sqrt(np.einsum("kp,kp->k", rows, rows))
    h = _short(setting) / np.where(lengths > 0, lengths, 1.0)
    return -(decrease(setting, draws, h) + decrease(setting, draws, -h)) / h**2


def _short(setting: Setting) -> float:
    """Length of a step that is short beside the weights."""
    weights = vector(setting.network, setting.network.parameters)
    return STEP * float(np.linalg.norm(weights) or 1.0)


def _leave_one_out(values: Array) -> Array:
    """Mean of all values, then without each; only the mean of a single one."""
    if values.size == 1:
        return values
    return np.concatenate([[values.mean()], (values.sum() - values) / (values.size - 1)])


def _squared_mean(values: Array, known: float | None) -> Array:
    """Square of their mean, less what their variance adds to it: of all, then without each."""
    if known is not None or values.size == 1:
        return _leave_one_out(values) ** 2
    squares, count = values**2, values.size
    totals = np.concatenate([[values.sum()], values.sum() - values])
    left = np.concatenate([[squares.sum()], squares.sum() - squares])
    counts = np.concatenate([[count], np.full(count, count - 1)])
    with np.errstate(divide="ignore", invalid="ignore"):  # of two draws without one
        return (totals**2 - left) / (counts * (counts - 1))


def _positive(values: Any) -> Any:
    """What is positive; NaN in place of the rest."""
    return np.where(np.asarray(values) > 0, values, np.nan)


def _squared(value: float, roots: Array) -> tuple[float, float, float]:
    """A value with the interval of its root, whose sign is that of the slope, squared.

    The root is linear in the estimates where the square is not, as of ``progress``.
    """
    _, low, high = interval(roots)
    if np.isnan(low):
        return value, low, high
    low, high = max(low, 0.0) ** 2, max(high, 0.0) ** 2
    return value, min(value, low), max(value, high)


def _flag(g: Array, along: Steps, ends: tuple[float, ...], known: bool) -> str:
    """Why there is no value, or none that the draws tell."""
    if np.isfinite(ends).all():
        _, low, high = mean_interval(along.slopes)
        return "unresolved" if not known and low <= 0 <= high and g.any() else ""
    if not g.any():
        return NO_GRADIENT
    if not (np.isfinite(along.slopes).all() and np.isfinite(along.curvatures).all()):
        return NOT_FINITE
    return "no positive curvature" if not along.curvatures.mean() > 0 else "unresolved"
