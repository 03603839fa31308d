"""The study of certificates: a line for each rule."""

import pandas as pd

from plausibench.bench.certificate.page import COLUMNS, suite_row
from plausibench.bench.certificate.rows import certificates
from plausibench.bench.report.render import Table, plain
from plausibench.bench.report.style import Picture

TABLES = ("certificates",)
"""Names of the tables of the report."""


def report(rows: pd.DataFrame) -> tuple[dict[str, Table], tuple[Picture, ...]]:
    """Tables by name, and no pictures."""
    cells = pd.DataFrame(map(suite_row, certificates(rows)), columns=list(COLUMNS))
    note = (
        "Worst margin: the largest share of its tolerance that a claim used; 1 would be its limit. "
        "Controls: limits that must not hold."
    )
    return {"certificates": plain("Certificates", cells, rows, 1, (note,))}, ()
