"""The best of several trials, each with several seeds: fewer trials with each further seed.

A trial is an option of a rule and a learning rate. All are trained with the first seed, the better
half of them with the second, the better half of those with the third, each for as many steps as
the training that is then measured: halving over steps would take rates that are best early and do
not last. The best is the one with the highest mean score over all seeds; one that diverges with any
seed is out. Where it is the last of its rates on a side, and better than the one before, the next
is tried with all seeds, up to a limit. Of its rates that are as good to a hundredth the lowest is
then taken: at the edge of stability a rate is as good with some seeds, and fails with others.
"""

from collections.abc import Callable, Generator, Iterable, Mapping
from math import ceil, inf, isfinite
from typing import Any

from plausibench.kernels.errors import Divergence

SEEDS = (1000, 1001, 1002)
"""Of the search; the benchmark uses others."""
AS_GOOD = 0.01
"""Accuracy, or share of a loss, by which a lower rate must be worse to be passed over."""
DIGITS = 9
"""Decimals in which means over seeds are compared: what rounding leaves is no difference."""

Trial = tuple[str, float]
"""A rule, as selector with its options, and a learning rate."""
Scores = dict[Trial, list[float]]
"""Score of every seed so far, in the order of ``SEEDS``; minus infinity if training diverged."""
Row = dict[str, Any]


def search(
    train: Callable[[Trial, int], Row], trials: Iterable[Trial], limits: tuple[float, float]
) -> Generator[Row, None, str]:
    """Find the best trial.

    Parameters
    ----------
    train
        From a trial and a seed to a row with ``accuracy`` and ``loss``, as of :func:`score`.
    trials
        Those that are tried with the first seed.
    limits
        Lowest and highest learning rate that may be tried.

    Yields
    ------
    dict
        A row of ``train`` with ``tried``, ``learning_rate`` and ``seed``.

    Returns
    -------
    str
        What is to be said of the best, or nothing.

    Raises
    ------
    Divergence
        If every trial diverged.
    """
    scores: Scores = {trial: [] for trial in trials}
    for rung in range(len(SEEDS)):
        for trial in ranked(scores)[: ceil(len(scores) / 2**rung)]:
            yield from _trained(train, trial, scores, rung + 1)
    while (more := _pending(scores, limits)) is not None:
        scores.setdefault(more, [])
        yield from _trained(train, more, scores, len(SEEDS))
    best = leading(scores)
    if mean(scores[best]) == -inf:
        raise Divergence("it diverges at every learning rate that was tried")
    side = edge(scores)
    return f"the best learning rate, {best[1]:g}, is the {side} that may be tried" if side else ""


def _trained(
    train: Callable[[Trial, int], Row], trial: Trial, scores: Scores, seeds: int
) -> Generator[Row, None, None]:
    """Train a trial with the first seeds, unless it has been, or has diverged."""
    for seed in SEEDS[len(scores[trial]) : seeds]:
        if -inf in scores[trial]:
            return
        row = train(trial, seed)
        scores[trial].append(score(row))
        yield {"tried": trial[0], "learning_rate": trial[1], "seed": seed, **row}


def score(row: Mapping[Any, Any]) -> float:
    """Accuracy on the examples held out, or minus the loss where there are no classes.

    Losses alone would not do: rules that learn values or losses of their own do not descend the
    objective that they are measured on. Minus infinity if neither is finite.
    """
    accuracy, loss = row["accuracy"], row["loss"]
    for value in (accuracy, None if loss is None else -loss):
        if value is not None and isfinite(value):
            return float(value)
    return -inf


def scores_of(rows: Iterable[Mapping[Any, Any]]) -> Scores:
    """Scores of all trials of a rule from the rows of a search."""
    scores: Scores = {}
    for row in rows:
        scores.setdefault((row["tried"], row["learning_rate"]), []).append(score(row))
    return scores


def mean(scores: Iterable[float]) -> float:
    """Mean over seeds; minus infinity if one diverged, or there is none."""
    values = list(scores)
    return round(sum(values) / len(values), DIGITS) if values else -inf


def ranked(scores: Scores) -> list[Trial]:
    """Trials by their mean over the seeds so far, the best first, then the lower rate.

    Those with more seeds come first, for seeds differ: a mean over fewer is not comparable. Those
    that diverged come last.
    """

    def place(trial: Trial) -> tuple[float, ...]:
        own = scores[trial]
        return (mean(own) == -inf, -len(own), -mean(own), trial[1])

    return sorted(scores, key=place)


def ended(scores: Scores) -> list[Trial]:
    """Trials that have come to their end with all seeds, the best first."""
    return [t for t in ranked(scores) if len(scores[t]) == len(SEEDS) and mean(scores[t]) > -inf]


def leading(scores: Scores) -> Trial:
    """The trial with the highest mean over all seeds; over those so far, if none has them all."""
    return (ended(scores) or ranked(scores))[0]


def chosen(scores: Scores) -> Trial:
    """The leading trial, or a lower rate of the same options that is as good.

    As good is a mean that is lower by at most ``AS_GOOD``, or by that share of the lowest loss.
    """
    best = leading(scores)
    most = mean(scores[best])
    least = round(most - AS_GOOD * (abs(most) if most < 0 else 1), DIGITS)
    as_good = [
        trial for trial in ended(scores) if trial[0] == best[0] and mean(scores[trial]) >= least
    ]
    return min(as_good, key=lambda trial: trial[1], default=best)


def edge(scores: Scores) -> str:
    """Whether the leading rate is the ``lowest`` or ``highest`` tried, and better than the next.

    An empty text if it is neither. Rates that are no better than the next inside are no reason to
    go further out.
    """
    best = leading(scores)
    own = sorted(rate for tried, rate in scores if tried == best[0])
    if len(own) > 1:
        for side, last, before in (("lowest", own[0], own[1]), ("highest", own[-1], own[-2])):
            inside = scores[best[0], before]
            if best[1] == last and mean(scores[best][: len(inside)]) > mean(inside):
                return side
    return ""


def _pending(scores: Scores, limits: tuple[float, float]) -> Trial | None:
    """What is to be trained with all seeds after the first rounds; None at the end."""
    best = leading(scores)
    if mean(scores[best]) == -inf:
        # All diverge so far: what is lower may not.
        return _beyond(scores, min(scores, key=lambda trial: trial[1]), "lowest", limits)
    if len(scores[best]) < len(SEEDS):
        return best
    side = edge(scores)
    return _beyond(scores, best, side, limits) if side else None


def _beyond(scores: Scores, trial: Trial, side: str, limits: tuple[float, float]) -> Trial | None:
    """The next trial outside, as far as the last two are apart; None beyond the limits."""
    own = sorted(rate for tried, rate in scores if tried == trial[0])
    if len(own) < 2:
        return None
    last, before = own[:2] if side == "lowest" else (own[-1], own[-2])
    rate = rounded(last * last / before)
    return (trial[0], rate) if limits[0] <= rate <= limits[1] else None


def rounded(rate: float) -> float:
    """A learning rate in two digits."""
    return float(f"{rate:.2g}")
