"""Small files that are either not there or whole, and may be written by several processes."""

import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from plausibench.kernels.errors import InputError


def publish(file: Path, content: bytes, *, durable: bool = True) -> None:
    """Write a file beside its place and rename it; its folder is made if it is not there.

    One that is not ``durable`` may be damaged when the power fails.
    """
    draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with draft.open("xb") as stream:
            stream.write(content)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        draft.replace(file)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def encode(value: Any) -> bytes:
    """A line of JSON, with names in the order in which they are given."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def decoded(file: Path, good: Callable[[Any], bool]) -> Any:
    """Content of a JSON file; None if there is no such file.

    Line ends and a byte-order mark, which editors and copying may change, do not matter.

    Raises
    ------
    InputError
        If it cannot be read, is no JSON, or is not ``good``.
    """
    try:
        text = file.read_bytes().decode("utf-8-sig")
        content = json.loads(text, parse_constant=_refuse_constant)
        if not good(content):
            raise ValueError("not what was written there")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"run: {file} is damaged ({error}); the command that made the run computes it again"
        ) from error
    return content


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is no number")
