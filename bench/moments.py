"""Streaming sums of the deviations of gradient estimates, without forming them if that pays."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from plausibench.architectures.network import Network, Projection
from plausibench.bench.deviations import dense_deviations, directional_deviations
from plausibench.bench.statistics import GROUPS, GroupSums, whole
from plausibench.rules.estimate import Directional, Estimate, Outer, form_one

Array = np.ndarray

BLOCK = 16
"""Samples drawn together; fixed, so that results do not depend on the number of workers."""


@dataclass(frozen=True)
class BlockSums:
    """Sums over the samples of one block: per parameter, and ``(d . g)^2`` of the whole net."""

    index: int
    count: int
    total: dict[str, Array]
    squares: dict[str, float]
    cross_squares: dict[str, float]
    whole_cross_squares: float


def block_sums(
    network: Network,
    estimates: Mapping[str, Estimate],
    reference: Mapping[str, Array],
    index: int,
    valid: int,
) -> BlockSums:
    """Sum the deviations of the first ``valid`` samples of a block.

    Parameters
    ----------
    estimates
        With a sample axis of at least ``valid``; further samples are padding.
    reference
        Reference gradient per parameter, float64.
    """
    total, squares, cross_squares = {}, {}, {}
    whole_cross = np.zeros(valid)
    for p in network.projections:
        total[p.name], q, cross = deviations(p, estimates[p.name], reference[p.name], valid)
        squares[p.name] = float(q.sum())
        cross_squares[p.name] = float((cross * cross).sum())
        whole_cross += cross
    return BlockSums(
        index, valid, total, squares, cross_squares, float((whole_cross * whole_cross).sum())
    )


def deviations(
    projection: Projection, estimate: Estimate, reference: Array, valid: int
) -> tuple[Array, Array, Array]:
    """Sum of d = estimate - g over samples ``(P,)``, and ``|d|^2`` and ``d . g`` per sample."""
    flat = np.ascontiguousarray(reference, dtype=np.float64).reshape(-1)
    total, squares, cross = np.zeros(flat.size), np.empty(valid), np.empty(valid)
    if isinstance(estimate, Directional):
        directions = estimate.direction[:valid].reshape(valid, -1)
        coefficients = np.asarray(estimate.coefficient, dtype=np.float64)
        directional_deviations(coefficients, directions, flat, total, squares, cross)
        return total, squares, cross
    if isinstance(estimate, Outer) and _gram_pays(projection, estimate):
        return _gram_deviations(projection, estimate, reference, valid)
    # Formed for the whole block, padding included, so that the products' bits do not depend
    # on how many samples were asked for.
    array = form_one(projection.synapse, estimate)
    formed = np.ascontiguousarray(array[:valid]).reshape(valid, -1)
    dense_deviations(formed, flat, total, squares, cross)
    return total, squares, cross


def _gram_pays(projection: Projection, estimate: Outer) -> bool:
    if estimate.pre.ndim != 2 or estimate.post.dtype != np.float64:
        return False
    direct, gram = projection.synapse.outer_cost(estimate.pre.shape[0])
    return gram < direct


def _gram_deviations(
    projection: Projection, estimate: Outer, reference: Array, valid: int
) -> tuple[Array, Array, Array]:
    """|post^T pre|^2 = <post post^T, pre pre^T>: examples squared instead of weights."""
    synapse, post, pre = projection.synapse, estimate.post, estimate.pre
    gram = post @ post.swapaxes(-1, -2)
    length = np.einsum("kbc,bc->k", gram, synapse.pre_gram(pre))[:valid]
    along = np.einsum("kbn,bn->k", post, synapse.project(reference, pre))[:valid]
    g2 = float((reference * reference).sum())
    total = synapse.outer(post[:valid].sum(axis=0), pre) - valid * reference
    return total.reshape(-1), length - 2 * along + g2, along - g2


class Moments:
    """Sums over samples in 20 groups; block i belongs to group i mod 20.

    Memory is 20 vectors of the size of the gradient, whatever the number of samples.
    """

    def __init__(self, reference: Mapping[str, Array]) -> None:
        self.reference = {
            name: np.asarray(array, dtype=np.float64) for name, array in reference.items()
        }
        self.count = np.zeros(GROUPS)
        self.whole_cross_squares = np.zeros(GROUPS)
        self.total = {name: np.zeros((GROUPS, g.size)) for name, g in self.reference.items()}
        self.squares = {name: np.zeros(GROUPS) for name in self.reference}
        self.cross_squares = {name: np.zeros(GROUPS) for name in self.reference}

    def add(self, block: BlockSums) -> None:
        """Add a block; the caller adds blocks in the order of their index."""
        group = block.index % GROUPS
        self.count[group] += block.count
        self.whole_cross_squares[group] += block.whole_cross_squares
        for name in self.reference:
            self.total[name][group] += block.total[name]
            self.squares[name][group] += block.squares[name]
            self.cross_squares[name][group] += block.cross_squares[name]

    def sums(self) -> dict[str, GroupSums]:
        """Sums per parameter, and under ``all`` for the whole net, of the groups with samples."""
        used = self.count > 0
        parts = {}
        for name, reference in self.reference.items():
            total, g = self.total[name][used], reference.reshape(-1)
            parts[name] = GroupSums(
                count=self.count[used],
                gram=total @ total.T,
                cross=total @ g,
                squares=self.squares[name][used],
                cross_squares=self.cross_squares[name][used],
                reference=float(g @ g),
            )
        return {**parts, "all": whole(parts, self.whole_cross_squares[used])}
