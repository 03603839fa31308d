"""Predicted and realised progress of a step along a rule's estimate."""

from typing import TYPE_CHECKING, Any

import numpy as np

from plausibench.architectures.network import Network
from plausibench.bench.draws import WITHIN, Setting, formed_blocks, prepare, reference_of
from plausibench.bench.measurement import measure, one_blas_thread
from plausibench.bench.statistics import student_quantile
from plausibench.kernels.errors import integer
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.rule import Rule, State

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray

STEP = 1e-3
"""Length of the step for second differences, relative to the length of the weights."""


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
    integer("samples", samples, least=2, most=64)
    setting = prepare(rule, network, objective, batch, state, seed)
    if not rule.randomness() & WITHIN:
        samples = 2
    with one_blas_thread():
        _, g = reference_of(setting, "objective")
        mean = measure(
            rule, network, objective, batch, 64, seed, state=state, reference="objective"
        ).mean
        draws = [
            {name: block[name][k] for name in g}
            for block in formed_blocks(setting, samples, WITHIN)
            for k in range(len(next(iter(block.values()))))
        ]
        curvature = np.array([_curvature(setting, draw) for draw in draws])
        slope = sum(float((g[name] * mean[name]).sum()) for name in g)
        # Without positive curvature there is no best step.
        step = slope / curvature.mean() if curvature.mean() > 0 else float("nan")
        realised = np.array([_decrease(setting, draw, step) for draw in draws])
    linear = step * np.array([sum(float((g[n] * draw[n]).sum()) for n in g) for draw in draws])
    predicted = 0.5 * step * slope
    return [
        _row("best_step", np.full(1, step)),
        _row("predicted_decrease", np.full(1, predicted)),
        _row("linear_decrease", linear),
        _row("realised_decrease", realised),
    ]


def progress(*arguments: Any, **options: Any) -> "pd.DataFrame":
    """Step size that decreases the loss most, and the decrease predicted and realised.

    To second order a step ``-eta`` times the estimate changes F on average by
    ``-eta g.mu + eta^2 / 2 E[estimate^T H estimate]``, least at ``eta* = g.mu / E[...]``.

    Parameters
    ----------
    rule, network, objective, batch, samples, seed, state
        As for ``measure``; at most 64 samples, each of which costs two passes for the second
        difference of F along it and one for the realised decrease.

    Returns
    -------
    DataFrame
        Columns ``quantity``, ``value``, ``low``, ``high``: ``best_step``,
        ``predicted_decrease``, ``linear_decrease`` (first order, at the best step) and
        ``realised_decrease``; intervals over draws, where the quantity is a mean over draws.

    Raises
    ------
    InputError
        If an argument is not allowed or the parts do not fit.
    """
    import pandas as pd

    return pd.DataFrame(progress_rows(*arguments, **options))


def _loss(setting: Setting, draw: dict[str, Array], step: float) -> float:
    moved = {name: w - step * draw[name] for name, w in setting.network.parameters.items()}
    output = setting.network.forward(setting.batch.inputs, parameters=moved).output
    return float(setting.objective.losses(output, setting.batch.targets).mean())


def _curvature(setting: Setting, draw: dict[str, Array]) -> float:
    """Second difference of F along a draw: draw^T H draw."""
    length = np.sqrt(sum(float((a * a).sum()) for a in draw.values()))
    weights = np.sqrt(sum(float((a * a).sum()) for a in setting.network.parameters.values()))
    if length == 0:
        return 0.0
    h = STEP * float(weights) / float(length)
    change = _loss(setting, draw, h) - 2 * _loss(setting, draw, 0.0) + _loss(setting, draw, -h)
    return change / h**2


def _decrease(setting: Setting, draw: dict[str, Array], step: float) -> float:
    return _loss(setting, draw, 0.0) - _loss(setting, draw, step)


def _row(quantity: str, values: Array) -> dict[str, Any]:
    value, half = float(values.mean()), float("nan")
    if values.size > 1:
        spread = float(values.std(ddof=1)) / np.sqrt(values.size)
        half = student_quantile(0.95, values.size - 1) * spread
    return {"quantity": quantity, "value": value, "low": value - half, "high": value + half}
