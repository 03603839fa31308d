"""The averaging curve: how the mean of K estimates aligns with the reference gradient.

Noise averages out, bias does not: the plateau is the cosine of the mean estimate.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from plausibench.architectures.network import Network
from plausibench.bench.components.arguments import check_parts
from plausibench.bench.measuring.draws import WITHIN, formed_blocks, prepare, reference_of
from plausibench.bench.measuring.factors import largest
from plausibench.bench.measuring.measurement import redraw_set
from plausibench.bench.measuring.statistics import (
    NO_GRADIENT,
    NOT_FINITE,
    UNDEFINED,
    student_quantile,
    unit,
)
from plausibench.bench.measuring.vectors import vector, vectors
from plausibench.kernels.errors import integer
from plausibench.kernels.threads import one_blas_thread
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.rule import Rule, State

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray

LEAST_RUNS = 4
"""Fewer runs give no interval."""


def averaging_curve(
    rule: Rule,
    network: Network,
    objective: Objective,
    batch: Batch,
    samples: int = 1024,
    seed: int = 0,
    *,
    state: State | None = None,
    redraw: Iterable[str] = WITHIN,
) -> "pd.DataFrame":
    """Cosine between the mean of K estimates and the reference, for K = 1, 2, 4, ...

    Parameters
    ----------
    rule, network, objective, batch
        The cell; neither weights nor state are changed.
    samples
        Draws in all; the largest K is the largest power of 2 that is not above it. A rule
        without randomness is drawn once.
    seed
        Root of the random streams.
    state
        State of the rule; by default its initial state from the same seed.
    redraw
        Which sources of randomness are redrawn for every sample.

    Returns
    -------
    DataFrame
        Columns ``averaged`` (K), ``cosine`` (mean over disjoint runs of K samples), ``low``
        and ``high`` (95 %, Student's t over runs; NaN with fewer than 4 runs), ``runs``,
        ``redrawn``, ``reference`` and ``flag`` (why there is no cosine).

    Raises
    ------
    InputError
        If an argument is not allowed or the parts do not fit.
    """
    import pandas as pd

    rows = averaging_rows(
        rule, network, objective, batch, samples, seed, state=state, redraw=redraw
    )
    return pd.DataFrame(rows)


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
    samples = integer("samples", samples, least=1)
    seed = integer("seed", seed)
    check_parts(rule=rule)
    sources = redraw_set(redraw) & rule.randomness()
    with one_blas_thread():
        setting = prepare(rule, network, objective, batch, state, seed)
        name, reference = reference_of(setting)
        g = vector(network, reference)
        cosines = _cosines(
            (
                vectors(network, block)
                for block in formed_blocks(setting, samples if sources else 1, sources)
            ),
            g,
        )
    about = {"redrawn": "+".join(sorted(sources)) or "nothing", "reference": name}
    return [
        {"averaged": 2**level, **_mean(np.array(values)), **about, "flag": _flag(values, g)}
        for level, values in enumerate(cosines)
    ]


def _flag(cosines: list[float], g: Array) -> str:
    """Why there is no mean cosine, if there is none."""
    if np.isfinite(cosines).all():
        return ""
    if not np.isfinite(g).all():
        return NOT_FINITE
    return NO_GRADIENT if not g.any() else UNDEFINED


def _cosines(blocks: Iterable[Array], g: Array) -> list[list[float]]:
    """Sum samples pairwise up a binary tree; memory is one block and one vector per level."""
    waiting: list[Array] = []
    cosines: list[list[float]] = []
    g = np.ldexp(g, -unit(largest(g)))
    length = np.sqrt(g @ g)
    for block in blocks:
        sums, level = block, 0
        while len(sums):
            if level == len(waiting):
                waiting.append(sums[:0])
                cosines.append([])
            with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
                near = np.ldexp(sums, -power) if (power := unit(largest(sums))) else sums
                norms = np.sqrt(np.einsum("kp,kp->k", near, near))
                cosines[level] += (near @ g / (norms * length)).tolist()
            listed = np.concatenate([waiting[level], sums])
            paired = len(listed) - len(listed) % 2
            waiting[level] = listed[paired:].copy()
            sums, level = listed[0:paired:2] + listed[1:paired:2], level + 1
    return cosines


def _mean(values: Array) -> dict[str, Any]:
    mean, runs, half = float(values.mean()), values.size, float("nan")
    if runs >= LEAST_RUNS:
        half = student_quantile(0.95, runs - 1) * float(values.std(ddof=1)) / np.sqrt(runs)
    return {"cosine": mean, "low": mean - half, "high": mean + half, "runs": runs}
