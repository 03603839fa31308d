"""The averaging curve: noise averages out, bias does not."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from plausibench.bench.report import panels, style
from plausibench.bench.report.style import Picture, Style
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
    plateaus = panels.select(frame, ("conditional",), ("direction_bias",))
    looks = looks or style.styles(frame["rule"])
    rules = style.ordered(rows["rule"], looks)
    protocols, steps = panels.protocols_of(rows), sorted(rows["step"].unique())
    most = int(rows["samples"].max())
    with style.theme():
        width = style.COLUMN if len(steps) == 1 else style.PAGE
        figure, part = style.canvas(
            width,
            0.3 + 1.75 * len(protocols),
            [style.handle(looks[rule], line=True) for rule in rules],
            panels.notes(units, rows),
        )
        grid = part.subplots(len(protocols), len(steps), sharex=True, sharey=True, squeeze=False)
        for line, protocol in enumerate(protocols):
            for column, step in enumerate(steps):
                axes = grid[line, column]
                _frame(axes, most)
                for rule in rules:
                    own, plateau = (
                        table[
                            (table["protocol"] == protocol)
                            & (table["step"] == step)
                            & (table["rule"] == rule)
                        ]
                        for table in (rows, plateaus)
                    )
                    _curve(axes, own.sort_values("samples"), plateau, looks[rule], most)
                name = style.LINES.get(protocol, protocol)
                panels.title(axes, f"{name}, {panels.step_title(step)}")
        part.supxlabel("estimates averaged, K", fontsize=8)
        part.supylabel(r"cosine of their mean with $g$", fontsize=8)
    caption = (
        "Cosine between the mean of K estimates and the reference gradient, with random feedback "
        f"held. {panels.averaged(rows)} Bands are the intervals. At infinity: the plateau, the "
        "cosine of the mean estimate. Noise averages out as K grows; bias stays. Dotted: rules "
        "without noise, whose mean is that of one estimate for every K."
    )
    return Picture("averaging_curve", figure, caption)


def _frame(axes: Axes, most: int) -> None:
    axes.set_xscale("log", base=2)
    decades = [10**n for n in range(int(np.log10(max(most, 1))) + 1)]
    axes.xaxis.set_major_locator(FixedLocator([*decades, _infinity(most)]))
    axes.xaxis.set_major_formatter(FixedFormatter([*map(str, decades), "∞"]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(0.8, _infinity(most) * 1.7)
    axes.axvline(most * 1.5, color="0.6", linewidth=0.6, linestyle=(0, (1, 2)), zorder=-1)
    axes.axhline(0, color="0.85", linewidth=0.6, zorder=-5)
    axes.axhline(1, color="0.85", linewidth=0.6, zorder=-5)


def _infinity(most: int) -> float:
    return most * 3.0


def _curve(
    axes: Axes, rows: pd.DataFrame, plateau: pd.DataFrame, look: Style, most: int
) -> None:
    if rows.empty:
        return
    colour = look.colour
    axes.plot(rows["samples"], rows["value"], color=colour, linestyle=look.dashes, zorder=2)
    axes.fill_between(
        rows["samples"], rows["low"], rows["high"], color=colour, alpha=0.2, linewidth=0
    )
    if len(rows) == 1:
        row = rows.iloc[0]
        axes.plot(
            [row["samples"], most],
            [row["value"]] * 2,
            color=colour,
            linestyle=(0, (1, 1.2)),
            zorder=2,
        )
        axes.errorbar(
            row["samples"],
            row["value"],
            [[row["value"] - row["low"]], [row["high"] - row["value"]]],
            color=colour,
            linewidth=1.1,
        )
    axes.plot(
        rows["samples"].iloc[::2],
        rows["value"].iloc[::2],
        color=colour,
        marker=look.marker,
        markersize=3.5,
        linestyle="none",
        zorder=3,
    )
    for _, row in plateau.iterrows():
        value = 1 - row["value"]
        error = [[row["high"] - row["value"]], [row["value"] - row["low"]]]
        axes.errorbar(
            _infinity(most),
            value,
            error if np.isfinite(error).all() else None,
            color=colour,
            marker=look.marker,
            markersize=4,
            linewidth=1.1,
            zorder=3,
        )
