"""``fetch``: the files of a data set."""

import shlex
from pathlib import Path

import click

from plausibench.bench.cli.manners import Place


def _names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from plausibench.bench.tasks.downloads import DOWNLOADS

    return [name for name in DOWNLOADS if name.startswith(incomplete)]


@click.command()
@click.argument("name", shell_complete=_names)
@click.option("--to", type=Place(), metavar="DIR", help="Folder; by default data/NAME.")
def fetch(name: str, to: Path | None) -> None:
    """Download the files of a data set and compare them with their checksums.

    NAME is mnist, fashion_mnist, cifar10 or cifar100. Needs pooch: pip install
    'plausibench[fetch]'. No other command downloads anything.
    """
    from plausibench.bench.tasks.downloads import download

    folder = Path("data", name) if to is None else to
    download(name, folder, told=click.echo)
    selector = shlex.quote(f"{name}[path={folder}]")
    click.echo(f"Files: {folder}\nplausibench run --tasks {selector}")
