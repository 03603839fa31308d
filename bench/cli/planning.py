"""From options to a specification and a folder, with everything checked before it is used."""

import hashlib
import json
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from plausibench.bench.running.store import Run, plain_options
from plausibench.bench.studies.benchmark.spec import Spec, default_spec, read_values
from plausibench.bench.studies.benchmark.starts import Start, completed, start
from plausibench.bench.studies.benchmark.units import Unit
from plausibench.bench.studies.study import Study, find, load_plugins, names
from plausibench.bench.training.optimisers import LayerRates
from plausibench.kernels.errors import InputError, refusal

BENCHMARK = "benchmark"
RESULTS = Path("results")


@dataclass(frozen=True)
class Asked:
    """A study with the options that were asked for, before options of the command line.

    Attributes
    ----------
    study
        Name.
    options
        Plain values; what is not given has its default.
    plugins
        Files that define what it needs.
    """

    study: str
    options: Mapping[str, Any]
    plugins: tuple[str, ...] = ()


def asked_for(named: str | None, resume: Path | None, plugins: tuple[str, ...]) -> Asked:
    """What ``run`` was asked for; plug-ins that it names are loaded.

    Parameters
    ----------
    named
        A study, or a file: a specification of the benchmark, or the ``study.toml`` of a run. None
        for the default benchmark.
    resume
        A run directory that is continued instead.
    plugins
        Files that were given, in place of those of the run: they may lie elsewhere now.

    Raises
    ------
    InputError
        If there is no such study or file, or it cannot be read.
    """
    if resume is not None:
        if named is not None:
            raise InputError(f"resume: {resume} has a study; leave {named!r} out")
        run = Run.open(resume)
        return _with_plugins(Asked(run.study, run.options, plugins or run.plugins))
    if named is None:
        return Asked(BENCHMARK, {}, plugins)
    if named in names():
        return Asked(named, {}, plugins)
    if named and Path(named).is_dir():
        raise InputError(
            f"study: {named!r} is a folder, not a specification file; to continue the run in it: "
            f"plausibench run --resume {shlex.quote(named)}"
        )
    if not Path(named).is_file():
        near = get_close_matches(named, names(), 1)
        raise InputError(
            f"study: {named!r} is neither a specification file nor one of {', '.join(names())}"
            + (f"; did you mean {near[0]!r}?" if near else "")
        )
    values = read_values(Path(named))
    if "study" not in values:
        return Asked(BENCHMARK, values, plugins)
    options, files = values.get("options", {}), values.get("plugins", [])
    if not isinstance(values["study"], str) or not isinstance(options, dict):
        raise InputError(f"study: {named} does not say a study with its options")
    return _with_plugins(Asked(values["study"], options, plugins or tuple(files)))


def _with_plugins(asked: Asked) -> Asked:
    load_plugins(asked.plugins)
    return asked


def options_of(study: Study, base: Mapping[str, Any], given: Mapping[str, Any]) -> Any:
    """Options of a study, with the values that options of the command line replace.

    Raises
    ------
    InputError
        If it has no such option, or a value is not allowed.
    """
    return study.choose({**base, **_values(base.get("learning_rates", {}), given)})


def read_spec(
    named: str | None,
    resume: Path | None,
    given: Mapping[str, Any],
    plugins: tuple[str, ...] = (),
) -> Spec:
    """Specification of the benchmark, with the values that options replace.

    Components and hidden layers that were not chosen are those that run with what was.

    Parameters
    ----------
    named, resume
        As for :func:`asked_for`.
    given
        Options by field; None or empty for those that were not given.
    plugins
        As for :func:`asked_for`.

    Raises
    ------
    InputError
        If a file cannot be read or a value is not allowed.
    """
    asked = asked_for(named, resume, plugins)
    if resume is None and named in (None, BENCHMARK):
        base = default_spec()
        if given.get("samples") is not None:
            # Asked for by the user, of every rule.
            base = base.with_values(samples_of={})
    else:
        # Of a run, names are looked up below, when its plug-ins are loaded.
        base = Spec.of(asked.options, components=resume is None)
    values = _values(base.learning_rates, given)
    known = [field.name for field in fields(base)]
    for name in values:
        if name not in known:
            raise InputError(
                f"study {BENCHMARK}: {name!r} is not an option; it has {', '.join(known)}"
            )
    return completed(base.with_values(**values), set(asked.options) | set(values))


def _values(rates: Mapping[str, float], given: Mapping[str, Any]) -> dict[str, Any]:
    """Values that were given, from the texts of the command line."""
    values = {name: value for name, value in given.items() if value is not None and value != ()}
    if "hidden" in values:
        values["hidden"] = hidden_sizes(values["hidden"])
    if "layer_rates" in values:
        given_rates = values["layer_rates"]
        values["layer_rates"] = (
            factors(given_rates) if isinstance(given_rates, str) else given_rates
        )
    if "learning_rates" in values:
        own = dict(_rate(text) for text in values["learning_rates"])
        values["learning_rates"] = {**rates, **own}
    return values


def setting(text: str) -> tuple[str, Any]:
    """Name and value of a text such as ``power=3``; the value is TOML, or else a text.

    Raises
    ------
    InputError
        If it is not of that form.
    """
    name, equals, value = text.partition("=")
    if not (name.isidentifier() and equals):
        raise refusal("set", text, "of the form name=value")
    try:
        return name, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name, value


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


def factors(text: str) -> LayerRates:
    """Factors of layers from a text such as ``1,0.5``; one number alone is no list.

    Raises
    ------
    InputError
        If the text is something else.
    """
    parts = text.strip("[]").split(",")
    try:
        listed = tuple(float(part) for part in parts)
    except ValueError as error:
        raise refusal("layer_rates", text, "numbers joined by commas, such as 1,0.5") from error
    return listed[0] if len(listed) == 1 else listed


def _rate(text: str) -> tuple[str, float]:
    # From the right, because a selector may hold equals signs.
    rule, _, rate = text.rpartition("=")
    try:
        return rule, float(rate)
    except ValueError as error:
        raise refusal("learning_rates", text, "of the form rule=rate") from error


def run_folder(resume: Path | None, out: Path | None, study: str, options: Any) -> Path:
    """Where to write; the same options get the same folder, so that the run resumes.

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
    usual = default_spec() if study == BENCHMARK else find(study).options()
    name = "default" if study == BENCHMARK else study
    values = plain_options(options)
    if values == plain_options(usual):
        return RESULTS / name
    text = json.dumps(values, sort_keys=True, default=str)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return RESULTS / (digest if study == BENCHMARK else f"{name}-{digest}")


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
