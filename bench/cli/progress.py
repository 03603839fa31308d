"""Progress with the time left, on standard error, at which a Ctrl-C is heeded."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any


@contextmanager
def progress(total: int | None, what: str) -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar on a terminal, and nothing elsewhere.

    Parameters
    ----------
    total
        Number of parts of the work; None if it is not known yet.
    what
        Name of the work.

    Yields
    ------
    callable
        To be called with what was just done, the number of parts done and that of all.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C; with the next part done, if it was lost on the way.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("time left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    # Elsewhere some versions leave an empty line.
    shown = bar if console.is_terminal else nullcontext()
    with _heeded() as interrupted, shown:
        task = bar.add_task(what, total=total)

        def advance(name: str, done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, description=f"{what}: {name}")
            if interrupted.is_set():
                raise KeyboardInterrupt

        yield advance


@contextmanager
def _heeded() -> Iterator[threading.Event]:
    """Tell whether there was a Ctrl-C: compilers call Python back where exceptions are ignored."""
    interrupted = threading.Event()

    def note(number: int, frame: Any) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    mine = threading.current_thread() is threading.main_thread()
    if not mine or before is not signal.default_int_handler:
        yield interrupted
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)
