"""Pages of the handbook that are made: one for each component, and for each notebook."""

import csv
import inspect
import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from plausibench.bench.cli.components import described
from plausibench.bench.components import registry
from plausibench.bench.components.citations import works
from plausibench.bench.report import notation
from plausibench.bench.report.aggregate import ROUNDING
from plausibench.bench.studies.benchmark.starts import start
from plausibench.bench.studies.figure2.study import EQUAL
from plausibench.bench.studies.study import find, names

HERE = Path(__file__).parent
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
    ("no more than readout only", "no_more_than_readout"),
)


DEFAULTS = """\
`plausibench run --rules RULE` and `plausibench train RULE` choose what is not named: the first
architecture and objective with which the rule runs, and the task that goes with the architecture,
digits as an image or row by row. `plausibench show NAME` says it of one component. What is named is
never replaced: a combination that cannot run is refused in a sentence that names the nearest one
that can.

By its bare name an architecture takes the inputs, the outputs and the image of any task, and the
rules of the benchmark that run on it. Tasks in time need a recurrent architecture; an image is
shown to it for several steps. Units are those of the input and of each population; `--hidden 64-64`
gives other hidden layers."""


PLACE = ("shared", "500")
"""Protocol and step at which the page of a rule shows its place."""
PLACED = {
    "bias_squared": "bias²",
    "variance": "variance",
    "scale_free_bias": "scale-free bias",
    "progress": "progress ρ²",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add pages for components and notebooks, and list the components in the navigation."""
    for path in sorted(HERE.glob("notebooks/*.ipynb")):
        text = notebook(path)
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=text))
    reference: list[Any] = []
    for kind, plural in PLURAL.items():
        pages = []
        for name in registry.entries(kind):
            path = f"{plural}/{name}.md"
            files.append(File.generated(config, path, content=page(kind, name)))
            pages.append({name: path})
        reference.append({plural.capitalize(): pages})
    text = "# Studies of the command line\n\n" + "\n".join(
        f"- `plausibench run {name}`: {find(name).summary}" for name in names()
    )
    files.append(File.generated(config, "studies.md", content=text + "\n"))
    files.append(File.generated(config, "defaults.md", content=defaults()))
    own = [{"Studies": "studies.md"}, {"What starts where": "defaults.md"}]
    config.nav = [*(config.nav or []), {"Reference": [*own, *reference]}]
    return files


def defaults() -> str:
    """What each rule and each architecture is given where nothing else is chosen."""
    starts = {
        kind: [start(**{f"{kind}s": [name]}) for name in registry.entries(kind)]
        for kind in ("rule", "architecture")
    }
    columns = {
        "rule": ("rule", "architecture", "units", "task", "objective"),
        "architecture": ("architecture", "units", "task", "objective", "rule"),
    }
    parts = ["# What starts where", DEFAULTS]
    for kind, head in columns.items():
        rows = [tuple(f"`{getattr(each, column)}`" for column in head) for each in starts[kind]]
        parts += [f"## {PLURAL[kind].capitalize()}", table(head, rows)]
    return "\n\n".join(parts) + "\n"


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
            ("family", card.family),
            ("mean", bias + order),
            ("without an error", "learns all the same" if card.learns_without_error else ""),
            ("randomness", ", ".join(sorted(made.randomness())) or "none"),
            ("networks", ", ".join(sorted(component.dynamics))),
            ("cost", f"{card.forward_passes:g} forward passes"),
            *((label, getattr(card, field)) for label, field in FACTS),
        ]
        parts.append(table(("", ""), [(label, text) for label, text in rows if text]))
    said = options(component)
    if said:
        parts += ["## Options", table(("option", "default", "meaning"), said)]
    if kind == "rule":
        parts += place(name)
        parts += learning(name)
        parts += certificate(name)
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


def place(name: str) -> list[str]:
    """Where a rule and its variants lie in the plane, measured on digits."""
    rows = [row for row in plane() if row["rule"].partition("[")[0] == name]
    heading = "## Measured place"
    if name in EQUAL:
        other = EQUAL[name]
        return [heading, f"That of [{other}]({other}.md), whose estimate is the same."]
    if not rows:
        return [heading, f"Not measured yet: `plausibench run figure2 --rules {name}` does it."]
    shown = [
        (
            f"`{row['rule']}`",
            f"{row['architecture']}, {row['objective']}",
            *(value(row, quantity) for quantity in PLACED),
            row["seeds"].removesuffix(".0"),
            row["reason"] or row["status"],
        )
        for row in rows
    ]
    protocol, step = PLACE
    about = (
        f"Digits, {protocol} weights, after {step} steps, relative to the squared reference "
        "gradient, with 95 % intervals; exact values have none. [The whole plane](../plane.md) "
        "says how it was measured."
    )
    head = ("rule", "where", *PLACED.values(), "seeds", "status")
    return [heading, about, table(head, shown)]


def learning(name: str) -> list[str]:
    """How much more accurate a rule and its variants are than with frozen hidden layers."""
    rows = [row for row in learned() if row["rule"].partition("[")[0] == name]
    heading = "## Does it learn?"
    if not rows:
        other = EQUAL.get(name, name)
        return [heading, f"Not measured yet: `plausibench run learning --rules {other}` does it."]
    shown = [
        (
            f"`{row['rule']}`",
            row["task"],
            f"{row['architecture']}, {row['objective']}",
            *(row[column] for column in ("steps", "seeds")),
            *(
                notation.number(*(float(row[f"{quantity}{end}"]) for end in ("", "_low", "_high")))
                for quantity in ("accuracy", "readout_only", "above")
            ),
        )
        for row in rows
    ]
    about = (
        "Test accuracy after tuned training, beside the same network of which the output layer "
        "alone learns. [All rules](../experiments.md#does-it-learn)."
    )
    head = ("rule", "task", "where", "steps", "seeds", "accuracy", "readout only", "above it")
    return [heading, about, table(head, shown)]


@cache
def learned() -> list[dict[str, str]]:
    """Rows of all kept tables of the study learning."""
    rows: list[dict[str, str]] = []
    for path in sorted((HERE / "learning").glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            rows += csv.DictReader(file)
    return rows


@cache
def plane() -> list[dict[str, str]]:
    """Rows of the measured plane at ``PLACE``."""
    with (HERE / "plane" / "digits.csv").open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if (row["protocol"], row["step"]) == PLACE]


def value(row: Mapping[str, str], quantity: str) -> str:
    """A number of the plane with its interval."""
    ends = [row[f"{quantity}{end}"] for end in ("", "_low", "_high")]
    # Companions tell a squared bias from zero down to the square of what rounding makes of a mean.
    least = ROUNDING**2 if quantity == "bias_squared" else ROUNDING
    return notation.number(*(float(end or "nan") for end in ends), least=least)


def certificate(name: str) -> list[str]:
    """What a rule claims and what was measured, as kept in the page of all certificates."""
    kept = certificates().get(name)
    if kept is None:
        said = f"Not certified yet: `plausibench check {name}` measures what the rule claims."
        return ["## Certificate", said]
    about = (
        f"What `plausibench check {name}` measured; [all certificates](../certificates.md) are on "
        "one page."
    )
    return ["## Certificate", about, kept]


@cache
def certificates() -> dict[str, str]:
    """Verdict and tables of each rule on the page of all certificates."""
    _, *sections = (HERE / "certificates.md").read_text(encoding="utf-8").split("\n## ")
    found = {}
    for section in sections:
        name, _, text = section.partition("\n")
        # What stands before the verdict is on the card.
        found[name] = text[text.index("\n**") :].strip()
    return found


def notebook(path: Path) -> str:
    """A notebook as Markdown, without what its cells show."""
    blocks = []
    for block in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(block["source"])
        if block["cell_type"] == "code":
            text = f"```python\n{text}\n```"
        blocks.append(text.replace(".ipynb)", ".md)"))
    title, _, rest = blocks[0].partition("\n")
    about = f"*A [notebook]({path.name}) to download and run, here without what its cells show.*"
    return "\n\n".join([title, about, rest, *blocks[1:]]) + "\n"


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
