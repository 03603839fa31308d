"""Answers that draw: means less the noise in them, and variances, with intervals."""

from collections.abc import Mapping
from functools import cached_property

import numpy as np
from scipy import stats

from plausibench.bench.conformance.against.comparison import (
    BUT_FOR,
    IT_IS,
    IT_IS_NOT,
    Comparison,
    Pair,
)
from plausibench.bench.conformance.against.exactly import SINGLE
from plausibench.bench.conformance.against.likeness import (
    GROUPS,
    Interval,
    Law,
    Products,
    interval,
)
from plausibench.bench.conformance.against.terms import (
    backward,
    by_factor,
    near_options,
    neighbours,
)

Array = np.ndarray

RESOLVED = 0.05
"""Squared distance of means, relative to ours, that draws have to tell."""
ROUNDED = 1e-12
"""Variance, relative to |mean|^2, that rounding alone may make."""
ALARMS = 0.01
"""Chance that equal laws are found unlike, over all that is compared of them."""


class Laws:
    """Two laws compared, by parameter and for all.

    Intervals are those of Student's t over groups, wide enough for all comparisons together.

    Parameters
    ----------
    theirs, ours
        The two.
    """

    def __init__(self, theirs: Law, ours: Law) -> None:
        self.theirs, self.ours = theirs, ours
        self.parts = {
            name: Products(
                theirs.means[name], ours.means[name], (theirs.spreads[name], ours.spreads[name])
            )
            for name in theirs.means
        }
        compared = 2 * (len(self.parts) + 1)
        self.wide = float(stats.t.ppf(1 - ALARMS / (2 * compared), GROUPS - 1))

    def _of(self, name: str | None) -> list[Products]:
        return list(self.parts.values()) if name is None else [self.parts[name]]

    @cached_property
    def factor(self) -> Interval:
        """Factor by which their mean is ours, as far as the noise in it lets that be told."""
        return self.factor_at(None)

    def factor_at(self, name: str | None) -> Interval:
        """The same at one parameter alone."""
        parts = self._of(name)

        def statistic(left_out: int | None) -> float:
            _, cross, ours = np.array([p.products(left_out) for p in parts]).sum(axis=0)
            return float(cross / ours) if ours else float("nan")

        return interval(parts, statistic, self.wide)

    def distance(self, factor: float, name: str | None = None) -> Interval:
        """Squared distance of the means relative to ours, less noise."""
        parts = self._of(name)

        def statistic(left_out: int | None) -> float:
            theirs, cross, ours = np.array([p.products(left_out) for p in parts]).sum(axis=0)
            length = factor**2 * abs(ours)
            apart = theirs - 2 * factor * cross + factor**2 * ours
            return float(apart / length) if length else 0.0 if apart == 0 else float("inf")

        return interval(parts, statistic, self.wide)

    def ratio(self, factor: float, name: str | None = None) -> Interval:
        """Ratio of the variances, once the factor is taken out."""
        parts = self._of(name)

        def logarithm(left_out: int | None) -> float:
            theirs, ours = np.array([p.variances(left_out) for p in parts]).sum(axis=0)
            least = ROUNDED * abs(sum(p.products(left_out)[2] for p in parts))
            if theirs <= factor**2 * least and ours <= least:
                return 0.0
            if theirs <= 0 or ours <= 0:
                return float("inf") if theirs > 0 else float("-inf")
            return float(np.log(theirs / (factor**2 * ours)))

        at = interval(parts, logarithm, self.wide)
        return Interval(*(float(np.exp(end)) for end in (at.value, at.low, at.high)))

    def unlike(self, factor: float) -> list[str]:
        """Parameters whose means are apart by more than noise and the digits of float32."""
        return [name for name in self.parts if self.distance(factor, name).low > SINGLE**2]

    def alike(self, factor: float) -> bool:
        """Whether means and variances agree within their intervals, of each parameter and all."""
        if self.theirs.drawn != self.ours.drawn or self.unlike(factor):
            return False
        return all(self.ratio(factor, name).holds(1.0) for name in (None, *self.parts))

    def resolved(self, factor: float, name: str) -> bool:
        """Whether means and variances agree at a parameter, and draws can tell its mean."""
        apart = self.distance(factor, name)
        means = apart.low <= SINGLE**2 and apart.high <= RESOLVED
        return means and self.ratio(factor, name).holds(1.0)

    def mean_is(self, name: str, array: Array, factor: float) -> bool:
        """Whether their mean at a parameter is ``factor`` times an array, within the noise."""
        spreads = self.theirs.spreads[name], np.zeros(1)
        part = Products(self.theirs.means[name], array[None], spreads)

        def statistic(left_out: int | None) -> float:
            theirs, cross, ours = part.products(left_out)
            return theirs - 2 * factor * cross + factor**2 * ours

        return interval([part], statistic, self.wide).low <= 0

    def rests(self, factor: float) -> dict[str, float]:
        """Distance of the means at each parameter, relative to ours; 0 where noise covers it."""
        squares = {name: self.distance(factor, name).value for name in self.parts}
        return {name: float(np.sqrt(max(square, 0.0))) for name, square in squares.items()}


def compare_draws(pair: Pair) -> Comparison:
    """Compare the means, less their noise, and the variances."""
    laws = Laws(pair.theirs, pair.ours)
    factor = _factor(laws, pair.named)
    for name in laws.parts:
        pair.note(f"{name}: squared distance of the means", laws.distance(factor, name))
        pair.note(f"{name}: ratio of the variances", laws.ratio(factor, name))
    if laws.alike(factor):
        return _alike(pair, laws, factor)
    told = _clipped(pair) or _one_draws(pair, laws, factor) or _option(pair)
    told = told or _layers(pair, laws, factor)
    return told or _unlike(pair, laws, factor)


def _factor(laws: Laws, named: Mapping[str, float]) -> float:
    """The simplest factor with a name at which laws are alike, or their means; else the best.

    A factor of 1 that the means allow is kept: a variance can differ for other reasons.
    """
    allowed = [value for value in named.values() if laws.factor.holds(value)]
    if 1.0 in allowed and laws.factor.high - laws.factor.low < 1:
        allowed = [1.0]
    alike = (value for value in allowed if laws.alike(value))
    means = (value for value in allowed if not laws.unlike(value))
    return next(alike, next(means, laws.factor.value))


def _told(pair: Pair, laws: Laws, factor: float) -> str:
    distance = laws.distance(factor)
    if distance.high <= RESOLVED:
        return f"the means are apart by {distance} of |mean|², less noise"
    return f"the means cannot be told apart from {pair.samples} draws ({distance})"


def _alike(pair: Pair, laws: Laws, factor: float) -> Comparison:
    sentence = (
        f"It is {pair.name}{pair.times(factor)}, as far as {pair.samples} draws tell: "
        f"{_told(pair, laws, factor)}, and its variance is {laws.ratio(factor)} times the rule's."
    )
    return Comparison(IT_IS, sentence, factor, rest=laws.rests(factor), rows=pair.rows)


def _clipped(pair: Pair) -> Comparison | None:
    """Several draws of one length, where the rule has none."""
    equal, usual = (
        int((law.lengths >= law.lengths.max() * (1 - 1e-6)).sum())
        for law in (pair.theirs, pair.ours)
    )
    pair.note("draws of the greatest length", f"{equal}, of the rule {usual}")
    if not pair.theirs.drawn or equal < 3 or usual > 1:
        return None
    term = f"clips draws to a length of {pair.theirs.lengths.max():.3g}"
    sentence = (
        f"It is not {pair.name}: it {term} ({equal} of {pair.samples}), which makes a bias of "
        "what had none."
    )
    return Comparison(IT_IS_NOT, sentence, term=term, nearest=pair.name, rows=pair.rows)


def _one_draws(pair: Pair, laws: Laws, factor: float) -> Comparison | None:
    """One of the two draws, and the other does not."""
    if pair.theirs.drawn == pair.ours.drawn:
        return None
    who, other = ("It", "the rule") if pair.theirs.drawn else (f"{pair.name}", "it")
    means = "are apart" if laws.unlike(factor) else "agree"
    sentence = (
        f"It is not {pair.name}: {who} draws and {other} does not; the means {means} "
        f"({laws.distance(factor)} of |mean|², less noise)."
    )
    nearest = _nearest(pair)
    return Comparison(
        IT_IS_NOT, sentence, factor, "one of the two draws", nearest, laws.rests(factor), pair.rows
    )


def _option(pair: Pair) -> Comparison | None:
    """The rule with options changed."""
    for option, near in near_options(pair.setting.rule, pair.setting.batch.size):
        law = pair.law_near(near)
        if law is None or law.drawn != pair.theirs.drawn:
            continue
        laws = Laws(pair.theirs, law)
        factor = _factor(laws, pair.named)
        alike = laws.alike(factor)
        pair.note(option, "alike" if alike else "not alike")
        if alike:
            sentence = (
                f"It is {pair.name} but for {option}{pair.times(factor)}: "
                f"{_told(pair, laws, factor)}."
            )
            rests = laws.rests(factor)
            return Comparison(BUT_FOR, sentence, factor, option, option, rests, pair.rows)
    return None


def _layers(pair: Pair, laws: Laws, factor: float) -> Comparison | None:
    """A factor for each parameter, where the draws can tell the means."""
    if not laws.unlike(factor):
        return None
    factors = {}
    for name in laws.parts:
        at = laws.factor_at(name)
        allowed = [*(value for value in pair.named.values() if at.holds(value)), at.value]
        alike = (value for value in allowed if laws.resolved(value, name))
        factors[name] = next(alike, float("nan"))
    if np.isnan(list(factors.values())).any():
        return None
    by = by_factor(factors, pair.named)
    sentence = (
        f"It is {pair.name} but for the size of layers: {by}, as far as {pair.samples} draws "
        "tell. At one learning rate it is another rule."
    )
    term = f"factors by layer: {by}"
    return Comparison(BUT_FOR, sentence, factor, term, "", laws.rests(factor), pair.rows)


def _unlike(pair: Pair, laws: Laws, factor: float) -> Comparison:
    ratio, rests = laws.ratio(factor), laws.rests(factor)
    if not laws.unlike(factor):
        term = f"its variance is {ratio} times the rule's"
        sentence = (
            f"It is {pair.name}{pair.times(factor)}, but for its noise: "
            f"{_told(pair, laws, factor)}, and {term} (another first state, size of noise or "
            "side of a difference; a factor, if the means cannot tell)."
        )
        return Comparison(BUT_FOR, sentence, factor, term, "", rests, pair.rows)
    slip = _slip(pair, laws)
    if slip is not None:
        term, factor = slip
        sentence = (
            f"It is {pair.name}{pair.times(factor)}, but for {term}; its variance is "
            f"{laws.ratio(factor)} times the rule's."
        )
        return Comparison(BUT_FOR, sentence, factor, term, "", laws.rests(factor), pair.rows)
    nearest = _nearest(pair)
    beside = f"; of rules that draw nothing {nearest} has the nearest mean" if nearest else ""
    sentence = (
        f"It is not {pair.name}: the means are apart by {laws.distance(factor)} of |mean|², less "
        f"noise, after the best factor, {factor:.3g}{beside}."
    )
    return Comparison(IT_IS_NOT, sentence, factor, "", nearest, rests, pair.rows)


def _slip(pair: Pair, laws: Laws) -> tuple[str, float] | None:
    """A slip that makes the means of the parameters that differ, and the factor of the others."""
    slips = neighbours(pair.setting, backward(pair.setting))
    for factor in pair.named.values():
        bad = laws.unlike(factor)
        if not bad or len(bad) == len(laws.parts):
            continue
        for word in slips.get(bad[0], {}):
            if all(
                word in slips.get(name, {}) and laws.mean_is(name, slips[name][word], factor)
                for name in bad
            ):
                return f"{', '.join(bad)}: {word}", factor
    return None


def _nearest(pair: Pair) -> str:
    """Rule without noise whose mean is nearest."""
    distances: dict[str, float] = {}
    for name, law in pair.laws_of_others():
        laws = Laws(pair.theirs, law)
        distances[name] = laws.distance(laws.factor.value).value
    return min(distances, key=lambda name: distances[name], default="")
