"""``check`` and ``new-rule``: write a rule, and see whether it keeps what it promises."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from plausibench.bench.cli.manners import columns, complete, plugin_option

if TYPE_CHECKING:
    from plausibench.bench.conformance import Outcome

MARKS = {"passed": "passed", "failed": "FAILED", "not applicable": "-"}


@click.command()
@click.argument("rule", shell_complete=complete("rule"))
@plugin_option
def check(rule: str, plugins: tuple[str, ...]) -> None:
    """Run the conformance suite on RULE and print what passed.

    RULE is a selector. If it is no known rule and RULE.py is a file here, that is its plug-in.
    """
    from plausibench.bench import registry
    from plausibench.bench.conformance import run_checks
    from plausibench.bench.selectors import select

    name = rule.partition("[")[0]
    beside = Path(f"{name}.py")
    if name not in registry.entries("rule") and not plugins and beside.is_file():
        click.echo(f"Plug-in: {beside}", err=True)
        registry.load_plugin(beside)
    selector = select("rule", rule)
    outcomes = run_checks(selector.make())
    click.echo(_card(str(selector), outcomes))
    if any(outcome.status == "failed" for outcome in outcomes):
        raise click.exceptions.Exit(1)


def _card(rule: str, outcomes: "list[Outcome]") -> str:
    rows = [("check", "", "measured", "asked")]
    for outcome in outcomes:
        measured = outcome.measured or outcome.reason
        rows.append((outcome.name, MARKS[outcome.status], measured, outcome.asked))
    reasons = [f"{o.name}: {o.reason}" for o in outcomes if o.status == "failed"]
    counts = Counter(outcome.status for outcome in outcomes)
    verdict = ", ".join(f"{counts[status]} {status}" for status in MARKS)
    return "\n".join([columns(rows), "", *reasons, f"{rule}: {verdict}"])


@click.command("new-rule")
@click.argument("name")
@click.option(
    "--out",
    metavar="PATH",
    default=".",
    type=click.Path(path_type=Path),
    help="File, or existing folder, to write to; by default NAME.py here.",
)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def new_rule(name: str, out: Path, force: bool) -> None:
    """Write a commented plug-in with a rule NAME that runs at once."""
    from plausibench.bench.template import write_template

    path = write_template(name, out, force=force)
    click.echo(f"Wrote {path}. Next:")
    click.echo(f"  plausibench check {name} --plugin {path}")
    click.echo(f"  plausibench run --plugin {path} --rules backprop --rules {name}")
