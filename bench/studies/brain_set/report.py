"""The brain set: skill by domain, with and without a bias, and in the controls."""

import numpy as np
import pandas as pd
import seaborn as sns

from plausibench.bench.report import means, notation, panels, style
from plausibench.bench.report.render import Table, plain
from plausibench.bench.report.style import Picture
from plausibench.bench.studies.brain_set.study import CONTROLS

TABLES = ("skills",)
"""Names of the tables of the report."""

NOTES = (
    (
        "Skill on the test set: 0 for the best constant answer, 1 for no error; mean over seeds "
        "[95 % interval, Student's t]. benefit: skill with the bias less that without, seed by "
        "seed; a bias must not help where inputs have changed places. Seeds share the examples and "
        "how they were altered: intervals are over initial weights and the order of batches."
    ),
)


def report(rows: pd.DataFrame) -> tuple[dict[str, Table], list[Picture]]:
    """Tables by name, and pictures."""
    return {"skills": skills(rows)}, [brain_set(rows)]


def skills(rows: pd.DataFrame) -> Table:
    """Table of skills by domain, rule and control, and of the benefit of the bias."""
    cells, raw = [], []
    for (domain, rule, control), part in rows.groupby(["domain", "rule", "control"], sort=False):
        line = {"domain": str(domain), "rule": style.label(str(rule)), "control": str(control)}
        numbers: dict[str, object] = {"domain": domain, "rule": rule, "control": control}
        for biased, said in ((True, "with bias"), (False, "dense")):
            own = part[part["biased"] == biased]
            ends = means.average(own["skill"])
            line[said] = f"{notation.number(*ends)} ({own['network'].iloc[0]})"
            numbers |= means.columns(said.replace(" ", "_"), ends)
        wide = part.pivot_table(index="seed", columns="biased", values="skill")
        # Where all networks of a kind diverged there is no column.
        wide = wide.reindex(columns=[True, False])
        ends = means.average(wide[True] - wide[False])
        line["benefit"] = notation.number(*ends)
        numbers |= means.columns("benefit", ends)
        cells.append(line)
        raw.append(numbers)
    seeds = means.seeds(rows)
    notes = (*NOTES, f"{_diverged(rows)}, and are not in the means.")
    return plain(f"Skill on the brain set; {seeds}", cells, raw, 3, notes)


def _diverged(rows: pd.DataFrame) -> str:
    """How many networks there are no skills of."""
    return f"{(~np.isfinite(rows['skill'])).sum()} of {len(rows)} networks diverged"


def brain_set(rows: pd.DataFrame) -> Picture:
    """Draw skills of the first rule: a panel for the tasks and each control."""
    colours = sns.color_palette("colorblind").as_hex()
    domains = list(dict.fromkeys(rows["domain"]))
    own = rows[rows["rule"] == rows["rule"].iloc[0]]
    with style.theme():
        figure, part = style.canvas(style.PAGE, 2.4, [], [])
        for axes, control in zip(
            part.subplots(1, len(CONTROLS), sharey=True), CONTROLS, strict=True
        ):
            for biased, shift, colour, marker in (
                (True, -0.12, colours[0], "o"),
                (False, 0.12, colours[1], "s"),
            ):
                shown = own[(own["control"] == control) & (own["biased"] == biased)]
                ends = [
                    means.average(shown.loc[shown["domain"] == one, "skill"]) for one in domains
                ]
                means.bars(
                    axes,
                    np.arange(len(domains)) + shift,
                    ends,
                    color=colour,
                    marker=marker,
                    markersize=4,
                    linestyle="none",
                    label="convolutional or recurrent" if biased else "dense",
                )
            axes.axhline(0, color="0.6", linewidth=0.7, zorder=1)
            axes.set_xticks(range(len(domains)), domains, rotation=90)
            axes.tick_params(axis="x", length=0)
            axes.set_ylim(-0.45, 1.05)
            panels.title(
                axes, {"task": "tasks", "permuted": "inputs permuted"}.get(control, control)
            )
            if control == CONTROLS[0]:
                axes.set_ylabel("skill (0: constant answer)")
            if control == CONTROLS[-1]:
                axes.legend(loc="upper right")
    seeds = means.seeds(rows)
    caption = (
        "Skill on six tasks of the brain set, for networks with a bias and dense ones of about as "
        f"many weights, and on two controls: means over {seeds} with 95 % intervals "
        f"(Student's t); {_diverged(own)} and are left out; skill below -0.45 is not shown."
    )
    return style.finished("brain_set", figure, caption)
