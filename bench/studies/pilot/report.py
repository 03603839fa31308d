"""The pilot of a precision: draws of each rule for several precisions."""

import pandas as pd

from plausibench.bench.report.render import Table, plain
from plausibench.bench.report.style import Picture
from plausibench.bench.studies.pilot.study import pilots_of

TABLES = ("draws",)
"""Names of the tables of the report."""
PRECISIONS = (0.2, 0.1, 0.05, 0.02, 0.01)


def report(rows: pd.DataFrame) -> tuple[dict[str, Table], tuple[Picture, ...]]:
    """Tables by name, and no pictures."""
    return {"draws": draws(rows)}, ()


def draws(rows: pd.DataFrame) -> Table:
    """Draws that each rule needs at its noisiest cell, without a limit on what they cost."""
    pilots = [pilot for pilot in pilots_of(rows) if pd.notna(pilot.spread + pilot.along)]
    cells = [
        {
            "rule": rule,
            **{
                f"{precision:g}": f"{max(o.samples(precision) for o in pilots if o.rule == rule):,}"
                for precision in PRECISIONS
            },
        }
        for rule in dict.fromkeys(pilot.rule for pilot in pilots)
    ]
    laid = pd.DataFrame(cells, columns=["rule", *(f"{one:g}" for one in PRECISIONS)])
    note = "Half-widths of the 95 % interval of the relative squared bias."
    return plain("Draws for a precision", laid, rows, 1, (note,))
