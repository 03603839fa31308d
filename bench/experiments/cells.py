"""The network and the objective with which a study runs a rule: the first that it supports."""

from collections.abc import Sequence

from plausibench.architectures.network import Network
from plausibench.bench.penalties import obstacle
from plausibench.bench.selectors import select
from plausibench.kernels.errors import InputError
from plausibench.objectives.objective import Objective
from plausibench.rules.rule import Rule

ARCHITECTURES = ("mlp", "dendritic", "hopfield")
OBJECTIVES = ("cross_entropy", "mean_squared_error", "expected_reward")


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
    raise InputError(f"rules: {rule} runs on no feed-forward network of this study: {reason}")
