"""Units of work of a specification: one is a trajectory with all its checkpoints."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from plausibench.architectures.network import Network
from plausibench.bench.components import registry
from plausibench.bench.components.networks import built
from plausibench.bench.components.selectors import select
from plausibench.bench.components.support import refused
from plausibench.bench.studies.benchmark.spec import Spec
from plausibench.bench.tasks.task import Task
from plausibench.kernels.errors import InputError
from plausibench.objectives.objective import Objective
from plausibench.rules.rule import Rule


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

    @property
    def trainer(self) -> str:
        """Rule that changes the weights; on shared weights that is backpropagation."""
        return "backprop" if self.protocol == "shared" else self.rule

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


def units(spec: Spec) -> list[Unit]:
    """Every unit of work of a specification, in order, with the reason for those that cannot run.

    Raises
    ------
    InputError
        If data or a plug-in are missing, or an architecture can be built for none of the tasks.
    """
    registry.load_plugins(spec.plugins)
    places: dict[str, Place] = {}
    for text in spec.every_task():
        task: Task = select("task", text).make()
        own = spec.on(text)
        for size in ("batch_size", "training_batch_size"):
            if getattr(own, size) > task.train.size:
                raise InputError(
                    f"{size}: {getattr(own, size)} is more than the {task.train.size} training "
                    f"examples of task {text}"
                )
        networks = {name: built(name, task, own.hidden_for(name)) for name in spec.architectures}
        places[text] = Place(task, networks)
    _refuse_unbuildable(spec, places.values())
    return [
        Unit(text, architecture, objective, rule, seed, protocol, reason)
        for text, place in places.items()
        for rule in spec.rules
        if text in spec.tasks_for(rule)
        for architecture, objective, reason in _pairs(spec.on(text), place, rule)
        for seed in range(spec.seed, spec.seed + spec.seeds)
        for protocol in spec.protocols
    ]


@dataclass(frozen=True)
class Place:
    """A task, and the network of each architecture for it, or why there is none."""

    task: Task
    networks: dict[str, Network | InputError]


def _refuse_unbuildable(spec: Spec, places: Collection[Place]) -> None:
    """Refuse an architecture that can be built for no task.

    Where all pairs are asked for, cells that stay empty are part of the answer, unless all do.
    """
    unbuilt = []
    for architecture in spec.architectures:
        tried = [place.networks[architecture] for place in places]
        reasons = [network for network in tried if isinstance(network, InputError)]
        unbuilt += reasons[:1] if len(reasons) == len(tried) else []
    if unbuilt and (spec.pairing == "first" or len(unbuilt) == len(spec.architectures)):
        raise unbuilt[0]


def _pairs(spec: Spec, place: Place, rule_text: str) -> list[tuple[str, str, str | None]]:
    """Architectures and objectives for a rule, with the reason where it cannot run."""
    rule: Rule = select("rule", rule_text).make()
    paper = spec.of_paper(rule_text)
    networks = place.networks
    if "architecture" in paper:
        name = str(select("architecture", paper["architecture"]))
        networks = {name: built(name, place.task, spec.hidden_for(name)), **networks}
    objectives = spec.objectives
    if "objective" in paper:
        objectives = (str(select("objective", paper["objective"])), *objectives)
    pairs: list[tuple[str, str, str | None]] = []
    for architecture, network in networks.items():
        for objective_text in objectives:
            if isinstance(network, InputError):
                pairs.append((architecture, objective_text, str(network)))
                continue
            objective: Objective = select("objective", objective_text).make()
            reason = refused(rule_text, rule, network, objective, place.task)
            if spec.pairing == "first" and reason is None:
                return [(architecture, objective_text, None)]
            pairs.append((architecture, objective_text, reason))
    return pairs if spec.pairing == "all" else pairs[:1]
