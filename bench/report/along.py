"""Bias and variance along training."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator

from plausibench.bench.report import panels, style
from plausibench.bench.report.panels import Mark
from plausibench.bench.report.scale import Scale
from plausibench.bench.report.style import Picture, Style
from plausibench.kernels.errors import InputError

QUANTITIES = {
    "bias_squared": r"squared bias $/ \|g\|^2$",
    "variance": r"variance $/ \|g\|^2$",
}


MOST, LABELLED = 24, 8
"""Checkpoints that are drawn, and those that are labelled, at most."""


def along_training(
    frame: pd.DataFrame,
    units: pd.DataFrame | None = None,
    *,
    projection: str = "all",
    looks: dict[str, Style] | None = None,
) -> Picture:
    """Draw bias and variance of every rule at each checkpoint, with feedback held.

    Parameters
    ----------
    frame, units : DataFrame
        Tidy long table of a run, and its units of work, which name what diverged.
    projection
        ``all`` for the whole net, or a parameter's name.
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
    rows = panels.select(frame, ("conditional",), QUANTITIES, projection)
    if rows.empty:
        raise InputError("frame: it holds no bias and variance to draw")
    rows, left_out = panels.columns(rows, MOST)
    looks = looks or style.styles(frame["rule"])
    rules = style.ordered(rows["rule"], looks)
    protocols, steps = panels.protocols_of(rows), sorted(rows["step"].unique())
    with style.theme():
        width = style.COLUMN if len(protocols) == 1 else style.PAGE
        figure, part = style.canvas(
            width,
            3.6,
            [style.handle(looks[rule], line=True) for rule in rules],
            [*left_out, *panels.notes(units, rows, arrows=True)],
        )
        grid = part.subplots(2, len(protocols), sharex=True, sharey="row", squeeze=False)
        for line, (quantity, text) in enumerate(QUANTITIES.items()):
            of_quantity = rows[rows["quantity"] == quantity]
            scale = panels.fit(of_quantity)
            grid[line, 0].set_ylabel(text)
            for axes, protocol in zip(grid[line], protocols, strict=True):
                scale.apply(axes, "y")
                _curves(axes, of_quantity[of_quantity["protocol"] == protocol], steps, looks, scale)
                if line == 0:
                    panels.title(axes, style.LINES.get(protocol, protocol))
        for axes in grid[-1]:
            axes.set_xlabel("training steps")
            axes.set_xlim(-0.5, len(steps) - 0.5)
            labelled = panels.few(range(len(steps)), LABELLED)
            axes.xaxis.set_major_locator(FixedLocator(labelled))
            axes.set_xticklabels([str(steps[place]) for place in labelled])
    caption = (
        "Bias and variance of gradient estimates along training, relative to the squared length "
        "of the reference gradient, with random feedback held. Shared weights: every rule is "
        "measured on the same run of backprop; own training: each on the run that it trains. "
        f"{panels.averaged(rows)} Markers of a checkpoint are set side by side. Arrows: the "
        "interval includes zero; the marker is at the upper bound."
    )
    return style.finished("along_training", figure, caption)


def _curves(
    axes: Axes, rows: pd.DataFrame, steps: list[int], looks: dict[str, Style], scale: Scale
) -> None:
    rules = style.ordered(rows["rule"], looks)
    shifts = np.linspace(-0.32, 0.32, len(rules)) if len(rules) > 1 else np.zeros(1)
    for rule, shift in zip(rules, shifts, strict=True):
        own = rows[rows["rule"] == rule].sort_values("step")
        marks = [(steps.index(row["step"]), panels.mark(row, scale)) for _, row in own.iterrows()]
        drawn = [(float(at + shift), found) for at, found in marks if found is not None]
        axes.plot(
            [at for at, _ in drawn],
            [found.place for _, found in drawn],
            color=looks[rule].colour,
            linestyle=looks[rule].dashes,
            linewidth=0.8,
            alpha=0.6,
            zorder=1,
        )
        for at, found in drawn:
            panels.point(axes, looks[rule], Mark(at, at, at), found)
