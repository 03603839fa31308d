"""The variance budget: what each source of randomness adds to a rule's variance."""

import pandas as pd
from matplotlib.axes import Axes

from plausibench.bench.report import panels, style
from plausibench.bench.report.panels import Mark
from plausibench.bench.report.scale import Scale
from plausibench.bench.report.style import Picture, Style
from plausibench.kernels.errors import InputError

COMPONENTS = {
    "variance_feedback": "feedback",
    "variance_data": "data (batches)",
    "variance_within": "rule and action noise",
    "variance_total": "total",
}


def variance_budget(
    frame: pd.DataFrame,
    units: pd.DataFrame | None = None,
    *,
    looks: dict[str, Style] | None = None,
) -> Picture:
    """Draw the components of every rule's variance, one panel a component.

    Components are not stacked: their unbiased estimates can be negative, and then stacked bars
    would not add up. One that is not told apart from zero is drawn as an upper bound.

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
    rows = panels.select(frame, ("budget",), COMPONENTS)
    if rows.empty:
        raise InputError("frame: it holds no variance budget to draw")
    rows, left_out = panels.columns(rows)
    looks = looks or style.styles(frame["rule"])
    rules = style.ordered(rows["rule"], looks)
    lines = [
        (protocol, step)
        for protocol in panels.protocols_of(rows)
        for step in sorted(rows.loc[rows["protocol"] == protocol, "step"].unique())
    ]
    scale = panels.fit(rows)
    with style.theme():
        figure, part = style.canvas(
            style.PAGE,
            0.45 + len(lines) * (0.25 + 0.14 * len(rules)),
            [],
            [*left_out, *panels.notes(units, rows, arrows=True)],
        )
        grid = part.subplots(len(lines), len(COMPONENTS), sharex=True, sharey=True, squeeze=False)
        for line, (protocol, step) in enumerate(lines):
            here = rows[(rows["protocol"] == protocol) & (rows["step"] == step)]
            for axes, (component, text) in zip(grid[line], COMPONENTS.items(), strict=True):
                _dots(axes, here[here["quantity"] == component], rules, looks, scale)
                if line == 0:
                    axes.set_title(text, loc="left", pad=14)
            heading = panels.step_title(step)
            if len({protocol for protocol, _ in lines}) > 1:
                heading = f"{protocol}, {heading}"
            grid[line, 0].annotate(
                heading,
                (0, 1),
                (0, 3),
                xycoords="axes fraction",
                textcoords="offset points",
                fontsize=style.SMALL,
                color="0.35",
            )
        part.supxlabel(r"variance $/ \|g\|^2$, each source redrawn", fontsize=8)
    caption = (
        "Variance of gradient estimates by what is redrawn, relative to the squared length of the "
        "gradient over the training set: feedback (mean over the rest), batches within a "
        "feedback, and noise of rule and action within a batch; in each seed the total is their "
        f"sum. {panels.averaged(rows)} Estimates of a component can be negative; those whose "
        "interval includes zero are drawn as upper bounds, and tables give them unclipped."
    )
    return style.finished("variance_budget", figure, caption)


def _dots(
    axes: Axes, rows: pd.DataFrame, rules: list[str], looks: dict[str, Style], scale: Scale
) -> None:
    scale.apply(axes, "x")
    axes.set_ylim(len(rules) - 0.4, -0.6)
    axes.set_yticks(range(len(rules)), [looks[rule].label for rule in rules])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    for place in range(len(rules)):
        axes.axhline(place, color="0.9", linewidth=0.6, zorder=-5)
    for _, row in rows.iterrows():
        found = panels.mark(row, scale)
        if found is not None:
            at = float(rules.index(row["rule"]))
            panels.point(axes, looks[row["rule"]], found, Mark(at, at, at))
