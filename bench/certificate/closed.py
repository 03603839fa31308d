"""Measure mean and variance of draws against the closed form or the enumeration of a rule."""

import numpy as np

from plausibench.bench.certificate.line import Line
from plausibench.bench.conformance.case import Case, small_parameter, with_option
from plausibench.bench.measuring.draws import WITHIN, formed_blocks
from plausibench.bench.measuring.exact import closed_form, exact
from plausibench.rules.rule import Rule, SampledAction

Array = np.ndarray

DRAWS = 8192
"""Draws of the estimator; the standard error of a variance is then about 2 to 4 %."""
REDRAWN = 2048
"""Draws where feedback weights are redrawn, which takes a state for each."""
LARGEST = 1e-3
"""Value of the small parameter, if there is one: the closed form is that of its limit."""
THRESHOLD = 4.5
"""Of each parameter's z-test: one false alarm in 300 000, in 150 000 for two-sided ones."""


def measure_closed_form(rule: Rule, case: Case) -> list[Line]:
    """Compare mean and variance of draws with those of theory, within Monte Carlo error.

    Theory is the rule's closed form, or the sum over actions where they can be enumerated.
    """
    small = small_parameter(rule)
    if small is not None:
        rule = with_option(rule, small, min(LARGEST, float(getattr(rule, small))))
    setting, sources = case.setting(rule), rule.randomness()
    enumerable = sources == {"action"} and isinstance(rule, SampledAction)
    form = exact(setting, WITHIN) if enumerable else closed_form(setting, sources)
    if form is None or not sources:
        reason = "no closed form is declared" if sources else "there is no randomness"
        return [
            Line(kind, f"{kind}, closed form", "", "", "not applicable", None, reason)
            for kind in ("mean", "variance")
        ]
    feedback = "feedback" in sources
    draws = REDRAWN if feedback else DRAWS
    # Sampling sees every source that the closed form is over.
    blocks = list(formed_blocks(setting, draws, sources if feedback else WITHIN))
    means: dict[str, float] = {}
    spreads: dict[str, tuple[float, float]] = {}
    for name in setting.network.parameters:
        rows = np.concatenate([block[name] for block in blocks]).reshape(draws, -1)
        means[name] = mean_z(rows, np.ravel(form.mean[name]))
        spreads[name] = variance_z(rows, form.variance[name])
    over = f"{form.method} over {' and '.join(sorted(sources))}"
    worst = max(means, key=lambda name: means[name])
    widest = max(spreads, key=lambda name: abs(spreads[name][0]))
    z, ratio = spreads[widest]
    return [
        _line("mean", over, f"z {means[worst]:.2f} ({worst})", means[worst], draws),
        _line("variance", over, f"ratio {ratio:.3f}, z {z:.2f} ({widest})", abs(z), draws),
    ]


def mean_z(rows: Array, mean: Array) -> float:
    """Test the mean of draws ``(K, P)``: half of them choose a direction, the others tell.

    z is standard normal if the mean is the one given, else shifted to positive values.
    """
    half = len(rows) // 2
    deviations = rows - mean
    along = deviations[half:] @ deviations[:half].mean(axis=0)
    error = float(along.std(ddof=1)) / half**0.5
    if error <= 1e-14 * float(mean @ mean):
        # No noise: the difference is rounding, or it is one.
        far = np.linalg.norm(deviations.mean(axis=0)) > 1e-12 * np.linalg.norm(mean)
        return float("inf") if far else 0.0
    return float(along.mean()) / error


def variance_z(rows: Array, variance: float) -> tuple[float, float]:
    """Test the summed variance of draws ``(K, P)`` against the one given: z, and their ratio."""
    squares = ((rows - rows.mean(axis=0)) ** 2).sum(axis=1) * len(rows) / (len(rows) - 1)
    found, error = float(squares.mean()), float(squares.std(ddof=1)) / len(rows) ** 0.5
    if variance == 0:
        return (0.0, 1.0) if found <= 1e-24 * float((rows**2).sum()) else (np.inf, np.inf)
    return (found - variance) / error if error > 0 else np.inf, found / variance


def _line(kind: str, over: str, measured: str, z: float, draws: int) -> Line:
    good = z <= THRESHOLD
    return Line(
        kind,
        f"{kind}, {over}",
        f"|z| at most {THRESHOLD}" if kind == "variance" else f"z at most {THRESHOLD}",
        f"{measured}, {draws} draws",
        "passed" if good else "failed",
        max(z, 0.0) / THRESHOLD,
        "" if good else f"the {kind} of draws is not that of the closed form",
    )
