r"""Improvement against step (Richards et al. 2019, Box 1): dF = dW . grad F, for small steps.

The network is at initialisation, on one batch of digits; every length is relative to that of the
weights.

**First order.** For steps of length s along a rule's estimate, what ``dW . grad F`` leaves of the
change of the loss is of order s squared, whatever the rule: measured over five decades of s.

**Directions.** Of 10 000 random directions of equal length none improves more than the gradient,
to first order and at a short step. But there are P - 1 directions, orthogonal to each other but
for what they share with the gradient, that improve exactly as much as each other: half as much as
the gradient does. They are all made, by a Householder reflection. So improvement alone does not
tell which rule changed the weights.

**Steps.** A rule's estimate may be biased, or noisy: the share of its draws along which a step
improves the loss, against the length of the step. The null is a random direction.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from plausibench.architectures.network import Network
from plausibench.bench.components.support import first_cell
from plausibench.bench.measuring.draws import WITHIN, Setting, formed_blocks, prepare
from plausibench.bench.measuring.step import decrease
from plausibench.bench.measuring.vectors import vector, vectors
from plausibench.bench.running.job import Job, Row
from plausibench.bench.studies.study import Study
from plausibench.bench.tasks.digits import Digits
from plausibench.kernels.errors import integer
from plausibench.kernels.streams import generator, stream

Array = np.ndarray

RULES = (
    "backprop",
    "attention_gated",
    "node_perturbation",
    "weight_perturbation",
    "feedback_alignment",
    "dendritic_error",
    "predictive_coding",
    "hebb[readout=false]",
)
NULL = "random direction"

HIDDEN = 16
EXAMPLES = 64
DECADES = np.geomspace(10**-6.5, 10**-1.5, 11)
"""Lengths at which the remainder is measured."""
LENGTHS = np.geomspace(1e-3, 1.0, 13)
"""Lengths of the steps that are judged."""
DIRECTIONS = 10_000
SHORT = 1e-4
"""Length at which directions are tried."""
SHARE = 0.5
"""Share of the gradient's improvement that a family of directions has."""
BLOCK = 250
"""Directions at a time."""
EDGES = np.linspace(-5, 5, 51)
"""Bins of the cosine with the gradient, times the root of the number of weights."""


@dataclass(frozen=True)
class Options:
    """What to measure.

    Parameters
    ----------
    rules
        Selectors.
    samples
        Draws of each rule along which steps are taken, at least 2; a deterministic rule has one.
    seeds, seed
        Number of seeds, at least 2, and the first; each has its own weights, feedback, examples
        and draws.

    Raises
    ------
    InputError
        If a value is not allowed, or a rule cannot run.
    """

    rules: tuple[str, ...] = RULES
    samples: int = 200
    seeds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        integer("samples", self.samples, least=2)
        integer("seeds", self.seeds, least=2)
        integer("seed", self.seed, least=0)
        for rule in self.rules:
            first_cell(rule, (1, 2, 2), self.seed)


def jobs(options: Options) -> list[Job]:
    """A job for each rule and seed, for the null, and (without a rule) for directions.

    Rows have ``quantity``, ``value``, and some ``at`` (a length or the middle of a bin).
    """
    samples, seeds = options.samples, range(options.seed, options.seed + options.seeds)
    return [
        *(Job({"rule": "", "seed": seed}, direction_rows, (seed,)) for seed in seeds),
        *(Job({"rule": NULL, "seed": seed}, null_rows, (samples, seed)) for seed in seeds),
        *(
            Job({"rule": rule, "seed": seed}, rule_rows, (rule, samples, seed))
            for rule in options.rules
            for seed in seeds
        ),
    ]


def setting(rule: str, seed: int) -> Setting:
    """A rule on its network, with a batch of digits."""
    task = Digits()
    sizes = (task.inputs_size, HIDDEN, task.outputs_size)
    made, network, objective = first_cell(rule, sizes, seed)
    batch = task.batch(EXAMPLES, seed=stream(seed, "improvement"))
    return prepare(made, network, objective, batch, None, seed)


def as_arrays(network: Network, rows: Array) -> dict[str, Array]:
    """Vectors of all parameters ``(S, P)`` as one array ``(S, *shape)`` for each."""
    sizes = [p.synapse.shape for p in network.projections]
    ends = np.cumsum([np.prod(shape, dtype=int) for shape in sizes])[:-1]
    cut = np.split(rows, ends, axis=1)
    return {
        p.name: part.reshape(len(rows), *shape)
        for p, part, shape in zip(network.projections, cut, sizes, strict=True)
    }


def _unit(rows: Array) -> Array:
    """Rows of length 1; a row of zeros stays."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1.0)


def _scale(cell: Setting) -> float:
    """Length of the weights, and the unit of steps."""
    return float(np.linalg.norm(vector(cell.network, cell.network.parameters)))


def _gradient(cell: Setting) -> Array:
    return vector(cell.network, cell.network.gradient(cell.objective, cell.batch, cell.clean))


def rule_rows(rule: str, samples: int, seed: int) -> Iterator[Row]:
    """Remainder of the first order along one draw, and the share of draws that improve."""
    cell = setting(rule, seed)
    count = samples if cell.rule.randomness() & WITHIN else 1
    blocks = [vectors(cell.network, one) for one in formed_blocks(cell, count, WITHIN)]
    drawn = _unit(np.concatenate(blocks))
    yield from _remainder(cell, drawn[0])
    yield from _improving(cell, drawn)


def null_rows(samples: int, seed: int) -> Iterator[Row]:
    """The share of random directions along which a step improves the loss."""
    cell = setting("backprop", seed)
    draw = generator(seed, "rule", "improvement", NULL)
    yield from _improving(cell, _unit(draw.standard_normal((samples, cell.network.size))))


def _remainder(cell: Setting, direction: Array) -> Iterator[Row]:
    """Distance of the change of the loss to its first order, by length of the step."""
    lengths = _scale(cell) * DECADES
    draws = as_arrays(cell.network, np.repeat(direction[None], len(lengths), axis=0))
    first = lengths * float(direction @ _gradient(cell))
    left = np.abs(decrease(cell, draws, lengths) - first)
    for at, value in zip(DECADES, left, strict=True):
        yield {"quantity": "remainder", "at": float(at), "value": float(value)}


def _improving(cell: Setting, drawn: Array) -> Iterator[Row]:
    """Share of directions ``(S, P)`` along which a step of each length improves the loss."""
    draws = as_arrays(cell.network, drawn)
    for at in LENGTHS:
        gained = decrease(cell, draws, _scale(cell) * at)
        yield {"quantity": "improves", "at": float(at), "value": float((gained > 0).mean())}


def family(g: Array, share: float, members: Array) -> Array:
    r"""Directions of length 1 that improve by a share of what the gradient does, all alike.

    .. math:: d_i = c\, g / |g| + \sqrt{1 - c^2}\, u_i

    with c the share and :math:`u_1, \dots, u_{P-1}` orthonormal and orthogonal to g: the columns
    but the first of the Householder reflection that takes the first axis to g.

    Parameters
    ----------
    g
        Gradient ``(P,)``.
    share
        From 0 to 1.
    members
        Which of the P - 1, counted from 0, ``(M,)``.

    Returns
    -------
    ndarray, shape (M, P)
    """
    unit = g / np.linalg.norm(g)
    # Away from the axis that is closest, so that nothing cancels.
    sign = -1.0 if unit[0] >= 0 else 1.0
    mirror = unit.copy()
    mirror[0] -= sign
    across = np.zeros((len(members), len(g)))
    across[np.arange(len(members)), members + 1] = 1.0
    across -= np.outer(across @ mirror, 2 * mirror / (mirror @ mirror))
    return share * unit + np.sqrt(1 - share**2) * across


def direction_rows(seed: int) -> Iterator[Row]:
    """Random directions against the gradient, and a family of equal improvement."""
    cell = setting("backprop", seed)
    g = _gradient(cell)
    length, most = _scale(cell) * SHORT, float(np.linalg.norm(g))
    (best,) = decrease(cell, as_arrays(cell.network, (g / most)[None]), length)
    draw = generator(seed, "rule", "improvement", "directions")
    first, realised = [], []
    for _ in range(DIRECTIONS // BLOCK):
        drawn = _unit(draw.standard_normal((BLOCK, g.size)))
        first.append(drawn @ g / most)
        realised.append(decrease(cell, as_arrays(cell.network, drawn), length) / best)
    cosines, gained = np.concatenate(first), np.concatenate(realised)
    alike, alike_gained = [], []
    for begin in range(0, g.size - 1, BLOCK):
        members = family(g, SHARE, np.arange(begin, min(begin + BLOCK, g.size - 1)))
        alike.append(members @ g / most)
        alike_gained.append(decrease(cell, as_arrays(cell.network, members), length) / best)
    shares, realised_shares = np.concatenate(alike), np.concatenate(alike_gained)
    found = {
        "weights": float(g.size),
        "best cosine": float(cosines.max()),
        "best improvement": float(gained.max()),
        "better than the gradient": float((gained >= 1).sum()),
        "improving": float((gained > 0).mean()),
        "members": float(shares.size),
        "apart to first order": float(np.ptp(shares)),
        "least of the family": float(realised_shares.min()),
        "most of the family": float(realised_shares.max()),
    }
    for quantity, value in found.items():
        yield {"quantity": quantity, "value": value}
    counts, _ = np.histogram(cosines * g.size**0.5, EDGES)
    density = counts / (DIRECTIONS * np.diff(EDGES))
    middles = (EDGES[1:] + EDGES[:-1]) / 2
    for at, value in zip(middles, density, strict=True):
        yield {"quantity": "density", "at": float(at), "value": float(value)}


IMPROVEMENT = Study(
    name="improvement",
    summary="improvement against step, directions of equal improvement, steps that improve",
    options=Options,
    keys=("rule", "seed", "quantity", "at"),
    jobs=jobs,
    report="plausibench.bench.studies.improvement.report:report",
)
