"""``check`` and ``new-...``: write a plug-in, and see whether it keeps its word."""

import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from plausibench.bench.cli.manners import Place, columns, complete
from plausibench.bench.cli.running import jobs_option, plugin_option, scheduler_option

if TYPE_CHECKING:
    from plausibench.bench.certificate import Certificate
    from plausibench.bench.components.selectors import Selector
    from plausibench.bench.running.executor import Executor
    from plausibench.bench.running.store import Run
    from plausibench.bench.studies.certificates.study import Options

MARKS = {"passed": "passed", "failed": "FAILED", "not applicable": "-"}


@click.command()
@click.argument("rule", required=False, shell_complete=complete("rule"))
@click.option(
    "--all",
    "every",
    is_flag=True,
    help="Certify every rule, and print one line for each; kept in results/certificates.",
)
@click.option(
    "--out",
    metavar="FILE",
    type=Place(),
    help="Markdown file to write the certificate to.",
)
@click.option(
    "--against",
    metavar="RULE",
    help="Say whether RULE, a function of your own, is this rule, or what it differs by.",
    shell_complete=complete("rule"),
)
@jobs_option
@scheduler_option
@plugin_option
def check(
    rule: str | None,
    every: bool,
    out: Path | None,
    against: str | None,
    jobs: int | None,
    scheduler: str | None,
    plugins: tuple[str, ...],
) -> None:
    """Measure what RULE claims: its theory, closed form, conformance, and locality.

    RULE is a selector. If it is no known rule and RULE.py is a file here, that is its plug-in.
    What --all has done is kept: the same command goes on with it.
    """
    from plausibench.bench.running.folders import check_folder, write_text
    from plausibench.kernels.errors import InputError, show

    if every == (rule is not None):
        raise InputError("rule: name a rule, or give --all, not both")
    if out is not None:
        check_folder(out.parent, tried=True)
        if out.is_dir():
            raise InputError(f"out: {show(str(out))} is a folder, not a file")
        if not out.parent.is_dir():
            raise InputError(f"out: {show(str(out.parent))} is not an existing folder")
    for name, value in {"jobs": jobs, "scheduler": scheduler}.items():
        if value is not None and not every:
            raise InputError(f"{name}: one rule is certified in this process; leave it out")
    if against is not None:
        if rule is None or out is not None:
            raise InputError("against: name one rule, without --all and --out")
        _compare(rule, against, plugins)
        return
    whole = True
    if every:
        certificates, whole = _every(jobs, scheduler, plugins)
    else:
        assert rule is not None
        certificates = [_one(rule, plugins)]
        click.echo(_card(certificates[0]))
    if out is not None:
        from plausibench.bench.certificate import page, suite_page

        write_text(out, suite_page(certificates) if every else page(certificates[0]))
    if not whole or not all(certificate.passed for certificate in certificates):
        raise click.exceptions.Exit(1)


def _compare(rule: str, against: str, plugins: tuple[str, ...]) -> None:
    """Print whether one rule is another; the exit code is 1 where it is not."""
    from plausibench.bench.conformance.against import compare_with_rule
    from plausibench.bench.conformance.against.comparison import IT_IS_NOT
    from plausibench.bench.conformance.case import case_for
    from plausibench.kernels.errors import InputError, show
    from plausibench.rules.foreign import FunctionRule

    made = _selected(rule, plugins).make()
    if not isinstance(made, FunctionRule):
        raise InputError(f"rule: {show(rule)} is no FunctionRule; compare one of these")
    case = case_for(made)
    compared = compare_with_rule(made, against, case.network, case.objective, case.batch)
    click.echo(columns([("tried", "came of it"), *map(_tried, compared.rows)]))
    click.echo(f"\n{compared.sentence}")
    if compared.verdict == IT_IS_NOT:
        raise click.exceptions.Exit(1)


def _tried(row: dict[str, Any]) -> tuple[str, str]:
    return row["tried"], row["value"]


def _selected(rule: str, plugins: tuple[str, ...]) -> "Selector":
    """The selector of a rule, which may be that of a plug-in here."""
    from plausibench.bench.components import registry
    from plausibench.bench.components.selectors import select

    name = rule.partition("[")[0]
    beside = Path(f"{name}.py")
    if name not in registry.entries("rule") and not plugins and os.path.isfile(beside):
        click.echo(f"Plug-in: {beside}", err=True)
        registry.load_plugin(beside)
    return select("rule", rule)


def _one(rule: str, plugins: tuple[str, ...]) -> "Certificate":
    from plausibench.bench.certificate import certify

    selector = _selected(rule, plugins)
    return certify(selector.make(), str(selector))


def _every(
    jobs: int | None, scheduler: str | None, plugins: tuple[str, ...]
) -> "tuple[list[Certificate], bool]":
    """Certificates of all rules, and whether there is one of each."""
    from plausibench.bench.certificate.page import COLUMNS, suite_row
    from plausibench.bench.certificate.rows import certificates
    from plausibench.bench.cli.planning import run_folder
    from plausibench.bench.cli.running import executor
    from plausibench.bench.studies.certificates.study import Options

    options = Options()
    with executor(scheduler, jobs) as computing:
        folder = run_folder(None, None, "certificates", options)
        run = _certified(options, folder, computing, plugins)
    made = certificates(run.frame)
    click.echo(columns([COLUMNS, *map(suite_row, made)]))
    for certificate in made:
        for line in certificate.lines:
            if line.verdict == "failed":
                told = f"{line.condition}: {line.measured}; asked: {line.theory}; {line.reason}"
                click.echo(f"{certificate.name}: {told}")
    # A rule that cannot be run must not hide the others.
    refused = list(_refused(run))
    for sentence in refused:
        click.echo(sentence)
    return made, not refused


def certificates_of(
    run: Path, rules: Iterable[str], jobs: int | None = None, plugins: Sequence[str] = ()
) -> "list[Certificate]":
    """Certificates of the rules of a run directory, kept in it; one that cannot be made is told.

    Parameters
    ----------
    run
        The run directory.
    rules
        Selectors; those that are not known here are told.
    jobs
        Worker processes; by default one a core.
    plugins
        Files that define some of them.
    """
    from plausibench.bench.certificate.rows import certificates
    from plausibench.bench.cli.running import executor
    from plausibench.bench.studies.certificates.study import UNKNOWN, Options, is_known

    options = Options(tuple(dict.fromkeys(rules)))
    if not any(map(is_known, options.rules)):
        for rule in options.rules:
            click.echo(f"{rule}: not certified: {UNKNOWN}", err=True)
        return []
    with _kept(run / "certificates") as folder, executor(None, jobs) as computing:
        done = _certified(options, folder, computing, plugins)
        for sentence in _refused(done):
            click.echo(sentence, err=True)
        return certificates(done.frame)


@contextmanager
def _kept(folder: Path) -> Iterator[Path]:
    """A folder, or one that passes where the one above it cannot be written."""
    from tempfile import TemporaryDirectory

    if os.access(folder if folder.exists() else folder.parent, os.W_OK):
        yield folder
        return
    with TemporaryDirectory() as passing:
        yield Path(passing)


def _certified(
    options: "Options", folder: Path, computing: "Executor", plugins: Sequence[str]
) -> "Run":
    from plausibench.bench.cli.running import perform
    from plausibench.bench.running.shards import EVERYTHING
    from plausibench.bench.studies.certificates.study import CERTIFICATES

    (run,) = perform(
        CERTIFICATES, options, folder, computing, EVERYTHING, plugins, what="certifying"
    )
    return run


def _refused(run: "Run") -> Iterator[str]:
    """A sentence on each rule that has no certificate."""
    for key, record in run.records.items():
        if record.status != "done":
            reason = record.reason.removeprefix("InputError: ")
            yield f"{run.due[key]['rule']}: not certified: {reason}"


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
@click.option("--torch", is_flag=True, help="A function on the weights, in PyTorch.")
@_OUT
@_FORCE
def new_rule(name: str, torch: bool, out: Path, force: bool) -> None:
    """Write a commented plug-in with a rule NAME that runs at once."""
    from plausibench.bench.cli.template import TEMPLATE, write_template
    from plausibench.bench.cli.template_torch import TORCH

    path = write_template(name, out, TORCH if torch else TEMPLATE, force=force)
    click.echo(f"Wrote {path}. Next:")
    file = shlex.quote(str(path))
    click.echo(f"  plausibench check {name} --plugin {file}")
    if torch:
        click.echo(f"  plausibench check {name} --plugin {file} --against backprop")
    click.echo(f"  plausibench run --plugin {file} --rules backprop --rules {name}")


@click.command("new-study")
@click.argument("name")
@_OUT
@_FORCE
def new_study(name: str, out: Path, force: bool) -> None:
    """Write a commented plug-in with a study NAME that runs at once."""
    from plausibench.bench.cli.template_study import write_study

    path = write_study(name, out, force=force)
    file = shlex.quote(str(path))
    click.echo(f"Wrote {path}. Next:\n  plausibench run {name} --plugin {file}")


@click.command("new-architecture")
@click.argument("name")
@_OUT
@_FORCE
def new_architecture(name: str, out: Path, force: bool) -> None:
    """Write a commented plug-in with an architecture NAME, a PyTorch module."""
    from plausibench.bench.cli.template_architecture import write_architecture

    path = write_architecture(name, out, force=force)
    file = shlex.quote(str(path))
    click.echo(f"Wrote {path}. Next:\n  plausibench show {name} --plugin {file}")
    click.echo(f"  plausibench run --plugin {file} --architectures {name} --rules backprop")
