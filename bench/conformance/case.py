"""Where a rule is checked: small networks, with data of a random teacher."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace

import numpy as np

from plausibench.architectures.network import Network
from plausibench.bench.components import registry
from plausibench.bench.components.penalties import with_penalty
from plausibench.bench.components.support import obstacle
from plausibench.bench.measuring.draws import Setting, prepare
from plausibench.bench.measuring.measurement import estimates
from plausibench.kernels.errors import InputError
from plausibench.kernels.streams import generator
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import form
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Rule, State

Array = np.ndarray
Arrays = dict[str, Array]

SIZES = (6, 5, 4, 3)
SHAPES = (SIZES, (5, 7, 3), (4, 6, 5, 4, 3))
"""Layer sizes of the networks in which theory is tested: the first, one hidden layer, and three."""
FEW = {"escape_rnn": 5}
"""Neurons of a hidden layer at most, where the gradient is summed over all patterns of spikes."""
EXAMPLES = 8
PREFERRED = {"architecture": ("mlp", "dendritic"), "objective": ("cross_entropy",)}

SMALL = ("sigma", "nudging")
"""Options that are the small parameter of a rule's bias, if it has one of them."""


@dataclass(frozen=True)
class Case:
    """Network, objective and batch on which a rule is checked."""

    network: Network
    objective: Objective
    batch: Batch
    seed: int = 0

    def copy(self) -> "Case":
        """Return the same with arrays of its own, for a rule that may write into them."""
        parameters = {name: array.copy() for name, array in self.network.parameters.items()}
        return replace(
            self,
            network=self.network.with_parameters(parameters),
            batch=self.batch.take(range(self.batch.size)),
        )

    def setting(self, rule: Rule, state: State | None = None) -> Setting:
        """Prepare the rule here."""
        return prepare(rule, self.network, self.objective, self.batch, state, self.seed)

    def estimates(
        self, rule: Rule, samples: int, state: State | None = None, dtype: str = "float64"
    ) -> Arrays:
        """Draw the first samples of the rule here, ``(samples, *shape)`` per parameter."""
        return estimates(
            rule,
            self.network,
            self.objective,
            self.batch,
            samples,
            self.seed,
            state=state,
            dtype=dtype,
        )


def case_for(rule: Rule) -> Case:
    """Return the first small network and objective that a rule supports.

    Raises
    ------
    InputError
        If the rule supports no registered combination.
    """
    reasons = []
    for network in (each for sizes in SHAPES for each in networks(sizes)):
        batch = teacher_batch(network)
        for objective in objectives(network, batch):
            reason = unsupported(rule, network, objective)
            if reason is None:
                return Case(network, objective, batch)
            reasons.append(reason)
    raise InputError(
        f"rule: {type(rule).__name__} supports no registered architecture and objective "
        f"({reasons[0] if reasons else 'there are none'}); give a case"
    )


def cases_for(rule: Rule) -> list[Case]:
    """Small networks and objectives that a rule supports, to test its theory in.

    Every objective on the first network, and the first objective that the rule supports on
    each of the other architectures and shapes.
    """
    found: list[Case] = []
    for sizes in SHAPES:
        for network in networks(sizes):
            batch, first = teacher_batch(network), not found
            for objective in objectives(network, batch):
                if unsupported(rule, network, objective) is None:
                    found.append(Case(network, objective, batch))
                    if not first:
                        break
    return found


def networks(sizes: tuple[int, ...] = SIZES) -> Iterator[Network]:
    """Small networks of every architecture that can be built from its sizes alone."""
    for name in _ordered("architecture"):
        try:
            yield small_network(name, sizes)
        except InputError:
            continue


def objectives(network: Network, batch: Batch) -> Iterator[Objective]:
    """Objectives that the targets of the batch fit."""
    for name in _ordered("objective"):
        try:
            objective: Objective = registry.make("objective", name)
            objective.check(batch.targets, network.output.size)
        except InputError:
            continue
        if objective.data is not objective or not objective.reads_targets:
            continue  # sums repeat their terms, and what reads no targets learns of no teacher
        yield objective


def _ordered(kind: str) -> list[str]:
    first = PREFERRED[kind]
    return [*first, *(name for name in registry.entries(kind) if name not in first)]


def small_network(architecture: str, sizes: tuple[int, ...] = SIZES) -> Network:
    """Build a small network whose biases are not zero.

    Raises
    ------
    InputError
        If the architecture has no sizes, or other options without default.
    """
    component = registry.find("architecture", architecture)
    if all(field.name != "sizes" for field in fields(component)):
        raise InputError(f"architecture: {architecture} has no sizes")
    hidden = (min(size, FEW.get(architecture, size)) for size in sizes[1:-1])
    sizes = (sizes[0], *hidden, sizes[-1])
    network: Network = registry.make("architecture", architecture, sizes=sizes)
    shifted = {
        name: array + 0.1 * generator(0, "conformance", name).standard_normal(array.shape)
        for name, array in network.parameters.items()
    }
    return network.with_parameters(shifted)


def teacher_batch(network: Network) -> Batch:
    """Gaussian inputs with the class that a random linear teacher gives them, and random keys."""
    inputs = generator(0, "conformance", "inputs").standard_normal((EXAMPLES, network.inputs))
    weights = generator(0, "conformance", "teacher").standard_normal(
        (network.inputs, network.output.size)
    )
    keys = generator(0, "conformance", "keys").permutation(1000)[:EXAMPLES]
    return Batch(inputs, (inputs @ weights).argmax(axis=1), keys)


def unsupported(rule: Rule, network: Network, objective: Objective) -> str | None:
    """Ask the rule why it cannot run there.

    Raises
    ------
    InputError
        If the rule raises instead of answering.
    """
    try:
        return obstacle(rule, network, objective)
    except Exception as error:
        raise InputError(
            f"{type(rule).__name__}.unsupported raised {type(error).__name__}: {error}"
        ) from error


def draw(setting: Setting, numbers: list[int], noise: type[Noise] = Noise) -> Arrays:
    """Samples of the given numbers ``(S, *shape)``, asked of the rule itself in one chunk."""
    asked = np.array(numbers, dtype=np.int64)
    given = setting.rule.estimate(
        setting.network,
        setting.objective.data,
        setting.batch,
        setting.clean,
        setting.state,
        noise(setting.seed, asked, setting.batch.keys, setting.network.dtype),
    )
    formed = with_penalty(
        form(setting.network, given), setting.objective, setting.network.parameters
    )
    return {
        p.name: np.broadcast_to(formed[p.name], (asked.size, *p.synapse.shape))
        for p in setting.network.projections
    }


def differing(one: Mapping[str, Array], two: Mapping[str, Array]) -> list[str]:
    """Names of the arrays that differ in a bit, a type or a shape."""
    return [
        name
        for name in {**one, **two}
        if name not in one
        or name not in two
        or one[name].dtype != two[name].dtype
        or one[name].shape != two[name].shape
        or one[name].tobytes() != two[name].tobytes()
    ]


def distance(one: Arrays, two: Arrays) -> float:
    """Largest distance between the arrays of a parameter, relative to their length."""
    largest = 0.0
    for name in one:
        length = max(np.linalg.norm(one[name]), np.linalg.norm(two[name]))
        if length > 0:
            largest = max(largest, float(np.linalg.norm(one[name] - two[name]) / length))
    return largest


def small_parameter(rule: Rule) -> str | None:
    """Name of the option in which the bias vanishes."""
    names = [field.name for field in fields(rule)]  # type: ignore[arg-type]
    return next((name for name in SMALL if name in names), None)


def with_option(rule: Rule, name: str, value: float) -> Rule:
    """Return the rule with another value of one option."""
    # A rule is a dataclass, which its base, that mypy knows, is not.
    changed: Rule = replace(rule, **{name: value})  # type: ignore[type-var]
    return changed


def rounding(rule: Rule) -> float:
    """Relative rounding in float64 to allow where sums run in another order.

    A difference quotient divides the rounding of the loss by the small parameter.
    """
    small = small_parameter(rule)
    return 1e-12 if small is None else max(1e-12, 1e-15 / float(getattr(rule, small)))
