"""Weights along a trajectory, trained once where many rules are measured at them."""

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import suppress

import numpy as np

from plausibench.bench.components import registry
from plausibench.bench.components.networks import build_network
from plausibench.bench.components.selectors import select
from plausibench.bench.studies.benchmark.spec import Spec
from plausibench.bench.studies.benchmark.units import Unit
from plausibench.bench.tasks.task import Task
from plausibench.bench.training.optimisers import Optimiser, make_optimiser
from plausibench.bench.training.training import Checkpoint, follows, trajectory
from plausibench.kernels.errors import Divergence
from plausibench.objectives.objective import Objective
from plausibench.rules.rule import Rule, State

SMALL = 1 << 20
"""Numbers of the weights at all checkpoints of a trajectory that is kept, at most."""
MOST = 32
"""Trajectories that are kept."""

_kept: OrderedDict[Hashable, tuple[Checkpoint, ...]] = OrderedDict()


def checkpoints(unit: Unit, spec: Spec, rule: Rule) -> Iterator[Checkpoint]:
    """Weights and state of a unit's rule at every checkpoint of its trajectory.

    Where backpropagation moves the weights, they are the same for all rules with the same task,
    architecture, objective and seed.
    """
    task: Task = select("task", unit.task).make()
    network = build_network(unit.architecture, task, spec.hidden_for(unit.architecture), unit.seed)
    objective: Objective = select("objective", unit.objective).make()
    trainer: Rule = select("rule", unit.trainer).make()
    optimise = make_optimiser(
        spec.optimiser,
        spec.rate_for(unit.trainer, unit.protocol),
        spec.weight_decay,
        spec.momentum,
        spec.layer_rates,
    )

    def trained(follower: Rule) -> Iterator[Checkpoint]:
        return trajectory(
            trainer,
            follower,
            network,
            objective,
            task,
            optimise,
            spec.checkpoints,
            spec.training_batch_size,
            unit.seed,
        )

    small = len(spec.checkpoints) * network.size <= SMALL
    if unit.trainer != "backprop" or follows(rule) or not small:
        yield from trained(rule)
        return
    key = (_identity(unit, spec, optimise), task.identity)
    if key not in _kept:
        # What diverges is trained again by each rule, up to where it does.
        with suppress(Divergence):
            _kept[key] = tuple(trained(trainer))
        while len(_kept) > MOST:
            _kept.popitem(last=False)
    state = rule.initial_state(network, unit.seed)
    if key not in _kept or not _is_finite(state):
        yield from trained(rule)
        return
    for reached in _kept[key]:
        yield Checkpoint(reached.step, reached.network, state)


def _identity(unit: Unit, spec: Spec, optimise: Optimiser) -> Hashable:
    """What decides the weights; components are told by their classes too."""
    texts = {"task": unit.task, "architecture": unit.architecture, "objective": unit.objective}
    components = [
        (text, registry.find(kind, select(kind, text).name)) for kind, text in texts.items()
    ]
    how = (optimise, spec.checkpoints, spec.training_batch_size)
    return (*components, spec.hidden_for(unit.architecture), unit.seed, *how)


def _is_finite(state: State) -> bool:
    return all(np.isfinite(array).all() for array in state.values())
