"""``list`` and ``show``: what there is, and what it says about itself."""

import inspect
import re
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any

import click

from plausibench.bench.cli.manners import columns, complete
from plausibench.bench.cli.running import plugin_option

if TYPE_CHECKING:
    from plausibench.bench.components.registry import Entry

KINDS = ("rules", "architectures", "objectives", "tasks")
WIDTH = 100
"""Characters in a line of a card."""


def _kinds(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    return [kind for kind in (*KINDS, "studies") if kind.startswith(incomplete)]


@click.command("list")
@click.argument("kind", required=False, shell_complete=_kinds)
@plugin_option
def list_components(kind: str | None, plugins: tuple[str, ...]) -> None:
    """List components: name, origin, one line. KIND is rules, architectures, objectives or tasks.

    Without KIND, all are listed. KIND studies lists the studies that run can do.
    """
    from plausibench.bench.components import registry
    from plausibench.kernels.errors import choose

    chosen = KINDS if kind is None else (choose("kind", kind, (*KINDS, "studies")),)
    if kind == "studies":
        click.echo(columns(_studies(), WIDTH))
        return
    for number, name in enumerate(chosen):
        entries = registry.entries(name.removesuffix("s"))
        rows = [(entry.name, entry.origin, _summary(entry)) for entry in entries.values()]
        title = "" if kind else f"{chr(10) if number else ''}{name}\n"
        click.echo(title + columns(rows))


@click.command()
@click.argument("name", shell_complete=complete("rule", "architecture", "objective", "task"))
@plugin_option
def show(name: str, plugins: tuple[str, ...]) -> None:
    """Show the card of a component: equation, limits, where it starts, options, citation.

    NAME may be a selector such as node_perturbation[sigma=0.01].
    """
    from plausibench.bench.components import registry
    from plausibench.kernels.errors import choose

    bare = name.partition("[")[0].strip()
    kinds = [kind for kind in registry.KINDS if bare in registry.entries(kind)]
    if not kinds:
        choose("name", bare, sorted({n for kind in registry.KINDS for n in registry.entries(kind)}))
    click.echo("\n\n".join(_card(kind, name) for kind in kinds))


def _studies() -> list[tuple[str, str, str]]:
    """Name, origin and summary; a study that cannot be imported must not hide the others."""
    from plausibench.bench.studies.study import find, names
    from plausibench.kernels.errors import InputError

    rows = []
    for name, origin in names().items():
        try:
            rows.append((name, origin, find(name).summary))
        except InputError as error:
            rows.append((name, origin, str(error)))
    return sorted(rows)


def _summary(entry: "Entry") -> str:
    """One line about a component; a plug-in that cannot be loaded must not hide the others."""
    from plausibench.kernels.errors import InputError

    try:
        component: Any = entry.load()
    except InputError as error:
        return f"cannot be loaded: {error}"
    about = getattr(component, "card", component)
    return str(getattr(about, "summary", ""))


def _card(kind: str, text: str) -> str:
    from plausibench.bench.components import registry
    from plausibench.bench.components.selectors import select

    name, bracket, _ = text.partition("[")
    # Without options it is not made: some must be given.
    options = dict(select(kind, text).options) if bracket else {}
    entry = registry.entries(kind)[name.strip()]
    component: Any = entry.load()
    lines = [(kind, text), ("origin", entry.origin), ("summary", _summary(entry))]
    lines += _theory(component) if kind == "rule" else _facts(component)
    lines.append(("starts", _start(kind, text)))
    heads = [line for line in lines if line[1]]
    audited = _plausibility(text) if kind == "rule" else []
    return "\n".join([columns(heads, WIDTH), "", *audited, *_options(component, options)])


def _start(kind: str, text: str) -> str:
    """Where it runs when only its name is given; nothing of what needs options, or runs nowhere."""
    from plausibench.bench.components.selectors import select
    from plausibench.bench.studies.benchmark.starts import start

    try:
        asked: dict[str, Any] = {f"{kind}s": [str(select(kind, text))]}
        found = start(**asked)
    except Exception:  # noqa: BLE001 -- whatever a plug-in raises
        return ""
    if found is None:
        return ""
    return f"{found}" if kind == "rule" else f"{found}, by {found.rule}"


def _plausibility(text: str) -> list[str]:
    """What the locality audit finds; a rule that cannot be run has a card all the same."""
    from plausibench.bench.components.selectors import select
    from plausibench.bench.conformance.locality import audit

    try:
        facts = audit(select("rule", text).make())
    except Exception as error:  # noqa: BLE001 - whatever a plug-in raises
        return [f"plausibility not measured: {type(error).__name__}: {error}", ""]
    # What the synapse knows stands above.
    rows = [(f"  {f.name}", f.value, f.source) for f in facts if f.name != "a synapse must know"]
    return ["plausibility", columns(rows), ""]


def _theory(rule: Any) -> list[tuple[str, str]]:
    """What the card of a rule declares."""
    card = rule.card
    order = "" if card.bias_order is None else f", bias of order {card.bias_order}"
    place = "not in the sketch of Richards et al. 2019"
    if card.expected is not None:
        mark = ", with a question mark" if card.questioned else ""
        place = f"bias {card.expected[0]}, variance {card.expected[1]}{mark} (Richards et al. 2019)"
    return [
        ("family", card.family),
        ("equation", card.equation),
        ("randomness", ", ".join(sorted(card.randomness)) or "none"),
        ("mean", f"{'unbiased' if card.unbiased else 'biased'}{order}"),
        ("without error", "learns all the same" if card.learns_without_error else ""),
        ("exact when", card.exact_when),
        ("variance", card.variance_law),
        ("reference", card.reference),
        ("a synapse knows", card.synapse_knows),
        ("expected place", place),
        ("cost", f"{card.forward_passes:g} forward passes"),
        ("notes", card.notes),
        ("no more than readout only", card.no_more_than_readout),
        ("not verified", card.unverified or "nothing known"),
        ("cites", card.cites),
    ]


def _facts(component: Any) -> list[tuple[str, str]]:
    """What components other than rules say about themselves; nothing of what follows from data."""
    said = {name: getattr(component, name, "") for name in ("equation", "kind", "cites")}
    return [(name, text.strip()) for name, text in said.items() if isinstance(text, str)]


def _options(component: Any, given: dict[str, Any]) -> list[str]:
    """Options with their types, defaults or the values given, and what the docstring says."""
    said, rows = described(component), []
    for field in fields(component):
        if field.init:
            default = "must be given"
            if field.default is not MISSING:
                default = f"default {field.default!r}"
            elif field.default_factory is not MISSING:
                default = f"default {field.default_factory()!r}"
            value = f"{given[field.name]!r}, " if field.name in given else ""
            words = getattr(component, "choices", {}).get(field.name)
            kind = " | ".join(words) if words else _type_name(field.type)
            rows.append((f"  {field.name}", kind, value + default, said.get(field.name, "")))
    return ["options", columns(rows, WIDTH)] if rows else ["no options"]


def described(component: Any) -> dict[str, str]:
    """Description of each parameter in numpydoc docstrings, of shared options too."""
    found: dict[str, str] = {}
    # What a class says of an option comes before what those that it shares options with say.
    for kind in reversed(inspect.getmro(component)):
        said: dict[str, str] = {}
        names: list[str] = []
        _, _, section = inspect.cleandoc(kind.__doc__ or "").partition("Parameters\n----------\n")
        for line in section.split("\n\n")[0].splitlines():
            if line.startswith(" "):
                for name in names:
                    said[name] = f"{said.get(name, '')} {line.strip()}".strip()
            else:
                names = [name.strip() for name in line.partition(" : ")[0].split(",")]
        found |= said
    return found


def _type_name(kind: Any) -> str:
    # Of collections.abc.Sequence[int] the last word says enough.
    return kind.__name__ if type(kind) is type else re.sub(r"[\w.]+\.(?=\w)", "", str(kind))
