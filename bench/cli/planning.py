"""From options to a specification and a folder, with everything checked before it is used."""

import hashlib
import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from plausibench.bench.experiments import EXPERIMENTS
from plausibench.bench.spec import Spec, default_spec, read_values
from plausibench.bench.starts import Start, completed, start
from plausibench.bench.store import Run
from plausibench.bench.unit import Unit
from plausibench.kernels.errors import InputError, refusal

RESULTS = Path("results")


def read_spec(experiment: str | None, resume: Path | None, given: Mapping[str, Any]) -> Spec:
    """Specification of an experiment, with the values that options replace.

    Components and hidden layers that were not chosen are those that run with what was.

    Parameters
    ----------
    experiment
        A specification file; None for the default benchmark.
    resume
        A run directory whose specification it is instead.
    given
        Options by field; None or empty for those that were not given.

    Raises
    ------
    InputError
        If the file cannot be read or a value is not allowed.
    """
    base, chosen = default_spec(), set()
    if resume is not None:
        if experiment is not None:
            raise InputError(f"resume: {resume} has a specification; leave {experiment!r} out")
        # Looked up below, with the plug-ins of the command: those of the run may lie elsewhere now.
        base = Spec.read(Run.open(resume).path / "spec.toml", components=False)
        chosen = {field.name for field in fields(base)}
    elif experiment is not None:
        if Path(experiment).is_dir():
            raise InputError(
                f"experiment: {experiment!r} is a folder, not a specification file; to continue "
                f"the run in it: plausibench run --resume {shlex.quote(experiment)}"
            )
        if not Path(experiment).is_file():
            raise InputError(
                f"experiment: {experiment!r} is neither a specification file nor one of "
                f"{', '.join(EXPERIMENTS)}"
            )
        read = read_values(Path(experiment))
        base, chosen = Spec.of(read), set(read)
    values = {name: value for name, value in given.items() if value is not None and value != ()}
    if "hidden" in values:
        values["hidden"] = hidden_sizes(values["hidden"])
    if "learning_rates" in values:
        own = dict(_rate(text) for text in values["learning_rates"])
        values["learning_rates"] = {**base.learning_rates, **own}
    return completed(base.with_values(**values), chosen | set(values))


def taken_options(
    experiment: str, given: Mapping[str, Any], taken: Iterable[str]
) -> dict[str, Any]:
    """Options of ``run`` that were given to an experiment.

    Parameters
    ----------
    experiment
        Its name.
    given
        Options by field; None or empty for those that were not given.
    taken
        Those that it takes, besides what all take.

    Raises
    ------
    InputError
        If it does not take one.
    """
    options = {name: value for name, value in given.items() if value not in (None, ())}
    known = [*taken, "out", "jobs", "format", "no_pictures"]
    for name in options:
        if name not in known:
            raise InputError(
                f"{name}: the experiment {experiment} does not take this option; it takes "
                f"{', '.join(known)} and dry_run"
            )
    return options


def hidden_sizes(text: str) -> tuple[int, ...]:
    """Layer sizes from a text such as ``32-32``; an empty text is no hidden layer.

    Raises
    ------
    InputError
        If the text is something else.
    """
    parts = text.split("-") if text else []
    if not all(part.isdigit() for part in parts):
        raise refusal("hidden", text, "layer sizes joined by hyphens, such as 32-32")
    return tuple(int(part) for part in parts)


def _rate(text: str) -> tuple[str, float]:
    # From the right, because a selector may hold equals signs.
    rule, _, rate = text.rpartition("=")
    try:
        return rule, float(rate)
    except ValueError as error:
        raise refusal("learning_rates", text, "of the form rule=rate") from error


def run_folder(resume: Path | None, out: Path | None, spec: Spec) -> Path:
    """Where to write; the same specification gets the same folder, so that it resumes.

    Raises
    ------
    InputError
        If two folders are given.
    """
    if resume is not None and out is not None:
        raise InputError(f"out: {out} cannot be given with --resume, which writes to {resume}")
    folder = resume or out
    if folder is not None:
        return folder
    if spec == default_spec():
        return RESULTS / "default"
    text = json.dumps(spec.as_dict(), sort_keys=True, default=dict)
    return RESULTS / hashlib.sha256(text.encode()).hexdigest()[:8]


def refuse_idle(units: list[Unit], spec: Spec) -> None:
    """Refuse a rule that can run on nothing that was asked for.

    Where all pairs are asked for, the cells that stay empty are part of the answer.

    Raises
    ------
    InputError
        With the reason that the rule gives, and the nearest place where it runs.
    """
    for rule in spec.rules if spec.pairing == "first" else ():
        own = [unit for unit in units if unit.rule == rule]
        if all(unit.reason is not None for unit in own):
            near = _nearest(own[0])
            raise InputError(
                f"rules: {rule} cannot run on {own[0].architecture} with {own[0].objective} "
                f"({own[0].reason}){'' if near is None else f'; it runs on {near}'}"
            )


def _nearest(unit: Unit) -> Start | None:
    """Where the rule of a unit runs, with as much of what was chosen as can be."""
    rules, tasks = [unit.rule], [unit.task]
    architectures, objectives = [unit.architecture], [unit.objective]
    return (
        start(rules, tasks, architectures, objectives)
        or start(rules, tasks, (), objectives)
        or start(rules, tasks, architectures)
        or start(rules, tasks)
        or start(rules)
    )
