"""The specification of a run: everything its results depend on."""

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from plausibench.bench import registry
from plausibench.bench.optimisers import OPTIMISERS
from plausibench.bench.selectors import Selector, select
from plausibench.kernels.errors import InputError, choose, integer, nearest, positive, sizes

PROTOCOLS = ("shared", "own")
PAIRINGS = ("first", "all")


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
    hidden
        Hidden layer sizes of architectures whose ``sizes`` are not named.
    protocols
        ``shared`` measures every rule at the weights of a backpropagation run, ``own`` at
        those of its own training.
    checkpoints
        Training steps at which to measure.
    seeds, seed
        Number of seeds, and the first of them.
    samples
        Draws of the estimator with the feedback held.
    marginal_samples
        Draws with the feedback redrawn, for rules with random feedback.
    averaging_samples
        Draws for the averaging curve.
    batch_size
        Examples in the batch at which bias and variance are measured.
    training_batch_size, optimiser, learning_rate, learning_rates
        How the networks are trained; ``learning_rates`` overrides the rate for a rule.
    plugins
        Plug-in files to load first.
    """

    tasks: tuple[str, ...] = ("digits",)
    architectures: tuple[str, ...] = ("mlp", "dendritic")
    objectives: tuple[str, ...] = ("cross_entropy", "mean_squared_error")
    rules: tuple[str, ...] = (
        "backprop",
        "feedback_alignment",
        "direct_feedback_alignment",
        "weight_perturbation",
        "node_perturbation",
        "attention_gated",
        "brainprop",
        "dendritic_error",
        "dendritic_error[feedback=random]",
    )
    pairing: str = "first"
    hidden: tuple[int, ...] = (32, 32)
    protocols: tuple[str, ...] = PROTOCOLS
    checkpoints: tuple[int, ...] = (0, 100, 1000)
    seeds: int = 5
    seed: int = 0
    samples: int = 4000
    marginal_samples: int = 400
    averaging_samples: int = 1024
    batch_size: int = 32
    training_batch_size: int = 32
    optimiser: str = "sgd"
    learning_rate: float = 0.1
    learning_rates: Mapping[str, float] = field(default_factory=dict)
    plugins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for path in self.plugins:
            registry.load_plugin(path)
        for kind in registry.KINDS:
            self._set(f"{kind}s", _selectors(kind, getattr(self, f"{kind}s")))
        choose("pairing", self.pairing, PAIRINGS)
        self._set("hidden", sizes("hidden", self.hidden, fewest=0))
        self._set("protocols", _names("protocols", self.protocols, PROTOCOLS))
        self._set("checkpoints", _checkpoints(self.checkpoints))
        integer("seed", self.seed, least=0)
        for name in ("seeds", "samples", "marginal_samples", "averaging_samples"):
            integer(name, getattr(self, name), least=1)
        for name in ("batch_size", "training_batch_size"):
            integer(name, getattr(self, name), least=1)
        choose("optimiser", self.optimiser, OPTIMISERS)
        positive("learning_rate", self.learning_rate)
        rates = {
            str(select("rule", rule)): positive(f"learning_rates[{rule}]", rate)
            for rule, rate in self.learning_rates.items()
        }
        self._set("learning_rates", rates)

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def rate(self, rule: str) -> float:
        """Learning rate of a rule, by its selector or else its name."""
        name = rule.partition("[")[0]
        return self.learning_rates.get(rule, self.learning_rates.get(name, self.learning_rate))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as they stand in ``spec.toml``."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in plain.items()
        }

    def write(self, path: Path) -> None:
        """Write the complete specification as TOML."""
        import tomli_w

        path.write_text(tomli_w.dumps(self.as_dict()), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Spec":
        """Read a specification; what it does not say has its default.

        Raises
        ------
        InputError
            If the file is missing, is no TOML, or a value is not allowed.
        """
        try:
            given = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"spec: {path} cannot be read ({error})") from error
        except tomllib.TOMLDecodeError as error:
            raise InputError(f"spec: {path} is not valid TOML ({error})") from error
        return cls.of(given)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Spec":
        """Make a specification from plain values.

        Raises
        ------
        InputError
            If a name is unknown or a value is not allowed.
        """
        known = {f.name: f for f in fields(cls)}
        for name in given:
            if name not in known:
                near = nearest(name, known)
                hint = f"; did you mean {near!r}?" if near else ""
                raise InputError(f"spec: {name!r} is not a field; it has {', '.join(known)}{hint}")
        plain: dict[str, Any] = {}
        for name, value in given.items():
            default = known[name].default
            wants_list = default is not MISSING and isinstance(default, tuple)
            if wants_list and not isinstance(value, list | tuple):
                raise InputError(f"{name}: {value!r} is not a list")
            plain[name] = tuple(value) if wants_list else value
        if not isinstance(plain.get("learning_rates", {}), Mapping):
            raise InputError(f"learning_rates: {plain['learning_rates']!r} is not a table of rates")
        return cls(**plain)

    def with_values(self, **values: Any) -> "Spec":
        """The same specification with some values replaced."""
        return replace(self, **values)


def default_spec() -> Spec:
    """Return the default benchmark: every built-in rule on real digits, a tanh net, CE."""
    return Spec(learning_rates=LEARNING_RATES)


LEARNING_RATES: dict[str, float] = {}
"""Rates of the default benchmark."""


def _selectors(kind: str, texts: Any) -> tuple[str, ...]:
    listed: list[Selector] = [select(kind, text) for text in texts]
    if not listed:
        raise InputError(f"{kind}s: the list is empty; name at least one {kind}")
    return tuple(dict.fromkeys(str(selector) for selector in listed))


def _names(name: str, values: Any, allowed: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise InputError(f"{name}: the list is empty; choose from {', '.join(allowed)}")
    return tuple(dict.fromkeys(choose(name, value, allowed) for value in values))


def _checkpoints(values: Any) -> tuple[int, ...]:
    if not values:
        raise InputError(
            "checkpoints: the list is empty; name at least one training step, such as 0"
        )
    return tuple(sorted({integer("checkpoints", value, least=0) for value in values}))
