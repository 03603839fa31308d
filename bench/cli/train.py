"""``train``: learning curves of one or more rules."""

from collections.abc import Callable, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from plausibench.bench.cli.manners import Place, columns, complete
from plausibench.bench.cli.running import plugin_option

if TYPE_CHECKING:
    import pandas as pd

    from plausibench.bench.spec import Spec
    from plausibench.bench.training import Training
    from plausibench.bench.unit import Unit

QUANTITIES = ("train_loss", "test_loss", "test_accuracy", "alignment")


def _number(option: str, default: int, text: str) -> Callable[[Any], Any]:
    return click.option(option, type=int, default=default, show_default=True, help=text)


def _component(kind: str, text: str) -> Callable[[Any], Any]:
    return click.option(
        f"--{kind}",
        f"--{kind}s",
        kind,
        metavar="SELECTOR",
        shell_complete=complete(kind),
        help=text,
    )


@click.command()
@click.argument(
    "rules", nargs=-1, required=True, metavar="RULE...", shell_complete=complete("rule")
)
@_component("task", "What to learn; by default digits, for rules in time row by row.")
@_component("architecture", "By default the first on which the rule runs; see show RULE.")
@_component("objective", "By default the first with which the rule runs.")
@click.option(
    "--hidden",
    metavar="SIZES",
    help="Sizes of hidden layers, such as 32-32; by default those of the architecture.",
)
@_number("--steps", 1000, "Number of updates.")
@_number("--batch-size", 32, "Examples in an update.")
@click.option("--optimiser", default="sgd", show_default=True, metavar="NAME", help="sgd or adam.")
@click.option("--learning-rate", type=float, help="By default that of the benchmark.")
@click.option(
    "--weight-decay",
    type=float,
    default=0.0,
    show_default=True,
    help="Share of each weight lost in an update, times the learning rate.",
)
@_number("--evaluate-every", 100, "Updates between evaluations.")
@_number("--seed", 0, "Of weights, data and noise.")
@plugin_option
@click.option(
    "--out",
    type=Place(),
    default=Path("results/train"),
    show_default=True,
    metavar="DIR",
    help="Folder of learning_curves.csv and its picture.",
)
def train(
    rules: tuple[str, ...],
    task: str | None,
    architecture: str | None,
    objective: str | None,
    hidden: str | None,
    steps: int,
    batch_size: int,
    optimiser: str,
    learning_rate: float | None,
    weight_decay: float,
    evaluate_every: int,
    seed: int,
    plugins: tuple[str, ...],
    out: Path,
) -> None:
    """Train a network with each RULE, print how it ends and write the learning curves.

    What is not chosen is where each rule starts: plausibench show RULE says where that is. A rule
    that fails or diverges does not stop the others.
    """
    from plausibench.bench import sweep
    from plausibench.bench.cli.planning import read_spec, refuse_idle
    from plausibench.bench.cli.probe import probe_units
    from plausibench.bench.cli.progress import progress
    from plausibench.bench.folders import check_folder, make_folder
    from plausibench.kernels.errors import InputError, integer

    spec = read_spec(
        None,
        None,
        {
            "rules": rules,
            "tasks": () if task is None else (task,),
            "architectures": () if architecture is None else (architecture,),
            "objectives": () if objective is None else (objective,),
            "hidden": hidden,
            "protocols": ("own",),
            "seeds": 1,
            "seed": seed,
            "batch_size": batch_size,
            "training_batch_size": batch_size,
            "optimiser": optimiser,
            "learning_rate": learning_rate,
            "weight_decay": weight_decay,
        },
    )
    if learning_rate is not None:
        spec = spec.with_values(learning_rates={})
    steps = integer("steps", steps, least=0)
    evaluate_every = integer("evaluate_every", evaluate_every, least=1)
    check_folder(out, tried=True)
    units = sweep.units(spec)
    refuse_idle(units, spec)
    probe_units(units, spec)
    make_folder(out)
    trained, failed = [], []
    with progress(len(units), "training") as advance:
        for number, unit in enumerate(units):
            advance(unit.rule, number, len(units))
            try:
                trained.append((unit, _train(unit, spec, steps, evaluate_every)))
            except InputError as error:
                failed.append((unit, str(error)))
            except Exception as error:  # noqa: BLE001 -- whatever a component raises is told
                failed.append((unit, f"{type(error).__name__}: {error}"))
    if trained:
        click.echo(columns([("rule", "step", *QUANTITIES), *(_last(*one) for one in trained)]))
        _tell_constant_answers({unit.task for unit, _ in trained})
        _write(trained, out)
    for unit, training in trained:
        if training.diverged:
            click.echo(f"{unit.rule} diverged: {training.diverged}", err=True)
    for unit, reason in failed:
        click.echo(f"{unit.rule} failed: {reason}", err=True)
    if trained:
        click.echo(f"\nLearning curves: {out}")
    if failed:
        raise click.exceptions.Exit(1)


def _train(unit: "Unit", spec: "Spec", steps: int, evaluate_every: int) -> "Training":
    from plausibench.bench.selectors import select
    from plausibench.bench.training import train as train_network
    from plausibench.bench.unit import build_network

    task = select("task", unit.task).make()
    return train_network(
        select("rule", unit.rule).make(),
        task,
        build_network(unit.architecture, task, spec.hidden_for(unit.architecture), unit.seed),
        select("objective", unit.objective).make(),
        steps=steps,
        batch_size=spec.training_batch_size,
        optimiser=spec.optimiser,
        learning_rate=spec.rate(unit.rule),
        weight_decay=spec.weight_decay,
        seed=unit.seed,
        evaluate_every=evaluate_every,
    )


def _tell_constant_answers(tasks: Set[str]) -> None:
    """Print the accuracy of the best constant answer to each task, which networks must beat."""
    from plausibench.bench.selectors import select
    from plausibench.bench.training import constant_accuracy

    for name in sorted(tasks):
        task = select("task", name).make()
        if task.kind == "classification":
            level = constant_accuracy(task.test, task.outputs_size, task.idle)
            click.echo(f"\nBest constant answer to {name}: test_accuracy {level:.4g}")


def _last(unit: "Unit", training: "Training") -> tuple[str, ...]:
    """Values at the last step that was finite."""
    step = max((row["step"] for row in training.rows), default=0)
    found = {row["quantity"]: row["value"] for row in training.rows if row["step"] == step}
    cells = (f"{found[name]:.4g}" if name in found else "-" for name in QUANTITIES)
    return (unit.rule, str(step), *cells)


def _write(trained: "list[tuple[Unit, Training]]", out: Path) -> None:
    """Write the curves as a tidy table and as a picture."""
    from plausibench.bench.folders import write_text
    from plausibench.bench.report.curves import learning_curves

    frame = _frame(trained)
    write_text(out / "learning_curves.csv", frame.to_csv(index=False, lineterminator="\n"))
    if frame["step"].nunique() > 1:
        learning_curves(frame).save(out, ("png", "svg"))


def _frame(trained: "list[tuple[Unit, Training]]") -> "pd.DataFrame":
    """The curves in the columns of a run's tidy table."""
    import pandas as pd

    from plausibench.bench.studies.benchmark import COLUMNS

    blank = {
        **dict.fromkeys(("low", "high", "effective_dimension"), float("nan")),
        **dict.fromkeys(("reference", "flag"), ""),
        "kind": "training",
        "projection": "all",
        "samples": 0,
        "redrawn": "nothing",
        "method": "exact",
    }
    rows = [
        {**unit.identity(), **blank, **row} for unit, training in trained for row in training.rows
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))
