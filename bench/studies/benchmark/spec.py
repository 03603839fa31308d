"""The specification of a run: everything its results depend on."""

import os
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import InitVar, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from plausibench.architectures.architecture import HIDDEN
from plausibench.bench.components import registry
from plausibench.bench.components.selectors import select
from plausibench.bench.training.nulls import NULL
from plausibench.bench.training.optimisers import (
    OPTIMISERS,
    LayerRates,
    check_layer_rates,
    check_momentum,
)
from plausibench.kernels.errors import (
    InputError,
    choose,
    flag,
    integer,
    number,
    positive,
    refusal,
    sizes,
)
from plausibench.kernels.streams import MOST_SEEDS
from plausibench.rules.rule import Rule

PROTOCOLS = ("shared", "own")
PAIRINGS = ("first", "all")
COMPONENTS = {kind: f"{kind}s" for kind in registry.KINDS}
FINEST = 0.01
"""Finest precision of a relative squared bias: less bias than that is of no concern."""
COUNTS = (
    "seeds",
    "samples",
    "marginal_samples",
    "averaging_samples",
    "batch_size",
    "training_batch_size",
)

OF_TASKS = (
    "hidden",
    "hidden_of",
    "checkpoints",
    "training_batch_size",
    "optimiser",
    "learning_rate",
    "learning_rates",
    "shared_learning_rate",
    "weight_decay",
    "momentum",
    "layer_rates",
)
"""Settings that may differ between tasks: what is trained, how and for how long."""

PAPER = ("architecture", "objective", "momentum", "layer_rates", "learning_rates")
"""What a rule may say of the setting of its paper."""

LEARNING_RATES = {"brainprop": 0.3, "node_perturbation": 0.03, "weight_perturbation": 0.01}
"""Rates of the default benchmark where not the common 0.1.

Each has the lowest training loss after 1000 steps among 0.0003, 0.001, 0.003, ... 1, averaged over
seeds 100 and 101, which the benchmark does not use.
"""


SAMPLES = 640
"""Draws of the default benchmark: 32 for each group of the jackknife.

Companions tell the bias of its noisy rules from far fewer draws than plain sampling needs.
"""

SAMPLES_OF: Mapping[str, int] = {"weight_perturbation": 1280}
"""Its noise leaves the smallest bias of all: with 640 draws a seed may not tell it from none."""

SETTINGS_OF: Mapping[str, Mapping[str, Any]] = {
    "mnist_1d": {
        "optimiser": "adam",
        "learning_rate": 0.003,
        "learning_rates": {},
    }
}
"""What the default benchmark changes on a task that plain descent learns slowly."""


@dataclass(frozen=True)
class Spec:
    """What to measure.

    Parameters
    ----------
    tasks, architectures, objectives, rules
        Selectors such as ``node_perturbation[sigma=1e-2]``.
    pairing
        ``all`` combinations, or for each rule the ``first`` architecture and objective of the
        lists that it supports.
    tasks_of
        Tasks of single rules, in place of ``tasks``.
    settings_of
        Settings of single tasks, in place of the common ones: hidden layers, checkpoints, and
        how networks are trained.
    hidden
        Hidden layer sizes of architectures whose ``sizes`` are not named.
    hidden_of
        The same for single architectures, in place of ``hidden``.
    protocols
        ``shared`` measures every rule at the weights of a backpropagation run, ``own`` at
        those of its own training.
    checkpoints
        Training steps at which to measure.
    seeds, seed
        Number of seeds, and the first of them.
    samples
        Draws of the estimator with the feedback held.
    samples_of
        The same for single rules, in place of ``samples``.
    precision
        Half-width of the 95 % interval of the relative squared bias beyond which a value is
        flagged unresolved, at least 0.01; 0 flags none.
    marginal_samples
        Draws with the feedback redrawn, for rules with random feedback.
    averaging_samples
        Draws for the averaging curve.
    batch_size
        Examples in the batch at which bias and variance are measured.
    training_set
        Whether the realised progress is measured on the training set too, which takes about a
        second for each checkpoint of a noisy rule.
    training_batch_size, optimiser, learning_rate, learning_rates, weight_decay
        How the networks are trained; ``learning_rates`` overrides the rate for a rule.
    momentum, layer_rates
        As of :func:`plausibench.bench.training.training.train`; the nulls, where one layer
        learns, have no factors of layers.
    shared_learning_rate
        Rate of the backpropagation run whose weights are shared; 0 for that of ``backprop``.
    nulls
        Whether to train, beside the rules, what their accuracies are worth nothing without:
        ``readout_only`` on the same networks, and a network without hidden layers.
    paper_settings
        Whether a rule that declares a ``paper_setting`` runs in it: its architecture and objective
        before those of the lists, its momentum and factors of layers. With the pairing ``first``.
    plugins
        Plug-in files to load first.
    components
        Whether to load the plug-ins and to look the components up. Without this nothing is
        executed, and names stay as they are.

    Raises
    ------
    InputError
        If a name is unknown or a value is not allowed.
    """

    tasks: tuple[str, ...] = ("digits",)
    architectures: tuple[str, ...] = ("mlp", "dendritic")
    objectives: tuple[str, ...] = ("cross_entropy", "mean_squared_error")
    rules: tuple[str, ...] = (
        "backprop",
        "feedback_alignment",
        "direct_feedback_alignment",
        "sign_symmetry",
        "weight_perturbation",
        "node_perturbation",
        "attention_gated",
        "brainprop",
        "dendritic_error",
        "dendritic_error[feedback=random]",
    )
    pairing: str = "first"
    tasks_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    settings_of: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    hidden: tuple[int, ...] = HIDDEN
    hidden_of: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    protocols: tuple[str, ...] = PROTOCOLS
    checkpoints: tuple[int, ...] = (0, 100, 500)
    seeds: int = 5
    seed: int = 0
    samples: int = 2000
    samples_of: Mapping[str, int] = field(default_factory=dict)
    precision: float = 0.0
    marginal_samples: int = 200
    averaging_samples: int = 512
    batch_size: int = 32
    training_set: bool = False
    training_batch_size: int = 32
    optimiser: str = "sgd"
    learning_rate: float = 0.1
    learning_rates: Mapping[str, float] = field(default_factory=dict)
    shared_learning_rate: float = 0.0
    weight_decay: float = 0.0
    momentum: float = 0.0
    layer_rates: LayerRates = ()
    nulls: bool = True
    paper_settings: bool = False
    plugins: tuple[str, ...] = ()
    components: InitVar[bool] = True

    def __post_init__(self, components: bool) -> None:
        self._set("plugins", tuple(map(str, self._listed("plugins", str | Path))))
        for name in COMPONENTS.values():
            self._set(name, self._listed(name, str))
        self._set("learning_rates", _table("learning_rates", self.learning_rates, positive))
        self._set("samples_of", _table("samples_of", self.samples_of, _count))
        self._set("hidden_of", _table("hidden_of", self.hidden_of, _hidden))
        self._set("tasks_of", _table("tasks_of", self.tasks_of, _tasks))
        self._set("settings_of", _table("settings_of", self.settings_of, _settings))
        if components:
            self._look_up()
        choose("pairing", self.pairing, PAIRINGS)
        self._set("hidden", sizes("hidden", self.hidden, fewest=0))
        protocols = self._listed("protocols", str)
        self._set("protocols", _unique(choose("protocols", one, PROTOCOLS) for one in protocols))
        steps = {integer("checkpoints", step, least=0) for step in self._listed("checkpoints")}
        self._set("checkpoints", tuple(sorted(steps)))
        for name in COUNTS:
            most = MOST_SEEDS if name == "seeds" else None
            self._set(name, integer(name, getattr(self, name), least=1, most=most))
        self._set("seed", integer("seed", self.seed, least=0))
        self._set("training_set", flag("training_set", self.training_set))
        choose("optimiser", self.optimiser, OPTIMISERS)
        self._set("learning_rate", positive("learning_rate", self.learning_rate))
        shared = number("shared_learning_rate", self.shared_learning_rate, least=0)
        self._set("shared_learning_rate", shared)
        highest = max([self.learning_rate, shared, *self.learning_rates.values()])
        decay = number("weight_decay", self.weight_decay, least=0, below=1 / highest)
        self._set("weight_decay", decay)
        self._set("momentum", check_momentum(self.optimiser, self.momentum))
        self._set("layer_rates", check_layer_rates(self.layer_rates))
        flag("nulls", self.nulls)
        if flag("paper_settings", self.paper_settings) and self.pairing == "all":
            raise InputError(
                "paper_settings: papers name one place for each rule; take pairing first"
            )
        if isinstance(self.precision, bool) or self.precision != 0:
            self._set("precision", number("precision", self.precision, least=FINEST))
        for task in self.settings_of:
            try:
                self.on(task)
            except InputError as error:
                raise InputError(f"settings_of[{task}]: {error}") from error

    def _listed(self, name: str, kind: Any = object) -> tuple[Any, ...]:
        values = getattr(self, name)
        if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
            raise refusal(name, values, "a list")
        listed, default = tuple(values), getattr(type(self), name)
        if default and not listed:
            raise InputError(
                f"{name}: the list is empty; allowed is a list such as {list(default[:1])}"
            )
        for value in listed:
            if not isinstance(value, kind):
                raise refusal(name, value, "a text")
        return listed

    def _look_up(self) -> None:
        registry.load_plugins(self.plugins)
        # They are found again from any folder.
        absolute = tuple(os.path.abspath(os.path.expanduser(path)) for path in self.plugins)
        self._set("plugins", absolute)
        for kind, name in COMPONENTS.items():
            self._set(name, _unique(str(select(kind, text)) for text in getattr(self, name)))
        tasks_of = {
            rule: _unique(str(select("task", text)) for text in texts)
            for rule, texts in self.tasks_of.items()
        }
        self._set("tasks_of", tasks_of)
        for name, kind in (
            ("tasks_of", "rule"),
            ("learning_rates", "rule"),
            ("samples_of", "rule"),
            ("hidden_of", "architecture"),
            ("settings_of", "task"),
        ):
            own = {str(select(kind, text)): value for text, value in getattr(self, name).items()}
            self._set(name, own)

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def on(self, task: str) -> "Spec":
        """The specification of one task, by its selector or else its name, with its settings."""
        name = task.partition("[")[0]
        own = self.settings_of.get(task, self.settings_of.get(name, {}))
        return replace(self, settings_of={}, **own, components=False)

    def rate(self, rule: str) -> float:
        """Learning rate of a rule, by its selector or else its name."""
        name = rule.partition("[")[0]
        return self.learning_rates.get(rule, self.learning_rates.get(name, self.learning_rate))

    def rate_for(self, trainer: str, protocol: str) -> float:
        """Learning rate of a trajectory, by the rule that trains and the protocol."""
        if protocol == NULL:
            return self.learning_rate
        shared = self.shared_learning_rate if protocol == "shared" else 0.0
        return shared or self.rate(trainer)

    def hidden_for(self, architecture: str) -> tuple[int, ...]:
        """Hidden layer sizes of an architecture, by its selector or else its name."""
        name = architecture.partition("[")[0]
        return self.hidden_of.get(architecture, self.hidden_of.get(name, self.hidden))

    def tasks_for(self, rule: str) -> tuple[str, ...]:
        """Tasks of a rule, by its selector or else its name."""
        name = rule.partition("[")[0]
        return self.tasks_of.get(rule, self.tasks_of.get(name, self.tasks))

    def every_task(self) -> tuple[str, ...]:
        """Tasks of all rules, each once, in the order in which they are computed."""
        return _unique(task for rule in self.rules for task in self.tasks_for(rule))

    def samples_for(self, rule: str) -> int:
        """Draws of a rule with the feedback held, by its selector or else its name."""
        name = rule.partition("[")[0]
        return self.samples_of.get(rule, self.samples_of.get(name, self.samples))

    def of_paper(self, rule: str) -> Mapping[str, Any]:
        """Setting of the paper of a rule, by its selector; empty where it is not asked for.

        Raises
        ------
        InputError
            If the rule says what no setting has, or its range of learning rates is none.
        """
        if not self.paper_settings:
            return {}
        made: Rule = select("rule", rule).make()
        for name in made.paper_setting:
            choose(f"rule {rule}: paper_setting", name, PAPER)
        _range(f"rule {rule}: learning_rates", made.paper_setting.get("learning_rates", (1, 2)))
        return made.paper_setting

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as they stand in ``spec.toml``."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in ("hidden_of", "tasks_of"):
            plain[name] = {key: list(listed) for key, listed in plain[name].items()}
        plain["settings_of"] = {
            task: {
                name: list(value) if isinstance(value, tuple) else value
                for name, value in own.items()
            }
            for task, own in self.settings_of.items()
        }
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in plain.items()
        }

    def toml(self) -> str:
        """The complete specification as TOML."""
        import tomli_w

        return tomli_w.dumps(self.as_dict())

    def write(self, path: Path) -> None:
        """Write the complete specification as TOML."""
        path.write_text(self.toml(), encoding="utf-8", newline="\n")

    @classmethod
    def read(cls, path: Path, components: bool = True) -> "Spec":
        """Read a specification; what it does not say has its default.

        ``components`` as for the class: without, a file can be read that is not trusted.

        Raises
        ------
        InputError
            If the file is missing, is no TOML, or a value is not allowed.
        """
        return cls.of(read_values(path), components)

    @classmethod
    def of(cls, given: Mapping[str, Any], components: bool = True) -> "Spec":
        """Make a specification from plain values.

        Raises
        ------
        InputError
            If a name is unknown or a value is not allowed.
        """
        known = [f.name for f in fields(cls)]
        for name in given:
            choose("spec", name, known)
        return cls(**given, components=components)

    def with_values(self, **values: Any) -> "Spec":
        """The same specification with some values replaced, for every task.

        A value that is replaced is no longer a setting of single tasks, unless ``settings_of`` is
        given too.
        """
        if "settings_of" not in values:
            kept = {
                task: {name: value for name, value in own.items() if name not in values}
                for task, own in self.settings_of.items()
            }
            values["settings_of"] = {task: own for task, own in kept.items() if own}
        return replace(self, **values)


def read_values(path: Path) -> dict[str, Any]:
    """What a specification file says, not yet checked.

    Raises
    ------
    InputError
        If the file is missing or no TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"spec: {path} cannot be read ({error})") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"spec: {path} is not valid TOML ({error})") from error


def default_spec() -> Spec:
    """Return the default benchmark: rules on digits and on MNIST-1D, a tanh net, cross-entropy."""
    return Spec(
        tasks=("digits", "mnist_1d"),
        samples=SAMPLES,
        samples_of=SAMPLES_OF,
        learning_rates=LEARNING_RATES,
        settings_of=SETTINGS_OF,
    )


def _hidden(name: str, value: Any) -> tuple[int, ...]:
    return sizes(name, value, fewest=0)


def _settings(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise refusal(name, value, "a table of settings")
    for setting in value:
        choose(name, setting, OF_TASKS)
    # As they are in the fields that they stand for.
    return {setting: tuple(own) if isinstance(own, list) else own for setting, own in value.items()}


def _tasks(name: str, value: Any) -> tuple[str, ...]:
    texts = (value,) if isinstance(value, str) else value
    if not isinstance(texts, Iterable) or not all(isinstance(text, str) for text in texts):
        raise refusal(name, value, "a list of tasks")
    return tuple(texts)


def _table(name: str, values: Any, check: Callable[[str, Any], Any]) -> dict[str, Any]:
    if not isinstance(values, Mapping):
        kind = {"hidden_of": "architecture", "settings_of": "task"}.get(name, "rule")
        raise refusal(name, values, f"a table with a value for each {kind}")
    return {rule: check(f"{name}[{rule}]", value) for rule, value in values.items()}


def _count(name: str, value: object) -> int:
    return integer(name, value, least=1)


def _range(name: str, value: Any) -> None:
    if not isinstance(value, list | tuple) or len(value) != 2 or not 0 < value[0] < value[1]:
        raise refusal(name, value, "a lower and a higher rate")


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
