"""The command line. Only click is imported here: each command imports what it needs."""

import click

from plausibench.bench.cli.check import check, new_architecture, new_rule, new_study
from plausibench.bench.cli.components import list_components, show
from plausibench.bench.cli.doctor import doctor
from plausibench.bench.cli.fetch import fetch
from plausibench.bench.cli.manners import Commands, columns, text_width
from plausibench.bench.cli.plan import plan
from plausibench.bench.cli.replicate import replicate
from plausibench.bench.cli.results import cite, compare, merge, plot, report, table
from plausibench.bench.cli.run import run
from plausibench.bench.cli.train import train

EPILOG = """Selectors choose a component and its options: node_perturbation[sigma=0.01]

Exit codes: 0 done; 1 some cells or checks failed; 2 bad input, nothing was computed; 130
interrupted.

Completion for bash (also zsh and fish): eval "$(_PLAUSIBENCH_COMPLETE=bash_source plausibench)"
"""


START = """plausibench measures the gradient bias and variance of learning rules.

Run the benchmark
  plausibench run --out results/mine

Add your own rule
  plausibench new-rule my_rule
  plausibench run --plugin my_rule.py --rules backprop --rules my_rule --out results/my

Tables and pictures
  plausibench table results/mine
  plausibench report results/mine
"""
"""The three things people do."""


@click.group(
    cls=Commands,
    invoke_without_command=True,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="plausibench")
@click.pass_context
def main(context: click.Context) -> None:
    """Measure the gradient bias and variance of learning rules.

    Start with "plausibench run", the default benchmark on real digits.
    """
    if context.invoked_subcommand is None:
        rows = [(f"  {name}", _sentence(each)) for name, each in main.commands.items()]
        click.echo(f"{START}\nCommands (each has --help)\n{columns(rows, text_width())}")


def _sentence(command: click.Command) -> str:
    """What a command does: the first paragraph of its help, on one line and whole."""
    return " ".join((command.help or "").partition("\n\n")[0].split())


COMMANDS = (
    *(run, train, replicate, list_components, show, check),
    *(table, plot, report, cite, compare, merge, plan, fetch, doctor),
    *(new_rule, new_study, new_architecture),
)
for command in COMMANDS:
    main.add_command(command)
