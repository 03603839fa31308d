"""``plan``: how many neurons to record, and for how long."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from plausibench.bench.cli.manners import Place, columns

if TYPE_CHECKING:
    from plausibench.bench.identification.surface import Plan

GOAL = 0.8


@click.command()
@click.option("--neurons", type=int, help="The most neurons that can be recorded together.")
@click.option("--time", metavar="TIME", help="The longest recording: 90s, 20m, 2h.")
@click.option("--rate", type=float, default=1.0, show_default=True, help="Images in a second.")
@click.option("--budget", type=int, help="The most neurons times images.")
@click.option(
    "--goal", type=float, default=GOAL, show_default=True, help="Explained variance wanted."
)
@click.option(
    "--surface",
    type=Place(),
    metavar="DIR",
    help="Results of plausibench run identification; by default those that ship.",
)
def plan(
    neurons: int | None,
    time: str | None,
    rate: float,
    budget: int | None,
    goal: float,
    surface: Path | None,
) -> None:
    """Say how many neurons to record, and for how long, to identify what they compute.

    From the performance surface of factorised readouts: explained variance of noiseless
    responses, over neurons recorded together and images shown. It is that of simulated neurons
    with one receptive field, whose single trials are 86 % noise, on images of 24 x 24 pixels;
    other neurons need a surface of their own.
    """
    from plausibench.bench.identification.surface import STORED, read_surface
    from plausibench.bench.studies.benchmark.precision import seconds
    from plausibench.kernels.errors import InputError, number, positive

    goal = number("goal", goal, above=0, below=1)
    rate = positive("rate", rate)
    # More images than can be counted are no limit.
    limit = None if time is None else int(min(seconds(time, "time") * rate, sys.maxsize))
    if limit == 0:
        raise InputError(f"time: {time!r} is shorter than one image at {rate:g} a second")
    known = read_surface(STORED if surface is None else surface / "surface.csv")
    best = known.best(neurons, limit, budget)
    quickest = known.shortest(goal, neurons, limit, budget)
    click.echo(f"Most explained variance: {_said(best, rate)}")
    if quickest is None:
        click.echo(f"Nothing within these limits reaches {goal:g}.")
    else:
        click.echo(f"Shortest to reach {goal:g}: {_said(quickest, rate)}")
    # Whatever the limits: what more neurons or more time would bring.
    rows = [("neurons, up to", f"images to reach {goal:g}", "time")]
    for count in known.neurons:
        found = known.shortest(goal, int(count))
        shown = f"more than {known.samples[-1]:,}" if found is None else f"{found.samples:,}"
        rows.append((f"{count:,}", shown, "–" if found is None else _time(found.samples / rate)))
    click.echo(f"\nWithout limits:\n\n{columns(rows)}")


def _said(found: "Plan", rate: float) -> str:
    return (
        f"{found.neurons:,} neurons for {_time(found.samples / rate)} ({found.samples:,} images), "
        f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"
    )


def _time(seconds: float) -> str:
    """Readable duration."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
