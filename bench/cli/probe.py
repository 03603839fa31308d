"""One draw of every rule before a run, so that a broken plug-in is refused at once."""

import numpy as np

from plausibench.architectures.network import Network
from plausibench.bench.cli.manners import tell_compiling
from plausibench.bench.components.networks import build_network
from plausibench.bench.components.selectors import select
from plausibench.bench.measuring.measurement import estimates
from plausibench.bench.measuring.quick import gradient, loss
from plausibench.bench.studies.benchmark.spec import Spec
from plausibench.bench.studies.benchmark.units import Unit
from plausibench.bench.training.optimisers import layer_factors
from plausibench.kernels.errors import Divergence, InputError
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.rule import Rule

EXAMPLES = 4


def probe_units(units: list[Unit], spec: Spec) -> None:
    """Draw once for every combination of components that is to run.

    A network that cannot be built from this seed, diverges or is silent is an outcome of its cell
    and no reason to refuse the others.

    Raises
    ------
    InputError
        If a rule raises, or returns wrong shapes, or NaN where the gradient is finite, or there
        are factors for another number of layers.
    """
    tell_compiling()
    seen = set()
    for unit in units:
        combination = (unit.task, unit.architecture, unit.objective, unit.rule)
        if unit.reason is None and combination not in seen:
            seen.add(combination)
            task = select("task", unit.task).make()
            try:
                network = build_network(
                    unit.architecture,
                    task,
                    spec.on(unit.task).hidden_for(unit.architecture),
                    unit.seed,
                )
            except Exception:  # noqa: BLE001 -- of one seed; recorded where it is measured
                continue
            layer_factors(network, spec.on(unit.task).layer_rates)
            batch = task.batch(min(EXAMPLES, task.train.size), seed=0)
            objective = select("objective", unit.objective).make()
            probe(unit.rule, select("rule", unit.rule).make(), network, objective, batch)


def probe(name: str, rule: Rule, network: Network, objective: Objective, batch: Batch) -> None:
    """Draw one estimate and look at it.

    Raises
    ------
    InputError
        If the rule raises, or returns wrong shapes, or NaN where the gradient is finite.
    """
    try:
        # On the way to divergence numbers overflow; that is looked for, not warned of.
        with np.errstate(over="ignore", invalid="ignore"):
            drawn = estimates(rule, network, objective, batch, samples=1)
    except Divergence:
        return  # of a network, not of the code: an outcome to be recorded
    except InputError as error:
        raise InputError(f"rule {name}: {error}") from error
    except Exception as error:
        raise InputError(f"rule {name}: it raises {type(error).__name__}: {error}") from error
    bad = [parameter for parameter, array in drawn.items() if not np.isfinite(array).all()]
    if bad and _stable(network, objective, batch):
        raise InputError(
            f"rule {name}: its estimate of {bad[0]} is NaN or infinite; allowed are finite numbers"
        )


def _stable(network: Network, objective: Objective, batch: Batch) -> bool:
    """Whether loss and gradient of the network itself are finite."""
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            exact = gradient(network, objective, batch)
            return bool(np.isfinite(loss(network, objective, batch))) and all(
                np.isfinite(array).all() for array in exact.values()
            )
    except Divergence:
        return False
