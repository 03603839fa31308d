"""Learning curves: loss, accuracy and alignment along training."""

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from plausibench.bench.report import nulls, panels, style
from plausibench.bench.report.render import Table, plain
from plausibench.bench.report.style import SIZES, Picture, Style
from plausibench.bench.training.nulls import CHANCE
from plausibench.kernels.errors import InputError

TABLES = ("last",)
"""Names of the tables of the report."""
LAST = ("train_loss", "test_loss", "test_accuracy", "alignment")
QUANTITIES = {
    "train_loss": "training loss",
    "test_accuracy": "test accuracy",
    "alignment": "alignment (cosine)",
}
FEW = 12
"""Up to so many steps each has a marker and a bar, beyond that a band."""


NULLS = {"readout only": style.DASHED, "linear": style.SOLID, "chance": style.DOTTED}
"""Lines of the nulls, by what they are called."""
GREY = "0.55"
"""Their colour."""


def report(rows: pd.DataFrame) -> tuple[dict[str, Table], tuple[Picture, ...]]:
    """How each training ends, and the learning curves if they have more than one step."""
    pictures = (learning_curves(rows),) if rows["step"].nunique() > 1 else ()
    return {"last": last(rows)}, pictures


def last(rows: pd.DataFrame) -> Table:
    """Values at the last step of each training that was finite, those of the nulls below."""
    cells = []
    rules, trained = nulls.parted(rows)
    for (rule, seed), curve in rules.groupby(["rule", "seed"], sort=False):
        step = curve["step"].max()
        values = curve[curve["step"] == step].set_index("quantity")["value"]
        numbers = {name: f"{values[name]:.4g}" for name in LAST if name in values.index}
        cells.append({"rule": str(rule), "seed": str(seed), "step": str(step), **numbers})
    cells += _ends_of_nulls(rules, trained)
    laid = pd.DataFrame(cells, columns=["rule", "seed", "step", *LAST])
    return plain("The end of each training", laid, rows, 2)


def _ends_of_nulls(rules: pd.DataFrame, trained: pd.DataFrame) -> Iterator[dict[str, str]]:
    """A row for each null and seed at the last step that a rule reached, and one for chance."""
    if rules.empty:
        return
    ends = trained[trained["step"] == rules["step"].max()]
    several = len(rules[nulls.PLACE].drop_duplicates()) > 1
    for (rule, *place, seed), own in ends.groupby(["rule", *nulls.PLACE, "seed"], sort=False):
        values = own.set_index("quantity")["value"]
        where = dict(zip(nulls.PLACE, place, strict=True))
        told = ", ".join(str(where[name]) for name in nulls.WITHIN[str(rule)])
        name = f"null: {nulls.CALLED[str(rule)]}" + (f" ({told})" if several else "")
        numbers = {name: f"{values[name]:.4g}" for name in LAST if name in values.index}
        yield {"rule": name, "seed": str(seed), "step": str(own["step"].max()), **numbers}
    levels = ends[ends["quantity"].isin(list(CHANCE.values()))]
    for (task, objective), own in levels.groupby(["task", "objective"], sort=False):
        values = own.drop_duplicates("quantity").set_index("quantity")["value"]
        numbers = {
            name: f"{values[level]:.4g}" for name, level in CHANCE.items() if level in values.index
        }
        name = "null: chance" + (f" ({task}, {objective})" if several else "")
        yield {"rule": name, "seed": "–", "step": "–", **numbers}


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
    looks = looks or style.styles(nulls.parted(frame)[0]["rule"])
    rules = style.ordered(rows["rule"], looks)
    courses, where = _usual(frame)
    shown = [quantity for quantity in QUANTITIES if (rows["quantity"] == quantity).any()]
    with style.theme():
        figure, part = style.canvas(
            style.PAGE if len(shown) > 1 else style.COLUMN,
            2.1,
            [
                *(style.handle(looks[rule], line=True) for rule in rules),
                *(_null_handle(name) for name in NULLS if (courses["null"] == name).any()),
            ],
            panels.notes(units, rows),
        )
        grid = part.subplots(1, len(shown), squeeze=False)[0]
        for axes, quantity in zip(grid, shown, strict=True):
            own = rows[rows["quantity"] == quantity]
            _curves(axes, own, looks)
            _null_curves(axes, courses[courses["quantity"] == quantity])
            panels.title(axes, QUANTITIES[quantity])
            axes.set_xlabel("training steps")
            if quantity == "train_loss" and (own["value"] > 0).all():
                axes.set_yscale("log")
                axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
                axes.yaxis.set_minor_locator(NullLocator())
            elif quantity == "test_accuracy":
                axes.set_ylim(0, 1)
    several = "over seeds with its 95 % interval (geometric of losses)"
    bands = several if rows["seeds"].max() > 1 else "of one seed"
    caption = (
        f"Learning curves, mean {bands}: loss on the training set (of each rule's own "
        "objective), accuracy on the test set, and alignment, the cosine of one estimate with "
        f"the reference gradient of the same batch.{where}"
    )
    return style.finished("learning_curves", figure, caption)


def _usual(frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Nulls beside the network and objective of most rules, and what the caption says of them."""
    rules, trained = nulls.parted(frame)
    courses = nulls.courses(frame)
    if trained.empty:
        return courses, ""
    pairs = rules[["architecture", "objective", "rule"]].drop_duplicates()
    usual = pairs[["architecture", "objective"]].value_counts(sort=True).index[0]
    named = courses[["architecture", "objective"]].apply(tuple, axis=1) == usual
    said = (
        f" Grey: nulls, beside {' with '.join(usual)}: the same network with its hidden layers "
        "left as they were drawn, a network without hidden layers, and the best constant answer."
    )
    return courses[named], said


def _null_handle(name: str) -> Line2D:
    return Line2D([], [], color=GREY, linewidth=0.7, linestyle=NULLS[name], label=f"null: {name}")


def _null_curves(axes: Axes, courses: pd.DataFrame) -> None:
    for name, course in courses.groupby("null", sort=False):
        own = course.sort_values("step")
        axes.plot(
            own["step"],
            own["value"],
            color=GREY,
            linestyle=NULLS[str(name)],
            linewidth=0.7,
            zorder=1,
        )


def _curves(axes: Axes, rows: pd.DataFrame, looks: dict[str, Style]) -> None:
    rules = style.ordered(rows["rule"], looks)
    few = rows["step"].nunique() <= FEW
    span = rows["step"].max() - rows["step"].min()
    for number, rule in enumerate(rules):
        look, own = looks[rule], rows[rows["rule"] == rule].sort_values("step")
        # Bars of few steps are set side by side, so that they do not hide each other.
        steps = own["step"] + (0.008 * span * (number - (len(rules) - 1) / 2) if few else 0)
        axes.plot(
            steps,
            own["value"],
            color=look.colour,
            linestyle=look.dashes,
            linewidth=0.8,
            marker=look.marker,
            markersize=0.7 * SIZES.get(look.marker, 5.0),
            markevery=1 if few else max(1, len(own) // 6),
            zorder=2,
        )
        if few:
            axes.vlines(steps, own["low"], own["high"], color=look.colour, linewidth=0.9)
        else:
            axes.fill_between(
                steps, own["low"], own["high"], color=look.colour, alpha=0.18, linewidth=0
            )
