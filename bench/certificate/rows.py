"""Certificates as rows of a table, and back."""

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from plausibench.bench.certificate.certify import Certificate
from plausibench.bench.certificate.line import Line
from plausibench.bench.components.selectors import select
from plausibench.bench.conformance.locality import Fact
from plausibench.kernels.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

FACT = "fact"
"""Kind of the rows of the plausibility card."""


def rows(certificate: Certificate) -> Iterator[dict[str, Any]]:
    """A row for each line, and for each fact of the plausibility card.

    A fact has its question as ``condition``, its answer as ``measured``, its source as ``theory``
    and how it was measured as ``reason``. Margins are text, for they may be infinite.
    """
    for line in certificate.lines:
        yield {
            "kind": line.kind,
            "condition": line.condition,
            "theory": line.theory,
            "measured": line.measured,
            "verdict": line.verdict,
            "margin": "" if line.margin is None else repr(float(line.margin)),
            "reason": line.reason,
        }
    for fact in certificate.facts:
        yield {
            "kind": FACT,
            "condition": fact.name,
            "theory": fact.source,
            "measured": fact.value,
            "verdict": "",
            "margin": "",
            "reason": fact.how,
        }


def certificates(table: "pd.DataFrame") -> list[Certificate]:
    """Certificates from the rows of several; rules that are not known here are left out."""
    made = []
    for name in table["rule"].unique() if len(table) else ():
        own = table[table["rule"] == name].to_dict("records")
        lines = [_line(row) for row in own if row["kind"] != FACT]
        facts = [
            Fact(row["condition"], row["measured"], row["theory"], row["reason"])
            for row in own
            if row["kind"] == FACT
        ]
        with suppress(InputError):
            made.append(Certificate(name, select("rule", name).make(), lines, facts))
    return made


def _line(row: dict[str, Any]) -> Line:
    margin = float(row["margin"]) if row["margin"] else None
    return Line(
        row["kind"],
        row["condition"],
        row["theory"],
        row["measured"],
        row["verdict"],
        margin,
        row["reason"],
    )
