"""Measure the bias and variance of a rule at fixed weights."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.bench.measuring.draws import (
    WITHIN,
    Setting,
    draw_unformed,
    formed_blocks,
    prepare,
    reference_of,
    sum_block,
    sums_of,
)
from plausibench.bench.measuring.exact import Exact, closed_form, exact, of_one_draw, unavailable
from plausibench.bench.measuring.factors import BLOCK, largest
from plausibench.bench.measuring.moments import BlockSums, Moments
from plausibench.bench.measuring.shown import as_html, as_line
from plausibench.bench.measuring.statistics import (
    LEAST_DIMENSION,
    LEAST_PAIRED,
    LEAST_SAMPLES,
    NO_GRADIENT,
    NOT_FINITE,
    QUANTITIES,
    RELATIVE,
    SAMPLED,
    UNDEFINED,
    Ends,
    GroupSums,
    Products,
    blurred,
    effective_dimension,
    exact_quantities,
    exact_scale_free,
    intervals,
    products_of,
    quantities,
    scale_free,
    unit,
)
from plausibench.bench.measuring.step import MOST, progress_rows
from plausibench.kernels.cores import cores
from plausibench.kernels.errors import InputError, choose, flag, integer, refusal
from plausibench.kernels.plain import plain
from plausibench.kernels.threads import one_blas_thread
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.foreign import FunctionRule
from plausibench.rules.rule import Rule, State

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray

METHODS = ("auto", "sampled", "exact")
BLURRED = 0.01
"""Relative error of an estimate by rounding from which it is flagged."""
REDRAWABLE = ("feedback", "rule", "action", "spike")


@dataclass(frozen=True, eq=False)
class Measurement:
    """Bias and variance of a rule at fixed weights.

    Attributes
    ----------
    rows
        One dict per projection and quantity, with the columns of :attr:`frame`.
    reference
        Reference gradient per parameter, float64.
    mean
        Mean estimate per parameter, float64.
    """

    rows: list[dict[str, Any]]
    reference: dict[str, Array] = field(repr=False)
    mean: dict[str, Array] = field(repr=False)

    def __repr__(self) -> str:
        return as_line(self.rows)

    def _repr_html_(self) -> str:
        return as_html(self.rows)

    @cached_property
    def frame(self) -> "pd.DataFrame":
        """Tidy table, one row per projection and quantity.

        Columns: ``projection`` (a parameter's name, or ``all``), ``quantity``, ``value``,
        ``low`` and ``high`` (95 % interval), ``samples``, ``redrawn`` (sources that were
        redrawn), ``reference`` (gradient judged against), ``method`` (sampled, companion, exact,
        enumerated, closed form), ``effective_dimension`` (of the noise in the mean, what a
        companion takes away apart) and ``flag`` (why an interval may not cover).
        """
        import pandas as pd

        return pd.DataFrame(self.rows)

    def value(self, quantity: str, projection: str = "all") -> float:
        """Value of one quantity."""
        choose("quantity", quantity, dict.fromkeys(row["quantity"] for row in self.rows))
        of = [row["projection"] for row in self.rows if row["quantity"] == quantity]
        choose("projection", projection, of)
        return next(
            float(row["value"])
            for row in self.rows
            if row["quantity"] == quantity and row["projection"] == projection
        )


def measure(
    rule: Rule,
    network: Network,
    objective: Objective,
    batch: Batch,
    samples: int = 2000,
    seed: int = 0,
    *,
    state: State | None = None,
    redraw: Iterable[str] = WITHIN,
    dtype: str = "float64",
    method: str = "auto",
    reference: str = "own",
    threads: int | None = None,
    realised: bool = False,
) -> Measurement:
    """Measure bias and variance of a rule's gradient estimate, with 95 % intervals.

    Parameters
    ----------
    rule, network, objective, batch
        The cell; neither weights nor state are changed.
    samples
        Draws K of the estimator.
    seed
        Root of the random streams; the draws are those of :func:`estimates`.
    state
        State of the rule; by default its initial state from the same seed.
    redraw
        Which sources of randomness are redrawn for every sample: rule, action, spike, and
        feedback for the marginal measurement. What is not named is held.
    dtype
        float64 or float32, of the estimates; sums are always float64.
    method
        ``exact`` without sampling, ``sampled``, or ``auto``: exact for deterministic and
        sampled-action rules, sampled for the others, less the companion of a rule that has one,
        whose mean is known and most of whose noise is the rule's own (then the ``method`` of the
        rows is ``companion``). Where mean and variance cannot be enumerated, ``exact`` takes the
        rule's closed form, for perturbation rules that of the limit of vanishing noise.
    reference
        ``own`` for the gradient that the rule names as its reference, ``objective`` for that
        of the objective.
    threads
        Threads over blocks of samples, by default one a core, but one for a user's function;
        the result has the same bits with any number.
    realised
        Whether to take steps along up to 64 of the draws, too: rows of ``realised_progress`` and
        ``predicted_progress`` of the whole network, as :func:`progress` makes them. It costs about
        fifteen passes for each of the draws.

    Returns
    -------
    Measurement
        Its ``frame`` holds bias, variance, gain and progress relative to ``|g|^2``, and the
        absolute bias and variance.

    Raises
    ------
    InputError
        If an argument is not allowed, the parts do not fit, or ``method="exact"`` has no
        exact answer.
    """
    samples = integer("samples", samples, least=1)
    threads = cores() if threads is None else integer("threads", threads, least=1)
    realised = flag("realised", realised)
    seed = integer("seed", seed)
    method = choose("method", method, METHODS)
    dtype = choose("dtype", dtype, ("float64", "float32"))
    reference = choose("reference", reference, ("own", "objective"))
    sources = redraw_set(redraw)
    with one_blas_thread():
        setting = prepare(rule, network, objective, batch, state, seed, dtype)
        name, g = reference_of(setting, reference)
        about = {
            "redrawn": "+".join(sorted(rule.randomness() & sources)) or "nothing",
            "reference": name,
        }
        steps = _steps(setting, samples) if realised else []
        blurred = is_blurred(rule, setting.network, objective.data, setting.batch, setting.clean)
        flags = ["rounding"] if blurred else []
        if not rule.randomness() & sources:
            # A deterministic rule has one draw; asking for more would repeat it.
            projections, drawn = setting.network.projections, draw_unformed(setting)
            del setting  # weights in float32 are let go before the mean is formed, in float64
            return _with(steps, from_exact(of_one_draw(projections, drawn), g, about, flags))
        answer = None
        if method != "sampled":
            answer = exact(setting, sources)
            if answer is None and method == "exact":
                answer = closed_form(setting, sources)
            if answer is None and method == "exact":
                raise InputError(
                    f"method: 'exact' is not possible: {unavailable(setting, sources)}"
                )
        if answer is not None:
            return _with(steps, from_exact(answer, g, about, flags))
        if method == "auto":
            moments = sums_of(setting, g, sources)
        else:
            moments = Moments(setting.network, setting.clean, g)
        # Draws of a user's function come one after the other: threads would wait for each other.
        over = 1 if isinstance(rule, FunctionRule) else threads
        for block in _blocks(setting, moments, samples, sources, over):
            moments.add(block)
        return _with(steps, from_moments(moments, g, samples, about, flags, threads))


def _steps(setting: Setting, samples: int) -> list[dict[str, Any]]:
    """Rows of the two quantities of steps that are relative to the gradient's."""
    parts = (setting.rule, setting.network, setting.objective, setting.batch)
    drawn = min(max(samples, 2), MOST)
    rows = progress_rows(*parts, drawn, setting.seed, state=setting.state)
    return [
        {"projection": "all", **row, "effective_dimension": float("nan")}
        for row in rows
        if row["quantity"] in ("realised_progress", "predicted_progress")
    ]


def _with(rows: list[dict[str, Any]], measured: Measurement) -> Measurement:
    return replace(measured, rows=[*measured.rows, *rows])


def estimates(
    rule: Rule,
    network: Network,
    objective: Objective,
    batch: Batch,
    samples: int = 8,
    seed: int = 0,
    *,
    state: State | None = None,
    redraw: Iterable[str] = WITHIN,
    dtype: str = "float64",
) -> dict[str, Array]:
    """Individual draws of a rule's gradient estimate, ``(samples, *shape)`` per parameter.

    They are the first samples of :func:`measure` with the same seed. Parameters and errors
    are those of :func:`measure`.
    """
    samples = integer("samples", samples, least=1)
    seed = integer("seed", seed)
    dtype = choose("dtype", dtype, ("float64", "float32"))
    with one_blas_thread():
        setting = prepare(rule, network, objective, batch, state, seed, dtype)
        blocks = list(formed_blocks(setting, samples, redraw_set(redraw)))
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def redraw_set(redraw: Iterable[str]) -> frozenset[str]:
    """Check the names of the sources to redraw."""
    redraw = plain(redraw)
    if isinstance(redraw, str):
        redraw = [redraw]
    if not isinstance(redraw, Iterable):
        raise refusal("redraw", redraw, f"a set of sources out of {', '.join(REDRAWABLE)}")
    listed = [plain(source) for source in redraw]
    for source in listed:
        if source == "init":
            raise InputError(
                "redraw: 'init' is not allowed, because averaging gradients over "
                "initialisations cancels them; repeat the measurement with other seeds instead"
            )
        if source == "data":
            raise InputError("redraw: 'data' needs a task to draw from; use bench.budget")
        choose("redraw", source, REDRAWABLE)
    return frozenset(listed)


def _blocks(
    setting: Setting,
    moments: Moments,
    samples: int,
    redraw: frozenset[str],
    threads: int,
) -> Iterator[BlockSums]:
    def one(index: int) -> BlockSums:
        return sum_block(setting, moments, index, redraw, min(BLOCK, samples - index * BLOCK))

    indices = iter(range(-(-samples // BLOCK)))
    yield one(next(indices))  # before the others, as it chooses the units of the sums
    if threads == 1:
        yield from map(one, indices)
        return
    pool = ThreadPoolExecutor(threads)
    try:
        # A window, so that memory does not grow with the number of samples.
        window = deque(pool.submit(one, index) for index in islice(indices, 4 * threads))
        while window:
            yield window.popleft().result()
            window.extend(pool.submit(one, index) for index in islice(indices, 1))
    finally:
        pool.shutdown(cancel_futures=True)


def from_moments(
    moments: Moments,
    reference: dict[str, Array],
    samples: int,
    about: dict[str, Any],
    flags: Sequence[str] = (),
    threads: int = 1,
) -> Measurement:
    """Bias and variance from the sums over draws; ``about`` and ``flags`` as of `from_exact`."""
    with np.errstate(over="ignore", invalid="ignore"):
        sums, mean = moments.results(threads)
        values = {name: quantities(part) for name, part in sums.items()}
        ends = {name: intervals(values[name]) for name in values}
        ends["all"]["scale_free_bias"] = scale_free(
            {
                name: (values[name], float(np.ldexp(part.reference, 2 * (part.exponent - power))))
                for power in [sums["all"].exponent]
                for name, part in sums.items()
                if name != "all"
            }
        )
        dimensions = {name: effective_dimension(part) for name, part in sums.items()}
    errors = _errors(moments)
    rows = []
    for name, part in sums.items():
        extra = {
            "samples": samples,
            **about,
            "method": "sampled" if moments.companion is None else "companion",
            "effective_dimension": dimensions[name],
        }
        doubts = [*flags, *_flags(part, dimensions[name], samples)]
        finite = bool(np.isfinite([part.reference, *part.squares]).all())
        length = np.ldexp(np.sqrt(part.reference), part.exponent)
        for quantity in QUANTITIES:
            absolute = quantity.startswith("absolute")
            error = errors[name] if absolute or not length > 0 else errors[name] / length
            wide, most = blurred(quantity, ends[name][quantity], error)
            own = [*doubts, "rounding"] if most and "rounding" not in doubts else doubts
            rows.append(_row(name, quantity, wide, part.reference, finite, own, extra))
    return Measurement(rows, reference, mean)


def _errors(moments: Moments) -> dict[str, float]:
    """How far rounding may move the mean of each projection, where companions show that little."""
    floor = {} if moments.companion is None else moments.companion.floor
    each = {name: floor.get(name, 0.0) for name in moments.factors}
    return {name: value**0.5 for name, value in {**each, "all": sum(each.values())}.items()}


def from_exact(
    answer: Exact,
    reference: dict[str, Array],
    about: dict[str, Any],
    flags: Sequence[str] = (),
) -> Measurement:
    """Bias and variance without sampling; ``about`` fills the remaining columns.

    ``flags`` say what all values are to be doubted for.
    """
    mean = {name: answer.mean[name].reshape(-1) for name in reference}
    g = {name: array.reshape(-1) for name, array in reference.items()}
    variance = {**answer.variance, "all": sum(answer.variance.values())}
    most = {name: max(largest(mean[name]), largest(g[name])) for name in g}
    powers = {name: unit(size) for name, size in most.items()}
    powers["all"] = unit(float(np.max(list(most.values()))))
    if powers["all"] < 0 and answer.method != "exact":
        # Squares of such numbers are 0, though nothing says that the variance is.
        variance = {name: found or np.nan for name, found in variance.items()}
    products = {name: products_of(mean[name], g[name], powers[name]) for name in g}
    common = {
        name: part
        if powers[name] == powers["all"]
        else products_of(mean[name], g[name], powers["all"])
        for name, part in products.items()
    }
    products["all"] = Products(*map(sum, zip(*common.values(), strict=True)))
    values = {
        name: exact_quantities(part, variance[name], powers[name])
        for name, part in products.items()
    }
    values["all"]["scale_free_bias"] = exact_scale_free(
        {name: (values[name]["scale_free_bias"], part.reference) for name, part in common.items()}
    )
    finite = {
        name: bool(np.isfinite(g[name]).all() and np.isfinite(mean[name]).all()) for name in g
    }
    finite["all"] = all(finite.values())
    extra = {
        "samples": answer.outcomes,
        **about,
        "method": answer.method,
        "effective_dimension": float("nan"),
    }
    rows = []
    for name, part in products.items():
        for quantity in QUANTITIES:
            value = float(values[name][quantity][0])
            ends = Ends(value, value, value)
            row = _row(name, quantity, ends, part.reference, finite[name], [*flags], extra)
            rows.append(row)
    return Measurement(rows, reference, answer.mean)


def is_blurred(
    rule: Rule, network: Network, objective: Objective, batch: Batch, clean: Activity
) -> bool:
    """Whether rounding alone may move an estimate by more than the share ``BLURRED``.

    Without an error at the output there is nothing to blur.
    """
    rounding = rule.rounding(network, objective, batch, clean)
    return rounding > BLURRED and bool(objective.batch_error(clean.output, batch).any())


def _row(
    projection: str,
    quantity: str,
    ends: Ends,
    length: float,
    finite: bool,
    flags: list[str],
    extra: dict[str, Any],
) -> dict[str, Any]:
    """A row with what its interval, or its value, is to be doubted for.

    ``length`` is that of the reference gradient, squared, and ``finite`` says whether estimates
    and reference are.
    """
    if not finite or (extra["method"] not in SAMPLED and np.isinf(ends.value)):
        flags = [NOT_FINITE]
    elif length == 0 and quantity in RELATIVE:
        flags = [*flags, NO_GRADIENT]
    elif extra["method"] not in SAMPLED and np.isnan(ends.value):
        flags = [UNDEFINED]
    elif not ends.resolved:
        flags = [*flags, "unresolved"]
    return {
        "projection": projection,
        "quantity": quantity,
        "value": ends.value,
        "low": ends.low,
        "high": ends.high,
        **extra,
        "flag": ", ".join(flags),
    }


def _flags(sums: GroupSums, dimension: float, samples: int) -> list[str]:
    """Say why the interval of a sampled value may not cover."""
    flags = []
    if samples < (LEAST_SAMPLES if sums.shared is None else LEAST_PAIRED):
        flags.append("few samples")
    if not dimension >= LEAST_DIMENSION:
        flags.append("low dimension")
    return flags
