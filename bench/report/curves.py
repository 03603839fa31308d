"""Learning curves: loss, accuracy and alignment along training."""

import pandas as pd
from matplotlib.axes import Axes

from plausibench.bench.report import panels, style
from plausibench.bench.report.style import Picture, Style
from plausibench.kernels.errors import InputError

QUANTITIES = {
    "train_loss": "training loss",
    "test_accuracy": "test accuracy",
    "alignment": "alignment (cosine)",
}
FEW = 12
"""Up to so many steps each has a marker."""


def learning_curves(
    frame: pd.DataFrame,
    units: pd.DataFrame | None = None,
    *,
    looks: dict[str, Style] | None = None,
) -> Picture:
    """Draw loss, accuracy and alignment of each rule against its own training steps.

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
        If the frame holds several settings, or no training of more than one step.
    """
    rows = panels.select(frame[frame["protocol"] == "own"], ("training",), QUANTITIES)
    if rows["step"].nunique() < 2:
        raise InputError("frame: it holds no learning curve to draw")
    looks = looks or style.styles(frame["rule"])
    rules = style.ordered(rows["rule"], looks)
    shown = [quantity for quantity in QUANTITIES if (rows["quantity"] == quantity).any()]
    with style.theme():
        figure, part = style.canvas(
            style.PAGE if len(shown) > 1 else style.COLUMN,
            2.1,
            [style.handle(looks[rule], line=True) for rule in rules],
            panels.notes(units, rows),
        )
        grid = part.subplots(1, len(shown), squeeze=False)[0]
        for axes, quantity in zip(grid, shown, strict=True):
            for rule in rules:
                own = rows[(rows["quantity"] == quantity) & (rows["rule"] == rule)]
                _curve(axes, own.sort_values("step"), looks[rule])
            panels.title(axes, QUANTITIES[quantity])
            axes.set_xlabel("training steps")
            if quantity == "train_loss":
                axes.set_ylim(bottom=0)
    bands = "with the 95 % interval over seeds" if rows["seeds"].max() > 1 else "of one seed"
    caption = (
        f"Learning curves, mean {bands}: loss on the training set, accuracy on the test set, and "
        "alignment, the cosine of one estimate with the reference gradient of the same batch."
    )
    return Picture("learning_curves", figure, caption)


def _curve(axes: Axes, rows: pd.DataFrame, look: Style) -> None:
    few = len(rows) <= FEW
    axes.plot(
        rows["step"],
        rows["value"],
        color=look.colour,
        linestyle=look.dashes,
        marker=look.marker,
        markersize=3.5,
        markevery=1 if few else max(1, len(rows) // 6),
        zorder=2,
    )
    axes.fill_between(
        rows["step"], rows["low"], rows["high"], color=look.colour, alpha=0.18, linewidth=0
    )
