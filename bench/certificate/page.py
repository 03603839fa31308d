"""Certificates as Markdown pages and as rows of cells."""

from collections.abc import Iterable, Sequence

from plausibench.bench.certificate.certify import Certificate
from plausibench.bench.conformance.locality import Fact

COLUMNS = (
    "rule",
    "verdict",
    "passed",
    "failed",
    "not applicable",
    "claims",
    "controls",
    "worst margin",
    "weight transport",
)


def suite_row(certificate: Certificate) -> tuple[str, ...]:
    """One row of the suite's table, under ``COLUMNS``."""
    counts, worst = certificate.counts, certificate.tightest
    controls = [line for line in certificate.lines if line.kind == "control"]
    claims = [line for line in certificate.lines if line.kind in ("limit", "slope", "law")]
    return (
        certificate.name,
        "passed" if certificate.passed else "FAILED",
        *(str(count) for count in counts.values()),
        str(len(claims)),
        str(len(controls)),
        "-" if worst is None else f"{worst.margin:.2g}",
        certificate.fact("weight transport"),
    )


def page(certificate: Certificate, level: int = 1) -> str:
    """Certificate of one rule, as Markdown."""
    card, title = certificate.rule.card, "#" * level
    rows = [
        (
            line.kind,
            line.condition,
            line.theory,
            line.measured,
            f"{line.verdict}: {line.reason}" if line.reason else line.verdict,
        )
        for line in certificate.lines
    ]
    counts = ", ".join(f"{count} {verdict}" for verdict, count in certificate.counts.items())
    parts = [
        f"{title} {certificate.name}",
        f"{card.summary}. {card.cites}.",
        f"`{card.equation}`",
        f"Exact: {card.exact_when}. Variance: {card.variance_law}. Reference: {card.reference}.",
        *([f"Notes: {card.notes}."] if card.notes else []),
        f"Not verified: {card.unverified or 'nothing known'}.",
        f"**{'Passed' if certificate.passed else 'FAILED'}**: {counts}.",
        markdown(("claim", "condition", "theory", "measured", "verdict"), rows),
        f"{title}# Plausibility",
        markdown(("question", "answer", "source", "how"), [cells(f) for f in certificate.facts]),
    ]
    return "\n\n".join(parts) + "\n"


def cells(fact: Fact) -> tuple[str, str, str, str]:
    """One row of the plausibility card."""
    return fact.name, fact.value, fact.source, fact.how


def suite_page(certificates: Iterable[Certificate]) -> str:
    """Table of the suite, and below it the certificate of each rule, as Markdown."""
    listed = list(certificates)
    about = (
        "Worst margin: the largest share of its tolerance that a claim used; 1 would be its limit. "
        "Controls: limits that must not hold."
    )
    table = markdown(COLUMNS, [suite_row(certificate) for certificate in listed])
    pages = [page(certificate, 2) for certificate in listed]
    return "\n\n".join(["# Certificates", about, table, *pages])


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    """Without what Markdown would read: column marks, line breaks, and emphasis."""
    flat = " ".join(text.split())
    return "".join(f"\\{sign}" if sign in "|*_[<" else sign for sign in flat)
