"""Check of a rule's companion: its mean, its variance, and that it comes from the same draws."""

import numpy as np

from plausibench.bench.conformance.case import (
    Arrays,
    Case,
    differing,
    distance,
    rounding,
    small_parameter,
    with_option,
)
from plausibench.bench.conformance.contract import lent
from plausibench.bench.conformance.noise import DRAWS, THRESHOLD, mean_z, variance_z
from plausibench.bench.conformance.outcome import Outcome, judge
from plausibench.bench.measuring.draws import WITHIN, Setting, companion_of, draw_block, draw_pair
from plausibench.bench.measuring.factors import BLOCK
from plausibench.rules.estimate import Estimates, form
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Rule

LARGEST = 1e-3
"""Value of the small parameter, if there is one: a companion is closest where it is small."""
LEFT = 0.8
"""Largest share of the variance that may be left of the estimates less their companions.

More than 1 would be left of companions from other draws.
"""


def check_companion(rule: Rule, case: Case) -> Outcome:
    """The companion has the mean and the variance that it says, and the draws of the rule."""
    small = small_parameter(rule)
    if small is not None:
        rule = with_option(rule, small, min(LARGEST, float(getattr(rule, small))))
    setting = case.setting(rule)
    companion = companion_of(setting, WITHIN)
    if companion is None:
        return Outcome("companion", "not applicable", reason="the rule has no companion")
    given = lent(setting)
    before = {name: array.copy() for name, array in given.items()}
    left, beside, kept = zip(
        *(draw_pair(setting, index, companion) for index in range(DRAWS // BLOCK)), strict=True
    )
    companions, differences = _rows(setting, beside), _rows(setting, left)
    odd = {name: rows - differences[name] for name, rows in _rows(setting, kept).items()}
    estimates = {name: differences[name] + odd[name] + companions[name] for name in companions}
    wrong = [f"it changes {name}" for name in differing(before, given)]
    numbers = np.array([21, 3, 9], np.int64)
    noise = Noise(setting.seed, numbers, setting.batch.keys, setting.network.dtype)
    alone = _rows(setting, [companion.estimate(noise)])
    here = {name: rows[numbers] for name, rows in companions.items()}
    plain = _rows(setting, [draw_block(setting, 0, WITHIN)])
    apart = max(
        distance(alone, here),
        distance(plain, {name: rows[:BLOCK] for name, rows in estimates.items()}),
    )
    if apart > rounding(rule):
        wrong.append("one of the two is another without the other")
    z = max(mean_z(companions[name], companion.mean[name].reshape(-1)) for name in companions)
    if z > THRESHOLD:
        wrong.append("its mean is not the one it says")
    measured = [f"mean z {z:.1f}"]
    if companion.odd is not None:
        same = max(mean_z(rows, np.zeros(rows.shape[1])) for rows in odd.values())
        measured.append(f"of its odd part {same:.1f}")
        if same > THRESHOLD:
            wrong.append("the mean of its odd part is not 0")
    if companion.variance is not None:
        spread = max(abs(variance_z(companions[n], v)[0]) for n, v in companion.variance.items())
        measured.append(f"variance z {spread:.1f}")
        if not spread <= THRESHOLD:
            wrong.append("its variance is not the one it says")
    share = _variance(differences) / _variance(estimates)
    if not share <= LEFT:
        wrong.append("it does not go with the estimates: it must ask for the same noise")
    return judge(
        not wrong,
        "companion",
        f"{', '.join(measured)}, {share:.1e} of the variance left, {DRAWS} draws",
        f"z at most {THRESHOLD}, at most {LEFT} left, the same estimates with and without it",
        "; ".join(wrong),
    )


def _rows(setting: Setting, blocks: "list[Estimates] | tuple[Estimates, ...]") -> Arrays:
    """Estimates of all blocks as rows ``(K, P)`` per parameter."""
    formed = [form(setting.network, block) for block in blocks]
    return {
        name: np.concatenate([array.reshape(len(array), -1) for array in (b[name] for b in formed)])
        for name in formed[0]
    }


def _variance(rows: Arrays) -> float:
    return sum(float(array.var(axis=0, ddof=1).sum()) for array in rows.values())
