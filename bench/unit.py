"""The unit of work of a sweep, and the network it starts from."""

from dataclasses import dataclass
from typing import Any

from plausibench.architectures.network import Network
from plausibench.bench.selectors import select
from plausibench.bench.tasks.task import Task
from plausibench.kernels.errors import InputError


@dataclass(frozen=True)
class Unit:
    """A trajectory with all its checkpoints; components are selectors.

    ``reason`` says why the unit cannot run, or is None.
    """

    task: str
    architecture: str
    objective: str
    rule: str
    seed: int
    protocol: str
    reason: str | None = None

    def identity(self) -> dict[str, Any]:
        """What tells the unit from others."""
        return {
            "task": self.task,
            "architecture": self.architecture,
            "objective": self.objective,
            "rule": self.rule,
            "seed": self.seed,
            "protocol": self.protocol,
        }


def build_network(architecture: str, task: Task, hidden: tuple[int, ...], seed: int) -> Network:
    """Build a network for a task; layer sizes that are not named follow from the task.

    Raises
    ------
    InputError
        If named layer sizes do not match the task.
    """
    selector = select("architecture", architecture)
    wanted = (task.inputs_size, *hidden, task.outputs_size)
    given = dict(selector.options).get("sizes", wanted)
    if (given[0], given[-1]) != (wanted[0], wanted[-1]):
        raise InputError(
            f"sizes: {architecture} has {given[0]} inputs and {given[-1]} outputs, but task "
            f"{task.name} needs {wanted[0]} and {wanted[-1]}"
        )
    return selector.make(sizes=given, seed=seed)
