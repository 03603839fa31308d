"""The picture of the performance suite: against frameworks, and how cost grows."""

import numpy as np

from plausibench.bench.report import style
from plausibench.bench.report.style import PAGE, theme

OURS, OTHERS, FLOOR = "#0173b2", "#949494", "#1a1a1a"


def performance(frameworks, costs):
    """Draw the picture.

    Parameters
    ----------
    frameworks
        ``{group: {name: (median, low, high)}}``, microseconds a sample.
    costs
        ``{axis: [(value, (median, low, high), operations)]}``, microseconds a sample.
    """
    with theme():
        figure, part = style.canvas(PAGE, 2.2, [], [])
        panels = part.subplots(1, 4, width_ratios=[1.3, 1, 1, 1])
        _frameworks(panels[0], frameworks)
        labels = {"samples": "samples", "width": "units in a layer", "batch": "batch size"}
        for panel, axis in zip(panels[1:], labels, strict=True):
            _costs(panel, costs.get(axis, []), axis)
            panel.set_xlabel(labels[axis])
        panels[1].set_ylabel("time per sample (µs)")
    caption = (
        "Left: time per sample of node perturbation, 784-256-128-10, batch 32, median and "
        "quartiles; filled float64, open float32. Right: time per sample against samples, width "
        "and batch size; the dashed line is proportional to the multiplications, through the "
        "last point."
    )
    return style.finished("performance", figure, caption)


def in_time(found):
    """Draw updates per second of rules in time, ours and those of other frameworks.

    Parameters
    ----------
    found
        ``{"cell": (kind, rule, neurons, steps, type), "in_time": {name: seconds}}`` of each cell.
    """
    names = list(found[0]["in_time"])
    looks = dict(zip(names, ((OURS, "o"), (OTHERS, "s"), (FLOOR, "^")), strict=False))
    labels = {"backpropagation_through_time": "BPTT", "e_prop": "e-prop", "rflo": "RFLO"}
    places = list(dict.fromkeys(tuple(one["cell"][1:4]) for one in found))
    places.sort(key=lambda place: (place[1], place[2]))
    with theme():
        figure, part = style.canvas(PAGE, 3.4, _legend(looks), [])
        panels = part.subplots(1, 2, sharey=True)
        for panel, kind in zip(panels, ("rate", "spiking"), strict=True):
            for one in found:
                if one["cell"][0] != kind:
                    continue
                double = one["cell"][4] == "float64"
                place = places.index(tuple(one["cell"][1:4])) + (-0.16 if double else 0.16)
                for name, seconds in one["in_time"].items():
                    colour, marker = looks[name]
                    face = colour if double else "white"
                    panel.plot(1 / seconds, place, marker, color=colour, mfc=face, ms=4)
            panel.set_xscale("log")
            panel.set_xlabel(f"updates per second ({kind})")
        ticks = [f"{labels[rule]}, {size} neurons, {steps} steps" for rule, size, steps in places]
        panels[0].set_yticks(range(len(places)), ticks)
        panels[0].invert_yaxis()
    caption = (
        "Updates per second of rules in time, batch 32, best of several rounds taken in turn; "
        "filled float64, open float32."
    )
    return style.finished("performance_in_time", figure, caption)


def _legend(looks):
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color=colour, marker=marker, linestyle="none", markersize=4, label=name)
        for name, (colour, marker) in looks.items()
    ]


def _frameworks(panel, groups):
    for group, times in groups.items():
        double = group.endswith("float64")
        for place, (name, (median, low, high)) in enumerate(times.items()):
            colour = OURS if name == "plausibench" else FLOOR if "floor" in name else OTHERS
            panel.errorbar(
                median,
                place + (-0.14 if double else 0.14),
                xerr=[[median - low], [high - median]],
                fmt="o",
                color=colour,
                markerfacecolor=colour if double else "white",
                markersize=4,
            )
    names = list(next(iter(groups.values()), {}))
    panel.set_yticks(
        range(len(names)), [n.replace("floor of this machine", "floor") for n in names]
    )
    panel.invert_yaxis()
    panel.set_xscale("log")
    panel.set_xlabel("time per sample (µs)")


def _costs(panel, points, axis):
    if not points:
        return
    values, times, operations = zip(*points, strict=True)
    median, low, high = np.array(times).T
    panel.errorbar(values, median, yerr=[median - low, high - median], fmt="o-", color=OURS, ms=3)
    expected = np.array(operations) / operations[-1] * median[-1]
    panel.plot(values, expected, "--", color=OTHERS)
    panel.set_xscale("log", base=10 if axis == "samples" else 2)
    panel.set_yscale("log")
    panel.set_ylim(bottom=min(min(low), min(expected)) / 2, top=max(high) * 2)
