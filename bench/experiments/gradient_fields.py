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

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from plausibench.architectures.network import Network
from plausibench.bench.draws import WITHIN, prepare
from plausibench.bench.exact import closed_form, exact
from plausibench.bench.experiments.cells import OBJECTIVES, first_cell
from plausibench.bench.experiments.parts import Part, Rows
from plausibench.bench.registry import snake
from plausibench.bench.vectors import vector
from plausibench.kernels.errors import InputError, integer
from plausibench.kernels.streams import generator, stream
from plausibench.kernels.threads import one_blas_thread
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.rule import Rule

if TYPE_CHECKING:
    import pandas as pd

    from plausibench.bench.report.render import Table
    from plausibench.bench.report.style import Picture

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
    "hebb",
    "oja",
)
TABLES = ("fields", "rules")
"""Names of the tables of the report."""

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


def report(rows: "pd.DataFrame") -> "tuple[dict[str, Table], list[Picture]]":
    """Tables by name, and pictures."""
    from plausibench.bench.report.gradient_fields import fields, gradient_fields, rules

    return {"fields": fields(rows), "rules": rules(rows)}, [gradient_fields(rows)]


def parts(
    rules: tuple[str, ...] = RULES,
    objectives: tuple[str, ...] = OBJECTIVES,
    seeds: int = 5,
    seed: int = 0,
) -> list[Part]:
    """Independent parts of the study.

    Parameters
    ----------
    rules
        Selectors of the rules whose Jacobian is measured.
    objectives
        Selectors of objectives: each rule takes the first that it runs with.
    seeds, seed
        Number of seeds, at least 2, and the first; each has its own weights, feedback and batch.

    Returns
    -------
    list of Part
        Rows of the fields have ``field``, ``start``, ``quantity`` and ``value``, points of paths
        ``x`` and ``y`` too; those of rules ``rule``, ``seed``, ``quantity`` and
        ``value``.

    Raises
    ------
    InputError
        If an argument is not allowed, or a rule has no mean that is known exactly.
    """
    seeds = integer("seeds", seeds, least=2)
    seed = integer("seed", seed, least=0)
    for rule in rules:
        mean_update(*first_cell(rule, SIZES, seed, objectives), examples(seed), seed)
    todo = [Part(name, path_rows, (name,)) for name in FIELDS]
    todo += [Part("Euler steps", euler_rows, (step,)) for step in EULER]
    todo += [
        Part(rule, rule_rows, (rule, objectives, one))
        for rule in rules
        for one in range(seed, seed + seeds)
    ]
    return todo


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


def path_rows(name: str) -> Rows:
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
    rows: Rows = []
    for start in range(len(STARTS)):
        about = {"field": name, "start": start}
        rows += [
            {**about, "quantity": quantity, "value": float(values[start])}
            for quantity, values in found.items()
        ]
        rows += [
            {
                **about,
                "quantity": "point",
                "value": number * STEP,
                "x": float(points[number, start, 0]),
                "y": float(points[number, start, 1]),
            }
            for number in range(0, STEPS + 1, SHOWN)
        ]
    return rows


def euler_rows(step: float) -> Rows:
    """Height gained by Euler steps along the orthogonal field, which keeps it."""
    points = np.array(STARTS)
    for _ in range(round(DURATION / step)):
        points = points + step * rotated(points)
    drift = height(points) - height(np.array(STARTS))
    return [
        {
            "field": "orthogonal, Euler",
            "start": start,
            "quantity": "drift",
            "step": step,
            "value": float(value),
        }
        for start, value in enumerate(drift)
    ]


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


def rule_rows(rule: str, objectives: tuple[str, ...], seed: int) -> Rows:
    """How far a rule's mean update lies along the gradient, and how far it is a gradient."""
    made, network, objective = first_cell(rule, SIZES, seed, objectives)
    batch = examples(seed)
    with one_blas_thread():
        update = mean_update(made, network, objective, batch, seed)
        g = vector(network, network.gradient(objective, batch))
        along, across = decomposed(update, g)
        matrix = jacobian(made, network, objective, batch, seed)
    length = float(np.linalg.norm(update))
    found = {
        "along": along,
        "across": float(np.linalg.norm(across)) / length if length else float("nan"),
        "antisymmetric": antisymmetric_share(matrix),
    }
    return [
        {
            "rule": rule,
            "architecture": network.architecture,
            "objective": snake(type(objective).__name__),
            "seed": seed,
            "quantity": quantity,
            "value": value,
        }
        for quantity, value in found.items()
    ]
