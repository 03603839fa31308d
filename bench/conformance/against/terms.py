"""What code can differ by from a rule: factors that have a name, and terms of single parameters."""

from collections.abc import Iterator
from dataclasses import fields, replace
from fractions import Fraction
from itertools import product

import numpy as np

from plausibench.architectures.network import CONSTANT, Activity, Network, Projection
from plausibench.bench.measuring.draws import Setting
from plausibench.kernels.errors import Divergence, InputError
from plausibench.rules.estimate import Estimates, Outer
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Rule

Array = np.ndarray

SAME = 1e-4
"""Relative distance at which a factor has the name of a number."""


def factor_names(network: Network, examples: int, steps: int) -> dict[str, float]:
    """Factors that public code is known to differ by, simplest first."""
    outputs = network.output.size
    named = {
        "1": 1.0,
        "-1 (a descent, not a gradient)": -1.0,
        f"{examples} (the sum over the batch, not its mean)": float(examples),
        f"1/{examples} (divided by the batch twice)": 1.0 / examples,
        "2": 2.0,
        "1/2": 0.5,
        f"{outputs} (outputs)": float(outputs),
        f"1/{outputs} (the mean over outputs)": 1.0 / outputs,
        f"{2 * examples} (twice the batch)": 2.0 * examples,
        f"2/{outputs} (the mean of squares over outputs)": 2.0 / outputs,
    }
    if steps > 1:
        named |= {
            f"{steps} (the sum over steps)": float(steps),
            f"1/{steps} (the mean over steps)": 1.0 / steps,
            f"{steps}/{steps - 1} (steps over steps less one)": steps / (steps - 1.0),
            f"{steps}/{steps + 1} (steps over steps and the first state)": steps / (steps + 1.0),
            f"{steps * examples} (the sum over steps and examples)": float(steps * examples),
        }
    return named


def name_factor(value: float, named: dict[str, float], other: str = " (a learning rate?)") -> str:
    """The name of a factor, or the number and what those without a name may be."""
    for sign, word in ((1.0, ""), (-1.0, "-")):
        for name, factor in named.items():
            if abs(value - sign * factor) <= SAME * abs(factor):
                return f"{word}{name}"
    near = Fraction(value).limit_denominator(64) if np.isfinite(value) else Fraction(0)
    if near and abs(value - near) <= 1e-9 * abs(value):
        return f"{near}{other}"
    return f"{value:.4g}{other}"


def by_factor(factors: dict[str, float], named: dict[str, float]) -> str:
    """Parameters under the factors that they have."""
    together: dict[str, list[str]] = {}
    for name, factor in factors.items():
        together.setdefault(name_factor(factor, named, other=""), []).append(name)
    return "; ".join(f"x {factor}: {', '.join(names)}" for factor, names in together.items())


def variants(rule: Rule) -> Iterator[tuple[str, Rule]]:
    """The rule with other words and switches, those with the fewest changes first."""
    options: dict[str, list[object]] = {}
    for option in fields(rule):  # type: ignore[arg-type]
        value = getattr(rule, option.name)
        if isinstance(value, bool):
            options[option.name] = [value, not value]
        elif option.name in rule.choices:
            others = [word for word in rule.choices[option.name] if word != value]
            options[option.name] = [value, *others]
    changes = [
        {name: word for name, word in zip(options, words, strict=True) if word != options[name][0]}
        for words in product(*options.values())
    ]
    for change in sorted(changes, key=len)[1:]:
        changed = _changed(rule, change)
        if changed is not None:
            yield ",".join(f"{name}={word}" for name, word in change.items()), changed


def near_options(rule: Rule, examples: int) -> Iterator[tuple[str, Rule]]:
    """The rule with other words and switches, then with one count or number changed."""
    yield from variants(rule)
    for option in fields(rule):  # type: ignore[arg-type]
        for value, word in _numbers(getattr(rule, option.name), examples):
            changed = _changed(rule, {option.name: value})
            if changed is not None:
                yield f"{option.name}={value:.6g}{word}", changed


def _changed(rule: Rule, change: dict[str, object]) -> Rule | None:
    """The rule with options changed; None where they are not allowed."""
    try:
        # A rule is a dataclass, which its base, that mypy knows, is not.
        return replace(rule, **change)  # type: ignore[type-var]
    except InputError:
        return None


def _numbers(value: object, examples: int) -> list[tuple[float, str]]:
    """Other counts or numbers, and what is to be said of them."""
    if isinstance(value, bool):
        return []
    if isinstance(value, int):
        return [(other, "") for other in (value - 1, value + 1, value // 2, 2 * value)]
    if isinstance(value, float):
        others = [(other, "") for other in (value / 10, value / 2, 2 * value, 10 * value)]
        size = f"{value:.6g} {{}} the batch of {examples}"
        return [
            *others,
            (value / examples, f" ({size.format('over')})"),
            (value * examples, f" ({size.format('times')})"),
        ]
    return []


def between_steps(setting: Setting) -> Iterator[tuple[str, dict[str, Array]]]:
    """Estimates whose errors are those of a step before their values, for a rule that counts."""
    rule, steps = setting.rule, getattr(setting.rule, "steps", None)
    for before in () if steps is None else (steps - 1, steps):
        first, second = (_changed(rule, {"steps": count}) for count in (before, before + 1))
        if first is None or second is None:
            continue
        try:
            errors, values = (single_draw(replace(setting, rule=each)) for each in (first, second))
        except Divergence:
            continue
        term = f"errors of step {before} beside values of step {before + 1}"
        found = {}
        for p in setting.network.projections:
            post, pre = errors[p.name], values[p.name]
            if isinstance(post, Outer) and isinstance(pre, Outer):
                found[p.name] = p.synapse.outer(post.post, pre.pre).reshape(-1)
        if len(found) == len(errors):
            yield term, found


def neighbours(setting: Setting, estimates: Estimates) -> dict[str, dict[str, Array]]:
    """Estimates of each parameter that a slip in code makes of the rule's, by what the slip is.

    Parameters
    ----------
    setting
        Where.
    estimates
        Those of the rule, or of backpropagation for one that draws.
    """
    found: dict[str, dict[str, Array]] = {}
    network, clean, size = setting.network, setting.clean, setting.batch.size
    for p in network.projections:
        estimate = estimates.get(p.name)
        if not isinstance(estimate, Outer) or estimate.post.ndim != 2 or estimate.pre.ndim != 2:
            continue
        slips: dict[str, Outer] = {}
        if network.dynamics == "feedforward":
            slope = _slope(network, clean, p)
            with np.errstate(divide="ignore", invalid="ignore"):
                unsloped = np.where(slope == 0, 0, estimate.post / slope)
            if not np.allclose(slope, 1):
                slips["the slope of its neurons is left out (noise on activity, not drive?)"] = (
                    Outer(unsloped, estimate.pre)
                )
                slips["the slope of its neurons is there twice"] = Outer(
                    estimate.post * slope, estimate.pre
                )
        if len(estimate.post) > size and p.source != CONSTANT:
            for shift, word in ((1, "earlier"), (-1, "later")):
                pre = _shifted(estimate.pre, size, shift)
                slips[f"its presynaptic side is that of a step {word}"] = Outer(estimate.post, pre)
        if len(estimate.post) > size:
            for shift, word in ((1, "earlier"), (-1, "later")):
                post = _shifted(estimate.post, size, shift)
                slips[f"its error is that of a step {word}"] = Outer(post, estimate.pre)
        found[p.name] = {
            slip: p.synapse.outer(outer.post, outer.pre).reshape(-1)
            for slip, outer in slips.items()
        }
    return found


def single_draw(setting: Setting) -> Estimates:
    """The rule's own estimate of the first draw, with its factors."""
    noise = Noise(setting.seed, np.zeros(1, np.int64), setting.batch.keys, setting.network.dtype)
    parts = (setting.network, setting.objective.data, setting.batch, setting.clean, setting.state)
    return setting.rule.estimate(*parts, noise)


def backward(setting: Setting) -> Estimates:
    """Factors of the gradient itself; none where activity is not feed-forward."""
    network, clean = setting.network, setting.clean
    if network.dynamics != "feedforward":
        return {}
    error = setting.objective.data.batch_error(clean.output, setting.batch)
    signals = network.credit(clean, {network.output.name: error})
    return {
        p.name: Outer(network.postsynaptic(signals, p), clean.presynaptic(p))
        for p in network.projections
    }


def _slope(network: Network, clean: Activity, projection: Projection) -> Array:
    population = network.population(projection.target)
    drive, activity = clean.drive[projection.target], clean.activity[projection.target]
    return np.asarray(population.neurons.adjoint(drive, activity, np.ones_like(drive)))


def _shifted(rows: Array, size: int, steps: int) -> Array:
    """Rows ``(T B, N)`` moved later by so many steps, with zeros where nothing was."""
    moved = np.zeros_like(rows)
    if steps > 0:
        moved[steps * size :] = rows[: -steps * size]
    else:
        moved[: steps * size] = rows[-steps * size :]
    return moved
