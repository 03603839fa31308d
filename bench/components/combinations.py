"""Which architecture, objective and rule run together, and why the others do not."""

from typing import TYPE_CHECKING, Any

from plausibench.architectures.network import Network
from plausibench.bench.components import registry
from plausibench.bench.components.support import obstacle
from plausibench.kernels.errors import InputError
from plausibench.objectives.objective import Objective
from plausibench.rules.rule import Rule

if TYPE_CHECKING:
    import pandas as pd

SIZES = (3, 4, 2)
COLUMNS = ("architecture", "objective", "rule", "runs", "reason")


def compatibility() -> "pd.DataFrame":
    """Table of every combination of registered components, with their default options.

    Returns
    -------
    DataFrame
        Columns ``architecture``, ``objective``, ``rule``, ``runs`` (bool) and ``reason``, which
        is empty only where the combination runs.
    """
    import pandas as pd

    rows = [
        (architecture, objective, rule, reason is None, reason or "")
        for architecture in registry.entries("architecture")
        for objective in registry.entries("objective")
        for rule in registry.entries("rule")
        for reason in [_reason(architecture, objective, rule)]
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _reason(architecture: str, objective: str, rule: str) -> str | None:
    """Why the combination cannot run, in the words of the component that refuses; else None."""
    try:
        made: Rule = registry.make("rule", rule)
        loss: Objective = registry.make("objective", objective)
        network = _tiny(architecture)
    except InputError as error:
        return str(error)
    try:
        reason = obstacle(made, network, loss)
    except Exception as error:  # noqa: BLE001, a plug-in that cannot answer must not hide the others
        return f"{rule}.unsupported raised {type(error).__name__}: {error}"
    if reason is None or (isinstance(reason, str) and reason.strip()):
        return reason
    return f"{rule}.unsupported gives no reason"


def _tiny(architecture: str) -> Network:
    """Build a network with one hidden layer, from the architecture's sizes alone."""
    options: dict[str, Any] = {}
    component = registry.find("architecture", architecture)
    if "sizes" in getattr(component, "__dataclass_fields__", {}):
        options["sizes"] = SIZES
    network: Network = registry.make("architecture", architecture, **options)
    return network
