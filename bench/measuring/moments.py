"""Streaming sums of the deviations of gradient estimates, without forming them if that pays."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from plausibench.architectures.network import Activity, Network, Projection
from plausibench.bench.measuring.deviations import deviations, sum_posts
from plausibench.bench.measuring.statistics import (
    GROUPS,
    GroupSums,
    Shift,
    moved,
    quantities,
    unit,
    whole,
    whole_shift,
)
from plausibench.kernels.buffers import empty
from plausibench.rules.estimate import Dense, Directional, Estimate, Outer, form_one
from plausibench.rules.rule import Companion

Array = np.ndarray

BLOCK = 32
"""Samples drawn together; fixed, so that results do not depend on the number of workers."""
RUN = 16
"""Consecutive samples that belong to one group."""
RUNS = BLOCK // RUN
"""Runs in a block. They divide the groups, so that those of a block are neighbours."""


Drawn = tuple[Mapping[str, Estimate], Mapping[str, Estimate] | None, Mapping[str, Estimate] | None]
"""Estimates, the companions that were subtracted, and estimates that keep their odd part."""


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
            return Directional(np.ldexp(coefficient, -self.exponent), estimate.direction)
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
    products
        Sums of the inner products with companions, ``(runs, projections)``, and of half of what the
        odd part of these adds to ``|estimate|^2``; None without companions.
    beside
        Sums over the companions themselves, where their variance is not known.
    """

    index: int
    count: Array
    squares: Array
    cross_squares: Array
    totals: list[Total]
    products: Array | None = None
    beside: "BlockSums | None" = None


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
    companion
        Companion that is subtracted from the estimates, if there is one.
    constant
        What is to be added to estimates from which companions are subtracted, per parameter.
    """

    def __init__(
        self,
        network: Network,
        clean: Activity,
        reference: Mapping[str, Array],
        companion: Companion | None = None,
        constant: Mapping[str, Array] | None = None,
    ) -> None:
        self.companion = companion
        self.constant = constant or {}
        self.beside = None
        if companion is not None and companion.variance is None:
            self.beside = Moments(network, clean, companion.mean)
        paid = {p.target for p in network.projections if paying(p, clean)}
        self.factors = {
            p.name: Factors.of(
                p,
                clean,
                np.ascontiguousarray(reference[p.name], np.float64),
                p.target in paid,
                origin=1.0 if companion is None else 0.0,
            )
            for p in network.projections
        }
        self._place = {name: place for place, name in enumerate(self.factors)}
        self.count = np.zeros(GROUPS)
        self.squares = np.zeros((GROUPS, len(self.factors)))
        self.products = np.zeros((GROUPS, len(self.factors)))
        self.cross_squares = np.zeros((GROUPS, len(self.factors) + 1))
        self._total: dict[tuple[str, ...], Array] = {}
        self._posts: dict[tuple[str, ...], Array] = {}
        self._together: dict[tuple[str, ...], Together] = {}
        self._exponents = np.zeros(len(self.factors), np.int64)
        self.exponent = 0
        self._measured = False

    def block(
        self,
        estimates: Mapping[str, Estimate],
        index: int,
        valid: int,
        companions: Mapping[str, Estimate] | None = None,
        kept: Mapping[str, Estimate] | None = None,
    ) -> BlockSums:
        """Sum the first ``valid`` samples of a block; the others are padding.

        The first block is to be the first: it chooses the units of all sums. Companions are those
        that were subtracted from the estimates; ``kept`` are estimates that still have their odd
        part, if they have one.
        """
        if not self._measured:
            self._choose_units(estimates, valid)
        squares, cross = np.empty((2, valid, len(self.factors)))
        products = None if companions is None else np.empty((valid, len(self.factors)))
        lengths = None if kept is None else np.empty((valid, len(self.factors)))
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
                together = self._gathered(tuple(listed))
                totals.append(together.sums(post, squares, cross))
                if companions is not None and products is not None:
                    other = companions[listed[0]]
                    assert isinstance(other, Outer), "a difference of outer products is one of them"
                    together.products(post, other.post, products)
                if kept is not None and lengths is not None:
                    uncut = kept[listed[0]]
                    assert isinstance(uncut, Outer), "a difference of outer products is one"
                    together.products(uncut.post, uncut.post, lengths)
            else:
                alone.extend(listed)
        for name in alone:
            place = self._place[name]
            factors = self.factors[name]
            estimate = factors.in_unit(estimates[name])
            beside = None if companions is None else factors.in_unit(companions[name])
            squares[:, place], cross[:, place], total, own = factors.sums(estimate, valid, beside)
            totals.append(Total((name,), total, False))
            if products is not None:
                products[:, place] = own
            if kept is not None and lengths is not None:
                lengths[:, place] = factors.lengths(factors.in_unit(kept[name]), valid)
        sums = None if self.beside is None else self.beside.block(companions or {}, index, valid)
        return self._closed(index, squares, cross, totals, products, lengths, sums)

    def directions(
        self, draw: Callable[[slice], Drawn], index: int, valid: int, few: int
    ) -> BlockSums | None:
        """Sum a block of which ``few`` samples are drawn at a time, those of a slice of its places.

        So large directions are gone before the next are drawn. None where not all estimates are
        along directions: their bits depend on how many are formed together.
        """
        squares, cross, products, lengths = np.empty((4, valid, len(self.factors)))
        totals: dict[str, Array] = {}
        uncut = False
        for start in range(0, valid, few):
            estimates, companions, kept = draw(slice(start, start + few))
            if not all(isinstance(one, Directional) for one in estimates.values()):
                return None
            if not self._measured:
                self._choose_units(estimates, few)
            uncut = kept is not None
            here = slice(start, min(start + few, valid))
            for place, (name, factors) in enumerate(self.factors.items()):
                one, beside, whole = (
                    None if part is None else factors.in_unit(part[name])
                    for part in (estimates, companions, kept)
                )
                assert one is not None
                squares[here, place], cross[here, place], totals[name], own = factors.sums(
                    one, here.stop - start, beside, start, totals.get(name)
                )
                if own is not None:
                    products[here, place] = own
                if whole is not None:
                    lengths[here, place] = factors.lengths(whole, here.stop - start)
        return self._closed(
            index,
            squares,
            cross,
            [Total((name,), total, False) for name, total in totals.items()],
            None if self.companion is None else products,
            lengths if uncut else None,
        )

    def _closed(
        self,
        index: int,
        squares: Array,
        cross: Array,
        totals: list[Total],
        products: Array | None,
        lengths: Array | None,
        beside: BlockSums | None = None,
    ) -> BlockSums:
        """Sums over runs, of numbers of single samples."""
        if products is not None and lengths is not None:
            # What the odd part adds to the variance.
            products += (lengths - squares) / 2
        common = np.ldexp(cross, 2 * (self._exponents - self.exponent))
        crosses = np.concatenate([cross, common.sum(axis=1, keepdims=True)], axis=1) ** 2
        starts = np.arange(0, len(squares), RUN)
        return BlockSums(
            index,
            np.minimum(len(squares) - starts, RUN),
            np.add.reduceat(squares, starts),
            np.add.reduceat(crosses, starts),
            totals,
            None if products is None else np.add.reduceat(products, starts),
            beside,
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
        if block.products is not None:
            self.products[groups] += block.products
        if self.beside is not None and block.beside is not None:
            self.beside.add(block.beside)
        for total in block.totals:
            kept = self._posts if total.unformed else self._total
            if total.names not in kept:
                kept[total.names] = np.zeros((GROUPS, *total.runs.shape[1:]))
            kept[total.names][groups] += total.runs[: len(block.count)]

    def results(self) -> tuple[dict[str, GroupSums], dict[str, Array]]:
        """Sums of the groups that have samples, and the mean estimate, per parameter.

        The sums also have an entry ``all`` for the whole net.
        """
        # The first groups: those that have none are behind them. A view, for they are large.
        used = slice(0, int((self.count > 0).sum()))
        count = self.count[used]
        parts, mean = {}, {}
        shifts: dict[str, Shift] = {}
        known = self._known()
        for place, (name, factors) in enumerate(self.factors.items()):
            g = factors.reference.reshape(-1)
            along: Callable[[Array], Array]
            if (name,) in self._total:
                total = self._total[name,][used]
                gram, cross, sum_of_all = total @ total.T, total @ g, total.sum(axis=0)
                along = partial(np.matmul, total)
            else:
                (posts,) = (kept[used] for names, kept in self._posts.items() if name in names)
                gram, cross, sum_of_all = factors.unformed(posts, count)
                along = partial(factors.along_with, posts)
            parts[name] = GroupSums(
                count=count,
                gram=gram,
                cross=cross,
                squares=self.squares[used, place],
                cross_squares=self.cross_squares[used, place],
                reference=float(g @ g),
                exponent=factors.exponent,
            )
            centre = g
            if self.companion is not None:
                beside = np.ldexp(self.companion.mean[name].reshape(-1), -factors.exponent)
                parts[name] = replace(
                    parts[name],
                    shared=2 * (self.products[used, place] - along(beside)),
                    companion=np.ldexp(known[name][0], 2 * (known[name][1] - factors.exponent)),
                )
                centre = beside
                if name in self.constant:
                    added = np.asarray(self.constant[name], np.float64).reshape(-1)
                    centre = beside + np.ldexp(added, -factors.exponent)
                shift = g - centre
                shifts[name] = Shift(along(shift), float(shift @ g), float(shift @ shift))
            flat = np.ldexp(centre + sum_of_all / count.sum(), factors.exponent)
            mean[name] = flat.reshape(factors.reference.shape)
        everything = whole(parts, self.cross_squares[used, -1], self.exponent)
        if shifts:
            exponents = [2 * (part.exponent - self.exponent) for part in parts.values()]
            everything = moved(everything, whole_shift(shifts.values(), exponents))
            parts = {name: moved(part, shifts[name]) for name, part in parts.items()}
        return {**parts, "all": everything}, mean

    def _known(self) -> dict[str, tuple[Array, int]]:
        """Variance of the companion, ``(1,)`` or from its sums ``(1 + G,)``, and its unit."""
        if self.companion is None:
            return {}
        if self.beside is not None:
            sums, _ = self.beside.results()
            return {
                name: (quantities(replace(part, exponent=0))["absolute_variance"], part.exponent)
                for name, part in sums.items()
            }
        assert self.companion.variance is not None
        return {name: (np.array([value]), 0) for name, value in self.companion.variance.items()}
