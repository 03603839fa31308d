"""``check``, ``new-rule`` and ``new-study``: write a plug-in, and see whether it keeps its word."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from plausibench.bench.cli.manners import Place, columns, complete
from plausibench.bench.cli.running import plugin_option

if TYPE_CHECKING:
    from plausibench.bench.certificate import Certificate

MARKS = {"passed": "passed", "failed": "FAILED", "not applicable": "-"}


@click.command()
@click.argument("rule", required=False, shell_complete=complete("rule"))
@click.option(
    "--all", "every", is_flag=True, help="Certify every rule, and print one line for each."
)
@click.option(
    "--out",
    metavar="FILE",
    type=Place(),
    help="Markdown file to write the certificate to.",
)
@plugin_option
def check(rule: str | None, every: bool, out: Path | None, plugins: tuple[str, ...]) -> None:
    """Measure what RULE claims: its theory, closed form, conformance, and locality.

    RULE is a selector. If it is no known rule and RULE.py is a file here, that is its plug-in.
    """
    from plausibench.bench.folders import check_folder, write_text
    from plausibench.kernels.errors import InputError, show

    if every == (rule is not None):
        raise InputError("rule: name a rule, or give --all, not both")
    if out is not None:
        check_folder(out.parent, tried=True)
        if out.is_dir():
            raise InputError(f"out: {show(str(out))} is a folder, not a file")
        if not out.parent.is_dir():
            raise InputError(f"out: {show(str(out.parent))} is not an existing folder")
    whole = True
    if rule is None:
        certificates, whole = _every()
    else:
        certificates = [_one(rule, plugins)]
        click.echo(_card(certificates[0]))
    if out is not None:
        from plausibench.bench.certificate import page, suite_page

        write_text(out, suite_page(certificates) if every else page(certificates[0]))
    if not whole or not all(certificate.passed for certificate in certificates):
        raise click.exceptions.Exit(1)


def _one(rule: str, plugins: tuple[str, ...]) -> "Certificate":
    from plausibench.bench import registry
    from plausibench.bench.certificate import certify
    from plausibench.bench.selectors import select

    name = rule.partition("[")[0]
    beside = Path(f"{name}.py")
    if name not in registry.entries("rule") and not plugins and os.path.isfile(beside):
        click.echo(f"Plug-in: {beside}", err=True)
        registry.load_plugin(beside)
    selector = select("rule", rule)
    return certify(selector.make(), str(selector))


def _every() -> "tuple[list[Certificate], bool]":
    """Certificates of all rules, and whether there is one of each."""
    from plausibench.bench import registry
    from plausibench.bench.certificate import certify
    from plausibench.bench.certificate.page import COLUMNS, suite_row
    from plausibench.kernels.errors import InputError

    certificates, refused = [], []
    names = list(registry.entries("rule"))
    for number, name in enumerate(names, start=1):
        click.echo(f"{number} of {len(names)}: {name}", err=True)
        try:
            certificates.append(certify(registry.make("rule", name), name))
        except InputError as error:  # a rule that cannot be run must not hide the others
            refused.append(f"{name}: not certified: {error}")
    click.echo(columns([COLUMNS, *map(suite_row, certificates)]))
    for certificate in certificates:
        for line in certificate.lines:
            if line.verdict == "failed":
                told = f"{line.condition}: {line.measured}; asked: {line.theory}; {line.reason}"
                click.echo(f"{certificate.name}: {told}")
    for sentence in refused:
        click.echo(sentence)
    return certificates, not refused


def _card(certificate: "Certificate") -> str:
    rows = [("claim", "", "measured", "theory")]
    for line in certificate.lines:
        condition = line.condition
        if line.kind == "control":
            condition = f"must fail: {condition}"
        rows.append((condition, MARKS[line.verdict], line.measured or line.reason, line.theory))
    facts = [(fact.name, fact.value, fact.source) for fact in certificate.facts]
    failed = [line for line in certificate.lines if line.verdict == "failed"]
    reasons = [f"{line.condition}: {line.reason}" for line in failed]
    verdict = ", ".join(f"{count} {status}" for status, count in certificate.counts.items())
    card = [columns([("plausibility", "", ""), *facts]), ""] if facts else []
    return "\n".join([columns(rows), "", *card, *reasons, f"{certificate.name}: {verdict}"])


_OUT = click.option(
    "--out",
    metavar="PATH",
    default=".",
    type=Place(),
    help="File, or existing folder, to write to; by default NAME.py here.",
)
_FORCE = click.option("--force", is_flag=True, help="Replace a file that is there.")


@click.command("new-rule")
@click.argument("name")
@_OUT
@_FORCE
def new_rule(name: str, out: Path, force: bool) -> None:
    """Write a commented plug-in with a rule NAME that runs at once."""
    from plausibench.bench.template import write_template

    path = write_template(name, out, force=force)
    click.echo(f"Wrote {path}. Next:")
    file = shlex.quote(str(path))
    click.echo(f"  plausibench check {name} --plugin {file}")
    click.echo(f"  plausibench run --plugin {file} --rules backprop --rules {name}")


@click.command("new-study")
@click.argument("name")
@_OUT
@_FORCE
def new_study(name: str, out: Path, force: bool) -> None:
    """Write a commented plug-in with a study NAME that runs at once."""
    from plausibench.bench.template_study import write_study

    path = write_study(name, out, force=force)
    file = shlex.quote(str(path))
    click.echo(f"Wrote {path}. Next:\n  plausibench run {name} --plugin {file}")
