"""Is it that rule? A user's function beside a built-in rule, and what it differs by."""

from typing import Any

import numpy as np

from plausibench.architectures.network import Network
from plausibench.bench.components.selectors import select
from plausibench.bench.conformance.against.comparison import (
    IT_IS_NOT,
    Comparison,
    Pair,
    law_of_rule,
    shapes,
)
from plausibench.bench.conformance.against.drawn import compare_draws
from plausibench.bench.conformance.against.exactly import compare_answers
from plausibench.bench.conformance.against.likeness import (
    GROUPS,
    Law,
    law_of,
    sampled_law,
)
from plausibench.bench.measuring.adapter import Function, Unrepeatable, apart
from plausibench.bench.measuring.draws import prepare
from plausibench.kernels.errors import InputError, integer, refusal
from plausibench.kernels.threads import one_blas_thread
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.foreign import FunctionRule, Update, checked, seeded
from plausibench.rules.rule import Rule, State

FEWEST = 8
"""Draws that a group needs."""


def compare_with_rule(
    update: Update | FunctionRule,
    rule: str | Rule,
    network: Network,
    objective: Objective,
    batch: Batch,
    samples: int = 1000,
    seed: int = 0,
    *,
    state: State | None = None,
    sign: str = "gradient",
    scale: float = 1.0,
    seeds_globals: bool = False,
) -> Comparison:
    """Say whether a function is a rule, is it but for a named term, or is another.

    Checked in this order: the same call twice; one factor for all parameters; near options of the
    rule, and its errors beside its values of one step on; clipping; factors by layer; the batch
    against the mean of its single examples; terms of single parameters (decay, a slope, a step
    more or less); the size of what is left. Of what draws, the distance of the means less the
    noise in them and the ratio of the variances are compared, with intervals, parameter by
    parameter.

    Parameters
    ----------
    update
        Called as ``update(parameters, batch, rng)``, as by :func:`measure_function`, with the
        network's parameters; or a rule that is a function.
    rule
        A built-in rule, or its selector such as ``"predictive_coding[steps=20]"``.
    network, objective, batch
        Where. Parameters are given to the function under the network's names.
    samples
        Draws of each, if they draw; at least 160.
    seed
        Root of the random streams.
    state
        The rule's state, such as feedback weights, by default its first one, or that of a rule
        that is a function; such a rule gets the same.
    sign, scale, seeds_globals
        As those of :func:`measure_function`.

    Returns
    -------
    Comparison
        Its ``sentence`` says it in words, its ``frame`` what was tried.

    Raises
    ------
    InputError
        If an argument is not allowed, the rule cannot run there, or the function's answers do not
        fit the parameters.
    """
    samples = integer("samples", samples, least=FEWEST * GROUPS)
    ours, name = _rule(rule)
    with one_blas_thread():
        brought = _brought(update, ours, network, seed) if state is None else state
        if ours.initial_state(network, seed):
            state = brought
        setting = prepare(ours, network, objective, batch, state, seed)
        parts = setting.network.parameters, setting.batch, seed
        function = Function.of(
            _called(update, brought or setting.state), *parts, sign, scale, seeds_globals
        )
        try:
            first, drew = function.first()
        except Unrepeatable as error:
            reason = str(error).removeprefix("update: ").partition(";")[0]
            sentence = f"It cannot be told from its answers: {reason}."
            return Comparison(IT_IS_NOT, sentence, term=reason.partition(": ")[2])
        theirs = _law(function, first, drew, samples)
        function.check_unchanged()
        pair = Pair(name, setting, function, theirs, law_of_rule(setting, samples), samples)
        if theirs.drawn or pair.ours.drawn:
            return compare_draws(pair)
        return compare_answers(pair)


def _law(function: Function, first: dict[str, np.ndarray], drew: bool, samples: int) -> Law:
    """The law of a function; what it draws but does not use, as first weights, draws nothing."""
    fewest = FEWEST * GROUPS if drew else 2
    if all(apart(first, function.draw(number)) == 0 for number in range(1, fewest)):
        return law_of(first)
    return sampled_law((function.draw(number) for number in range(samples)), samples)


def _rule(rule: str | Rule) -> tuple[Rule, str]:
    if isinstance(rule, Rule):
        return rule, type(rule).__name__
    if not isinstance(rule, str):
        raise refusal("rule", rule, "a rule or the selector of one")
    selector = select("rule", rule)
    made: Rule = selector.make()
    return made, str(selector)


def _brought(theirs: Any, ours: Rule, network: Network, seed: int) -> State | None:
    """State that a rule brings along, which a rule with a state takes, too; None without one."""
    state = theirs.initial_state(network, seed) if isinstance(theirs, FunctionRule) else None
    wanted = shapes(ours.initial_state(network, seed))
    if state and wanted and shapes(state) != wanted:
        raise InputError(
            f"state: that of {type(theirs).__name__} has {shapes(state)}, and that of "
            f"{type(ours).__name__} has {wanted}; give both the same names and layout"
        )
    return state or None


def _called(update: Any, state: State) -> Update:
    """The function itself, or that of a rule with its state."""
    if not isinstance(update, FunctionRule):
        called: Update = update
        return called
    rule = update

    def call(parameters: Any, batch: Any, rng: np.random.Generator) -> Any:
        if rule.in_blocks:
            block = rule.updates(parameters, batch, [rng], state)
            answer = {name: np.asarray(array)[0] for name, array in block.items()}
        else:
            with seeded(rng, rule.seeds_globals):
                given = rule.update(parameters, batch, rng, state)
            shapes = {name: array.shape for name, array in parameters.items()}
            answer = checked(f"{type(rule).__name__}.update", given, shapes)
        return {name: rule.factor * array for name, array in answer.items()}

    return call
