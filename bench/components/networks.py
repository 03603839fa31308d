"""The network of an architecture for a task."""

from contextlib import suppress
from dataclasses import fields
from typing import Any

from plausibench.architectures.network import Network
from plausibench.bench.components import registry
from plausibench.bench.components.selectors import select
from plausibench.bench.tasks.task import Task
from plausibench.kernels.errors import InputError


def build_network(architecture: str, task: Task, hidden: tuple[int, ...], seed: int) -> Network:
    """Build a network for a task; sizes that are not named follow from the task.

    Raises
    ------
    InputError
        If named sizes do not match the task, or it has no images or has time where the architecture
        needs images or knows no time; names the tasks that would do.
    """
    selector = select("architecture", architecture)
    options = {f.name for f in fields(registry.find("architecture", selector.name))}
    derived: dict[str, Any] = {}
    if "sizes" in options:
        derived["sizes"] = (task.inputs_size, *hidden, task.outputs_size)
    if "inputs" in options:
        derived["inputs"] = task.inputs_size
    if "outputs" in options:
        derived["outputs"] = task.outputs_size
    if "shape" in options and "shape" not in dict(selector.options):
        if task.image is None:
            raise InputError(
                f"architecture: {architecture} looks at images, and task {task.name} has none; "
                f"those with images are {', '.join(_tasks_with_images())}"
            )
        derived["shape"] = task.image
    network: Network = selector.make(seed=seed, **derived)
    if task.steps is not None and "recurrent" not in network.dynamics:
        raise InputError(
            f"architecture: {architecture} knows no time, and an example of task {task.name} lasts "
            f"{task.steps} steps; allowed are recurrent architectures such as rate_rnn, or tasks "
            "without time such as digits"
        )
    found, needed = (network.inputs, network.output.size), (task.inputs_size, task.outputs_size)
    if found != needed:
        asked = "sizes" if "sizes" in options else "architecture"
        raise InputError(
            f"{asked}: {architecture} has {found[0]} inputs and {found[1]} outputs, but task "
            f"{task.name} needs {needed[0]} and {needed[1]}"
        )
    return network


def built(architecture: str, task: Task, hidden: tuple[int, ...]) -> Network | InputError:
    """The network of seed 0, or why there is none."""
    try:
        return build_network(architecture, task, hidden, seed=0)
    except InputError as error:
        return error
    except Exception as error:  # noqa: BLE001 -- whatever a plug-in raises is told of its cells
        return InputError(
            f"architecture {architecture}: building it raises {type(error).__name__}: {error}"
        )


def _tasks_with_images() -> list[str]:
    """Names of the tasks whose class says what images it has."""
    found = []
    for name, entry in registry.entries("task").items():
        with suppress(InputError):  # of a plug-in that cannot be loaded
            component: Any = entry.load()
            if component.image is not Task.image:
                found.append(name)
    return found
