"""Checks of what the card declares: the mean of the estimates, and how a bias vanishes."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from plausibench.bench.conformance.case import Array, Arrays, Case, draw, small_parameter
from plausibench.bench.conformance.outcome import Outcome, judge
from plausibench.bench.draws import WITHIN, Setting, formed_blocks, reference_of
from plausibench.bench.exact import exact
from plausibench.bench.measurement import measure
from plausibench.bench.moments import BLOCK
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Rule, SampledAction

EXACT = 1e-20
"""Largest relative squared bias of a rule that is exact."""
LIMIT = 1e-3
"""Value of the small parameter at which a vanishing bias has vanished."""
SAMPLES = 16384
"""Draws for a test of the mean, in two halves of whole blocks."""
THRESHOLD = 4.5
"""Of the one-sided z-tests: one false alarm in 300 000."""
RESOLVED = 0.1
"""Widest half interval of the relative squared bias at which its test says anything."""
SLOPE = 0.05
"""Largest difference between the declared and the measured power of the bias."""


def check_bias(rule: Rule, case: Case) -> Outcome:
    """The mean estimate is the reference gradient if the card says unbiased, and else is not."""
    small, unbiased = small_parameter(rule), rule.card.unbiased
    vanishing = unbiased and rule.card.bias_order is not None
    if vanishing and small is not None:
        rule = _with(rule, small, min(LIMIT, float(getattr(rule, small))))
    found = measure(rule, case.network, case.objective, case.batch, SAMPLES, case.seed)
    row = next(
        row for row in found.rows if (row["projection"], row["quantity"]) == ("all", "bias_squared")
    )
    if row["method"] == "sampled":
        return _sampled_bias(rule, case, row)
    value = float(row["value"])
    measured = f"relative bias² {value:.1e}, {row['method']}"
    if vanishing:
        return Outcome("bias", "not applicable", measured, reason="see bias_order")
    if unbiased:
        reason = "the card says unbiased, but the mean is not the reference gradient"
        return judge(value <= EXACT, "bias", measured, f"at most {EXACT:.0e}", reason)
    reason = "the card says biased, but the mean is the reference gradient"
    return judge(value > EXACT, "bias", measured, f"above {EXACT:.0e}", reason)


def _sampled_bias(rule: Rule, case: Case, row: Mapping[str, Any]) -> Outcome:
    value, low, high = row["value"], row["low"], row["high"]
    setting = case.setting(rule)
    z = split_test(setting, reference_of(setting)[1], SAMPLES)
    measured = f"z {z:.1f}, relative bias² {value:.2g} [{low:.2g}, {high:.2g}], {SAMPLES} samples"
    if not rule.card.unbiased:
        reason = "the card says biased, but no bias was seen"
        return judge(z > THRESHOLD, "bias", measured, f"z above {THRESHOLD}", reason)
    if z <= THRESHOLD and not (high - low) / 2 <= RESOLVED:
        reason = f"too noisy to see a relative bias² of {RESOLVED}"
        return Outcome("bias", "not applicable", measured, reason=reason)
    reason = "the card says unbiased, but the mean is not the reference gradient"
    return judge(z <= THRESHOLD, "bias", measured, f"z at most {THRESHOLD}", reason)


def split_test(setting: Setting, expected: Mapping[str, Array], samples: int) -> float:
    """z-statistic of a deviation of the mean estimate from ``expected``.

    The first half of the samples chooses the direction of the deviation, and the second half is
    projected on it. Without a deviation z is standard normal, whatever the number of directions
    that the noise fills: unlike the statistic of the squared bias itself, which is a weighted
    sum of chi-squares. A deviation makes z positive.
    """
    names = list(expected)
    aim = np.concatenate([np.ravel(expected[name]) for name in names])
    direction, along = np.zeros(aim.size), []
    for number, block in enumerate(formed_blocks(setting, samples, WITHIN)):
        rows = np.concatenate([block[name].reshape(len(block[name]), -1) for name in names], axis=1)
        if number < samples // BLOCK // 2:
            direction += (rows - aim).sum(axis=0)
        else:
            along.append((rows - aim) @ direction)
    projected = np.concatenate(along)
    mean, error = float(projected.mean()), float(projected.std(ddof=1)) / projected.size**0.5
    if error > 0:
        return mean / error
    return float(np.inf) if mean > 0 else 0.0


def check_enumeration(rule: Rule, case: Case) -> Outcome:
    """Sampled actions average to the mean that is enumerated."""
    setting = case.setting(rule)
    answer = exact(setting, WITHIN) if isinstance(rule, SampledAction) else None
    if answer is None:
        reason = "the rule does not sample actions"
        return Outcome("enumeration", "not applicable", reason=reason)
    z = split_test(setting, answer.mean, SAMPLES)
    return judge(
        z <= THRESHOLD,
        "enumeration",
        f"z {z:.1f}, {SAMPLES} samples",
        f"z at most {THRESHOLD}",
        "the mean of sampled actions is not that of policy and respond",
    )


class Mirrored(Noise):
    """The same noise with the opposite sign; every law is symmetric."""

    def examples(
        self, arrays: Mapping[str, Array], law: str = "gaussian", stream_name: str = "rule"
    ) -> Arrays:
        return {name: -a for name, a in super().examples(arrays, law, stream_name).items()}

    def parameters(self, arrays: Mapping[str, Array], law: str = "gaussian") -> Arrays:
        return {name: -a for name, a in super().parameters(arrays, law).items()}


def check_bias_order(rule: Rule, case: Case) -> Outcome:
    """The bias vanishes with the declared power of the small parameter.

    Where the mean is exact, it is compared with the reference gradient, and with random
    feedback, whose bias stays, with itself at the next smaller value. Else estimates at
    two values are compared on the same noise and its mirror image: the odd powers, which
    average out, are gone from their sum.
    """
    order, small = rule.card.bias_order, small_parameter(rule)
    if order is None or small is None:
        reason = "the card has no bias_order" if order is None else "it has no sigma or nudging"
        return Outcome("bias_order", "not applicable", reason=reason)
    ratio = 10**0.5
    values = [LIMIT * ratio**power for power in (2, 1, 0, -1)]
    means = [_mean(_with(rule, small, value), case) for value in values]
    reference = _flat(reference_of(case.setting(rule))[1])
    stays = "feedback" in rule.randomness()
    if stays or exact(case.setting(rule), WITHIN) is None:
        changes = [float(np.linalg.norm(one - next_)) for one, next_ in pairwise(means)]
    else:
        changes = [float(np.linalg.norm(mean - reference)) for mean in means[:-1]]
    if max(changes) <= EXACT**0.5 * float(np.linalg.norm(reference)):
        return Outcome("bias_order", "passed", "no bias above rounding", f"power {order}")
    with np.errstate(divide="ignore"):
        slope = float(np.polyfit(np.log(values[:-1]), np.log(changes), 1)[0])
    return judge(
        abs(slope - order) <= SLOPE,
        "bias_order",
        f"power {slope:.3f} of {small} from {values[0]:g} to {values[-2]:g}",
        f"{order} within {SLOPE}",
        f"the bias does not vanish as declared: {rule.card.exact_when}",
    )


def _mean(rule: Rule, case: Case) -> Array:
    """Exact mean, or that of some samples and their mirror images."""
    setting = case.setting(rule)
    answer = exact(setting, WITHIN)
    if answer is not None:
        return _flat(answer.mean)
    numbers = list(range(4 * BLOCK))
    plus, minus = draw(setting, numbers), draw(setting, numbers, Mirrored)
    return _flat({name: (plus[name] + minus[name]).mean(axis=0) / 2 for name in plus})


def _with(rule: Rule, name: str, value: float) -> Rule:
    changed: Rule = replace(rule, **{name: value})  # type: ignore[type-var]
    return changed


def _flat(arrays: Mapping[str, Array]) -> Array:
    return np.concatenate([np.ravel(arrays[name]) for name in sorted(arrays)])
