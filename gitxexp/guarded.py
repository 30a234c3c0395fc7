"""What a class of the Python interface promises: each of its methods raises XexpError, with a hint.

The command line gets names that a system can hold, and says what it was told of others in one place;
from Python any text may come. A name that no path can be is refused before anything is recorded.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from gitxexp.common.errors import UsageError
from gitxexp.common.failures import of_system

T = TypeVar("T")


def guarded(cls: type[T]) -> type[T]:
    """Let the public methods of a class, and its making, raise XexpError."""
    for name, method in list(vars(cls).items()):
        if inspect.isfunction(method) and (name == "__init__" or not name.startswith("_")):
            setattr(cls, name, _guarded(method))
    return cls


def _guarded(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(*args: Any, **named: Any) -> Any:
        _check((*args[1:], *named.values()))
        try:
            return method(*args, **named)
        except (OSError, UnicodeEncodeError) as error:
            known = of_system(error)
            if known is None:
                raise
            raise known from error

    return call


def _check(values: Iterable[Any]) -> None:
    """Raise UsageError for a text that is neither a name nor a path on any system."""
    for value in values:
        if isinstance(value, list | tuple | set | frozenset):
            _check(value)
        elif isinstance(value, str | os.PathLike):
            text = os.fspath(value)
            if b"\0" in _bytes(text):
                raise UsageError(f"{text!r} has a null byte", "leave it out")


def _bytes(text: str | bytes) -> bytes:
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:
        raise UsageError(f"{text!r} is not UTF-8", "names and texts are UTF-8") from None
