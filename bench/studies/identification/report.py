"""The study of system identification: the surface with its contours, models, types and rules."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

from plausibench.bench.identification.surface import COLUMNS
from plausibench.bench.report import means, notation, panels, style
from plausibench.bench.report.render import Table, plain
from plausibench.bench.report.style import Picture

TABLES = ("surface", "models", "rules")
"""Names of the tables of the report."""

LEVELS = (0.2, 0.4, 0.6, 0.8, 0.9)
QUANTITIES = {
    "explained_variance": "explained variance",
    "explainable_variance_explained": "from repeats",
    "correlation_of_means": "correlation",
    "located": "located",
    "kernel_correlation": "kernel",
    "type_accuracy": "types",
}
LABELS = {
    "factorised": "factorised",
    "kernel_known": "kernel known",
    "point": "point",
    "fixed_mask": "fixed mask",
    "shuffled": "shuffled responses",
    "dense": "dense",
    "least_squares": "least squares",
    "ridge": "ridge",
    "lasso": "lasso",
    "none": "core as drawn",
}
MARKERS = ("o", "s", "^", "v", "D", "P", "X", "p", "h")
NOTES = (
    (
        "Means over seeds with 95 % intervals (Student's t). Explained variance is that of "
        "noiseless responses to images that were not shown: 1 for the truth, 0 for the mean."
    ),
    (
        "From repeats: the same, estimated from noisy trials of each image, as recordings have "
        "them; correlation: of predictions with means over these trials."
    ),
    (
        "Located: share of neurons found within 1.5 pixels, the median shift taken out; kernel: "
        "largest correlation with the true one; types: share of neurons in the right cluster."
    ),
)


def report(rows: pd.DataFrame) -> tuple[dict[str, Table], list[Picture]]:
    """Tables by name, and pictures."""
    tables = {"surface": surface(rows), "models": models(rows), "rules": rules(rows)}
    return tables, [identification(rows)]


def surface(rows: pd.DataFrame) -> Table:
    """Explained variance over neurons and images; its CSV is what a plan is made from."""
    own = rows[(rows["axis"] == "surface") & (rows["quantity"] == "explained_variance")]
    found = means.over_seeds(own, ["neurons", "samples"]).sort_values(["neurons", "samples"])
    raw = found.round(dict.fromkeys(means.ENDS, 6)).set_axis(list(COLUMNS), axis=1)
    found["text"] = [notation.number(*row) for row in found[means.ENDS].to_numpy().tolist()]
    wide = found.pivot(index="neurons", columns="samples", values="text")
    cells = wide.rename(columns=lambda count: f"{count:,} images").reset_index()
    cells["neurons"] = cells["neurons"].map("{:,}".format)
    return _table("Explained variance by neurons and images", cells, raw, 1, rows)


def models(rows: pd.DataFrame) -> Table:
    """All models of all parts of the study but the surface, with everything that was scored."""
    axes = rows["axis"].isin(["models", "two types", "natural scenes"])
    shown = rows["neurons"] == min(100, rows.loc[rows["axis"] == "surface", "neurons"].max())
    return _scores(
        "Models",
        rows[axes | ((rows["axis"] == "surface") & shown)].replace({"axis": {"surface": "models"}}),
        rows,
    )


def rules(rows: pd.DataFrame) -> Table:
    """What is identified with each rule on the core."""
    return _scores("Rules on the core", rows[rows["axis"] == "rules"], rows)


def _scores(title: str, own: pd.DataFrame, rows: pd.DataFrame) -> Table:
    keys = ["axis", "model", "neurons", "samples"]
    found = means.over_seeds(own, [*keys, "quantity"])
    cells, raw = [], []
    for (axis, model, neurons, samples), part in found.groupby(keys, sort=False):
        line = {
            "part": str(axis),
            "model": _label(str(model)),
            "neurons": f"{neurons:,}",
            "images": f"{samples:,}",
        }
        numbers = {"axis": axis, "model": model, "neurons": neurons, "samples": samples}
        for quantity, name in QUANTITIES.items():
            one = part.loc[part["quantity"] == quantity, means.ENDS].to_numpy().tolist()
            ends = one[0] if one else [np.nan] * 3
            line[name] = notation.number(*ends)
            numbers |= means.columns(quantity, ends)
        cells.append(line)
        raw.append(numbers)
    return _table(title, pd.DataFrame(cells), pd.DataFrame(raw), 4, rows)


def _table(
    title: str, cells: pd.DataFrame, raw: pd.DataFrame, keys: int, rows: pd.DataFrame
) -> Table:
    notes = (*NOTES, *_diverged(rows), *_unresolved(rows))
    return plain(f"{title}; {means.seeds(rows)}", cells, raw, keys, notes)


def _diverged(rows: pd.DataFrame) -> tuple[str, ...]:
    """A note that names what diverged; none if nothing did."""
    lost = rows[rows["quantity"] == "diverged"]
    named = [
        f"{axis}, {_label(str(model))}, neurons {neurons:,}, images {samples:,}: seeds "
        + ", ".join(map(str, sorted(part["seed"])))
        for (axis, model, neurons, samples), part in lost.groupby(
            ["axis", "model", "neurons", "samples"], sort=False
        )
    ]
    return (f"Diverged and left out: {'; '.join(named)}.",) if named else ()


def _unresolved(rows: pd.DataFrame) -> tuple[str, ...]:
    """A note that counts neurons left out of the means over neurons; none if none was."""
    lost = int(rows.loc[rows["quantity"] == "unresolved", "value"].sum())
    told = "cannot be told from noise by their repeated trials, or that are silent"
    return (f"Left out of the means over neurons: {lost} whose responses {told}.",) if lost else ()


def _label(model: str) -> str:
    return LABELS.get(model, style.label(model))


def identification(rows: pd.DataFrame) -> Picture:
    """Draw the surface, its curves, the other models, the two types and the rules.

    Parameters
    ----------
    rows : DataFrame
        Values of the study.
    """
    ours = rows[rows["quantity"] == "explained_variance"]
    grid = means.over_seeds(ours[ours["axis"] == "surface"], ["neurons", "samples"])
    counts = sorted(grid["neurons"].unique())
    shades = sns.color_palette("viridis", len(counts) + 1)[:-1]
    palette = sns.color_palette("colorblind")
    others = [name for name in LABELS if name in set(ours.loc[ours["axis"] == "models", "model"])]
    colours = dict(zip(others, palette, strict=False)) | {"shuffled": "0.45"}
    with style.theme():
        entries = [
            Line2D([], [], color=colours[name], marker=marker, markersize=3, label=LABELS[name])
            for name, marker in zip(others, MARKERS, strict=False)
        ]
        figure, part = style.canvas(style.PAGE, 4.4, entries, [])
        top, bottom = part.subplots(2, 3)
        _contours(top[0], grid)
        for number, (count, shade) in enumerate(zip(counts, shades, strict=True)):
            own, name = grid[grid["neurons"] == count], "neuron" if count == 1 else "neurons"
            _curve(top[1], own, shade, MARKERS[number], f"{count:,} {name}")
        for number, name in enumerate(others):
            own = ours[(ours["axis"] == "models") & (ours["model"] == name)]
            own = means.over_seeds(own, ["neurons", "samples"])
            _curve(top[2], own, colours[name], MARKERS[number], LABELS[name])
        _bars(bottom[0], ours, "two types")
        _bars(bottom[1], ours, "rules")
        _bars(bottom[2], ours, "natural scenes")
        titles = ("surface", "neurons together", f"models, {min(100, max(counts))} neurons")
        for axes, title in zip(top, titles, strict=True):
            panels.title(axes, title)
            axes.set_xlabel("images shown")
        top[1].legend(loc="lower right", handlelength=1.2, labelspacing=0.2, fontsize=5.5)
    seeds = means.seeds(rows)
    caption = (
        "Identification of simulated neurons: explained variance of noiseless responses, means "
        f"over {seeds} with 95 % intervals (Student's t), cut at -0.1. Above: the surface "
        "with its contours, its curves, and other models, whose colours are in the legend "
        "(regressions are told the places). "
        "Below: readouts of two types of neurons, rules on the shared kernel, and networks on "
        "features of photographs."
    )
    return style.finished("identification", figure, caption)


def _contours(axes: Axes, grid: pd.DataFrame) -> None:
    wide = grid.pivot(index="neurons", columns="samples", values="value")
    x, y, values = _finer(wide.columns.to_numpy(), wide.index.to_numpy(), wide.to_numpy())
    filled = axes.contourf(x, y, values, levels=np.linspace(0, 1, 11), cmap="mako", extend="min")
    filled.set_edgecolor("face")
    lines = axes.contour(x, y, values, levels=LEVELS, colors="white", linewidths=0.8)
    axes.clabel(lines, fmt="%.1f", fontsize=style.SMALL - 1)
    axes.set_yscale("log")
    axes.set_ylabel("neurons recorded together")
    _doublings(axes, [float(count) for count in wide.columns])


def _finer(
    x: np.ndarray, y: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A grid that is finer, linear in the logarithms between its points."""
    to_x, to_y = (np.geomspace(axis[0], axis[-1], 61) for axis in (x, y))
    along = np.array([np.interp(np.log(to_x), np.log(x), row) for row in values])
    whole = [np.interp(np.log(to_y), np.log(y), column) for column in along.T]
    return to_x, to_y, np.array(whole).T


def _doublings(axes: Axes, x: Sequence[float]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(x)[:: 1 if len(x) < 5 else 2])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _curve(axes: Axes, own: pd.DataFrame, colour: object, marker: str, label: str) -> None:
    own = own.sort_values("samples")
    means.bars(
        axes,
        own["samples"],
        own[means.ENDS].clip(lower=-0.1),
        color=colour,
        marker=marker,
        markersize=3,
        elinewidth=0.8,
        label=label,
    )
    axes.axhline(0, color="0.8", linewidth=0.6, zorder=0)
    axes.set_ylim(-0.14, 1.03)
    axes.set_ylabel("explained variance")
    _doublings(axes, own["samples"].to_list())


def _bars(axes: Axes, ours: pd.DataFrame, axis: str) -> None:
    """Values of one part of the study, one place a model, one marker a number of images."""
    found = means.over_seeds(ours[ours["axis"] == axis], ["model", "samples"])
    names = list(dict.fromkeys(found["model"]))
    if not names:
        axes.set_axis_off()
        return
    counts = sorted(found["samples"].unique())
    palette = sns.color_palette("colorblind")
    for number, count in enumerate(counts):
        own = found[found["samples"] == count]
        places = [
            names.index(name) + 0.2 * (number - (len(counts) - 1) / 2) for name in own["model"]
        ]
        means.bars(
            axes,
            places,
            own[means.ENDS].clip(lower=-0.1),
            across=True,
            linestyle="none",
            color=palette[number],
            marker=MARKERS[number],
            markersize=4,
            label=f"{count:,} images",
        )
    axes.axvline(0, color="0.8", linewidth=0.6, zorder=0)
    axes.set_yticks(
        range(len(names)), [LABELS.get(name, style.label(name, width=20)) for name in names]
    )
    axes.invert_yaxis()
    axes.set_xlim(-0.14, 1.03)
    axes.set_xlabel("explained variance")
    panels.title(axes, axis)
    if len(counts) > 1:
        handles = [
            Line2D([], [], color=palette[n], marker=MARKERS[n], linestyle="none", markersize=4)
            for n in range(len(counts))
        ]
        axes.legend(handles, [f"{count:,} images" for count in counts], fontsize=5.5, loc="best")
