"""The averaging curve: how the mean of K estimates aligns with the reference gradient.

Noise averages out, bias does not: the plateau is the cosine of the mean estimate.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from plausibench.architectures.network import Network
from plausibench.bench.draws import WITHIN, formed_blocks, prepare, reference_of
from plausibench.bench.measurement import one_blas_thread, redraw_set
from plausibench.bench.statistics import student_quantile
from plausibench.kernels.errors import integer
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.rule import Rule, State

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray


def averaging_rows(
    rule: Rule,
    network: Network,
    objective: Objective,
    batch: Batch,
    samples: int = 1024,
    seed: int = 0,
    *,
    state: State | None = None,
    redraw: Iterable[str] = WITHIN,
) -> list[dict[str, Any]]:
    """Rows of :func:`averaging_curve`."""
    integer("samples", samples, least=1)
    sources = redraw_set(redraw)
    setting = prepare(rule, network, objective, batch, state, seed)
    if not rule.randomness() & sources:
        samples = 1
    with one_blas_thread():
        _, reference = reference_of(setting)
        g = np.concatenate([reference[name].reshape(-1) for name in reference])
        cosines = _cosines(
            (
                np.concatenate(
                    [block[name].reshape(len(block[name]), -1) for name in reference], axis=1
                )
                for block in formed_blocks(setting, samples, sources)
            ),
            g,
        )
    return [_row(2**level, np.array(values)) for level, values in enumerate(cosines)]


def averaging_curve(*arguments: Any, **options: Any) -> "pd.DataFrame":
    """Cosine between the mean of K estimates and the reference, for K = 1, 2, 4, ...

    Parameters
    ----------
    *arguments, **options
        Those of :func:`averaging_rows`: rule, network, objective, batch, samples, seed,
        state, redraw.

    Returns
    -------
    DataFrame
        Columns ``averaged`` (K), ``cosine`` (mean over disjoint runs of K samples), ``low``
        and ``high`` (95 %, Student's t over runs; NaN with fewer than 4 runs), ``runs``.
    """
    import pandas as pd

    return pd.DataFrame(averaging_rows(*arguments, **options))


def _cosines(blocks: Iterable[Array], g: Array) -> list[list[float]]:
    """Sum samples pairwise up a binary tree; memory is one vector per level."""
    waiting: list[Array | None] = []
    cosines: list[list[float]] = []
    length = np.sqrt(g @ g)
    for block in blocks:
        for sample in block:
            total, level = sample.astype(np.float64), 0
            while True:
                if level == len(waiting):
                    waiting.append(None)
                    cosines.append([])
                norm = np.sqrt(total @ total)
                with np.errstate(invalid="ignore", divide="ignore"):
                    cosines[level].append(float(total @ g / (norm * length)))
                partner = waiting[level]
                if partner is None:
                    waiting[level] = total
                    break
                waiting[level] = None
                total, level = partner + total, level + 1
    return cosines


def _row(averaged: int, values: Array) -> dict[str, Any]:
    mean, runs = float(values.mean()), values.size
    half = float("nan")
    if runs >= 4:
        half = student_quantile(0.95, runs - 1) * float(values.std(ddof=1)) / np.sqrt(runs)
    return {
        "averaged": averaged,
        "cosine": mean,
        "low": mean - half,
        "high": mean + half,
        "runs": runs,
    }
