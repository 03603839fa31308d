"""Exact mean and variance of an estimator, where they need no sampling."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from plausibench.architectures.network import Projection
from plausibench.architectures.synapses import Synapse
from plausibench.bench.components.penalties import with_penalty
from plausibench.bench.measuring.draws import WITHIN, Setting, draw_unformed
from plausibench.rules.estimate import Estimates, Outer, form_one
from plausibench.rules.layers import in_double
from plausibench.rules.rule import Rule, SampledAction

Array = np.ndarray


@dataclass(frozen=True)
class Exact:
    """Exact mean per parameter, total variance per parameter, and how many outcomes it took."""

    mean: dict[str, Array]
    variance: dict[str, float]
    outcomes: int
    method: str


def is_exact(rule: Rule, redraw: frozenset[str]) -> bool:
    """Whether mean and variance over what is redrawn need no sampling."""
    sources = rule.randomness() & redraw
    return not sources or (sources == {"action"} and isinstance(rule, SampledAction))


def exact(setting: Setting, redraw: frozenset[str]) -> Exact | None:
    """Exact mean and variance over what is redrawn; None where only sampling can tell."""
    if not is_exact(setting.rule, redraw):
        return None
    if isinstance(setting.rule, SampledAction) and setting.rule.randomness() & redraw:
        return _enumerated(setting, setting.rule)
    return of_one_draw(setting.network.projections, draw_unformed(setting))


def closed_form(setting: Setting, redraw: frozenset[str]) -> Exact | None:
    """Mean and variance by the rule's closed form, in the limit it names; None without one."""
    if not all(p.synapse.separable for p in setting.network.projections):
        return None  # the forms multiply inner products of post factors with those of pre factors
    sources = setting.rule.randomness() & redraw
    if sources & WITHIN and setting.batch.repeats:
        return None  # the forms take the noise of different examples to be independent
    form = setting.rule.closed_form(
        setting.network, setting.objective.data, setting.batch, setting.clean, sources
    )
    if form is None:
        return None
    mean = with_penalty(form.mean, setting.objective, setting.network.parameters)
    return Exact(mean, form.variance, 0, "closed form")


def unavailable(setting: Setting, redraw: frozenset[str]) -> str:
    """Why there is no exact answer."""
    sources = ", ".join(sorted(setting.rule.randomness() & redraw))
    if setting.rule.randomness() & redraw & WITHIN and setting.batch.repeats:
        return (
            f"the rule's randomness ({sources}) cannot be enumerated, and examples with the same "
            "key have the same noise, for which there is no closed form"
        )
    return f"the rule's randomness ({sources}) cannot be enumerated and it has no closed form here"


def of_one_draw(projections: Sequence[Projection], estimates: Estimates) -> Exact:
    """Mean of a rule of which nothing is redrawn: the first draw, taken out of ``estimates``."""
    mean = {}
    for p in projections:
        # Its memory comes first, of the size of weights that were let go, and what is formed is
        # let go before the next: together they are as large as the gradient.
        mean[p.name] = np.empty(p.synapse.shape)
        formed = form_one(p.synapse, estimates.pop(p.name))
        mean[p.name][...] = formed if formed.shape == p.synapse.shape else formed[0]
        del formed
    return Exact(mean, dict.fromkeys(mean, 0.0), 1, "exact")


def _enumerated(setting: Setting, rule: SampledAction) -> Exact:
    """Sum over actions: those of different keys are independent, so their variances add up."""
    policy, responses = _responses(setting, rule)
    if not _finite(responses):
        # A signal can be too large for float32 where its action is too rare to be sampled.
        network, batch, clean = in_double(setting.network, setting.batch, setting.clean)
        state = {name: array.astype(np.float64) for name, array in setting.state.items()}
        wide = replace(setting, network=network, batch=batch, clean=clean, state=state)
        policy, responses = _responses(wide, rule)
    keys = setting.batch.keys
    groups = [np.flatnonzero(keys == key) for key in np.unique(keys)]
    alone = np.array([rows[0] for rows in groups if rows.size == 1], np.intp)
    coupled = [(rows, *_together(policy[rows])) for rows in groups if rows.size > 1]
    mean, variance = {}, {}
    with np.errstate(over="ignore"):  # the variance of an action that is rare enough is infinite
        for p in setting.network.projections:
            response = responses[p.name]
            post, pre = response.post.astype(np.float64), response.pre.astype(np.float64)
            expected = np.einsum("ba,abn->bn", policy, post)
            apart = post - expected
            mean[p.name] = p.synapse.outer(expected, pre)
            if coupled:
                spread = _spread(p.synapse, apart[:, alone], pre[alone], policy[alone])
            else:
                spread = _spread(p.synapse, apart, pre, policy)
            for rows, chance, actions in coupled:
                for weight, chosen in zip(chance, actions, strict=True):
                    one = p.synapse.outer(apart[chosen, rows], pre[rows])
                    spread += float(weight * (one * one).sum())
            variance[p.name] = spread
    mean = with_penalty(mean, setting.objective, setting.network.parameters)
    outcomes = alone.size * policy.shape[1] + sum(len(chance) for _, chance, _ in coupled)
    return Exact(mean, variance, outcomes, "enumerated")


def _responses(setting: Setting, rule: SampledAction) -> tuple[Array, dict[str, Outer]]:
    """Probability of every action ``(B, A)``, and the response to it ``(A, B, N)``."""
    policy = rule.policy(setting.clean).astype(np.float64)
    examples, actions = policy.shape
    chosen = np.repeat(np.arange(actions)[:, None], examples, axis=1)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        found = rule.respond(setting.network, setting.batch, setting.clean, setting.state, chosen)
    assert all(isinstance(response, Outer) for response in found.values())
    return policy, {name: one for name, one in found.items() if isinstance(one, Outer)}


def _finite(responses: dict[str, Outer]) -> bool:
    return all(np.isfinite(response.post).all() for response in responses.values())


def _together(policy: Array) -> tuple[Array, Array]:
    """Joint actions of examples ``(B, A)`` that share the uniform number they are drawn by.

    Returns
    -------
    chance, actions
        ``(J,)`` and ``(J, B)``.
    """
    edges = np.cumsum(policy, axis=1)
    edges /= edges[:, -1:]
    ends = np.unique(np.concatenate([[0.0, 1.0], edges.reshape(-1)]))
    middle = (ends[1:] + ends[:-1]) / 2
    return np.diff(ends), (middle[:, None, None] >= edges).sum(axis=2)


def _spread(synapse: Synapse, apart: Array, pre: Array, policy: Array) -> float:
    """Variance of independent examples, whose responses are ``apart`` (A, B, N) from their mean."""
    if synapse.separable:
        length = np.einsum("bb->b", synapse.pre_gram(pre))
        spread = np.einsum("ba,abn->b", policy, apart**2)
        # Where nothing arrives, nothing varies, even if the response could be infinite.
        reached = slice(None) if np.isfinite(spread).all() else length > 0
        return float(spread[reached] @ length[reached])
    each = synapse.outer(apart[:, :, None], pre[:, None])  # of each example alone
    squares = (each * each).sum(axis=tuple(range(2, each.ndim)))
    return float((policy.T * squares).sum())
