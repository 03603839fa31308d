"""Measure the bias and variance of learning rules.

The public names are loaded when they are first used, so that the command line answers at once.
"""

import importlib
from typing import TYPE_CHECKING, Any

if not __name__.startswith("plausibench."):
    raise ImportError(f"import plausibench.{__name__}: {__name__} would be a second copy of it")

if TYPE_CHECKING:
    from plausibench.bench.components.combinations import compatibility
    from plausibench.bench.components.registry import load_plugin, make
    from plausibench.bench.components.torch_networks import (
        TorchArchitecture,
        from_torch,
        to_torch,
    )
    from plausibench.bench.conformance.against import compare_with_rule
    from plausibench.bench.measuring.adapter import measure_function
    from plausibench.bench.measuring.averaging import averaging_curve
    from plausibench.bench.measuring.measurement import Measurement, estimates, measure
    from plausibench.bench.measuring.quick import gradient, initial_state, loss
    from plausibench.bench.measuring.step import progress
    from plausibench.bench.measuring.variance_budget import budget
    from plausibench.bench.tasks.arrays import task_from_arrays
    from plausibench.bench.training.feedback_learning import advance
    from plausibench.bench.training.training import train
    from plausibench.kernels.errors import InputError
    from plausibench.objectives.batch import Batch
    from plausibench.rules.foreign import FunctionRule, from_step

_PUBLIC = {
    "Batch": "plausibench.objectives.batch",
    "FunctionRule": "plausibench.rules.foreign",
    "InputError": "plausibench.kernels.errors",
    "Measurement": "plausibench.bench.measuring.measurement",
    "TorchArchitecture": "plausibench.bench.components.torch_networks",
    "advance": "plausibench.bench.training.feedback_learning",
    "averaging_curve": "plausibench.bench.measuring.averaging",
    "budget": "plausibench.bench.measuring.variance_budget",
    "compare_with_rule": "plausibench.bench.conformance.against",
    "compatibility": "plausibench.bench.components.combinations",
    "estimates": "plausibench.bench.measuring.measurement",
    "from_step": "plausibench.rules.foreign",
    "from_torch": "plausibench.bench.components.torch_networks",
    "gradient": "plausibench.bench.measuring.quick",
    "initial_state": "plausibench.bench.measuring.quick",
    "load_plugin": "plausibench.bench.components.registry",
    "loss": "plausibench.bench.measuring.quick",
    "make": "plausibench.bench.components.registry",
    "measure": "plausibench.bench.measuring.measurement",
    "measure_function": "plausibench.bench.measuring.adapter",
    "progress": "plausibench.bench.measuring.step",
    "task_from_arrays": "plausibench.bench.tasks.arrays",
    "to_torch": "plausibench.bench.components.torch_networks",
    "train": "plausibench.bench.training.training",
}

__all__ = [
    "Batch",
    "FunctionRule",
    "InputError",
    "Measurement",
    "TorchArchitecture",
    "advance",
    "averaging_curve",
    "budget",
    "compare_with_rule",
    "compatibility",
    "estimates",
    "from_step",
    "from_torch",
    "gradient",
    "initial_state",
    "load_plugin",
    "loss",
    "make",
    "measure",
    "measure_function",
    "progress",
    "task_from_arrays",
    "to_torch",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
