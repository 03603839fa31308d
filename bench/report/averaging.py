"""The averaging curve: noise averages out, bias does not."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from plausibench.bench.report import panels, style
from plausibench.bench.report.style import SIZES, Picture, Style
from plausibench.kernels.errors import InputError


def averaging_curve(
    frame: pd.DataFrame,
    units: pd.DataFrame | None = None,
    *,
    looks: dict[str, Style] | None = None,
) -> Picture:
    """Draw the cosine of the mean of K estimates with the reference gradient against K.

    Beyond the last K, on the strip marked with infinity, stands the plateau: the cosine of the
    mean estimate, one less the direction bias.

    Parameters
    ----------
    frame, units : DataFrame
        Tidy long table of a run, and its units of work, which name what diverged.
    looks
        Styles of the rules, by default of those in the frame.

    Returns
    -------
    Picture

    Raises
    ------
    InputError
        If the frame holds several settings, or nothing to draw.
    """
    rows = panels.select(frame, ("averaging",), ("cosine",))
    if rows.empty:
        raise InputError("frame: it holds no averaging curve to draw")
    rows, left_out = panels.columns(rows)
    plateaus = _plateaus(panels.select(frame, ("conditional",), ("direction_bias",)))
    looks = looks or style.styles(frame["rule"])
    rules = style.ordered(rows["rule"], looks)
    protocols, steps = panels.protocols_of(rows), sorted(rows["step"].unique())
    strip = Strip(int(rows["samples"].max()), rules)
    with style.theme():
        width = style.COLUMN if len(steps) == 1 else style.PAGE
        figure, part = style.canvas(
            width,
            0.3 + 1.75 * len(protocols),
            [style.handle(looks[rule], line=True) for rule in rules],
            [*left_out, *panels.notes(units, rows)],
        )
        grid = part.subplots(len(protocols), len(steps), sharex=True, sharey=True, squeeze=False)
        for line, protocol in enumerate(protocols):
            for column, step in enumerate(steps):
                axes = grid[line, column]
                _frame(axes, strip)
                here = rows[(rows["protocol"] == protocol) & (rows["step"] == step)]
                beyond = plateaus[(plateaus["protocol"] == protocol) & (plateaus["step"] == step)]
                for rule in style.ordered(here["rule"], looks):
                    own = here[here["rule"] == rule].sort_values("samples")
                    _curve(axes, own, looks[rule], strip.most)
                    plateau = beyond[beyond["rule"] == rule]
                    if plateau.empty and len(own) == 1:
                        plateau = own
                    _bar(axes, strip.place(rule), plateau, looks[rule])
                name = style.LINES.get(protocol, protocol)
                panels.title(axes, f"{name}, {panels.step_title(step)}")
        # Long bars of a few seeds leave the frame, so that the curves keep their size.
        grid[0, 0].set_ylim(min(-0.05, rows["value"].min() - 0.05), 1.06)
        part.supxlabel("estimates averaged, K", fontsize=8)
        part.supylabel(r"cosine of their mean with $g$", fontsize=8)
    caption = (
        "Cosine between the mean of K estimates and the reference gradient, with random feedback "
        f"held. {panels.averaged(rows)} Bands are the intervals. At infinity: the plateau, the "
        "cosine of the mean estimate. Noise averages out as K grows; bias stays. Dotted: rules "
        "without noise, whose mean is one estimate for every K. Bars that reach the frame go on."
    )
    return style.finished("averaging_curve", figure, caption)


def _plateaus(bias: pd.DataFrame) -> pd.DataFrame:
    """Cosines of the mean estimate, from the direction bias."""
    return bias.assign(value=1 - bias["value"], low=1 - bias["high"], high=1 - bias["low"])


@dataclass(frozen=True)
class Strip:
    """Places for plateaus, side by side beyond the largest K."""

    most: int
    rules: list[str]

    @property
    def ends(self) -> tuple[float, float]:
        """Left and right end."""
        left = 1.6 * self.most
        return left, left * max(self.most, 10) ** 0.28

    def place(self, rule: str) -> float:
        """Where the plateau of a rule stands."""
        left, right = self.ends
        return float(
            left * (right / left) ** ((self.rules.index(rule) + 1) / (len(self.rules) + 1))
        )


def _frame(axes: Axes, strip: Strip) -> None:
    left, right = strip.ends
    axes.set_xscale("log")
    decades = [10**n for n in range(int(np.log10(strip.most)) + 1)]
    axes.xaxis.set_major_locator(FixedLocator([*decades, (left * right) ** 0.5]))
    axes.xaxis.set_major_formatter(FixedFormatter([*map(str, decades), "∞"]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(0.8, right)
    axes.axvline(left, color="0.6", linewidth=0.6, linestyle=(0, (1, 2)), zorder=-1)
    for level in (0, 1):
        axes.axhline(level, color="0.85", linewidth=0.6, zorder=-5)


def _curve(axes: Axes, rows: pd.DataFrame, look: Style, most: int) -> None:
    if len(rows) == 1:
        # A rule without noise: its interval stands at the plateau, which is the same.
        axes.hlines(
            rows["value"],
            1,
            most,
            color=look.colour,
            linestyle=(0, (1, 1.2)),
            linewidth=1,
            zorder=2,
        )
        return
    axes.plot(
        rows["samples"],
        rows["value"],
        color=look.colour,
        linestyle=look.dashes,
        marker=look.marker,
        markersize=0.7 * SIZES.get(look.marker, 5.0),
        markevery=2,
        zorder=2,
    )
    axes.fill_between(
        rows["samples"], rows["low"], rows["high"], color=look.colour, alpha=0.2, linewidth=0
    )


def _bar(axes: Axes, place: float, rows: pd.DataFrame, look: Style) -> None:
    axes.vlines([place] * len(rows), rows["low"], rows["high"], color=look.colour, linewidth=1.1)
    axes.plot(
        [place] * len(rows),
        rows["value"],
        color=look.colour,
        marker=look.marker,
        markersize=0.8 * SIZES.get(look.marker, 5.0),
        linestyle="none",
        zorder=3,
    )
