"""Published figures and ours, side by side."""

from collections.abc import Sequence

import pandas as pd

from plausibench.bench.report import notation
from plausibench.bench.report.render import Table, plain
from plausibench.bench.report.style import Picture
from plausibench.bench.studies.replications.recipe import NEEDS, PROVENANCE, VERDICTS, Recipe
from plausibench.bench.studies.replications.run import Compared, Replication, judged

TABLES = ("figures", "summary")
"""Names of the tables of the report."""
KEYS = 2
LETTERS = "; ".join(f"{letter}: {text}" for letter, text in PROVENANCE.items())


def report(rows: pd.DataFrame) -> tuple[dict[str, Table], tuple[Picture, ...]]:
    """Tables by name, and no pictures."""
    found = judged(rows["recipe"].unique(), rows)
    return {"figures": figures(found), "summary": summary(found)}, ()


def figures(found: Sequence[Replication]) -> Table:
    """Every figure of every recipe, with what is asked of it and its verdict."""
    cells: list[dict[str, str]] = []
    raw: list[dict[str, object]] = []
    for replication in found:
        name = replication.recipe.name
        if not replication.compared:
            cells.append(_cells(name, "–", "–", "–", "–", NEEDS))
            raw.append({"recipe": name, "verdict": NEEDS})
        for one in replication.compared:
            target = one.target
            value = "direction" if target.published is None else f"{target.published:.4g}"
            published = f"{value} [{target.provenance}]"
            ours = notation.number(one.value, one.low, one.high)
            cells.append(_cells(name, target.what, published, ours, target.condition, one.verdict))
            raw.append(_raw(name, one))
    return plain("Published figures and ours", cells, raw, KEYS, _notes(found))


def summary(found: Sequence[Replication]) -> Table:
    """A line for each recipe: verdict, source, setting and every deviation."""
    rows = []
    for one in found:
        setting = one.setting
        if setting is None:
            described = missing(one.recipe)
            deviations = one.recipe.whole.deviations if one.recipe.whole else ()
        else:
            described, deviations = setting.description, setting.deviations
        rows.append(
            {
                "recipe": one.recipe.name,
                "verdict": one.verdict,
                "compared with": "; ".join(filter(None, (one.recipe.cites, one.recipe.source))),
                "setting": described,
                "deviations": "; ".join(deviations),
            }
        )
    reached = {row["verdict"] for row in rows}
    notes = [f"{verdict}: {text}." for verdict, text in VERDICTS.items() if verdict in reached]
    return plain("Replications", rows, rows, KEYS, notes)


def missing(recipe: Recipe) -> str:
    """Which files a recipe needs, and where they go."""
    return f"put {', '.join(recipe.needs)} (or .gz) into a folder DIR and give --data DIR"


def _cells(
    name: str, what: str, published: str, ours: str, asked: str, verdict: str
) -> dict[str, str]:
    return {
        "recipe": name,
        "figure": what,
        "published": published,
        "ours": ours,
        "asked": asked,
        "verdict": verdict,
    }


def _raw(name: str, one: Compared) -> dict[str, object]:
    target = one.target
    return {
        "recipe": name,
        "figure": target.what,
        "published": target.published,
        "provenance": target.provenance,
        "value": one.value,
        "low": one.low,
        "high": one.high,
        "seeds": one.seeds,
        "tolerance": target.tolerance,
        "below": target.below,
        "above": target.above,
        "verdict": one.verdict,
    }


def _notes(found: Sequence[Replication]) -> list[str]:
    seeds = sorted({one.seeds for each in found for one in each.compared})
    notes = [f"Published: {LETTERS}."]
    if seeds:
        notes.append(
            f"Ours: mean over {', '.join(map(str, seeds))} seeds [95 % interval by Student's t]; "
            "– where training diverged. Asked: where our interval has to be."
        )
    return notes
