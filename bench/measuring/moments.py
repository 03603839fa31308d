"""Streaming sums of the deviations of gradient estimates, without forming them if that pays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from plausibench.architectures.network import Activity, Network, Projection
from plausibench.bench.measuring.deviations import deviations, sum_posts
from plausibench.bench.measuring.statistics import GROUPS, GroupSums, unit, whole
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
    """

    projection: Projection
    reference: Array
    pre: Array
    gram: Array
    along: Array
    g2: float
    pays: bool
    exponent: int = 0

    @classmethod
    def of(
        cls, projection: Projection, clean: Activity, reference: Array, paid: bool = False
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
            )

    def sums(self, estimate: Estimate, valid: int) -> tuple[Array, Array, "Total"]:
        """``|d|^2``, ``d . g`` and sums of d = estimate - g, formed.

        They are of the first ``valid`` samples of a block.
        """
        total = empty((RUNS, self.reference.size), float)
        squares, cross = np.empty((2, valid))
        flat = self.reference.reshape(-1)
        if isinstance(estimate, Directional):
            directions = estimate.direction[:valid].reshape(valid, -1)
            coefficients = np.asarray(estimate.coefficient, dtype=np.float64)
        else:
            # Formed for the whole block, padding included, so that the products' bits do not
            # depend on how many samples were asked for.
            formed = form_one(self.projection.synapse, estimate)[:valid].reshape(valid, -1)
            directions, coefficients = np.ascontiguousarray(formed), np.ones(valid)
        deviations(coefficients, directions, flat, RUN, total, squares, cross)
        return squares, cross, Total((self.projection.name,), total, False)

    def in_unit(self, estimate: Estimate) -> Estimate:
        """The estimate in the unit of the sums, formed."""
        if isinstance(estimate, Directional):
            coefficient = np.asarray(estimate.coefficient, np.float64)
            return Directional(np.ldexp(coefficient, -self.exponent), estimate.direction)
        formed = np.asarray(form_one(self.projection.synapse, estimate), np.float64)
        return Dense(np.ldexp(formed, -self.exponent))

    def unformed(self, posts: Array, count: Array) -> tuple[Array, Array, Array]:
        """Inner products of the groups' sums ``posts^T pre - count g``, formed only in all.

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
        along = rows @ self.along
        across = np.outer(along, count)
        gram += np.outer(count, count) * self.g2 - across - across.T
        outer = self.projection.synapse.outer(posts.sum(axis=0), self.pre)
        total = (outer - count.sum() * self.reference).reshape(-1)
        return gram, along - count * self.g2, total


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
            RUN,
            total.reshape(RUNS, -1),
            squares,
            cross,
        )
        return Total(self.names, total, True)


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


@dataclass(frozen=True)
class BlockSums:
    """Sums over the samples of one block at every projection.

    Attributes
    ----------
    index
        Number of the block.
    count
        Samples in each run, ``(runs,)``.
    squares, cross_squares
        Sums of ``|d|^2`` and ``(d . g)^2`` over each run, ``(runs, projections)``; the last entry
        of the second is that of the whole net.
    totals
        Sums of the deviations or of what makes them, projection by projection.
    """

    index: int
    count: Array
    squares: Array
    cross_squares: Array
    totals: list[Total]


class Moments:
    """Sums over samples in 20 groups; run i of consecutive samples belongs to group i mod 20.

    Memory is 20 vectors of the size of the gradient, whatever the number of samples.

    Parameters
    ----------
    network
        Where the estimates are drawn.
    clean
        The clean pass that the samples share.
    reference
        Reference gradient per parameter.
    """

    def __init__(self, network: Network, clean: Activity, reference: Mapping[str, Array]) -> None:
        paid = {p.target for p in network.projections if paying(p, clean)}
        self.factors = {
            p.name: Factors.of(
                p, clean, np.ascontiguousarray(reference[p.name], np.float64), p.target in paid
            )
            for p in network.projections
        }
        self._place = {name: place for place, name in enumerate(self.factors)}
        self.count = np.zeros(GROUPS)
        self.squares = np.zeros((GROUPS, len(self.factors)))
        self.cross_squares = np.zeros((GROUPS, len(self.factors) + 1))
        self._total: dict[tuple[str, ...], Array] = {}
        self._posts: dict[tuple[str, ...], Array] = {}
        self._together: dict[tuple[str, ...], Together] = {}
        self._exponents = np.zeros(len(self.factors), np.int64)
        self.exponent = 0
        self._measured = False

    def block(self, estimates: Mapping[str, Estimate], index: int, valid: int) -> BlockSums:
        """Sum the first ``valid`` samples of a block; the others are padding.

        The first block is to be the first: it chooses the units of all sums.
        """
        if not self._measured:
            self._choose_units(estimates, valid)
        squares, cross = np.empty((2, valid, len(self.factors)))
        totals = []
        shared: dict[int, tuple[Array, list[str]]] = {}
        alone = []
        for name, factors in self.factors.items():
            estimate = estimates[name]
            if factors.exponent:
                alone.append(name)
                continue
            # A Gram matrix is that of the clean pass.
            if factors.gram.size and isinstance(estimate, Outer) and estimate.pre is factors.pre:
                shared.setdefault(id(estimate.post), (estimate.post, []))[1].append(name)
            else:
                alone.append(name)
        for post, listed in shared.values():
            if any(self.factors[name].pays for name in listed):
                totals.append(self._gathered(tuple(listed)).sums(post, squares, cross))
            else:
                alone.extend(listed)
        for name in alone:
            place = self._place[name]
            factors = self.factors[name]
            estimate = factors.in_unit(estimates[name]) if factors.exponent else estimates[name]
            squares[:, place], cross[:, place], total = factors.sums(estimate, valid)
            totals.append(total)
        common = np.ldexp(cross, 2 * (self._exponents - self.exponent))
        crosses = np.concatenate([cross, common.sum(axis=1, keepdims=True)], axis=1) ** 2
        starts = np.arange(0, valid, RUN)
        return BlockSums(
            index,
            np.minimum(valid - starts, RUN),
            np.add.reduceat(squares, starts),
            np.add.reduceat(crosses, starts),
            totals,
        )

    def _choose_units(self, estimates: Mapping[str, Estimate], valid: int) -> None:
        """Give every projection a unit in which its squares, and theirs, can be summed."""
        self._measured = True
        most: dict[str, float] = {}
        for name, factors in self.factors.items():
            found, narrow = magnitude(estimates[name], valid)
            most[name] = float(np.fmax(largest(factors.reference), found))
            # Products of post factors are in the type of these.
            power = unit(most[name], 40 if narrow else 200)
            if power:
                reference = np.ldexp(factors.reference, -power)
                g2 = float((reference * reference).sum())
                self.factors[name] = replace(
                    factors, reference=reference, g2=g2, exponent=power, gram=np.empty(0)
                )
        self._exponents = np.array([factors.exponent for factors in self.factors.values()])
        self.exponent = self.factors[max(most, key=lambda name: most[name])].exponent

    def _gathered(self, names: tuple[str, ...]) -> Together:
        """Projections with one post factor, gathered once: most rules have the same ones."""
        if names not in self._together:
            places = [self._place[name] for name in names]
            self._together[names] = Together([self.factors[name] for name in names], places)
        return self._together[names]

    def add(self, block: BlockSums) -> None:
        """Add a block; the caller adds blocks in the order of their index."""
        first = block.index * RUNS % GROUPS
        groups = slice(first, first + len(block.count))
        self.count[groups] += block.count
        self.squares[groups] += block.squares
        self.cross_squares[groups] += block.cross_squares
        for total in block.totals:
            kept = self._posts if total.unformed else self._total
            if total.names not in kept:
                kept[total.names] = np.zeros((GROUPS, *total.runs.shape[1:]))
            kept[total.names][groups] += total.runs[: len(block.count)]

    def results(self) -> tuple[dict[str, GroupSums], dict[str, Array]]:
        """Sums of the groups that have samples, and the mean estimate, per parameter.

        The sums also have an entry ``all`` for the whole net.
        """
        used = self.count > 0
        count = self.count[used]
        parts, mean = {}, {}
        for place, (name, factors) in enumerate(self.factors.items()):
            g = factors.reference.reshape(-1)
            if (name,) in self._total:
                total = self._total[name,][used]
                gram, cross, sum_of_all = total @ total.T, total @ g, total.sum(axis=0)
            else:
                (posts,) = (kept[used] for names, kept in self._posts.items() if name in names)
                gram, cross, sum_of_all = factors.unformed(posts, count)
            parts[name] = GroupSums(
                count=count,
                gram=gram,
                cross=cross,
                squares=self.squares[used, place],
                cross_squares=self.cross_squares[used, place],
                reference=float(g @ g),
                exponent=factors.exponent,
            )
            flat = np.ldexp(g + sum_of_all / count.sum(), factors.exponent)
            mean[name] = flat.reshape(factors.reference.shape)
        everything = whole(parts, self.cross_squares[used, -1], self.exponent)
        return {**parts, "all": everything}, mean
