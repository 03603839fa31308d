"""Draws of a rule: numbered samples of its gradient estimate at fixed weights."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from plausibench.architectures.network import Activity, Network, Projection
from plausibench.bench.components.arguments import check_fit, check_parts, given_state
from plausibench.bench.components.penalties import with_penalty
from plausibench.bench.components.support import obstacle
from plausibench.bench.measuring.factors import BLOCK, largest
from plausibench.bench.measuring.moments import BlockSums, Drawn, Moments
from plausibench.bench.measuring.statistics import unit
from plausibench.kernels.errors import InputError, refusal
from plausibench.kernels.streams import stream
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import (
    Dense,
    Directional,
    Estimate,
    Estimates,
    Outer,
    difference,
    form_one,
)
from plausibench.rules.foreign import FunctionRule
from plausibench.rules.layers import in_double
from plausibench.rules.noise import Noise, Shared
from plausibench.rules.rule import Companion, Rule, State

Array = np.ndarray

TOGETHER = 1 << 22
"""Numbers of directions in weight space that are drawn together, where they are that large."""
EVERY = slice(None)

WITHIN = frozenset({"rule", "action", "spike"})
"""Sources that are redrawn for every sample by default."""


@dataclass(frozen=True)
class Setting:
    """A rule at fixed weights, batch and state, with the clean pass done once."""

    rule: Rule
    network: Network
    objective: Objective
    batch: Batch
    clean: Activity
    state: State
    seed: int


def prepare(
    rule: Rule,
    network: Network,
    objective: Objective,
    batch: Batch,
    state: State | None,
    seed: int,
    dtype: str = "float64",
) -> Setting:
    """Check that the parts fit, and do the clean pass.

    Raises
    ------
    InputError
        If inputs, targets or state do not fit the network, or the rule cannot run on it.
    """
    check_parts(rule=rule)
    check_fit(network, objective, batch)
    reason = obstacle(rule, network, objective)
    if reason is not None:
        raise InputError(f"rule: {reason}")
    network, batch = network.astype(dtype), batch.astype(dtype)
    if state is None:
        state = rule.initial_state(network, seed)
    else:
        state = given_state(rule, network, state)
    clean = network.forward(batch.inputs)
    return Setting(rule, network, objective, batch, clean, state, seed)


def reference_of(setting: Setting, which: str = "own") -> tuple[str, dict[str, Array]]:
    """Name and value of the gradient to judge against, computed in float64.

    ``which`` is ``own`` for the rule's own reference or ``objective`` for the gradient of
    the objective.
    """
    network, batch, clean = in_double(setting.network, setting.batch, setting.clean)
    if which == "own":
        own = setting.rule.reference(network, setting.objective.data, batch, clean)
        if own is not None:
            own = with_penalty(own, setting.objective, network.parameters)
            return setting.rule.card.reference, own
    exact = network.gradient(setting.objective.data, batch, clean)
    return network.reference, with_penalty(exact, setting.objective, network.parameters)


def companion_of(setting: Setting, redraw: frozenset[str]) -> Companion | None:
    """The rule's companion where all but its feedback is redrawn; None without one.

    Raises
    ------
    InputError
        If its mean or its variance does not fit the network.
    """
    sources = setting.rule.randomness()
    if not sources & redraw or sources - redraw - {"feedback"} or "feedback" in sources & redraw:
        return None
    network = setting.network
    given = setting.rule.companion(
        network, setting.objective.data, setting.batch, setting.clean, setting.state
    )
    if given is None:
        return None
    shapes = {p.name: p.synapse.shape for p in network.projections}
    named = given.variance is None or given.variance.keys() == shapes.keys()
    if {name: np.shape(array) for name, array in given.mean.items()} != shapes or not named:
        raise InputError(
            f"{type(setting.rule).__name__}.companion: mean and variance do not fit the network; "
            f"allowed is an array, and a number, for each of {shapes}"
        )
    # The forms multiply inner products of post factors with those of pre factors, and take the
    # noise of different examples to be independent.
    known = all(p.synapse.separable for p in network.projections) and not setting.batch.repeats
    # Squares of numbers far from 1 are no numbers.
    known &= not any(unit(largest(array)) for array in given.mean.values())
    return given if known else replace(given, variance=None)


def sums_of(setting: Setting, reference: Mapping[str, Array], redraw: frozenset[str]) -> Moments:
    """Sums for blocks of a rule's draws, less companions where it has one."""
    companion = companion_of(setting, redraw)
    constant = setting.objective.penalty_gradient(setting.network.parameters)
    return Moments(setting.network, setting.clean, reference, companion, constant)


def draw_block(setting: Setting, index: int, redraw: frozenset[str]) -> Estimates:
    """Draw the samples ``index * BLOCK`` to ``(index + 1) * BLOCK - 1``.

    Raises
    ------
    InputError
        If the rule returns estimates of the wrong kind or shape.
    """
    numbers = _numbers(index)
    if "feedback" not in redraw:
        return _draw(setting, numbers)
    formed: dict[str, list[Array]] = {p.name: [] for p in setting.network.projections}
    for number in numbers:
        state = setting.rule.initial_state(
            setting.network, stream(setting.seed, "redraw", int(number))
        )
        one = _checked(setting, _estimate(replace(setting, state=state), np.array([number])), 1)
        for p in setting.network.projections:
            formed[p.name].append(form_one(p.synapse, one[p.name])[0])
    return {name: Dense(np.stack(arrays)) for name, arrays in formed.items()}


def draw_unformed(setting: Setting) -> Estimates:
    """Draw the first block, factors that all samples share as they are, ``(B, N)``.

    Raises
    ------
    InputError
        As :func:`draw_block` does.
    """
    return _checked(setting, _estimate(setting, _numbers(0)), BLOCK, alike=True)


def _draw(setting: Setting, numbers: Array) -> Estimates:
    return _checked(setting, _estimate(setting, numbers), len(numbers))


def draw_pair(
    setting: Setting, index: int, companion: Companion, among: slice = EVERY
) -> tuple[Estimates, Estimates, Estimates]:
    """Draw a block of samples as :func:`draw_block`, or some of it, less their companions.

    What the objective asks of parameters alone is left out.

    Returns
    -------
    estimates, companions, kept
        Without all of the companion, its estimates, and without these but with its odd part.
    """
    numbers = _numbers(index)[among]
    noise = Shared(setting.seed, numbers, setting.batch.keys, setting.network.dtype)
    # The companion comes first: the rule may write to its noise.
    count = len(numbers)
    beside = _checked(setting, companion.estimate(noise), count)
    odd = None if companion.odd is None else _checked(setting, companion.odd(noise), count)
    estimates = _checked(setting, _asked(setting, noise), count)
    kept = difference(setting.network, estimates, beside)
    return kept if odd is None else difference(setting.network, kept, odd), beside, kept


def sum_block(
    setting: Setting, moments: Moments, index: int, redraw: frozenset[str], valid: int = BLOCK
) -> BlockSums:
    """Draw a block, with its companions where these are subtracted, and sum ``valid`` samples."""
    rule, few = setting.rule, max(1, TOGETHER // setting.network.size)
    if "feedback" not in redraw and moments.beside is None:
        if isinstance(rule, FunctionRule) and not rule.in_blocks:
            return _sum_called(setting, rule, moments, index, valid)
        if few < BLOCK and moments.directional and not isinstance(rule, FunctionRule):
            draws = (
                _some(setting, moments, index, slice(start, start + few))
                for start in range(0, valid, few)
            )
            sums = moments.streamed(draws, index, valid, few)
            if sums is not None:
                return sums
            if index == 0:
                moments.directional = False
    if moments.companion is None:
        return moments.block(draw_block(setting, index, redraw), index, valid)
    drawn, companions, kept = draw_pair(setting, index, moments.companion)
    odd = moments.companion.odd is not None
    return moments.block(drawn, index, valid, companions, kept if odd else None)


def _sum_called(
    setting: Setting, rule: FunctionRule, moments: Moments, index: int, valid: int
) -> BlockSums:
    """Sum draws of a function, as it is called for each.

    Raises
    ------
    InputError
        As :meth:`FunctionRule.draws` does.
    """
    network, batch, state = setting.network, setting.batch, setting.state
    noise = Noise(setting.seed, _numbers(index)[:valid], batch.keys, network.dtype)
    extra = setting.objective.penalty_gradient(network.parameters)

    def draws() -> Iterator[Drawn]:
        for drawn in rule.draws(network, batch, state, noise, finite=False):
            yield (
                {
                    name: Dense((array + extra[name] if name in extra else array)[None])
                    for name, array in drawn.items()
                },
                None,
                None,
            )
            del drawn  # its memory is for the next

    sums = moments.streamed(draws(), index, valid, 1)
    assert sums is not None
    if not np.isfinite(sums.squares).all():
        # The sums tell without another pass: drawn again, the numbers that did it are refused.
        deque(rule.draws(network, batch, state, noise), maxlen=0)
    return sums


def _some(setting: Setting, moments: Moments, index: int, among: slice) -> Drawn | None:
    """Draw some samples of a block.

    None where not all are along directions: their bits depend on how many are formed together.
    """
    if moments.companion is None:
        drawn: Drawn = _draw(setting, _numbers(index)[among]), None, None
    else:
        estimates, companions, kept = draw_pair(setting, index, moments.companion, among)
        drawn = estimates, companions, None if moments.companion.odd is None else kept
    along = all(isinstance(one, Directional) for one in drawn[0].values())
    return drawn if along else None


def _numbers(index: int) -> Array:
    """Numbers of the samples of a block."""
    return np.arange(index * BLOCK, (index + 1) * BLOCK, dtype=np.int64)


def _asked(setting: Setting, noise: Noise) -> Estimates:
    return setting.rule.estimate(
        setting.network,
        setting.objective.data,
        setting.batch,
        setting.clean,
        setting.state,
        noise,
    )


def _estimate(setting: Setting, numbers: Array) -> Estimates:
    network = setting.network
    found = _asked(setting, Noise(setting.seed, numbers, setting.batch.keys, network.dtype))
    extra = setting.objective.penalty_gradient(network.parameters)
    if not extra or not isinstance(found, dict):
        return found
    return {
        p.name: Dense(form_one(p.synapse, found[p.name]) + extra[p.name])
        if p.name in extra and p.name in found
        else found[p.name]
        for p in network.projections
    }


def _checked(
    setting: Setting, estimates: Estimates, samples: int, alike: bool = False
) -> Estimates:
    """Give every estimate a sample axis, and refuse what does not fit the network.

    Factors that all samples share have none if ``alike``, and are formed if not.
    """
    rule = type(setting.rule).__name__
    names = [p.name for p in setting.network.projections]
    if not isinstance(estimates, dict) or set(estimates) != set(names):
        given = sorted(estimates) if isinstance(estimates, dict) else type(estimates).__name__
        raise InputError(
            f"{rule}.estimate: returned {given}; allowed is one estimate for each of {names}"
        )
    return {
        p.name: _with_samples(rule, p, estimates[p.name], samples, alike)
        for p in setting.network.projections
    }


def _with_samples(
    rule: str, p: Projection, estimate: Estimate, samples: int, alike: bool
) -> Estimate:
    shape = p.synapse.shape
    if isinstance(estimate, Outer):
        post, pre = np.asarray(estimate.post), np.asarray(estimate.pre)
        outputs, inputs = p.synapse.factors
        fits = (
            post.ndim in (2, 3)
            and pre.ndim in (2, 3)
            and (post.shape[-1], pre.shape[-1]) == (outputs, inputs)
            and post.shape[-2] == pre.shape[-2]
            and all(factor.ndim == 2 or factor.shape[0] == samples for factor in (post, pre))
        )
        if fits and post.ndim == pre.ndim == 2:
            if alike:
                return Outer(post, pre)
            # All samples are alike: formed once.
            return Dense(_repeated(p.synapse.outer(post, pre), samples))
        if fits:
            return Outer(_repeated(post, samples) if post.ndim == 2 else post, pre)
        raise InputError(
            f"{rule}.estimate: {p.name} has post {np.shape(estimate.post)} and pre "
            f"{np.shape(estimate.pre)}; allowed are post ({samples}, B, {outputs}) and pre "
            f"(B, {inputs})"
        )
    if isinstance(estimate, Dense):
        array = np.asarray(estimate.array)
        if array.shape in (shape, (samples, *shape)):
            return Dense(_repeated(array, samples) if array.shape == shape else array)
        raise InputError(
            f"{rule}.estimate: {p.name} has shape {array.shape}; allowed is {(samples, *shape)}"
        )
    if isinstance(estimate, Directional):
        direction = np.asarray(estimate.direction)
        coefficient = np.asarray(estimate.coefficient)
        if direction.shape == (samples, *shape) and coefficient.shape == (samples,):
            return Directional(coefficient, direction, estimate.again)
        raise InputError(
            f"{rule}.estimate: {p.name} has coefficient {coefficient.shape} and direction "
            f"{direction.shape}; allowed are ({samples},) and {(samples, *shape)}"
        )
    raise refusal(f"{rule}.estimate[{p.name}]", estimate, "an Outer, Dense or Directional estimate")


def _repeated(array: Array, samples: int) -> Array:
    """The same array for every sample, in its memory."""
    return array[None] if samples == 1 else np.broadcast_to(array, (samples, *array.shape))


def formed_blocks(
    setting: Setting, samples: int, redraw: frozenset[str]
) -> Iterator[dict[str, Array]]:
    """Individual draws ``(S, *shape)``, block by block, ``samples`` in all."""
    for index in range(-(-samples // BLOCK)):
        valid = min(BLOCK, samples - index * BLOCK)
        estimates = draw_block(setting, index, redraw)
        yield {
            p.name: form_one(p.synapse, estimates[p.name])[:valid]
            for p in setting.network.projections
        }
