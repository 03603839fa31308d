"""The command line. Only click is imported here: each command imports what it needs."""

import click

from plausibench.bench.cli.check import check, new_architecture, new_rule, new_study
from plausibench.bench.cli.components import list_components, show
from plausibench.bench.cli.fetch import fetch
from plausibench.bench.cli.manners import Commands
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


@click.group(cls=Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="plausibench")
def main() -> None:
    """Measure the gradient bias and variance of learning rules.

    Start with "plausibench run", the default benchmark on real digits.
    """


COMMANDS = (
    *(run, train, replicate, list_components, show, check),
    *(table, plot, report, cite, compare, merge, plan, fetch),
    *(new_rule, new_study, new_architecture),
)
for command in COMMANDS:
    main.add_command(command)
