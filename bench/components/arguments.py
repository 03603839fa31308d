"""Checks of what the public functions are given: components, batches and states of rules."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from plausibench.architectures.network import CONSTANT, INPUT, Network
from plausibench.bench.tasks.task import Task
from plausibench.kernels.arrays import numbers
from plausibench.kernels.errors import InputError, nearest, refusal, show
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.rule import Rule, State

ALL = "all"

PARTS: dict[str, tuple[type, str]] = {
    "rule": (Rule, "a rule; make one with bench.make('rule', ...)"),
    "network": (Network, "a network; make one with bench.make('architecture', ...)"),
    "objective": (Objective, "an objective; make one with bench.make('objective', ...)"),
    "task": (Task, "a task; make one with bench.make('task', ...)"),
    "batch": (Batch, "a batch; make one with bench.Batch(inputs, targets) or task.batch(size)"),
}


def check_parts(**parts: Any) -> None:
    """Refuse an argument that is not what its name says, such as the name of a component.

    Parameters
    ----------
    **parts
        Any of rule, network, objective, task and batch.

    Raises
    ------
    InputError
        Says how to make one.
    """
    for name, part in parts.items():
        kind, allowed = PARTS[name]
        if not isinstance(part, kind):
            raise refusal(name, part, allowed)


def check_fit(network: Network, objective: Objective, batch: Batch) -> None:
    """Refuse parts that are not what they should be or do not fit one another.

    Raises
    ------
    InputError
        If one is of another kind, a parameter has another shape than its synapses, a name is
        reserved, or inputs or targets do not fit the network.
    """
    check_parts(network=network, objective=objective, batch=batch)
    for name in network.checked(network.parameters):
        refuse_reserved("network", name)
    for population in network.populations:
        if population.name in (INPUT, CONSTANT):
            raise InputError(
                f"network: {population.name!r} is where activity comes from; give this population "
                "another name"
            )
    network.check_inputs(batch.inputs)
    objective.check(batch.targets, network.output.size)


def refuse_reserved(field: str, name: str) -> None:
    """Refuse a parameter whose rows in a table would be taken for those of all of them."""
    if name == ALL:
        raise InputError(
            f"{field}: {name!r} is what tables call all parameters together; give this one "
            "another name"
        )


def given_state(rule: Rule, network: Network, state: Any) -> State:
    """State that a user gives, with the entries, shapes and type of the rule's initial state.

    Raises
    ------
    InputError
        In one sentence that names the entry, its shape and the allowed one.
    """
    expected = rule.initial_state(network, 0)
    if not isinstance(state, Mapping):
        raise refusal("state", state, f"a dict of arrays for {_listed(expected)}")
    for name in state:
        if name not in expected:
            near = nearest(name, expected)
            raise InputError(
                f"state: {show(name)} is no entry of it; {type(rule).__name__} has "
                f"{_listed(expected)} here" + (f"; did you mean {near!r}?" if near else "")
            )
    found: State = {}
    for name, example in expected.items():
        if name not in state:
            raise InputError(
                f"state: {name} is missing; allowed is an array of shape {example.shape}"
            )
        array = numbers(f"state: {name}", state[name])
        if array.shape != example.shape:
            raise InputError(f"state: {name} has shape {array.shape}; allowed is {example.shape}")
        if not np.isfinite(array).all():
            raise InputError(f"state: {name} has numbers that are not finite")
        found[name] = array.astype(example.dtype, copy=False)
    return found


def _listed(expected: State) -> str:
    return ", ".join(f"{name} {array.shape}" for name, array in expected.items()) or "no state"
