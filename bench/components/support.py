"""Whether a rule runs on a network with an objective, and why not."""

from collections.abc import Sequence

from plausibench.architectures.network import Network
from plausibench.bench.components.selectors import select
from plausibench.bench.tasks.task import Task
from plausibench.kernels.errors import InputError
from plausibench.objectives.objective import Objective
from plausibench.rules.rule import Rule

ARCHITECTURES = ("mlp", "dendritic", "hopfield")
OBJECTIVES = ("cross_entropy", "mean_squared_error", "expected_reward")


def obstacle(rule: Rule, network: Network, objective: Objective) -> str | None:
    """Why a rule is not to be run on a network with an objective, penalties included."""
    reason = rule.refusal(network, objective.data)
    if reason is not None:
        return reason
    try:
        objective.penalty_gradient(network.parameters)
    except InputError as error:
        return str(error)
    return None


def refused(
    name: str, rule: Rule, network: Network, objective: Objective, task: Task
) -> str | None:
    """Why a rule cannot run on a network with an objective, on the targets of a task."""
    if rule.needs_classes and task.train.targets.dtype.kind != "i":
        return f"{name} needs integer classes as targets; those of task {task.name} are numbers"
    if task.steps is not None and (long := network.too_many(task.steps)) is not None:
        return long
    try:
        objective.check(task.train.targets, network.output.size)
    except InputError as error:
        return str(error)
    try:
        reason = obstacle(rule, network, objective)
    except Exception as error:
        raise InputError(
            f"rule {name}: unsupported raises {type(error).__name__}: {error}"
        ) from error
    if reason is not None and not isinstance(reason, str):
        raise InputError(
            f"rule {name}: unsupported returns {reason!r}; allowed are a reason and None"
        )
    return reason


def runnable(rule: str, network: Network, objective: Objective) -> Rule:
    """Make a rule that a study runs on one network with one objective.

    Raises
    ------
    InputError
        If the selector is not allowed, or the rule cannot run there.
    """
    made: Rule = select("rule", rule).make()
    reason = obstacle(made, network, objective)
    if reason is not None:
        raise InputError(f"rules: {rule} cannot run in this study ({reason})")
    return made


def first_cell(
    rule: str, sizes: Sequence[int], seed: int, objectives: Sequence[str] = OBJECTIVES
) -> tuple[Rule, Network, Objective]:
    """Make a rule, with the first of the architectures above and the first objective that it takes.

    Parameters
    ----------
    rule
        Selector.
    sizes
        Units per layer from inputs to outputs.
    seed
        Of the initial weights.
    objectives
        Selectors of objectives, in the order in which they are tried.

    Raises
    ------
    InputError
        If the selector is not allowed, or the rule runs with none of them.
    """
    made: Rule = select("rule", rule).make()
    reason: str | None = None
    for architecture in ARCHITECTURES:
        network: Network = select("architecture", architecture).make(sizes=tuple(sizes), seed=seed)
        for name in objectives:
            objective: Objective = select("objective", name).make()
            why = obstacle(made, network, objective)
            if why is None:
                return made, network, objective
            reason = why if reason is None else reason
    raise InputError(f"rules: {rule} cannot run in this study ({reason})")
