"""How much more accurate each rule is than its network with frozen hidden layers."""

import pandas as pd

from plausibench.bench.report import means, notation, nulls
from plausibench.bench.report.render import Table, plain
from plausibench.bench.report.style import Picture
from plausibench.bench.training.nulls import READOUT

TABLES = ("learning",)
"""Names of the tables of the report."""


def report(rows: pd.DataFrame) -> tuple[dict[str, Table], tuple[Picture, ...]]:
    """Tables by name; no picture."""
    found = learning(rows)
    cells = [
        {
            "rule": row["rule"],
            "network": row["architecture"],
            "objective": row["objective"],
            "rate": f"{row['learning_rate']:.2g}",
            "steps": f"{row['steps']}",
            "seeds": f"{row['seeds']}",
            "test accuracy": _shown(row, "accuracy"),
            "lowest": f"{row['lowest']:.3f}",
            "readout only": _shown(row, "readout_only"),
            "above readout only": _shown(row, "above"),
            "learns hidden layers": _verdict(row),
        }
        for _, row in found.iterrows()
    ]
    title = "Accuracy above readout only"
    if len(found):
        title += f" on {', '.join(dict.fromkeys(found['task']))}"
    notes = [
        f"Means over {means.seeds(rows)} with 95 % intervals; above: differences with equal seeds.",
        "Learns hidden layers: yes where that interval is above 0.",
        "Those of readout_only are frozen; what it is above the null comes from the search.",
        *nulls.sentences(rows, None, int(rows["step"].max())),
    ]
    return {"learning": plain(title, cells, found, 1, notes)}, ()


def learning(rows: pd.DataFrame) -> pd.DataFrame:
    """A row for each rule at each task.

    Parameters
    ----------
    rows
        Of the study learned.

    Returns
    -------
    DataFrame
        Columns ``task``, ``rule``, ``architecture``, ``objective``, ``learning_rate``, ``steps``,
        ``seeds`` (that came to an end, with a null beside them), ``lowest`` (accuracy of a seed),
        and ``accuracy``, ``readout_only`` and ``above`` with the ends of their intervals.
    """
    found = []
    keys = ["task", "rule", "architecture", "objective"]
    for place, own in nulls.beside(rows).groupby(keys, sort=False):
        values = own.pivot(index="seed", columns="quantity", values="value")
        values = values.reindex(columns=["test_accuracy", nulls.ABOVE[READOUT], "learning_rate"])
        accuracy, above = values["test_accuracy"], values[nulls.ABOVE[READOUT]]
        found.append(
            {
                **dict(zip(keys, place, strict=True)),
                "learning_rate": values["learning_rate"].iloc[0],
                "steps": own["step"].max(),
                "seeds": int(above.notna().sum()),
                "lowest": accuracy.min(),
                **means.columns("accuracy", means.share(accuracy)),
                **means.columns("readout_only", means.share(accuracy - above)),
                **means.columns("above", means.average(above)),
            }
        )
    return pd.DataFrame(found)


def _verdict(row: pd.Series) -> str:
    if row["rule"] == READOUT:
        return "frozen"
    return "yes" if row["above_low"] > 0 else "no"


def _shown(row: pd.Series, name: str) -> str:
    """A mean with its interval."""
    return notation.number(*(float(row[end]) for end in (name, f"{name}_low", f"{name}_high")))
