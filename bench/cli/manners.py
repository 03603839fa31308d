"""What the commands share: refusals in one sentence, plug-ins, completion, plain columns."""

import errno
import os
import re
import shutil
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import click

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells give it."""


class Refusal(click.ClickException):
    """Bad input: one sentence, nothing computed."""

    exit_code = 2


class Interrupted(click.ClickException):
    """Ctrl-C, with what was kept and how to resume."""

    exit_code = INTERRUPTED

    def show(self, file: Any = None) -> None:
        click.echo(self.message, err=True)


class Unwritten(click.ClickException):
    """Standard output took nothing, or not all; what was computed is not concerned."""

    exit_code = 1


class Place(click.Path):
    """A file or folder, as a :class:`~pathlib.Path`; ``~`` is the home of the user."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Expand what the shell did not, as in ``--out=~/results``."""
        text = os.path.expanduser(value)
        if str(text).startswith("~"):
            self.fail(f"{str(value)!r} names the home of a user who has none here.", param, ctx)
        return super().convert(text, param, ctx)


class Commands(click.Group):
    """Commands whose refusals are one sentence on standard error, with exit code 2."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        for stream in (sys.stdout, sys.stderr):
            # A terminal of few letters shows a question mark for each of the others.
            if isinstance(stream, TextIOWrapper) and stream.errors == "strict":
                stream.reconfigure(errors="replace")
        return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, Refusal, Interrupted, Unwritten):
            raise
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader has seen enough
                raise
            reason = error.strerror or str(error)
            if is_of_output(error):
                raise Unwritten(f"standard output cannot be written ({reason})") from error
            from plausibench.kernels.errors import show

            place = "a file" if error.filename is None else show(str(error.filename))
            raise Refusal(f"path: {place} cannot be used ({reason})") from error
        except click.UsageError as error:
            # Click repeats what was given in full, however long.
            said = re.sub(r"\S{200,}", lambda word: f"{word[0][:77]}...", error.format_message())
            raise Refusal(said) from error
        except KeyboardInterrupt as error:
            raise Interrupted("Interrupted.") from error
        except ValueError as error:
            from plausibench.kernels.errors import InputError

            if isinstance(error, InputError):
                raise Refusal(str(error)) from error
            raise

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from plausibench.kernels.errors import choose

        choose("command", args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)


def is_of_output(error: OSError) -> bool:
    """Whether printing raised it; what standard output did not take is let go of then."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    printing = any(frame.f_code is click.echo.__code__ for frame in frames)
    if printing and sys.stdout is not None:
        # Otherwise Python would try again at its end, and complain.
        null = os.open(os.devnull, os.O_WRONLY)
        with suppress(OSError, ValueError):  # it is no file
            os.dup2(null, sys.stdout.fileno())
        os.close(null)
    return printing


@contextmanager
def shown(kept: Path) -> Iterator[None]:
    """Printing about results that are kept: that it fails is told, and is no failure."""
    try:
        yield
    except OSError as error:
        if not is_of_output(error):
            raise
        reason = error.strerror or str(error)
        click.echo(f"Standard output cannot be written ({reason}); results: {kept}", err=True)


def tell_compiling() -> None:
    """Say so if the kernels are not compiled yet, for it takes time that is not explained else."""
    from plausibench.kernels.cache import compiled

    if not compiled():
        click.echo("Compiling the kernels, once after installation: about a minute.", err=True)


def complete(*kinds: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Shell completion by the registry names of these kinds."""

    def names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
        from plausibench.bench.components import registry

        known = sorted({name for kind in kinds for name in registry.entries(kind)})
        return [name for name in known if name.startswith(incomplete)]

    return names


def columns(rows: Iterable[Sequence[str]], width: int | None = None) -> str:
    """Rows of cells as lines with aligned columns.

    Parameters
    ----------
    rows
        Cells, as many in each row.
    width
        Characters in a line, beyond which the last column is wrapped; None never wraps.
    """
    listed = [[str(cell) for cell in row] for row in rows]
    sizes = [max(map(len, column)) for column in zip(*listed, strict=True)][:-1]
    room = None if width is None else max(30, width - sum(sizes) - 2 * len(sizes))
    lines = []
    for *cells, last in listed:
        parts = [last] if room is None else _wrapped(last, room)
        for part in parts:
            aligned = [cell.ljust(size) for cell, size in zip(cells, sizes, strict=True)]
            lines.append("  ".join([*aligned, part]).rstrip())
            cells = [""] * len(cells)
    return "\n".join(lines)


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of at most ``width`` characters; line breaks in the text stay."""
    return [part for line in text.splitlines() for part in textwrap.wrap(line, width)] or [""]


def text_width() -> int | None:
    """Characters in a line of the terminal; None where output goes elsewhere."""
    terminal = sys.stdout is not None and sys.stdout.isatty()
    return shutil.get_terminal_size().columns if terminal else None
