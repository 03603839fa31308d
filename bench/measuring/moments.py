"""Streaming sums of the deviations of gradient estimates, without forming them if that pays."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.bench.measuring.deviations import add_along
from plausibench.bench.measuring.factors import (
    RUN,
    RUNS,
    Factors,
    Together,
    Total,
    in_unit,
    largest,
    magnitude,
    paying,
)
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
from plausibench.rules.estimate import Directional, Estimate, Outer
from plausibench.rules.noise import PART, Again
from plausibench.rules.rule import Companion

Array = np.ndarray

HELD = 1 << 28
"""Bytes that the groups' sums may take; of more, those along directions are made when they are
asked for, from directions drawn again, a part of the parameters at a time."""


Drawn = tuple[Mapping[str, Estimate], Mapping[str, Estimate] | None, Mapping[str, Estimate] | None]
"""Estimates, the companions that were subtracted, and estimates that keep their odd part."""


class Redrawn(NamedTuple):
    """Coefficients along directions, by which sums can be made when they are asked for.

    Attributes
    ----------
    coefficients
        Of consecutive samples, from the first, in one array or more.
    again
        Draws parts of their directions.
    """

    coefficients: list[Array]
    again: Again


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
    redrawn
        What stands for the totals of projections, by name, whose sums would be too large.
    """

    index: int
    count: Array
    squares: Array
    cross_squares: Array
    totals: list[Total]
    products: Array | None = None
    beside: "BlockSums | None" = None
    redrawn: Mapping[str, Redrawn] = field(default_factory=dict)


class Moments:
    """Sums over samples in 20 groups; run i of consecutive samples belongs to group i mod 20.

    Memory is 20 vectors of the size of the gradient, whatever the number of samples. Where that is
    more than ``HELD`` and estimates are along directions that can be drawn again, it is a few
    vectors, and a few numbers for each sample.

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

    Attributes
    ----------
    directional
        Whether estimates may all be along directions, a few of which can be drawn at a time.
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
        self._redrawn: dict[str, Redrawn] = {}
        self._large = 8 * GROUPS * network.size > HELD
        self._together: dict[tuple[str, ...], Together] = {}
        self._exponents = np.zeros(len(self.factors), np.int64)
        self.exponent = 0
        self._measured = False
        # Until the first block, which is drawn before the others, says that they are not.
        self.directional = True

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

    def streamed(
        self, draws: Iterable[Drawn | None], index: int, valid: int, few: int
    ) -> BlockSums | None:
        """Sum a block of which ``few`` samples come at a time: directions, or whole arrays.

        So large ones are gone before the next are drawn. None where that is what comes.
        """
        squares, cross, products, lengths = np.empty((4, valid, len(self.factors)))
        totals: dict[str, Array] = {}
        redrawn: dict[str, Redrawn] = {}
        uncut = False

        def summed(
            estimates: Mapping[str, Estimate], *others: Mapping[str, Estimate] | None
        ) -> None:
            if not self._measured:
                self._choose_units(estimates, few)
            size = here.stop - here.start
            for place, (name, factors) in enumerate(self.factors.items()):
                one, length = factors.in_unit(estimates[name]), None
                beside, whole = (
                    None if part is None else factors.in_unit(part[name]) for part in others
                )
                if self._large and isinstance(one, Directional) and one.again is not None:
                    squares[here, place], cross[here, place], own, length = factors.apart(
                        one, size, beside, whole
                    )
                    by = np.asarray(one.coefficient[:size], np.float64)
                    redrawn.setdefault(name, Redrawn([], one.again)).coefficients.append(by)
                else:
                    squares[here, place], cross[here, place], totals[name], own = factors.sums(
                        one, size, beside, here.start, totals.get(name)
                    )
                    if whole is not None:
                        length = factors.lengths(whole, size)
                if own is not None:
                    products[here, place] = own
                if length is not None:
                    lengths[here, place] = length

        here = slice(0, min(few, valid))
        for drawn in draws:
            if drawn is None:
                return None
            summed(*drawn)
            uncut = drawn[2] is not None
            here = slice(here.stop, min(here.stop + few, valid))
            del drawn  # its memory is for the next
        return self._closed(
            index,
            squares,
            cross,
            [Total((name,), total, False) for name, total in totals.items()],
            None if self.companion is None else products,
            lengths if uncut else None,
            redrawn=redrawn,
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
        redrawn: Mapping[str, Redrawn] | None = None,
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
            redrawn or {},
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
        for name, more in block.redrawn.items():
            before = self._redrawn.setdefault(name, Redrawn([], more.again))
            before.coefficients.extend(more.coefficients)

    def results(self, threads: int = 1) -> tuple[dict[str, GroupSums], dict[str, Array]]:
        """Sums of the groups that have samples, and the mean estimate, per parameter.

        The sums also have an entry ``all`` for the whole net. ``threads`` is how many draw
        directions again, if that is to be done; the bits are the same with any number.
        """
        # The first groups: those that have none are behind them. A view, for they are large.
        used = slice(0, int((self.count > 0).sum()))
        count = self.count[used]
        parts, mean = {}, {}
        shifts: dict[str, Shift] = {}
        known = self._known()
        for place, (name, factors) in enumerate(self.factors.items()):
            g = factors.reference.reshape(-1)
            centre, vectors = g, [g]
            if self.companion is not None:
                beside = centre = in_unit(self.companion.mean[name], factors.exponent)
                if name in self.constant:
                    centre = beside + in_unit(self.constant[name], factors.exponent)
                vectors += [beside, g - centre]
            gram, along, total = self._products(name, count, vectors, threads)
            parts[name] = GroupSums(
                count=count,
                gram=gram,
                cross=along[0],
                squares=self.squares[used, place],
                cross_squares=self.cross_squares[used, place],
                reference=float(g @ g),
                exponent=factors.exponent,
            )
            if self.companion is not None:
                shift = vectors[2]
                parts[name] = replace(
                    parts[name],
                    shared=2 * (self.products[used, place] - along[1]),
                    companion=np.ldexp(known[name][0], 2 * (known[name][1] - factors.exponent)),
                )
                shifts[name] = Shift(along[2], float(shift @ g), float(shift @ shift))
            total /= count.sum()
            total += centre
            mean[name] = in_unit(total, -factors.exponent).reshape(factors.reference.shape)
        everything = whole(parts, self.cross_squares[used, -1], self.exponent)
        if shifts:
            exponents = [2 * (part.exponent - self.exponent) for part in parts.values()]
            everything = moved(everything, whole_shift(shifts.values(), exponents))
            parts = {name: moved(part, shifts[name]) for name, part in parts.items()}
        return {**parts, "all": everything}, mean

    def _products(
        self, name: str, count: Array, vectors: Sequence[Array], threads: int
    ) -> tuple[Array, Array, Array]:
        """Inner products of the groups' sums S_i at a projection.

        Returns
        -------
        gram, along, total
            ``S_i . S_j`` (G, G), ``S_i . v`` of each vector (V, G), and their sum ``(P,)``.
        """
        factors, groups = self.factors[name], len(count)
        if name in self._redrawn:
            return self._drawn_again(name, count, vectors, threads)
        if (name,) in self._total:
            sums = self._total[name,][:groups]
            along = np.stack([sums @ vector for vector in vectors])
            return sums @ sums.T, along, sums.sum(axis=0)
        (posts,) = (kept[:groups] for names, kept in self._posts.items() if name in names)
        gram, cross, total = factors.unformed(posts, count)
        return gram, np.stack([cross, *(factors.along_with(posts, v) for v in vectors[1:])]), total

    def _drawn_again(
        self, name: str, count: Array, vectors: Sequence[Array], threads: int
    ) -> tuple[Array, Array, Array]:
        """What :meth:`_products` returns, from directions drawn again, part by part."""
        coefficients = np.concatenate(self._redrawn[name].coefficients)
        again, origin = self._redrawn[name].again, self.factors[name].origin
        total = np.empty(vectors[0].size)

        def part(start: int) -> tuple[Array, Array]:
            here = slice(start, min(start + PART, total.size))
            sums = np.zeros((len(count), here.stop - start))
            for number, coefficient in enumerate(coefficients):
                (direction,) = again(np.array([number]), start, here.stop)
                add_along(coefficient, direction, sums[number // RUN % GROUPS])
            if origin:
                for group, taken in zip(sums, origin * count, strict=True):
                    group -= taken * vectors[0][here]
            sums.sum(axis=0, out=total[here])
            return sums @ sums.T, np.stack([sums @ vector[here] for vector in vectors])

        with ThreadPoolExecutor(threads) as pool:
            grams, alongs = zip(*pool.map(part, range(0, total.size, PART)), strict=True)
        return np.add.reduce(grams), np.add.reduce(alongs), total

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
