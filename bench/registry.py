"""Find components by name: built in, installed by entry point, or in a plug-in file."""

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from plausibench import architectures, objectives, rules
from plausibench.bench import tasks
from plausibench.kernels.errors import InputError, choose, nearest, show

KINDS = ("architecture", "objective", "rule", "task")


@dataclass(frozen=True)
class Entry:
    """Where a component comes from.

    Attributes
    ----------
    kind, name
        Its place in the registry.
    target
        ``module:attribute``, or the class itself for a plug-in file.
    origin
        ``built in``, the distribution that installed it, or the plug-in's path.
    """

    kind: str
    name: str
    target: str | type
    origin: str

    def load(self) -> type:
        """Import the class.

        Raises
        ------
        InputError
            If an installed plug-in cannot be imported.
        """
        if isinstance(self.target, type):
            return self.target
        module, _, attribute = self.target.partition(":")
        try:
            loaded = getattr(importlib.import_module(module), attribute)
        except Exception as error:
            if self.origin == "built in":
                raise
            raise InputError(
                f"{self.kind} {self.name}: {self.target} of {self.origin} cannot be imported "
                f"({type(error).__name__}: {error})"
            ) from error
        return _component(self.kind, loaded, f"{self.target} of {self.origin}")


_PLUGINS: dict[str, dict[str, Entry]] = {kind: {} for kind in KINDS}


def entries(kind: str) -> dict[str, Entry]:
    """Return every component of a kind, by name; nothing is imported.

    Raises
    ------
    InputError
        If the kind is unknown.
    """
    choose("kind", kind, KINDS)
    return {**_installed(kind), **_PLUGINS[kind]}


@cache
def _installed(kind: str) -> dict[str, Entry]:
    tables: Mapping[str, Mapping[str, str]] = {
        "architecture": architectures.BUILTIN,
        "objective": objectives.BUILTIN,
        "rule": rules.BUILTIN,
        "task": tasks.BUILTIN,
    }
    found = {name: Entry(kind, name, where, "built in") for name, where in tables[kind].items()}
    for point in entry_points(group=f"plausibench.{kind}s"):
        origin = point.dist.name if point.dist else "an installed package"
        if point.name in found:
            raise InputError(
                f"{kind} {point.name}: {origin} installs a name that is taken by "
                f"{found[point.name].origin}; rename its entry point"
            )
        found[point.name] = Entry(kind, point.name, point.value, origin)
    return found


def find(kind: str, name: str) -> type:
    """Return the class registered under a name.

    Raises
    ------
    InputError
        If there is none; lists those there are and suggests the nearest.
    """
    known = entries(kind)
    choose(kind, name, sorted(known))
    return known[name].load()


def make(kind: str, name: str, **options: Any) -> Any:
    """Make a component.

    Parameters
    ----------
    kind
        ``architecture``, ``objective``, ``rule`` or ``task``.
    name
        Registry name, for example ``node_perturbation``.
    **options
        Its options. An architecture also takes ``seed`` (default 0) and is returned as the
        built :class:`~plausibench.architectures.network.Network`.

    Raises
    ------
    InputError
        If the kind, the name, an option or its value is not allowed.
    """
    found = find(kind, name)
    if kind != "architecture":
        return configure(kind, name, found, options)
    seed = options.pop("seed", 0)
    return configure(kind, name, found, options).build(seed)


def configure(kind: str, name: str, component: type, options: Mapping[str, Any]) -> Any:
    """Make an instance of a component, refusing options it does not have."""
    allowed = {f.name: f for f in fields(component) if f.init}
    for option in options:
        if option not in allowed:
            near = nearest(option, allowed)
            hint = f"; did you mean {near!r}?" if near else ""
            listed = ", ".join(allowed) or "none"
            raise InputError(f"{kind} {name}: {option!r} is not an option; it has {listed}{hint}")
    for option, field in allowed.items():
        missing = field.default is MISSING and field.default_factory is MISSING
        if missing and option not in options:
            raise InputError(f"{kind} {name}: the option {option} must be given")
    try:
        return component(**options)
    except InputError as error:
        raise InputError(f"{kind} {name}: {error}") from error


def load_plugin(path: str | Path) -> list[Entry]:
    """Load a plug-in file and register the components it defines under their snake-case names.

    Raises
    ------
    InputError
        If the file is missing, fails to import, defines no component, or takes a name that
        is built in.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"plugin: {show(str(path))} is not a file")
    module = _import_file(file)
    found = [
        Entry(kind, snake(name), value, str(file))
        for name, value in vars(module).items()
        if isinstance(value, type) and value.__module__ == module.__name__
        for kind, base in bases().items()
        if issubclass(value, base) and not inspect.isabstract(value)
    ]
    if not found:
        raise InputError(
            f"plugin: {file} defines no component; allowed is a dataclass derived from Rule, "
            "Architecture, Objective or Task with all abstract methods written"
        )
    for entry in found:
        if entry.name in _installed(entry.kind):
            raise InputError(
                f"plugin: {file} defines {entry.kind} {entry.name}, a name that is taken by "
                f"{_installed(entry.kind)[entry.name].origin}; rename the class"
            )
        _component(entry.kind, entry.load(), str(file))
    for entry in found:
        _PLUGINS[entry.kind][entry.name] = entry
    return found


def _import_file(file: Path) -> Any:
    # The digest keeps two files of one name apart, and an edited file from its older self.
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    name = f"plausibench_plugin_{file.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise InputError(f"plugin: {file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise InputError(
            f"plugin: {file} cannot be imported ({type(error).__name__}: {error})"
        ) from error
    return module


@cache
def bases() -> dict[str, type]:
    """Return the base class of each kind."""
    from plausibench.architectures.architecture import Architecture
    from plausibench.bench.tasks.task import Task
    from plausibench.objectives.objective import Objective
    from plausibench.rules.rule import Rule

    return {"architecture": Architecture, "objective": Objective, "rule": Rule, "task": Task}


def _component(kind: str, loaded: Any, origin: str) -> type:
    base = bases()[kind]
    good = isinstance(loaded, type) and issubclass(loaded, base)
    if not good or not hasattr(loaded, "__dataclass_fields__"):
        raise InputError(
            f"{kind}: {getattr(loaded, '__name__', loaded)!r} from {origin} is not a dataclass "
            f"derived from {base.__name__}"
        )
    return loaded


def snake(name: str) -> str:
    """``NodePerturbation`` -> ``node_perturbation``."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
