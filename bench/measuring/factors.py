"""Sums of the deviations of estimates at a projection, without forming them if that pays."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from plausibench.architectures.network import Activity, Projection
from plausibench.bench.measuring.deviations import deviations, inner, sum_posts
from plausibench.kernels.buffers import empty
from plausibench.rules.estimate import Dense, Directional, Estimate, Outer, form_one

Array = np.ndarray

BLOCK = 32
"""Samples drawn together; fixed, so that results do not depend on the number of workers."""
RUN = 16
"""Consecutive samples that belong to one group."""
RUNS = BLOCK // RUN
"""Runs in a block. They divide the groups, so that those of a block are neighbours."""


@dataclass(frozen=True)
class Factors:
    """What all samples share at a projection, computed once.

    Attributes
    ----------
    projection
        The projection.
    reference
        Reference gradient, float64.
    pre
        Presynaptic activity of the clean pass, ``(B, N_in)``.
    gram
        Inner products ``pre pre^T``, flat, ``(B B,)``; empty where they are of no use.
    along
        Factor R with ``<outer(post, pre), reference> = <post, R>``, flat, ``(B N_out,)``.
    g2
        ``|reference|^2``.
    pays
        Whether the Gram matrix costs less than forming the outer products.
    exponent
        Sums are in the unit ``2**exponent``; 0 unless gradient and estimates are far from 1.
    origin
        Deviations are from so many times the reference: 1, or 0 where companions are subtracted.
    """

    projection: Projection
    reference: Array
    pre: Array
    gram: Array
    along: Array
    g2: float
    pays: bool
    exponent: int = 0
    origin: float = 1.0

    @classmethod
    def of(
        cls,
        projection: Projection,
        clean: Activity,
        reference: Array,
        paid: bool = False,
        origin: float = 1.0,
    ) -> "Factors":
        """Compute the shared factors.

        ``paid`` says that another projection onto the same neurons has use for the inner products
        of the post factors: then those of the pre factors pay here too.
        """
        synapse, pre = projection.synapse, clean.presynaptic(projection)
        wide = pre.astype(np.float64, copy=False)
        pays = paying(projection, clean)
        known = pays or (paid and synapse.separable)
        with np.errstate(over="ignore"):  # of numbers that need another unit
            return cls(
                projection,
                reference,
                pre,
                synapse.pre_gram(wide).reshape(-1) if known else np.empty(0),
                synapse.drive(reference, wide).reshape(-1),
                float((reference * reference).sum()),
                pays,
                origin=origin,
            )

    def sums(
        self,
        estimate: Estimate,
        valid: int,
        other: Estimate | None = None,
        start: int = 0,
        total: Array | None = None,
    ) -> tuple[Array, Array, Array, Array | None]:
        """``|d|^2``, ``d . g`` and sums of d = estimate - origin * g, formed.

        They are of the first ``valid`` samples of a block, and so are the inner products with
        another estimate, if there is one. Estimates from the sample ``start`` on are added to the
        sums ``total`` of those before.
        """
        if total is None:
            total = empty((RUNS, self.reference.size), float)
        squares, cross = np.empty((2, valid))
        flat = self.reference.reshape(-1)
        coefficients, directions = self._rows(estimate, valid)
        deviations(coefficients, directions, flat, self.origin, RUN, total, squares, cross, start)
        products = None
        if other is not None:
            by, along = self._rows(other, valid)
            lengths = np.einsum("sp,sp->s", directions, along, dtype=np.float64)
            products = coefficients[:valid] * by[:valid] * lengths
        return squares, cross, total, products

    def apart(
        self, estimate: Directional, valid: int, other: Estimate | None, uncut: Estimate | None
    ) -> tuple[Array, Array, Array | None, Array | None]:
        """``|d|^2`` and ``d . g`` as `sums` has them, inner products, and ``|uncut|^2``; no sums.

        All three are along the same directions.
        """
        lengths, along = np.empty((2, valid))
        inner(
            estimate.direction[:valid].reshape(valid, -1),
            self.reference.reshape(-1),
            *(lengths, along),
        )
        by, beside, whole = (
            one.coefficient[:valid].astype(np.float64) if isinstance(one, Directional) else None
            for one in (estimate, other, uncut)
        )
        assert by is not None
        cross = by * along - self.origin * self.g2
        squares = by**2 * lengths - self.origin * (by * along + cross)
        products = None if beside is None else by * beside * lengths
        return squares, cross, products, None if whole is None else whole**2 * lengths

    def lengths(self, estimate: Estimate, valid: int) -> Array:
        """``|estimate|^2`` of each sample, ``(valid,)``, formed."""
        coefficients, directions = self._rows(estimate, valid)
        squares = np.einsum("sp,sp->s", directions, directions, dtype=np.float64)
        return np.asarray(coefficients[:valid] ** 2 * squares)

    def _rows(self, estimate: Estimate, valid: int) -> tuple[Array, Array]:
        """Samples ``coefficient_k * direction_k``, ``(S,)`` and ``(valid, P)``."""
        if isinstance(estimate, Directional):
            directions = estimate.direction[:valid].reshape(valid, -1)
            return np.asarray(estimate.coefficient, dtype=np.float64), directions
        # Formed for the whole block, padding included, so that the products' bits do not depend
        # on how many samples were asked for.
        formed = form_one(self.projection.synapse, estimate)[:valid].reshape(valid, -1)
        return np.ones(valid), np.ascontiguousarray(formed)

    def in_unit(self, estimate: Estimate) -> Estimate:
        """The estimate in the unit of the sums, formed where that is another one."""
        if not self.exponent:
            return estimate
        if isinstance(estimate, Directional):
            coefficient = np.asarray(estimate.coefficient, np.float64)
            return replace(estimate, coefficient=np.ldexp(coefficient, -self.exponent))
        formed = np.asarray(form_one(self.projection.synapse, estimate), np.float64)
        return Dense(np.ldexp(formed, -self.exponent))

    def unformed(self, posts: Array, count: Array) -> tuple[Array, Array, Array]:
        """Inner products of the groups' sums ``posts^T pre - count origin g``, formed only in all.

        Parameters
        ----------
        posts
            Sum of the post factors in each group, ``(G, B, N_out)``.
        count
            Samples in each group, ``(G,)``.

        Returns
        -------
        gram, cross, total
            ``S_i . S_j`` (G, G), ``S_i . g`` (G,), and the sum over groups ``(P,)``.
        """
        groups, examples, _ = posts.shape
        rows = posts.reshape(groups, -1)
        mixed = self.gram.reshape(examples, examples) @ posts
        gram = rows @ mixed.reshape(groups, -1).T
        along, taken = rows @ self.along, self.origin * count
        across = np.outer(along, taken)
        gram += np.outer(taken, taken) * self.g2 - across - across.T
        outer = self.projection.synapse.outer(posts.sum(axis=0), self.pre)
        total = (outer - taken.sum() * self.reference).reshape(-1)
        return gram, along - taken * self.g2, total

    def along_with(self, posts: Array, vector: Array) -> Array:
        """``S_i . vector`` of the groups' sums ``posts^T pre``, ``(G,)``."""
        synapse, pre = self.projection.synapse, self.pre.astype(np.float64, copy=False)
        along = synapse.drive(vector.reshape(self.reference.shape), pre).reshape(-1)
        return posts.reshape(len(posts), -1) @ along


def magnitude(estimate: Estimate, valid: int) -> tuple[float, bool]:
    """Bound of the numbers of the first samples, and whether they are squared in float32."""
    if isinstance(estimate, Outer):
        bound = largest(estimate.post[:valid]) * largest(estimate.pre) * estimate.post.shape[-2]
        return bound, estimate.post.dtype == np.float32
    if isinstance(estimate, Directional):
        coefficient = largest(np.asarray(estimate.coefficient[:valid]))
        return coefficient * largest(estimate.direction[:valid]), False
    return largest(estimate.array[:valid]), False


def largest(array: Array) -> float:
    """Largest absolute value; NaN where there is one."""
    return float(np.maximum(array.max(), -array.min()))


def paying(projection: Projection, clean: Activity) -> bool:
    """Whether the Gram matrix costs less than forming the outer products."""
    direct, gram = projection.synapse.outer_cost(len(clean.presynaptic(projection)))
    return gram < direct


def in_unit(array: Array, exponent: int) -> Array:
    """A vector in the unit ``2**exponent``, in float64; the same memory where nothing changes."""
    flat = np.asarray(array, np.float64).reshape(-1)
    return np.ldexp(flat, -exponent) if exponent else flat


class Together:
    """Projections whose estimates have one post factor: its inner products serve all of them.

    Parameters
    ----------
    factors
        Of each projection, with the Gram matrices of the pre factors.
    places
        Which columns of the results belong to the projections.
    """

    def __init__(self, factors: Sequence[Factors], places: Sequence[int]) -> None:
        self.names = tuple(f.projection.name for f in factors)
        self.grams = np.stack([f.gram for f in factors])
        self.along = np.stack([f.along for f in factors])
        self.lengths = np.array([f.g2 for f in factors])
        self.origin = factors[0].origin
        self.places = np.array(places)

    def sums(self, post: Array, squares: Array, cross: Array) -> "Total":
        """|post^T pre|^2 = <post post^T, pre pre^T>: examples squared instead of weights.

        Fills in ``|d|^2`` and ``d . g`` of as many samples as ``squares`` has.
        """
        samples = len(post)
        pairs = empty((samples, post.shape[1], post.shape[1]), post.dtype)
        np.matmul(post, post.swapaxes(-1, -2), out=pairs)
        total = empty((RUNS, *post.shape[1:]), float)
        sum_posts(
            np.ascontiguousarray(post).reshape(samples, -1),
            pairs.reshape(samples, -1),
            self.along,
            self.grams,
            self.lengths,
            self.places,
            self.origin,
            RUN,
            total.reshape(RUNS, -1),
            squares,
            cross,
        )
        return Total(self.names, total, True)

    def products(self, post: Array, other: Array, products: Array) -> None:
        """Fill in inner products of two estimates of as many samples as ``products`` has."""
        pairs = np.matmul(post, other.swapaxes(-1, -2))[: len(products)]
        products[:, self.places] = pairs.reshape(len(products), -1) @ self.grams.T


@dataclass(frozen=True)
class Total:
    """Sum over each run of a block at one projection, or at several with one post factor.

    Attributes
    ----------
    names
        The projections.
    runs
        Sums of the deviations, ``(runs, P)``, or of the post factors, ``(runs, B, N_out)``; those
        of runs without samples have no meaning.
    unformed
        Whether they are of post factors.
    """

    names: tuple[str, ...]
    runs: Array
    unformed: bool
