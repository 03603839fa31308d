"""Checks of what the card declares: the mean of the estimates, and how a bias vanishes."""

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from plausibench.bench.conformance.case import (
    Array,
    Arrays,
    Case,
    draw,
    small_parameter,
    with_option,
)
from plausibench.bench.conformance.outcome import Outcome, judge
from plausibench.bench.measuring.draws import WITHIN, Setting, formed_blocks, reference_of
from plausibench.bench.measuring.exact import exact
from plausibench.bench.measuring.factors import BLOCK
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
"""Most noise in the mean, relative to the squared gradient, at which its test says anything."""
SLOPE = 0.05
"""Largest difference between the declared and the measured power of the bias."""
DEVIATES = "the card says unbiased, but the mean is not the reference gradient"
AGREES = "the card says biased, but the mean is the reference gradient as far as can be seen"


class Split(NamedTuple):
    """Test of the mean by two halves of the samples.

    Attributes
    ----------
    z
        Standard normal if the mean is the one expected, else shifted to positive values.
    bias_squared
        Unbiased estimate of the squared deviation of the mean, relative to the expected one.
    noise
        Squared deviation of the mean of the first half: what the noise leaves to see.
    """

    z: float
    bias_squared: float
    noise: float


def check_bias(rule: Rule, case: Case) -> Outcome:
    """The mean estimate is the reference gradient if the card says unbiased, and else is not."""
    small, unbiased = small_parameter(rule), rule.card.unbiased
    vanishing = unbiased and rule.card.bias_order is not None
    if vanishing and small is not None:
        rule = with_option(rule, small, min(LIMIT, float(getattr(rule, small))))
    setting = case.setting(rule)
    reference, answer = _flat(reference_of(setting)[1]), exact(setting, WITHIN)
    if answer is None:
        return _sampled_bias(split(setting, reference, SAMPLES), unbiased)
    deviation = _flat(answer.mean) - reference
    value = float(deviation @ deviation / (reference @ reference))
    measured = f"relative bias² {value:.1e}, {answer.method}"
    if vanishing:
        return Outcome("bias", "not applicable", measured, reason="see bias_order")
    if unbiased:
        return judge(value <= EXACT, "bias", measured, f"at most {EXACT:.0e}", DEVIATES)
    return judge(value > EXACT, "bias", measured, f"above {EXACT:.0e}", AGREES)


def _sampled_bias(found: Split, unbiased: bool) -> Outcome:
    measured = f"z {found.z:.1f}, relative bias² {found.bias_squared:.1e}, {SAMPLES} samples"
    if not unbiased:
        return judge(found.z > THRESHOLD, "bias", measured, f"z above {THRESHOLD}", AGREES)
    if found.z <= THRESHOLD and not found.noise <= RESOLVED:
        reason = f"too noisy to see a relative bias² of {RESOLVED}"
        return Outcome("bias", "not applicable", measured, reason=reason)
    return judge(found.z <= THRESHOLD, "bias", measured, f"z at most {THRESHOLD}", DEVIATES)


def split(setting: Setting, expected: Array, samples: int) -> Split:
    """Test whether the mean estimate is the one expected.

    The first half of the samples chooses the direction of a deviation, and the second half is
    projected on it. So z is standard normal whatever the number of directions that the noise
    fills, unlike the statistic of the squared bias itself, a weighted sum of chi-squares.

    Parameters
    ----------
    setting
        The rule and where it is drawn.
    expected
        The mean of all parameters, in one vector ordered by name.
    samples
        Number of draws, a multiple of two blocks.
    """
    half, direction, along = samples // 2, np.zeros(expected.size), []
    for number, block in enumerate(formed_blocks(setting, samples, WITHIN)):
        rows = [block[name].reshape(len(block[name]), -1) for name in sorted(block)]
        deviations = np.concatenate(rows, axis=1) - expected
        if number < half // BLOCK:
            direction += deviations.sum(axis=0) / half
        else:
            along.append(deviations @ direction)
    projected, length = np.concatenate(along), float(expected @ expected)
    mean, error = float(projected.mean()), float(projected.std(ddof=1)) / half**0.5
    z = mean / error if error > 0 else (float("inf") if mean > 0 else 0.0)
    return Split(z, mean / length, float(direction @ direction) / length)


def check_enumeration(rule: Rule, case: Case) -> Outcome:
    """Sampled actions average to the mean that is enumerated."""
    setting = case.setting(rule)
    answer = exact(setting, WITHIN) if isinstance(rule, SampledAction) else None
    if answer is None:
        reason = "the rule does not sample actions"
        return Outcome("enumeration", "not applicable", reason=reason)
    z = split(setting, _flat(answer.mean), SAMPLES).z
    return judge(
        z <= THRESHOLD,
        "enumeration",
        f"z {z:.1f}, {SAMPLES} samples",
        f"z at most {THRESHOLD}",
        "the mean of sampled actions is not that of policy and respond",
    )


class Mirrored(Noise):
    """The same noise with the opposite sign; every law is symmetric."""

    def examples(self, arrays: Mapping[str, Array], law: str = "gaussian") -> Arrays:
        return {name: -a for name, a in super().examples(arrays, law).items()}

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
    # A high power sinks into rounding before the small parameter is that small.
    smallest = LIMIT if order <= 2 else 5 * order * LIMIT
    values = [smallest * ratio**power for power in (2, 1, 0, -1)]
    means = [_mean(with_option(rule, small, value), case) for value in values]
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


def _flat(arrays: Mapping[str, Array]) -> Array:
    return np.concatenate([np.ravel(arrays[name]) for name in sorted(arrays)])
