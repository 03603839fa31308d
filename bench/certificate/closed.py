"""Measure mean and variance of draws against the closed form or the enumeration of a rule."""

import numpy as np

from plausibench.bench.certificate.line import Line
from plausibench.bench.conformance.case import Case, small_parameter, with_option
from plausibench.bench.conformance.noise import DRAWS, THRESHOLD, mean_z, variance_z
from plausibench.bench.measuring.draws import WITHIN, formed_blocks
from plausibench.bench.measuring.exact import closed_form, exact
from plausibench.rules.rule import Rule, SampledAction

REDRAWN = 2048
"""Draws where feedback weights are redrawn, which takes a state for each."""
LARGEST = 1e-3
"""Value of the small parameter, if there is one: the closed form is that of its limit."""


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
