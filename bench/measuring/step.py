"""Predicted and realised progress of a step along a rule's estimate."""

from typing import TYPE_CHECKING, Any

import numpy as np

from plausibench.architectures.network import Network
from plausibench.bench.components.arguments import check_parts
from plausibench.bench.measuring.draws import WITHIN, Setting, formed_blocks, prepare, reference_of
from plausibench.bench.measuring.exact import exact
from plausibench.bench.measuring.statistics import NO_GRADIENT, NOT_FINITE, interval, mean_interval
from plausibench.bench.measuring.vectors import vector, vectors
from plausibench.kernels.errors import Divergence, integer
from plausibench.kernels.threads import one_blas_thread
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.rule import Rule, State

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray
Arrays = dict[str, Array]

STEP = 1e-3
"""Length of the step for second differences, relative to the length of the weights."""


def progress(
    rule: Rule,
    network: Network,
    objective: Objective,
    batch: Batch,
    samples: int = 64,
    seed: int = 0,
    *,
    state: State | None = None,
) -> "pd.DataFrame":
    """Step size that decreases the loss most, and the decrease predicted and realised.

    To second order a step ``-eta`` times the estimate changes F on average by
    ``-eta g.mu + eta^2 / 2 E[estimate^T H estimate]``, least at ``eta* = g.mu / E[...]``.

    Parameters
    ----------
    rule, network, objective, batch
        The cell; neither weights nor state are changed.
    samples
        Draws, from 2 to 64, each of which costs two passes for the second difference of F
        along it and one for the realised decrease. A deterministic rule is drawn once.
    seed
        Root of the random streams; the draws are those of ``estimates``.
    state
        State of the rule; by default its initial state from the same seed.

    Returns
    -------
    DataFrame
        Columns ``quantity``, ``value``, ``low``, ``high`` (95 % over draws), ``samples``,
        ``redrawn``, ``reference``, ``method`` and ``flag`` (why there is no value). Quantities:
        ``best_step`` (0 where the mean estimate points uphill, NaN without positive curvature
        along the estimates), ``predicted_decrease``, and the means over draws of
        ``linear_decrease`` (first order) and ``realised_decrease``, both at the best step.

    Raises
    ------
    InputError
        If an argument is not allowed or the parts do not fit.
    """
    import pandas as pd

    rows = progress_rows(rule, network, objective, batch, samples, seed, state=state)
    return pd.DataFrame(rows)


def progress_rows(
    rule: Rule,
    network: Network,
    objective: Objective,
    batch: Batch,
    samples: int = 64,
    seed: int = 0,
    *,
    state: State | None = None,
) -> list[dict[str, Any]]:
    """Rows of :func:`progress`."""
    samples = integer("samples", samples, least=2, most=64)
    seed = integer("seed", seed)
    check_parts(rule=rule)
    sources = rule.randomness() & WITHIN
    with one_blas_thread():
        setting = prepare(rule, network, objective, batch, state, seed)
        name, reference = reference_of(setting, "objective")
        g = vector(network, reference)
        blocks = list(formed_blocks(setting, samples if sources else 1, WITHIN))
        slopes = np.concatenate([vectors(network, block) @ g for block in blocks])
        curvatures = np.concatenate([curvature(setting, block) for block in blocks])
        answer = exact(setting, WITHIN)
        along = slopes if answer is None else np.full(len(slopes), vector(network, answer.mean) @ g)
        step, predicted = _best(_leave_one_out(along), _leave_one_out(curvatures))
        realised = np.concatenate([decrease(setting, block, step[0]) for block in blocks])
    about = {
        "samples": len(slopes),
        "redrawn": "+".join(sorted(sources)) or "nothing",
        "reference": name,
        "method": "sampled" if sources else "exact",
    }
    found = {
        "best_step": interval(step),
        "predicted_decrease": interval(predicted),
        "linear_decrease": mean_interval(step[0] * slopes),
        "realised_decrease": mean_interval(realised),
    }
    rows = []
    for quantity, (value, *ends) in found.items():
        # One draw of a deterministic rule says it all.
        low, high = ends if sources else (value, value)
        flag = "" if np.isfinite([value, low, high]).all() else _reason(g, slopes, curvatures)
        ends_of = {"low": low, "high": high, "flag": flag}
        rows.append({"quantity": quantity, "value": value, **about, **ends_of})
    return rows


def _reason(g: Array, slopes: Array, curvatures: Array) -> str:
    """Why there is no best step, or no decrease by it."""
    if not g.any():
        return NO_GRADIENT
    if not (np.isfinite(slopes).all() and np.isfinite(curvatures).all()):
        return NOT_FINITE
    return "no positive curvature" if not curvatures.mean() > 0 else "unresolved"


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
    rows, weights = vectors(setting.network, draws), setting.network.parameters
    lengths = np.sqrt(np.einsum("kp,kp->k", rows, rows))
    whole = np.linalg.norm(vector(setting.network, weights)) or 1.0
    h = STEP * whole / np.where(lengths > 0, lengths, 1.0)
    return -(decrease(setting, draws, h) + decrease(setting, draws, -h)) / h**2


def _best(slopes: Array, curvatures: Array) -> tuple[Array, Array]:
    """Best step and the decrease predicted for it; without curvature there is none."""
    steps = np.maximum(slopes, 0) / np.where(curvatures > 0, curvatures, np.nan)
    return steps, 0.5 * steps * slopes


def _leave_one_out(values: Array) -> Array:
    """Mean of all values, then without each; only the mean of a single one."""
    if values.size == 1:
        return values
    return np.concatenate([[values.mean()], (values.sum() - values) / (values.size - 1)])
