"""Find components by name: built in, installed by entry point, or in a plug-in file."""

import copyreg
import hashlib
import importlib
import inspect
import os
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from plausibench import architectures, objectives, rules
from plausibench.bench.tasks import BUILTIN as TASKS
from plausibench.kernels.errors import InputError, choose, nearest, refusal

KINDS = ("architecture", "objective", "rule", "task")
PLAIN = (object.__reduce__, object.__reduce_ex__)
"""How instances are pickled of classes that do not say otherwise."""


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
_DIGESTS: dict[str, str] = {}
_TEXTS: dict[str, str] = {}


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
        # Whose order is that of legends.
        "rule": dict(sorted(rules.BUILTIN.items())),
        "task": TASKS,
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
    recipe = configure(kind, name, found, options)
    try:
        return recipe.build(seed)
    except (InputError, MemoryError) as error:
        raise InputError(f"{kind} {name}: {error}") from error
    except (OverflowError, ValueError) as error:  # sizes beyond numpy's, or a plug-in's own
        raise InputError(
            f"{kind} {name}: building it raises {type(error).__name__}: {error}"
        ) from error


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
    except (TypeError, ValueError, OverflowError, MemoryError) as error:
        raise InputError(f"{kind} {name}: {error}") from error


def load_plugins(paths: Iterable[str | Path], bare: Collection[str | Path] = ()) -> None:
    """Load plug-in files that are to be used together; those that are ``bare`` may define none.

    Raises
    ------
    InputError
        As :func:`load_plugin`, and if two of them define the same name.
    """
    seen: dict[str, dict[str, Entry]] = {kind: {} for kind in KINDS}
    for path in paths:
        for entry in load_plugin(path, bare=path in bare):
            _refuse_taken(entry, seen[entry.kind])
            seen[entry.kind][entry.name] = entry


def _refuse_taken(entry: Entry, others: Mapping[str, Entry]) -> None:
    taken = others.get(entry.name)
    if taken is not None and taken.origin != entry.origin:
        raise InputError(
            f"plugin: {entry.origin} defines {entry.kind} {entry.name}, a name that is taken by "
            f"{taken.origin}; rename the class"
        )


def import_plugin(path: str | Path) -> ModuleType:
    """Import a plug-in file, once as long as it is the same.

    Raises
    ------
    InputError
        If the file is missing or fails to import.
    """
    if not os.path.isfile(path):
        raise InputError(f"plugin: '{path}' is not a file")
    return _import_file(Path(path))


def load_plugin(path: str | Path, *, bare: bool = False) -> list[Entry]:
    """Load a plug-in file and register the components it defines under their snake-case names.

    A file that was edited is loaded again, and replaces what it defined before. A ``bare`` one
    may define none.

    Raises
    ------
    InputError
        If the file is missing, fails to import, defines no component, or takes a name that
        is built in or installed.
    """
    if not isinstance(path, str | Path):
        raise refusal("plugin", path, "the path of a file")
    file = Path(os.path.expanduser(path))
    if not os.path.isfile(file):
        raise InputError(f"plugin: '{path}' is not a file")
    module, origin = _import_file(file), str(file.resolve())
    found = [
        Entry(kind, snake(value.__name__), value, origin)
        for name, value in vars(module).items()
        if isinstance(value, type) and value.__module__ == module.__name__
        for kind, base in bases().items()
        if issubclass(value, base) and not inspect.isabstract(value) and name == value.__name__
    ]
    if not found and not bare:
        raise InputError(
            f"plugin: {file} defines no component; allowed is a dataclass derived from Rule, "
            "Architecture, Objective or Task with all abstract methods written"
        )
    for entry in found:
        _refuse_taken(entry, _installed(entry.kind))
        _component(entry.kind, entry.load(), str(file))
    for kind, known in _PLUGINS.items():
        _PLUGINS[kind] = {name: entry for name, entry in known.items() if entry.origin != origin}
    for entry in found:
        _PLUGINS[entry.kind][entry.name] = entry
    return found


def _import_file(file: Path) -> ModuleType:
    try:
        source = file.read_bytes()
    except OSError as error:
        raise InputError(f"plugin: {file} cannot be read ({error.strerror})") from error
    # The digest keeps two files of one name apart, and an edited file from its older self.
    digest = hashlib.sha256(source).hexdigest()
    name = f"plausibench_plugin_{file.stem}_{digest[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = str(file.resolve())
    _DIGESTS[name], _TEXTS[name] = digest, source.decode("utf-8", "replace")
    sys.modules[name] = module
    try:
        # Compiled from the bytes that were digested: cached bytecode is taken for current if a
        # file was edited within a second and kept its size.
        exec(compile(source, module.__file__, "exec", dont_inherit=True), vars(module))
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise InputError(
            f"plugin: {file} cannot be imported ({type(error).__name__}: {error})"
        ) from error
    for value in list(vars(module).values()):
        own = isinstance(value, type) and value.__module__ == name
        if own and (value.__reduce__, value.__reduce_ex__) == PLAIN:
            copyreg.pickle(value, _pickled)
    return module


def _pickled(instance: Any) -> tuple[Any, ...]:
    """How an instance of a plug-in's class is sent to a process that has not loaded the plug-in.

    There the module cannot be imported by its name, but its file can be loaded by its path.
    """
    reduced: Any = object.__reduce_ex__(instance, 2)
    made, (kind, *arguments), *rest = reduced
    file = sys.modules[kind.__module__].__file__
    return _unpickled, (file, kind.__module__, kind.__qualname__, made, *arguments), *rest


def _unpickled(file: str, module: str, name: str, made: Any, *arguments: Any) -> Any:
    if module not in sys.modules:
        load_plugin(file)
    if module not in sys.modules:
        raise InputError(f"plugin: {file} has changed since an instance of its {name} was made")
    kind: Any = sys.modules[module]
    for part in name.split("."):
        kind = getattr(kind, part)
    return made(kind, *arguments)


def text_of(module: str) -> str:
    """Source of a module that is imported, as it was loaded if that is a plug-in.

    Raises
    ------
    AttributeError, OSError
        If it has no file that can be read.
    """
    if module in _TEXTS:
        return _TEXTS[module]
    return Path(str(sys.modules[module].__file__)).read_text(encoding="utf-8")


def digest(component: type) -> str:
    """Digest of the sources of a component: of its file, as it was loaded if that is a plug-in.

    Of an installed component, of all sources of its package.
    """
    module = component.__module__
    if module not in _DIGESTS:
        package = module.partition(".")[0]
        folders = getattr(sys.modules[package], "__path__", ())
        if package == "plausibench" or not folders:
            sources = [Path(str(sys.modules[module].__file__))]
        else:
            sources = sorted(file for folder in folders for file in Path(folder).rglob("*.py"))
        total = hashlib.sha256()
        for file in sources:
            total.update(file.read_bytes() + b"\0")
        _DIGESTS[module] = total.hexdigest()
    return _DIGESTS[module]


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
    for option in fields(loaded):
        if hasattr(base, option.name):
            raise InputError(
                f"{kind}: {loaded.__name__} from {origin} has an option {option.name!r}, which is "
                f"what every {base.__name__} calls something else; rename it"
            )
    for name in inspect.get_annotations(base):
        if not hasattr(loaded, name):
            raise InputError(
                f"{kind}: {loaded.__name__} from {origin} lacks {name}, which every "
                f"{base.__name__} has"
            )
    return loaded


def snake(name: str) -> str:
    """``NodePerturbation`` -> ``node_perturbation``."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
