"""Selectors: a component's name with options, ``node_perturbation[sigma=1e-2]``.

One text serves as selector on the command line, key of a result, and label in a picture. Lists
read ``32-32-3``, ``[32,32,3]`` or ``(32,32,3)``. A value with commas, brackets or quotes of its own
may stand in quotes, within which a quote is doubled. An option that is itself a component takes a
selector, ``row_by_row[images=mnist[path=digits.npz]]``.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from plausibench.bench.components import registry
from plausibench.kernels.errors import InputError, show

CLOSING = {"[": "]", "(": ")"}
QUOTED = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*\"""")


@dataclass(frozen=True)
class Selector:
    """A component by name, with the options that differ from their defaults."""

    kind: str
    name: str
    options: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        if not self.options:
            return self.name
        known = _declared(registry.find(self.kind, self.name))
        inside = ",".join(f"{key}={_option(value, key, known)}" for key, value in self.options)
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
    name, inside = _name_and_options(kind, text)
    component = registry.find(kind, name)
    known = _declared(component)
    try:
        given = _assignments(inside, known, text)
    except InputError as error:
        raise InputError(f"{kind}: {error}") from error
    options = {key: _value(value, known.get(key, Any)) for key, value in given.items()}
    made = configured(kind, name, options)
    chosen = [(key, getattr(made, key)) for key in known if key in options]
    return Selector(
        kind,
        name,
        tuple(
            (key, value)
            for key, value in chosen
            if not _is_default(kind, name, options, key, value)
        ),
    )


def configured(kind: str, name: str, options: Mapping[str, Any]) -> Any:
    """Make a component with these options, an architecture before any task is known.

    Layer sizes that are not named follow from the task; until then the architecture has the
    hidden layers that it starts with.

    Raises
    ------
    InputError
        If an option or its value is not allowed.
    """
    component: Any = registry.find(kind, name)
    free = {}
    if kind == "architecture" and "sizes" not in options and "sizes" in _declared(component):
        try:
            free["sizes"] = (1, *component.usual(options), 1)
        except InputError as error:
            raise InputError(f"{kind} {name}: {error}") from error
    return registry.configure(kind, name, component, {**free, **options})


def _is_default(kind: str, name: str, options: Mapping[str, Any], key: str, value: Any) -> bool:
    """Whether the component is the same without this option."""
    default = next(f.default for f in fields(registry.find(kind, name)) if f.name == key)
    if value == default:
        return True
    others = {other: given for other, given in options.items() if other != key}
    # A default may be written in a shorter way, or follow from other options.
    with suppress(InputError):
        return key != "sizes" and bool(getattr(configured(kind, name, others), key) == value)
    return False


def _name_and_options(kind: str, text: object) -> tuple[str, str]:
    if not isinstance(text, str):
        raise InputError(f"{kind}: {show(text)} is not a text such as name[option=value]")
    name, bracket, inside = text.strip().partition("[")
    if bracket and not inside.endswith("]"):
        raise InputError(
            f"{kind}: {show(text)} lacks its closing bracket; write name[option=value]"
        )
    return name.strip(), inside[:-1]


def _assignments(inside: str, known: Mapping[str, Any], whole: str = "") -> dict[str, str]:
    """Options with the text of their values; a part that assigns nothing continues a value."""
    options: dict[str, str] = {}
    last = None
    for part in _parts(inside):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if equals and (key.isidentifier() or last is None):
            if not key or not value:
                raise _no_assignment(part, whole)
            if key in options:
                raise InputError(f"the option {key} is given twice in {show(whole)}")
            # What follows a comma may belong to the value, spaces included.
            last, options[key] = key, part.partition("=")[2]
        elif last is not None and key not in known:
            options[last] += f",{part}"
        elif part.strip():
            raise _no_assignment(part, whole)
    return {key: value.strip().rstrip(", ") for key, value in options.items()}


def _no_assignment(part: str, whole: str) -> InputError:
    return InputError(f"{show(part.strip())} in {show(whole)} is not of the form option=value")


def _parts(text: str) -> list[str]:
    """Text cut at commas that stand in no brackets and no quotes.

    Raises
    ------
    InputError
        If a bracket is not closed.
    """
    parts, start, place, first = [], 0, 0, True
    awaited: list[str] = []
    while place < len(text):
        sign = text[place]
        # A quote or a parenthesis within a value, such as a path, is a sign like others.
        quoted = QUOTED.match(text, place) if first else None
        if awaited and sign == awaited[-1]:
            awaited.pop()
        elif sign == "[" or (sign == "(" and first):
            awaited.append(CLOSING[sign])
        elif sign == "," and not awaited:
            parts.append(text[start:place])
            start = place + 1
        first = sign in "=[(," or (first and sign.isspace())
        place = place + 1 if quoted is None else quoted.end()
    if awaited:
        raise InputError(
            f"{show(text)} lacks a {awaited[-1]!r}; put a value with a bracket of its own in quotes"
        )
    return [*parts, text[start:]]


def _value(text: str, declared: Any) -> Any:
    """Booleans, whole numbers, numbers, lists, components, or text.

    A field that is declared as text or as a path stays text, and a whole number in one declared
    as float becomes a float, so that 1 and 1.0 name the same component.
    """
    text, kinds = text.strip(), _alternatives(declared)
    if QUOTED.fullmatch(text):
        return text[1:-1].replace(2 * text[0], text[0])
    if Path in kinds or kinds <= {str}:
        return text
    for kind, base in registry.bases().items():
        if any(isinstance(one, type) and issubclass(one, base) for one in kinds):
            return select(kind, text).make()
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if text.lower() == "none" and NoneType in kinds:
        return None
    value = _number(text, float in kinds and int not in kinds)
    if value is None:
        value = _list(text, declared)
    lists = {get_origin(one) for one in kinds} <= {Sequence, tuple, list}
    if lists and not isinstance(value, str | tuple):
        return (value,)
    return value


def _number(text: str, fractional: bool) -> int | float | None:
    if not fractional:
        with suppress(ValueError):
            return int(text)
    with suppress(ValueError):
        return float(text)
    return None


def _list(text: str, declared: Any) -> Any:
    """A list of numbers, lists or components as a tuple; else the text."""
    parts = text.split("-")
    if len(parts) > 1 and all(part.isdecimal() for part in parts):
        return tuple(int(part) for part in parts)
    try:
        parts = _parts(text)
        if len(parts) == 1 and text[:1] in CLOSING and text.endswith(CLOSING[text[0]]):
            parts = _parts(text[1:-1])
        elif len(parts) == 1:
            return text
    except InputError:
        return text
    if parts and not parts[-1].strip():
        parts.pop()
    return tuple(_value(part, _element(declared, place)) for place, part in enumerate(parts))


def _option(value: Any, key: str, known: Mapping[str, Any]) -> str:
    """Text of an option's value, in quotes where it could be read otherwise."""
    if not isinstance(value, str | Path):
        return _text(value, known[key])
    plain = str(value)
    with suppress(InputError):
        same = _assignments(f"{key}={plain}", known) == {key: plain}
        # A quote that is not closed would reach into the next option.
        closed = all(_parts(f"{plain},{quote}")[-1] == quote for quote in "'\"")
        if same and closed and _value(plain, known[key]) == plain:
            return plain
    return _quoted(plain)


def _text(value: Any, declared: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        whole = [type(part) is int and part >= 0 for part in value]
        if value and all(whole):
            return "-".join(str(part) for part in value)
        inside = (_text(part, _element(declared, place)) for place, part in enumerate(value))
        return f"[{','.join(inside)}]"
    if isinstance(value, str | Path):
        plain = str(value)
        marked = not plain or any(sign in plain for sign in ",=[]()'\"")
        return _quoted(plain) if marked or _value(plain, declared) != plain else plain
    for kind, base in registry.bases().items():
        if isinstance(value, base):
            return str(_selector(kind, value))
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def _selector(kind: str, component: Any) -> Selector:
    """The selector of a component that was made."""
    options = [(f.name, getattr(component, f.name), f.default) for f in fields(component) if f.init]
    chosen = tuple((name, value) for name, value, default in options if value != default)
    return Selector(kind, registry.snake(type(component).__name__), chosen)


def _quoted(text: str) -> str:
    return '"{}"'.format(text.replace('"', '""'))


def _declared(component: type) -> dict[str, Any]:
    """Declared type of each option."""
    try:
        types = get_type_hints(component)
    except (NameError, AttributeError, TypeError, SyntaxError):  # annotations that are only text
        types = {}
    return {f.name: types.get(f.name, f.type) for f in fields(component) if f.init}


def _alternatives(declared: Any) -> set[Any]:
    union = get_origin(declared) in (Union, UnionType)
    return set(get_args(declared)) if union else {declared}


def _element(declared: Any, place: int) -> Any:
    """Declared type of an element of a list."""
    for one in _alternatives(declared):
        elements = [element for element in get_args(one) if element is not Ellipsis]
        if get_origin(one) is tuple and len(elements) > 1 and Ellipsis not in get_args(one):
            return elements[min(place, len(elements) - 1)]
        if elements:
            return elements[0]
    return Any
