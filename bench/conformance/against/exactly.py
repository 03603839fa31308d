"""Answers that draw nothing: one factor, near options, and terms that have a name."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from plausibench.bench.conformance.against.comparison import (
    BUT_FOR,
    IT_IS,
    IT_IS_NOT,
    Comparison,
    Pair,
    answers_alone,
    law_of_rule,
)
from plausibench.bench.conformance.against.terms import (
    between_steps,
    by_factor,
    near_options,
    neighbours,
    single_draw,
)
from plausibench.bench.measuring.draws import prepare
from plausibench.bench.measuring.quick import gradient
from plausibench.objectives.batch import Batch

Array = np.ndarray
Arrays = Mapping[str, Array]

EXACT = 1e-8
"""Rest, relative to their answer, up to which two answers are the same in float64."""
SINGLE = 2e-5
"""The same in float32."""
APPROXIMATE = 3e-3
"""Rest of an approximate slope, or of phases that end before rest."""
SMALL = "as of an approximate slope, or of phases that end before rest"
"""What is said of a rest up to that."""
NOTHING = 1e-6
"""Answers of a parameter this small beside the largest are compared with that instead."""


@dataclass(frozen=True)
class Fit:
    """One factor for all parameters, and what it leaves of each, relative to the answer there."""

    factor: float
    rest: dict[str, float]

    @property
    def worst(self) -> float:
        """Largest rest."""
        return max(self.rest.values())


def compare_answers(pair: Pair) -> Comparison:
    """Compare answers that are known after one call."""
    theirs, ours = pair.theirs.mean, pair.ours.mean
    fitted = fit(theirs, ours, pair.named)
    pair.note("one factor for all parameters", f"{fitted.factor:.6g}, rest {fitted.worst:.1e}")
    if fitted.worst <= SINGLE:
        return _same(pair, fitted)
    if not any(array.any() for array in theirs.values()):
        sentence = f"It is not {pair.name}: all its answers are 0."
        return Comparison(IT_IS_NOT, sentence, 0.0, "0", rest=fitted.rest, rows=pair.rows)
    told, nearest = _option(pair, fitted)
    for find in (_clipped, _layers, _by_example, _terms):
        told = told or find(pair, fitted)
    return told or _another(pair, fitted, nearest)


def fit(theirs: Arrays, ours: Arrays, named: Mapping[str, float]) -> Fit:
    """The factor that most of the parameters agree on, or that leaves least of the worst."""
    alone = [_projected(array, ours[name]) for name, array in theirs.items() if ours[name].any()]
    together = sum(float(array @ ours[name]) for name, array in theirs.items())
    square = sum(float(array @ array) for array in ours.values())
    candidates = [*named.values(), *alone, together / square if square else 0.0]
    fits = [Fit(factor, _rests(theirs, ours, factor)) for factor in candidates if factor]
    if not fits:
        return Fit(0.0, _rests(theirs, ours, 0.0))
    return min(fits, key=lambda each: (sum(r > SINGLE for r in each.rest.values()), each.worst))


def _projected(array: Array, onto: Array) -> float:
    return float(array @ onto / (onto @ onto))


def _rests(theirs: Arrays, ours: Arrays, factor: float) -> dict[str, float]:
    floor = max(NOTHING * max(_length(array) for array in theirs.values()), 1e-300)
    return {
        name: _length(array - factor * ours[name]) / max(_length(array), floor)
        for name, array in theirs.items()
    }


def _length(array: Array) -> float:
    return float(np.linalg.norm(array))


def _same(pair: Pair, fitted: Fit) -> Comparison:
    single = fitted.worst > EXACT
    digits = ", to the digits of float32" if single else ""
    times = pair.times(fitted.factor)
    sentence = f"It is {pair.name}{times}: what is left is {fitted.worst:.0e}{digits}."
    term = "float32" if single else ""
    return Comparison(IT_IS, sentence, fitted.factor, term, rest=fitted.rest, rows=pair.rows)


def _but_for(pair: Pair, fitted: Fit, term: str, sentence: str, nearest: str = "") -> Comparison:
    return Comparison(BUT_FOR, sentence, fitted.factor, term, nearest, fitted.rest, pair.rows)


def _option(pair: Pair, fitted: Fit) -> tuple[Comparison | None, tuple[str, Fit]]:
    """The rule with options changed, and the nearest that was tried: the rule itself at first."""
    nearest = pair.name, fitted
    for option, mean in _near(pair):
        other = fit(pair.theirs.mean, mean, pair.named)
        pair.note(option, f"rest {other.worst:.1e}")
        if other.worst <= min(SINGLE, fitted.worst / 10):
            sentence = f"It is {pair.name} but for {option}{pair.times(other.factor)}."
            return _but_for(pair, other, option, sentence, option), nearest
        if other.worst < nearest[1].worst:
            nearest = f"it with {option}", other
    return None, nearest


def _near(pair: Pair) -> Iterator[tuple[str, Arrays]]:
    """Answers of the rule with options changed, and between two of its steps."""
    for option, rule in near_options(pair.setting.rule, pair.setting.batch.size):
        law = pair.law_near(rule)
        if law is not None:
            yield option, law.mean
    yield from between_steps(pair.setting)


def _clipped(pair: Pair, fitted: Fit) -> Comparison | None:
    """Entries of one size, or answers to several examples of one length: clipping."""
    size, entries = _largest(pair.theirs.mean)
    usual = _largest(pair.ours.mean)[1]
    pair.note("entries of the largest size", f"{entries}, of the rule {usual}")
    term = f"clips entries to {size:.3g}" if entries >= 3 and usual == 1 else ""
    alone = None if term else pair.alone
    if alone is not None:
        rows = np.array([np.concatenate(list(example.values())) for example in alone])
        lengths = np.linalg.norm(rows, axis=1)
        longest = rows[lengths >= lengths.max() * (1 - NOTHING)]
        pair.note("single examples whose answer has the greatest length", len(longest))
        if len(longest) >= 3 and len(np.unique(longest, axis=0)) == len(longest):
            term = f"clips answers to a length of {lengths.max():.3g}"
    if not term:
        return None
    sentence = (
        f"It is not {pair.name}: it {term}; larger ones lose more, so that means over draws and "
        "examples are biased."
    )
    return Comparison(IT_IS_NOT, sentence, fitted.factor, term, pair.name, fitted.rest, pair.rows)


def _largest(answer: Arrays) -> tuple[float, int]:
    """Size of the largest entry, and how many are as large."""
    size = max(float(np.abs(array).max()) for array in answer.values())
    near = size * (1 - 1e-9)
    return size, sum(int((np.abs(array) >= near).sum()) for array in answer.values())


def _by_example(pair: Pair, fitted: Fit) -> Comparison | None:
    """The rule on single examples but not on a batch: a mean within a step that is not linear."""
    setting = pair.setting
    alone = None if setting.batch.size == 1 else pair.alone
    if alone is None:
        return None

    def ours(batch: Batch) -> Arrays:
        at = setting.network, setting.objective, batch, setting.state, setting.seed
        return law_of_rule(prepare(setting.rule, *at), pair.samples).mean

    beside = answers_alone(setting.batch, ours)
    fits = [fit(one, other, pair.named) for one, other in zip(alone, beside, strict=True)]
    worst = max(each.worst for each in fits)
    pair.note("on single examples", f"rest {worst:.1e}")
    for whose, whole, singles in (
        ("its", pair.theirs.mean, alone),
        ("the rule's", pair.ours.mean, beside),
    ):
        mean = {name: np.mean([one[name] for one in singles], axis=0) for name in whole}
        rest = fit(whole, mean, {"1": 1.0, "sum": float(len(singles))}).worst
        pair.note(f"{whose} batch against the mean of single examples", f"rest {rest:.1e}")
    if worst > SINGLE:
        return None
    term = "the loss is averaged over the batch within a step that is not linear in it"
    sentence = (
        f"It is {pair.name} on single examples{pair.times(fits[0].factor)}, and not on a batch "
        f"of {setting.batch.size}: {term}."
    )
    return _but_for(pair, fits[0], term, sentence)


def _layers(pair: Pair, fitted: Fit) -> Comparison | None:
    """A factor for each parameter."""
    factors, rests = {}, {}
    for name, array in pair.theirs.mean.items():
        ours = pair.ours.mean[name]
        if not ours.any() or not array.any():
            return None
        factors[name] = _projected(array, ours)
        rests[name] = _length(array - factors[name] * ours) / _length(array)
    pair.note("a factor for each parameter", f"rest {max(rests.values()):.1e}")
    if max(rests.values()) > SINGLE:
        return None
    by = by_factor(factors, pair.named)
    sentence = (
        f"It is {pair.name} but for the size of layers: {by}. At one learning rate it is another "
        "rule."
    )
    return _but_for(pair, Fit(fitted.factor, rests), f"factors by layer: {by}", sentence)


def _terms(pair: Pair, fitted: Fit) -> Comparison | None:
    """Parameters that are the rule's, and others with a term that has a name."""
    bad = [name for name, rest in fitted.rest.items() if rest > SINGLE]
    slips = neighbours(pair.setting, single_draw(pair.setting))
    named = {name: _term(pair, name, fitted, slips.get(name, {})) for name in bad}
    if not all(named.values()):
        return None
    together: dict[str, list[str]] = {}
    for name, term in named.items():
        together.setdefault(term, []).append(name)
    if SMALL in together:
        most = max(fitted.rest[name] for name in together[SMALL])
        together[f"up to {most:.0e} is left, {SMALL}"] = together.pop(SMALL)
    whole = "; ".join(f"{', '.join(names)}: {term}" for term, names in together.items())
    sentence = f"It is {pair.name}{pair.times(fitted.factor)}, but for {whole}."
    return _but_for(pair, fitted, whole, sentence)


def _term(pair: Pair, name: str, fitted: Fit, slips: Arrays) -> str:
    """What the answer at one parameter is made of; empty where that has no name."""
    factor, theirs, ours = fitted.factor, pair.theirs.mean[name], pair.ours.mean[name]
    if not theirs.any():
        return "it is 0 (is it left out?)"
    near, least = "", APPROXIMATE if fitted.rest[name] > APPROXIMATE else 0.0
    for slip, array in slips.items():
        rest = _length(theirs - factor * array) / _length(theirs)
        pair.note(f"{name}: {slip}", f"rest {rest:.1e}")
        if rest <= SINGLE:
            return slip
        if rest < least:
            least = rest
            near = f"{slip}, and what is left is {rest:.0e}, as of an approximate slope"
    setting = pair.setting
    g = gradient(setting.network, setting.objective, setting.batch)[name].reshape(-1)
    weights = setting.network.parameters[name].reshape(-1)
    for word, term in (("W (decay of the weights)", weights), ("g (the gradient)", g)):
        if not term.any():
            continue
        left = theirs - factor * ours
        share = _projected(left, term)
        rest = _length(left - share * term) / _length(theirs)
        pair.note(f"{name}: {word}", f"{share:.3g}, rest {rest:.1e}")
        if rest <= SINGLE:
            return f"{share:.3g} times {word} added"
    return SMALL if fitted.rest[name] <= APPROXIMATE else near


def _another(pair: Pair, fitted: Fit, tried: tuple[str, Fit]) -> Comparison:
    """The rule that is nearest, of what was tried and those that can run here and draw nothing."""
    nearest, best = tried
    for name, law in pair.laws_of_others():
        other = fit(pair.theirs.mean, law.mean, pair.named)
        pair.note(f"rule {name}", f"factor {other.factor:.3g}, rest {other.worst:.1e}")
        if other.worst < best.worst:
            best, nearest = other, name
    worst = max(fitted.rest, key=lambda name: fitted.rest[name])
    left = f"{fitted.rest[worst]:.2g} of {worst} is left after the best factor"
    if best.worst <= SINGLE:
        told = f"it is {nearest}{pair.times(best.factor)}"
    else:
        near = "nothing else is nearer"
        if best is not fitted:
            near = f"nearest is {nearest}, of which {best.worst:.2g} is left"
        told = f"{near}: no variant of ours that was tried"
    sentence = f"It is not {pair.name} ({left}); {told}."
    return Comparison(IT_IS_NOT, sentence, fitted.factor, "", nearest, fitted.rest, pair.rows)
