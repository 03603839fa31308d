"""Where everything starts by its name: the task, architecture and objective that nobody chose."""

from collections.abc import Collection, Iterable
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

ARCHITECTURES = (
    *("mlp", "dendritic", "hopfield"),
    *("rate_rnn", "spiking_rnn", "mode_rnn", "spiking_mode_rnn", "spatial_rnn"),
    *("stochastic_mlp", "spiking_mlp"),
)
"""The order in which they are tried, before others: those whose gradient is enumerated last."""
OBJECTIVES = {
    "classification": ("cross_entropy", "mean_squared_error", "expected_reward"),
    "regression": ("mean_squared_error",),
}
"""The same of objectives, by what a task asks for."""
TASK = "digits"
IN_TIME = {"recurrent": "row_by_row", "recurrent spiking": "row_by_row[hold=10]"}
"""In place of it for dynamics in time: the same digits, a row of pixels in each step, or in ten
steps where neurons take some to spike."""


@dataclass(frozen=True)
class Start:
    """A place where a rule runs; components are selectors.

    Attributes
    ----------
    task, architecture, objective, rule
        What runs together.
    layers
        Units of the input and of each population of the network.
    """

    task: str
    architecture: str
    objective: str
    rule: str
    layers: tuple[int, ...]

    @property
    def units(self) -> str:
        """The layers as text, ``64-32-10``."""
        return "-".join(map(str, self.layers))

    def __str__(self) -> str:
        return f"{self.architecture} ({self.units}) on {self.task} with {self.objective}"


def start(
    rules: Iterable[str] = (),
    tasks: Iterable[str] = (),
    architectures: Iterable[str] = (),
    objectives: Iterable[str] = (),
    hidden: tuple[int, ...] | None = None,
) -> Start | None:
    """The first combination that runs, of what was chosen and the usual order of all else.

    Parameters
    ----------
    rules, tasks, architectures, objectives
        Selectors that were chosen; empty for any.
    hidden
        Hidden layers that were chosen.

    Returns
    -------
    Start or None
        None where nothing runs.
    """
    rules = tuple(rules) or _ordered("rule", Spec.rules)
    tasks, objectives = tuple(tasks), tuple(objectives)
    for architecture in tuple(architectures) or _ordered("architecture", ARCHITECTURES):
        sizes = hidden_of(architecture) if hidden is None else hidden
        for task_text in tasks or _tasks(architecture, sizes):
            task: Task = select("task", task_text).make()
            network = built(architecture, task, sizes)
            if isinstance(network, InputError):
                continue
            for rule in rules:
                for objective in objectives or _ordered("objective", OBJECTIVES[task.kind]):
                    if _runs(rule, network, objective, task):
                        layers = (network.inputs, *(each.size for each in network.populations))
                        return Start(task_text, architecture, objective, rule, layers)
    return None


def completed(spec: Spec, chosen: Collection[str]) -> Spec:
    """The specification with components that run in place of defaults that do not.

    Parameters
    ----------
    spec
        What to measure.
    chosen
        Fields of it that were chosen, and are left as they are.
    """
    free = {"tasks", "architectures", "objectives", "rules"} - set(chosen)
    if not chosen or not free:
        return _with_hidden(spec, chosen)
    asked: dict[str, Any] = {
        kind: getattr(spec, kind) for kind in ("architectures", "objectives") if kind in chosen
    }
    hidden = spec.hidden if "hidden" in chosen else None
    tasks = spec.tasks if "tasks" in chosen else ()
    found: dict[str, list[Start]] = {}
    for rule in spec.rules:
        own = spec.tasks_for(rule) if spec.tasks_of else tasks
        # Where a rule runs with other hidden layers alone, that is what its refusal should say.
        places = [
            start([rule], some, **asked, hidden=hidden) or start([rule], some, **asked)
            for some in ([[task] for task in own] or [[]])
        ]
        found[rule] = [place for place in places if place is not None]
        if not found[rule] and "rules" in chosen and "architectures" in free:
            _refuse_unfed(spec, rule)
    if "rules" not in chosen:
        found = {rule: places for rule, places in found.items() if places}
        if not found and (place := start(tasks=tasks, **asked, hidden=hidden)):
            found = {place.rule: [place]}
    return _with_hidden(_placed(spec, found, free), chosen)


def _refuse_unfed(spec: Spec, rule: str) -> None:
    """Refuse a rule for whose tasks no architecture can be built on which it would run.

    Where one of the usual architectures can be, the reason that the rule gives says more.
    """
    own = spec.tasks_for(rule)
    tasks: list[Task] = [select("task", text).make() for text in own]
    for task in tasks:
        _ = task.train  # what is missing or damaged is told as such
        for architecture in spec.architectures:
            if isinstance(built(architecture, task, spec.hidden_for(architecture)), Network):
                return
    place = start([rule])
    if place is not None and spec.pairing == "first":
        raise InputError(
            f"rules: {rule} runs on no architecture that can learn {', '.join(own)}; it runs on "
            f"{place}"
        )


def _placed(spec: Spec, found: dict[str, list[Start]], free: set[str]) -> Spec:
    """The specification with what the rules' places need."""
    values: dict[str, Any] = {}
    places = [place for own in found.values() for place in own]
    if "rules" in free and found:
        values["rules"] = tuple(found)
    # The usual objectives are those of classes, which would also run on other targets.
    other = bool(places) and all(_kind(place.task) == "regression" for place in places)
    orders = {"architecture": ARCHITECTURES, "objective": OBJECTIVES["classification"]}
    for kind, first in orders.items():
        needed = {getattr(place, kind) for place in places}
        missing = not needed <= set(getattr(spec, f"{kind}s"))
        if f"{kind}s" in free and (missing or (other and kind == "objective")):
            values[f"{kind}s"] = tuple(name for name in _ordered(kind, first) if name in needed)
    if "tasks" in free and not spec.tasks_of:
        # A rule that runs nowhere is refused or said to be idle where others start.
        tasks = {
            rule: tuple(place.task for place in own) or spec.tasks for rule, own in found.items()
        }
        every = tuple(dict.fromkeys(text for own in tasks.values() for text in own))
        if every and every != spec.tasks:
            values["tasks"] = every
            values["tasks_of"] = tasks if len(every) > 1 else {}
    return spec.with_values(**values)


def _with_hidden(spec: Spec, chosen: Collection[str]) -> Spec:
    """The specification with the hidden layers that each architecture starts with."""
    if "hidden" in chosen:
        return spec
    usual = {
        name: hidden_of(name)
        for name in spec.architectures
        if _takes_hidden(name) and not {name, name.partition("[")[0]} & set(spec.hidden_of)
    }
    usual = {name: layers for name, layers in usual.items() if layers != spec.hidden}
    return spec.with_values(hidden_of={**usual, **spec.hidden_of}) if usual else spec


def hidden_of(architecture: str) -> tuple[int, ...]:
    """Hidden layers with which an architecture starts, by its selector."""
    selector = select("architecture", architecture)
    component: Any = registry.find("architecture", selector.name)
    usual: tuple[int, ...] = component.usual(dict(selector.options))
    return usual


def _takes_hidden(architecture: str) -> bool:
    """Whether an architecture has layer sizes, and does not name them."""
    selector = select("architecture", architecture)
    component: Any = registry.find("architecture", selector.name)
    return "sizes" in component.__dataclass_fields__ and "sizes" not in dict(selector.options)


def _kind(task: str) -> str:
    made: Task = select("task", task).make()
    return made.kind


def _tasks(architecture: str, hidden: tuple[int, ...]) -> tuple[str, ...]:
    """Tasks in which an architecture starts."""
    network = built(architecture, select("task", TASK).make(), hidden)
    dynamics = "" if isinstance(network, InputError) else network.dynamics
    return (*([IN_TIME[dynamics]] if dynamics in IN_TIME else []), TASK)


def _ordered(kind: str, first: Iterable[str]) -> tuple[str, ...]:
    """All names of a kind, those that come first before others."""
    return tuple(dict.fromkeys([*first, *registry.entries(kind)]))


def _runs(rule: str, network: Network, objective: str, task: Task) -> bool:
    made: Rule = select("rule", rule).make()
    try:
        loss: Objective = select("objective", objective).make()
    except InputError:  # of a plug-in with an option that must be given
        return False
    return refused(rule, made, network, loss, task) is None
