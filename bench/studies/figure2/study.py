"""The plane of Richards et al. 2019, Fig. 2, measured: every rule at its best training.

In each setting every rule is tuned by the same small search (``bench/studies/tuning/study.py``),
and then measured like the default benchmark: at shared weights and on its own trajectory, with
five seeds on digits and two elsewhere. A rule whose paper trains it on a network or a loss of its
own, with momentum or with other rates by layer, has those; not where depth or loss is the question.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from plausibench.bench.components import registry
from plausibench.bench.components.selectors import select
from plausibench.bench.studies.benchmark.spec import Spec, default_spec
from plausibench.bench.studies.benchmark.study import BENCHMARK
from plausibench.bench.studies.study import Stage, Stages, Study
from plausibench.bench.studies.tuning.study import TUNING, tuned
from plausibench.kernels.errors import InputError

ARCHITECTURES = (
    "mlp",
    "dendritic",
    "hopfield",
    "stochastic_mlp",
    "spiking_mlp",
    "rate_rnn",
    "spiking_rnn",
    "escape_rnn",
)
OBJECTIVES = ("cross_entropy", "mean_squared_error", "expected_reward")
ENUMERABLE = {"stochastic_mlp": (10,), "spiking_mlp": (10,), "escape_rnn": (6,)}
"""Hidden layers of networks whose reference gradient is enumerated."""
VARIANTS = (
    "dendritic_error[feedback=random]",
    "predictive_coding[variant=nudged]",
    "predictive_coding[variant=fixed_prediction]",
    "predictive_coding[variant=zero_divergence]",
    "equilibrium_propagation[variant=one_sided]",
    "forward_gradient[perturbing=activity]",
    "spiking_burstprop[feedback=symmetric]",
)
"""Rules whose options make another rule of them."""
EQUAL = {"real_time_recurrent_learning": "backpropagation_through_time"}
"""Rules that are placed by another one, whose estimate is the same to 1e-12 (their certificate
measures it): carrying every weight's influence forwards costs a thousand passes a step."""
BUDGET = {"samples": 1280, "averaging_samples": 256}
"""Draws where every rule is placed: the fewest with intervals that cover, in whole groups of the
jackknife, and half of the default averaging curve."""

SETTINGS: Mapping[str, dict[str, Any]] = {
    "digits": {},
    "mnist_5k": {"tasks": ("mnist_5k",), "seeds": 2},
    "mnist_1d": {
        "tasks": ("mnist_1d",),
        "optimiser": "adam",
        "learning_rate": 0.003,
        "checkpoints": (0, 200, 1000),
        "seeds": 2,
    },
    "deep": {"hidden": (32, 32, 32, 32), "paper_settings": False, "seeds": 2},
    "squared_error": {
        "objectives": ("mean_squared_error", "cross_entropy", "expected_reward"),
        "paper_settings": False,
        "seeds": 2,
    },
    "reward": {
        "objectives": ("expected_reward", "cross_entropy", "mean_squared_error"),
        "paper_settings": False,
        "seeds": 2,
    },
}
"""What each setting changes: the task, the depth, the objective that comes first."""


def rules(everything: bool) -> tuple[str, ...]:
    """Rules to place: all that are registered, with their variants, or those of the benchmark."""
    if not everything:
        return default_spec().rules
    return (*sorted(set(registry.entries("rule")) - set(EQUAL)), *VARIANTS)


def specification(setting: str, everything: bool) -> Spec:
    """Specification of a setting before it is tuned.

    Parameters
    ----------
    setting
        One of ``SETTINGS``.
    everything
        Whether to place every rule.
    """
    base = Spec(
        rules=rules(everything),
        architectures=ARCHITECTURES,
        objectives=OBJECTIVES,
        hidden_of=ENUMERABLE,
        paper_settings=True,
    )
    return base.with_values(**(BUDGET if everything else {}), **SETTINGS[setting])


@dataclass(frozen=True)
class Options:
    """What to change of every setting.

    Parameters
    ----------
    tasks
        Only the settings with one of these tasks; by default all.
    rules
        Rules to place, in place of those of the settings.
    seeds, seed, samples, marginal_samples, checkpoints
        As of the benchmark, in place of what the settings say.
    all
        Whether to place every rule that there is.

    Raises
    ------
    InputError
        If a value is not allowed, or no setting has such a task.
    """

    tasks: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    seeds: int | None = None
    seed: int | None = None
    samples: int | None = None
    marginal_samples: int | None = None
    checkpoints: tuple[int, ...] = ()
    all: bool = False

    def __post_init__(self) -> None:
        settings(self)


def settings(options: Options) -> dict[str, Spec]:
    """Specification of each setting before it is tuned, by its name."""
    values = {f.name: getattr(options, f.name) for f in fields(options)}
    changed = {name: value for name, value in values.items() if value not in (None, ())}
    tasks = {str(select("task", text)) for text in changed.pop("tasks", ())}
    everything = changed.pop("all")
    bases = {name: specification(name, everything) for name in SETTINGS}
    chosen = {
        name: base.with_values(**changed)
        for name, base in bases.items()
        if not tasks or tasks & set(base.tasks)
    }
    if not chosen:
        known = sorted({task for base in bases.values() for task in base.tasks})
        raise InputError(
            f"tasks: {', '.join(sorted(tasks))} is no setting; choose one of {', '.join(known)}"
        )
    return chosen


def stages(options: Options) -> Stages:
    """For each setting the search, and then the benchmark with what was found."""
    for name, spec in settings(options).items():
        search = yield Stage(f"{name}/tuning", TUNING, spec)
        yield Stage(f"{name}/run", BENCHMARK, tuned(spec, search.frame))


FIGURE2 = Study(
    name="figure2",
    summary="the plane of Richards et al. 2019, Fig. 2, with every rule tuned alike",
    options=Options,
    keys=(),
    jobs=stages,
)
