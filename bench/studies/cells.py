"""Rules of a study, with the first network and objective that they support or with given ones."""

from collections.abc import Sequence

from plausibench.architectures.network import Network
from plausibench.bench.penalties import obstacle
from plausibench.bench.selectors import select
from plausibench.kernels.errors import InputError
from plausibench.objectives.objective import Objective
from plausibench.rules.rule import Rule

ARCHITECTURES = ("mlp", "dendritic", "hopfield")
OBJECTIVES = ("cross_entropy", "mean_squared_error", "expected_reward")


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
