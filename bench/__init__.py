"""Measure the bias and variance of learning rules.

The public names are loaded when they are first used, so that the command line answers at once.
"""

import importlib
from typing import TYPE_CHECKING, Any

if not __name__.startswith("plausibench."):
    raise ImportError(f"import plausibench.{__name__}: {__name__} would be a second copy of it")

if TYPE_CHECKING:
    from plausibench.bench.adapter import measure_function
    from plausibench.bench.averaging import averaging_curve
    from plausibench.bench.combinations import compatibility
    from plausibench.bench.feedback_learning import advance
    from plausibench.bench.measurement import Measurement, estimates, measure
    from plausibench.bench.quick import gradient, initial_state, loss
    from plausibench.bench.registry import load_plugin, make
    from plausibench.bench.step import progress
    from plausibench.bench.tasks.arrays import task_from_arrays
    from plausibench.bench.training import train
    from plausibench.bench.variance_budget import budget
    from plausibench.kernels.errors import InputError
    from plausibench.objectives.batch import Batch

_PUBLIC = {
    "Batch": "plausibench.objectives.batch",
    "InputError": "plausibench.kernels.errors",
    "Measurement": "plausibench.bench.measurement",
    "advance": "plausibench.bench.feedback_learning",
    "averaging_curve": "plausibench.bench.averaging",
    "budget": "plausibench.bench.variance_budget",
    "compatibility": "plausibench.bench.combinations",
    "estimates": "plausibench.bench.measurement",
    "gradient": "plausibench.bench.quick",
    "initial_state": "plausibench.bench.quick",
    "load_plugin": "plausibench.bench.registry",
    "loss": "plausibench.bench.quick",
    "make": "plausibench.bench.registry",
    "measure": "plausibench.bench.measurement",
    "measure_function": "plausibench.bench.adapter",
    "progress": "plausibench.bench.step",
    "task_from_arrays": "plausibench.bench.tasks.arrays",
    "train": "plausibench.bench.training",
}

__all__ = [
    "Batch",
    "InputError",
    "Measurement",
    "advance",
    "averaging_curve",
    "budget",
    "compatibility",
    "estimates",
    "gradient",
    "initial_state",
    "load_plugin",
    "loss",
    "make",
    "measure",
    "measure_function",
    "progress",
    "task_from_arrays",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
