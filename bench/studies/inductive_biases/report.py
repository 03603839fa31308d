"""The study of inductive biases: scores against the amount of data."""

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from plausibench.bench.report import means, notation, panels, style
from plausibench.bench.report.render import Table, plain
from plausibench.bench.report.style import Picture
from plausibench.bench.studies.inductive_biases.study import SETTINGS
from plausibench.kernels.errors import counted

TABLES = ("biases",)
"""Names of the tables of the report."""

NOTES = (
    (
        "Mean over seeds [95 % interval, Student's t, within 0 and 1]; null: in a world without "
        "the structure that the bias could use. Seeds have examples and weights of their own, in "
        "worlds of the same patterns and, under the null, with the same permutation of pixels."
    ),
    (
        "Benefit: score of the network with the bias less that of this one, from the same "
        "examples, paired over seeds [95 % interval, Student's t]."
    ),
)


def report(rows: pd.DataFrame) -> tuple[dict[str, Table], list[Picture]]:
    """Tables by name, and pictures."""
    return {"biases": biases(rows)}, [inductive_biases(rows)]


def biases(rows: pd.DataFrame) -> Table:
    """Table of the score of every variant, with and without structure, by amount of data."""
    cells, raw = [], []
    for (bias, variant, budget), part in rows.groupby(["bias", "variant", "budget"], sort=False):
        line = {"bias": str(bias), "variant": str(variant), "examples": str(budget)}
        numbers: dict[str, object] = {"bias": bias, "variant": variant, "examples": budget}
        line["parameters"] = str(part["parameters"].iloc[0])
        line["score is"] = SETTINGS[str(bias)].score
        for null, name in ((False, "score"), (True, "null: score")):
            ends = means.share(part.loc[part["null"] == null, "score"])
            line[name] = notation.number(*ends)
            numbers |= means.columns("null" if null else "score", ends)
        for null, name in ((False, "benefit"), (True, "null: benefit")):
            ends = benefit(rows, str(bias), str(variant), part["budget"].iloc[0], null)
            line[name] = notation.number(*ends)
            numbers |= means.columns("null_benefit" if null else "benefit", ends)
        cells.append(line)
        raw.append(numbers)
    lost = int(rows["score"].isna().sum())
    notes = (*NOTES, f"Diverged and left out: {counted(lost, 'network')}.") if lost else NOTES
    return plain(f"Inductive biases; {means.seeds(rows)}", cells, raw, 3, notes)


def benefit(rows: pd.DataFrame, bias: str, variant: str, budget: int, null: bool) -> means.Ends:
    """Score of what has the bias less that of a variant, paired over seeds; NaN of itself."""
    own = rows[(rows["bias"] == bias) & (rows["budget"] == budget) & (rows["null"] == null)]
    biased = own[own["helps"]].set_index("seed")["score"]
    if variant in set(own.loc[own["helps"], "variant"]):
        return float("nan"), float("nan"), float("nan")
    return means.average(biased - own[own["variant"] == variant].set_index("seed")["score"])


def inductive_biases(rows: pd.DataFrame) -> Picture:
    """Draw a panel for each bias."""
    with style.theme():
        figure, part = style.canvas(style.PAGE, 4.6, [], [])
        for axes, bias in zip(part.subplots(2, 2).flat, SETTINGS, strict=True):
            _panel(axes, rows[rows["bias"] == bias], bias)
    seeds = means.seeds(rows)
    caption = (
        "Four inductive biases against the amount of data; dashed and open: the null, a world "
        f"without the structure that the bias could use; dots: chance. Means over {seeds} "
        "with 95 % intervals (Student's t)."
    )
    return style.finished("inductive_biases", figure, caption)


def _panel(axes: Axes, rows: pd.DataFrame, bias: str) -> None:
    colours = sns.color_palette("colorblind").as_hex()
    setting = SETTINGS[bias]
    variants = list(dict.fromkeys(rows["variant"]))
    budgets = sorted(rows["budget"].unique())
    for number, variant in enumerate(variants):
        for null in (False, True):
            own = rows[(rows["variant"] == variant) & (rows["null"] == null)]
            ends = [means.share(own.loc[own["budget"] == n, "score"]) for n in budgets]
            shift = 1.03 ** (2 * number - len(variants) + null)
            means.bars(
                axes,
                [n * shift for n in budgets],
                ends,
                color=colours[number],
                marker="os^D"[number],
                markersize=4,
                markerfacecolor="none" if null else colours[number],
                linestyle=style.DASHED if null else style.SOLID,
                linewidth=0.8 if null else 1.1,
                label=None if null else variant,
            )
    if setting.chance:
        axes.axhline(setting.chance, color="0.5", linewidth=0.8, linestyle=style.DOTTED)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(budgets))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("examples of training")
    axes.set_ylabel(setting.score)
    panels.title(axes, bias)
    axes.legend(loc="best")
