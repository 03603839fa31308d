r"""Rules that do not follow a gradient, and what tells them apart (Richards et al. 2019, Fig. 3).

**Fields.** On a surface of performance over two weights, the sum of two gaussian hills, three
rules are followed by fourth-order Runge-Kutta steps: the gradient g; J g, which is orthogonal to
it everywhere and so keeps performance; and a mixture ``a g + b J g``, which climbs too. Along
any path, the mixture gains the share ``a / sqrt(a^2 + b^2)`` of what its length could have
gained. Euler steps of length h leave the level set of an orthogonal rule by h^2 a step: they
climb or fall where the rule itself does neither, and the drift over a given time is of order h.

**Rules.** Any update splits into a part along the gradient and one across it,

.. math:: \hat g = \alpha g + \hat g_\perp, \qquad \alpha = \hat g \cdot g / |g|^2.

Where :math:`\alpha > 0`, a small step improves performance; that does not make the rule the
gradient of anything. It is the gradient of some function if and only if its Jacobian J over the
weights is symmetric (Box 3), so

.. math:: |J - J^T| / (|J - J^T| + |J + J^T|)

is 0 for backpropagation, whose Jacobian is the Hessian. It is 1/2 on average for a matrix without
any order, and 1 for a pure rotation. The Jacobian is that of the mean update: rules with random
draws take part if their mean is known exactly. The state of a rule is its initial one, feedback
held, except where it follows the weights.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from plausibench.architectures.network import Network
from plausibench.bench.components.registry import snake
from plausibench.bench.components.support import OBJECTIVES, first_cell
from plausibench.bench.measuring.draws import WITHIN, prepare
from plausibench.bench.measuring.exact import closed_form, exact
from plausibench.bench.measuring.vectors import vector
from plausibench.bench.running.job import Job, Row
from plausibench.bench.studies.study import Study
from plausibench.kernels.errors import InputError, integer
from plausibench.kernels.streams import generator, stream
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.rule import Rule

Array = np.ndarray
Field = Callable[[Array], Array]

RULES = (
    "backprop",
    "node_perturbation",
    "attention_gated",
    "sign_symmetry",
    "feedback_alignment",
    "direct_feedback_alignment",
    "dendritic_error",
    "predictive_coding",
    "predictive_coding[variant=nudged,step=0.3,steps=200]",
    "contrastive_hebbian",
    "equilibrium_propagation",
    "hebb[readout=false]",
    "oja[readout=false]",
)

CENTRES = np.array([[-1.0, 0.0], [1.0, 0.4]])
HEIGHTS = np.array([1.0, 0.7])
WIDTHS = np.array([0.9, 0.7])
MIXTURE = (0.5**0.5, 0.5**0.5)
"""Shares a and b of the gradient and of its rotation in the mixture."""
STARTS = ((-2.2, 1.0), (-0.6, -1.5), (2.4, 1.3), (1.3, -0.9))
STEP, STEPS = 0.02, 2000
"""Length and number of Runge-Kutta steps."""
SHOWN = 10
"""One step in so many is kept of a path."""
EULER = (0.02, 0.04, 0.08, 0.16)
"""Lengths of Euler steps."""
DURATION = 4.0
"""Time for which Euler steps follow the orthogonal field."""

SIZES = (6, 8, 3)
EXAMPLES = 32
DIFFERENCE = 1e-4
"""Change of a weight for central differences."""


@dataclass(frozen=True)
class Options:
    """What to measure.

    Parameters
    ----------
    rules
        Selectors of the rules whose Jacobian is measured.
    objectives
        Selectors of objectives: each rule takes the first that it runs with.
    seeds, seed
        Number of seeds, at least 2, and the first; each has its own weights, feedback and batch.

    Raises
    ------
    InputError
        If a value is not allowed, or a rule has no mean that is known exactly.
    """

    rules: tuple[str, ...] = RULES
    objectives: tuple[str, ...] = OBJECTIVES
    seeds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        integer("seeds", self.seeds, least=2)
        seed = integer("seed", self.seed, least=0)
        for rule in self.rules:
            mean_update(*first_cell(rule, SIZES, seed, self.objectives), examples(seed), seed)


def jobs(options: Options) -> list[Job]:
    """A job for each field, each length of Euler steps, and each rule and seed.

    Rows have ``quantity`` and ``value``; those of fields also ``start``, points of paths ``point``
    (number of steps), ``x`` and ``y`` too, and as value the time; those of rules ``architecture``
    and ``objective``.
    """
    return [
        *(Job({"field": name}, path_rows, (name,)) for name in FIELDS),
        *(Job({"field": "orthogonal, Euler", "step": step}, euler_rows, (step,)) for step in EULER),
        *(
            Job({"rule": rule, "seed": seed}, rule_rows, (rule, options.objectives, seed))
            for rule in options.rules
            for seed in range(options.seed, options.seed + options.seeds)
        ),
    ]


def height(points: Array) -> Array:
    """Performance at points ``(..., 2)``: two gaussian hills."""
    apart = points[..., None, :] - CENTRES
    hills = HEIGHTS * np.exp(-(apart**2).sum(axis=-1) / (2 * WIDTHS**2))
    total: Array = hills.sum(axis=-1)
    return total


def gradient(points: Array) -> Array:
    """Gradient of :func:`height`, ``(..., 2)``."""
    apart = points[..., None, :] - CENTRES
    hills = HEIGHTS * np.exp(-(apart**2).sum(axis=-1) / (2 * WIDTHS**2))
    slope: Array = -((hills / WIDTHS**2)[..., None] * apart).sum(axis=-2)
    return slope


def rotated(points: Array) -> Array:
    """J times the gradient: turned by a right angle, anticlockwise."""
    slope = gradient(points)
    return np.stack([-slope[..., 1], slope[..., 0]], axis=-1)


def mixture(points: Array) -> Array:
    """A mixture of the two."""
    along, across = MIXTURE
    return along * gradient(points) + across * rotated(points)


FIELDS: dict[str, Field] = {"gradient": gradient, "orthogonal": rotated, "mixture": mixture}


def runge_kutta(field: Field, point: Array, step: float) -> Array:
    """Point after a fourth-order Runge-Kutta step."""
    one = field(point)
    two = field(point + step / 2 * one)
    three = field(point + step / 2 * two)
    four = field(point + step * three)
    return point + step / 6 * (one + 2 * two + 2 * three + four)


def paths(field: Field) -> Array:
    """Points ``(STEPS + 1, N, 2)`` from all starts."""
    points = np.empty((STEPS + 1, len(STARTS), 2))
    points[0] = STARTS
    for number in range(STEPS):
        points[number + 1] = runge_kutta(field, points[number], STEP)
    return points


def path_rows(name: str) -> Iterator[Row]:
    """Every path in a field, and what it gained."""
    points = paths(FIELDS[name])
    heights = height(points)
    lengths = np.linalg.norm(np.diff(points, axis=0), axis=-1)
    # What paths of the same length could gain at their place: the trapezoid of |g| over length.
    slopes = np.linalg.norm(gradient(points), axis=-1)
    gain, possible = (
        heights[-1] - heights[0],
        (lengths * (slopes[1:] + slopes[:-1]) / 2).sum(axis=0),
    )
    found = {
        "gain": gain,
        "share": gain / possible,
        "change": np.abs(heights - heights[0]).max(axis=0),
        "slope at the end": slopes[-1],
        "length": lengths.sum(axis=0),
    }
    for start in range(len(STARTS)):
        for quantity, values in found.items():
            yield {"start": start, "quantity": quantity, "value": float(values[start])}
        for number in range(0, STEPS + 1, SHOWN):
            x, y = points[number, start]
            place = {"value": number * STEP, "x": float(x), "y": float(y)}
            yield {"start": start, "quantity": "point", "point": number, **place}


def euler_rows(step: float) -> Iterator[Row]:
    """Height gained by Euler steps along the orthogonal field, which keeps it."""
    points = np.array(STARTS)
    for _ in range(round(DURATION / step)):
        points = points + step * rotated(points)
    drift = height(points) - height(np.array(STARTS))
    for start, value in enumerate(drift):
        yield {"start": start, "quantity": "drift", "value": float(value)}


def examples(seed: int) -> Batch:
    """Gaussian inputs, with the classes of a random linear teacher."""
    draw = generator(seed, "data", "gradient_fields")
    inputs = draw.standard_normal((EXAMPLES, SIZES[0]))
    teacher = draw.standard_normal((SIZES[0], SIZES[-1]))
    return Batch(inputs, np.argmax(inputs @ teacher, axis=1))


def mean_update(
    rule: Rule, network: Network, objective: Objective, batch: Batch, seed: int
) -> Array:
    """Exact mean ``(P,)`` of a rule's estimate, feedback held.

    Raises
    ------
    InputError
        If it is not known.
    """
    setting = prepare(rule, network, objective, batch, None, stream(seed, "fields"))
    found = exact(setting, WITHIN) or closed_form(setting, WITHIN)
    if found is None:
        raise InputError(
            f"rules: the mean of {type(rule).__name__} is known by sampling only, which leaves no "
            "exact Jacobian"
        )
    return vector(network, found.mean)


def moved(network: Network, index: int, amount: float) -> Network:
    """The network with one weight, by its place in the vector of all, changed."""
    parameters = dict(network.parameters)
    for p in network.projections:
        array = parameters[p.name]
        if index < array.size:
            changed = array.copy()
            changed.reshape(-1)[index] += amount
            return network.with_parameters({**parameters, p.name: changed})
        index -= array.size
    raise IndexError(index)


def jacobian(rule: Rule, network: Network, objective: Objective, batch: Batch, seed: int) -> Array:
    """Derivative ``(P, P)`` of the mean update (rows) over the weights, by central differences."""
    columns = []
    for index in range(network.size):
        high, low = (
            mean_update(rule, moved(network, index, sign * DIFFERENCE), objective, batch, seed)
            for sign in (1, -1)
        )
        columns.append((high - low) / (2 * DIFFERENCE))
    return np.stack(columns, axis=1)


def antisymmetric_share(matrix: Array) -> float:
    """Share of a square matrix that is antisymmetric, from 0 to 1; 0 for one of zeros."""
    apart = float(np.linalg.norm(matrix - matrix.T))
    whole = apart + float(np.linalg.norm(matrix + matrix.T))
    return apart / whole if whole else 0.0


def decomposed(update: Array, g: Array) -> tuple[float, Array]:
    """Factor of the gradient in an update ``(P,)``, and what is left, orthogonal to it."""
    along = float(update @ g) / float(g @ g)
    return along, update - along * g


def rule_rows(rule: str, objectives: tuple[str, ...], seed: int) -> Iterator[Row]:
    """How far a rule's mean update lies along the gradient, and how far it is a gradient."""
    made, network, objective = first_cell(rule, SIZES, seed, objectives)
    batch = examples(seed)
    update = mean_update(made, network, objective, batch, seed)
    g = vector(network, network.gradient(objective, batch))
    along, across = decomposed(update, g)
    length = float(np.linalg.norm(update))
    found = {
        "along": along,
        "across": float(np.linalg.norm(across)) / length if length else float("nan"),
        "antisymmetric": antisymmetric_share(jacobian(made, network, objective, batch, seed)),
    }
    for quantity, value in found.items():
        yield {
            "architecture": network.architecture,
            "objective": snake(type(objective).__name__),
            "quantity": quantity,
            "value": value,
        }


GRADIENT_FIELDS = Study(
    name="gradient_fields",
    summary="rules that follow no gradient: fields, and the symmetry of Jacobians",
    options=Options,
    keys=("field", "step", "rule", "seed", "start", "quantity", "point"),
    jobs=jobs,
    report="plausibench.bench.studies.gradient_fields.report:report",
)
