"""Pages of the handbook that are made from the registry: one for each component."""

import inspect
from dataclasses import MISSING, fields
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from plausibench.bench import registry
from plausibench.bench.citations import works
from plausibench.bench.cli.components import described
from plausibench.bench.experiments import EXPERIMENTS

PLURAL = {
    "rule": "rules",
    "architecture": "architectures",
    "objective": "objectives",
    "task": "tasks",
}
FACTS = (
    ("exact when", "exact_when"),
    ("variance", "variance_law"),
    ("reference", "reference"),
    ("a synapse must know", "synapse_knows"),
    ("phases", "phases"),
    ("signs", "sign_constraints"),
    ("notes", "notes"),
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for every component and list them in the navigation."""
    reference: list[Any] = []
    for kind, plural in PLURAL.items():
        pages = []
        for name in registry.entries(kind):
            path = f"{plural}/{name}.md"
            files.append(File.generated(config, path, content=page(kind, name)))
            pages.append({name: path})
        reference.append({plural.capitalize(): pages})
    text = "# Experiments of the command line\n\n" + "\n".join(
        f"- `plausibench run {name}`: {about}" for name, about in EXPERIMENTS.items()
    )
    files.append(File.generated(config, "studies.md", content=text + "\n"))
    config.nav = [*(config.nav or []), {"Reference": [{"Studies": "studies.md"}, *reference]}]
    return files


def page(kind: str, name: str) -> str:
    """One component, as Markdown."""
    component: Any = registry.find(kind, name)
    made = component() if kind == "rule" else component
    card = getattr(made, "card", component)
    parts = [f"# {name}", f"{sentence(card.summary)}"]
    equation = getattr(card, "equation", "")
    if equation:
        parts.append(f"```text\n{equation}\n```")
    if kind == "rule":
        bias = "unbiased" if card.unbiased else "biased"
        order = "" if card.bias_order is None else f", of order {card.bias_order} in its parameter"
        rows = [
            ("mean", bias + order),
            ("randomness", ", ".join(sorted(made.randomness())) or "none"),
            ("networks", ", ".join(sorted(component.dynamics))),
            ("cost", f"{card.forward_passes:g} forward passes"),
            *((label, getattr(card, field)) for label, field in FACTS),
        ]
        parts.append(table(("", ""), [(label, text) for label, text in rows if text]))
        parts.append(f"`plausibench check {name}` measures these claims, and what a synapse sees.")
    said = options(component)
    if said:
        parts += ["## Options", table(("option", "default", "meaning"), said)]
    sources = works(card.cites)[0]
    if sources:
        parts += ["## Sources", *(f"```bibtex\n{work.entry}\n```" for work in sources)]
    return "\n\n".join(parts) + "\n"


def options(component: Any) -> list[tuple[str, str, str]]:
    """Options with their defaults and what the docstring says of them."""
    said = described(component)
    return [
        (
            f"`{field.name}`",
            "must be given" if field.default is MISSING else f"`{field.default!r}`",
            said.get(field.name, ""),
        )
        for field in fields(component)
        if field.init
    ]


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(cell, line))} |" for line in lines)


def cell(text: str) -> str:
    """Text that a table can hold, as it stands."""
    flat = " ".join(inspect.cleandoc(text).split())
    if flat.startswith("`"):
        return flat.replace("|", "\\|")
    return "".join(f"\\{sign}" if sign in "|*_[]<>" else sign for sign in flat)


def sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:]}."
