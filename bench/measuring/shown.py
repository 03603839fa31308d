"""A measurement in one line, and as a table for notebooks."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from plausibench.bench.measuring.statistics import RELATIVE

Row = Mapping[str, Any]

IN_A_LINE = ("bias_squared", "variance", "progress")


def as_line(rows: Sequence[Row]) -> str:
    """The whole network: the quantities that say most, and how they were made."""
    whole = {row["quantity"]: row for row in rows if row["projection"] == "all"}
    said = [f"{name} {_value(whole[name])}" for name in IN_A_LINE if name in whole]
    return f"Measurement({', '.join(said)}; {_made(list(whole.values()))})"


def as_html(rows: Sequence[Row]) -> str:
    """A row for each projection, a column for each relative quantity."""
    table: dict[str, list[Row]] = {}
    for row in rows:
        table.setdefault(row["projection"], []).append(row)
    lines = [["projection", *RELATIVE, "flag"]]
    for name, own in table.items():
        said = {row["quantity"]: _value(row) for row in own}
        lines.append([name, *(said.get(each, "") for each in RELATIVE), _flagged(own)])
    head, *body = (
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in lines
    )
    return (
        f"<table><caption>{escape(_made(rows))}</caption>"
        f"<thead>{head}</thead><tbody>{''.join(body)}</tbody></table>"
    )


def _value(row: Row) -> str:
    """Value with its interval."""
    value, low, high = (f"{row[name]:.3g}" for name in ("value", "low", "high"))
    exact = row["value"] == row["low"] == row["high"]
    return value if exact else f"{value} [{low}, {high}]"


def _flagged(rows: Sequence[Row]) -> str:
    """Every flag once."""
    said = (flag for row in rows for flag in row["flag"].split(", ") if flag)
    return ", ".join(dict.fromkeys(said))


def _made(rows: Sequence[Row]) -> str:
    """How the values were made, and what is flagged."""
    names = ("method", "samples", "redrawn", "reference")
    said = [f"{name} {rows[0][name]}" for name in names] if rows else ["empty"]
    return ", ".join([*said, *filter(None, [_flagged(rows)])])
