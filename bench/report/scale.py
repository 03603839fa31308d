"""A logarithmic axis with a strip for zeros beyond a visible break."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, NullFormatter

STRIP = 0.16
"""Least width of the strip, as a share of the whole axis."""
WIDEST = 0.36
"""Most that it takes."""
SPREAD = 0.7
"""Share of the strip over which markers at zero that would hide each other lie apart."""
ZERO = 0.45
"""Where zeros are drawn, as a share of the strip."""
BREAK = 0.9
"""Where the axis is broken, as a share of the strip."""


@dataclass(frozen=True)
class Scale:
    """Powers of ten at the ends, whether a strip for zeros lies below them, and its width."""

    low: int
    high: float
    strip: bool
    width: float = STRIP

    @classmethod
    def fit(cls, values: Iterable[float], *, strip: bool) -> "Scale":
        """Scale with room for positive values; others are left out."""
        given = np.array(list(values), dtype=np.float64)
        positive = given[np.isfinite(given) & (given > 0)]
        if not positive.size:
            return cls(-2, 0, strip)
        low = int(np.floor(np.log10(positive.min())))
        high = max(float(np.log10(positive.max())), low + 1.5)
        return cls(low, high + 0.08 * (high - low), strip)

    @property
    def share(self) -> float:
        """Share of the axis that the strip takes."""
        return self.width if self.strip else 0.0

    def roomy(self, lanes: int, apart: float) -> "Scale":
        """Scale with a strip in which so many zeros lie ``apart``, a share of the axis."""
        width = min(WIDEST, apart * (lanes - 1) / SPREAD)
        return replace(self, width=max(STRIP, width))

    def fraction(self, value: float) -> float:
        """Place of a positive value along the axis, from 0 to 1."""
        along = (np.log10(value) - self.low) / (self.high - self.low)
        return float(self.share + (1 - self.share) * along)

    def value(self, fraction: float) -> float:
        """Value at a place along the axis: the inverse of :meth:`fraction`."""
        along = (fraction - self.share) / (1 - self.share)
        return float(10 ** (self.low + along * (self.high - self.low)))

    @property
    def zero(self) -> float:
        """Where zeros are drawn: the middle of the strip."""
        return self.value(ZERO * self.share)

    @property
    def floor(self) -> float:
        """Where a bar that goes to zero ends: at the break, or the lower end of the axis."""
        return self.value(BREAK * self.share)

    def apply(self, axes: Axes, which: str) -> None:
        """Set scale, limits, ticks and the break of the axis ``x`` or ``y``."""
        axis = axes.xaxis if which == "x" else axes.yaxis
        limits = (self.value(0.0), self.value(1.0))
        if which == "x":
            axes.set_xscale("log")
            axes.set_xlim(*limits)
        else:
            axes.set_yscale("log")
            axes.set_ylim(*limits)
        top = int(np.floor(self.high))
        stride = -(-(top - self.low) // 5)
        # Beside the strip there is no room for the label of the lowest decade.
        least = self.low + 1 if self.strip else self.low
        decades = range(top, least - 1, -stride)
        ticks = [10.0**decade for decade in decades]
        labels = [_power(decade) for decade in decades]
        if self.strip:
            ticks, labels = [self.zero, *ticks], ["0", *labels]
            self._break(axes, which)
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_major_formatter(FixedFormatter(labels))
        few = top - self.low < 4
        between = [n * 10.0**k for k in range(self.low, top + 1) for n in range(2, 10)]
        axis.set_minor_locator(FixedLocator(between if few else []))
        axis.set_minor_formatter(NullFormatter())

    def _break(self, axes: Axes, which: str) -> None:
        edge = BREAK * self.share
        line = axes.axvline if which == "x" else axes.axhline
        line(self.value(edge), color="0.6", linewidth=0.6, linestyle=(0, (1, 2)), zorder=-1)
        for place, colour, width in ((edge, "white", 3.0), (edge - 0.012, "0.15", 0.7)):
            _slash(axes, which, place, colour, width)
        _slash(axes, which, edge + 0.012, "0.15", 0.7)


def _slash(axes: Axes, which: str, place: float, colour: str, width: float) -> None:
    x, y = (place, 0.0) if which == "x" else (0.0, place)
    axes.plot(
        [x],
        [y],
        transform=axes.transAxes,
        marker=[(-0.5, -1), (0.5, 1)] if which == "x" else [(-1, -0.5), (1, 0.5)],
        markersize=6,
        markeredgecolor=colour,
        markeredgewidth=width,
        linestyle="none",
        clip_on=False,
        zorder=6,
    )


def _power(decade: int) -> str:
    return {0: "1", 1: "10"}.get(decade, f"$10^{{{decade}}}$")
