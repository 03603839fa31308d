"""Selectors: a component's name with options, ``node_perturbation[sigma=1e-2]``.

One text serves as selector on the command line, key of a result, and label in a picture.
"""

from dataclasses import MISSING, dataclass, fields
from typing import Any

from plausibench.bench import registry
from plausibench.kernels.errors import InputError, show


@dataclass(frozen=True)
class Selector:
    """A component by name, with the options that differ from their defaults."""

    kind: str
    name: str
    options: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        if not self.options:
            return self.name
        inside = ",".join(f"{key}={_text(value)}" for key, value in self.options)
        return f"{self.name}[{inside}]"

    def make(self, **more: Any) -> Any:
        """Make the component; ``more`` are options given by the caller."""
        return registry.make(self.kind, self.name, **{**more, **dict(self.options)})


def select(kind: str, text: str) -> Selector:
    """Read a selector and check that it can be made.

    Options are listed in the order of the component's fields, without those that have their
    default value, so that selectors which mean the same are equal.

    Raises
    ------
    InputError
        If the text, the name, an option or its value is not allowed.
    """
    name, options = _parse(kind, text)
    component = registry.find(kind, name)
    known = {f.name: f for f in fields(component) if f.init}
    for key in options:
        if key not in known:
            registry.configure(kind, name, component, options)
    typed = {key: _value(value) for key, value in options.items()}
    checked = _check(kind, name, component, typed, known)
    return Selector(kind, name, checked)


def _check(
    kind: str, name: str, component: type, options: dict[str, Any], known: dict[str, Any]
) -> tuple[tuple[str, Any], ...]:
    needed = [
        key
        for key, field in known.items()
        if field.default is MISSING and field.default_factory is MISSING and key not in options
    ]
    if needed == ["sizes"]:
        # Layer sizes that are not named follow from the task; two layers check the rest.
        made = registry.configure(kind, name, component, {**options, "sizes": (1, 1)})
    else:
        made = registry.configure(kind, name, component, options)
    chosen = []
    for key, field in known.items():
        if key in options:
            value = getattr(made, key)
            if field.default is MISSING or value != field.default:
                chosen.append((key, value))
    return tuple(chosen)


def _parse(kind: str, text: str) -> tuple[str, dict[str, str]]:
    if not isinstance(text, str):
        raise InputError(f"{kind}: {show(text)} is not a text such as name[option=value]")
    name, bracket, inside = text.strip().partition("[")
    if not bracket:
        return name, {}
    if not inside.endswith("]"):
        raise InputError(
            f"{kind}: {show(text)} lacks its closing bracket; write name[option=value]"
        )
    options: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in inside[:-1].split(","))):
        key, equals, value = part.partition("=")
        if not equals or not key.strip() or not value.strip():
            raise InputError(
                f"{kind}: {show(part)} in {show(text)} is not of the form option=value"
            )
        if key.strip() in options:
            raise InputError(f"{kind}: the option {key.strip()} is given twice in {show(text)}")
        options[key.strip()] = value.strip()
    return name.strip(), options


def _value(text: str) -> Any:
    """Booleans, whole numbers, numbers, layer sizes such as 64-32-10, or text."""
    lowered = text.lower()
    if lowered in ("true", "false"):
        return lowered == "true"
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    parts = text.split("-")
    if len(parts) > 1 and all(part.isdigit() for part in parts):
        return tuple(int(part) for part in parts)
    return text


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "-".join(str(part) for part in value)
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)
