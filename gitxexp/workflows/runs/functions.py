"""A Python function as the command of a run: the words that call it in a separate process.

A run is recorded with the commit and the command that it ran, so the function has to be in a file
that git tracks; a function that exists only in this process (a lambda, a notebook cell) could never
be rerun.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gitxexp.common.errors import UsageError
from gitxexp.repository.repository import Project

#: Suffix of a parameter whose values are all text, even if they look like numbers.
TEXT = ":text"


def words_of(
    project: Project,
    command: Sequence[str | Callable[..., Any]],
    values: Mapping[str, Sequence[Any]],
    cwd: Path,
) -> tuple[str, ...]:
    """Return a command's words; a single function becomes the words that call it with the
    parameters of ``values`` from ``cwd``.

    Raises UsageError for a function that cannot be called that way, or for additional words.
    """
    functions = [part for part in command if callable(part)]
    if not functions:
        return tuple(map(str, command))
    if len(command) > 1:
        raise UsageError("a function is the whole command", "give its arguments as parameters")
    function = functions[0]
    place = _place(project, function, cwd)
    _refuse_unknown(function, values)
    texts = {name: all(isinstance(one, str) for one in some) for name, some in values.items()}
    given = [f"{name}{TEXT if texts[name] else ''}={{{name}}}" for name in values]
    return (sys.executable, "-m", "gitxexp.call", place, *given)


def keyword(name: str) -> str:
    """The keyword for a parameter: the last part of its name."""
    return name.rpartition(".")[2]


def _place(project: Project, function: Callable[..., Any], cwd: Path) -> str:
    """``FILE:NAME`` of a function, the file from ``cwd``."""
    name = getattr(function, "__qualname__", "")
    try:
        file = inspect.getsourcefile(function)
    except TypeError:
        file = None
    path = None if file is None else Path(file).resolve()
    inside = None if path is None else project.inside(path)
    if not name.isidentifier() or inside is None or not project.at_top.tracks(inside):
        raise UsageError(
            f"{name or function!r} is not a function of a file that git tracks, so no run of it could"
            " be repeated",
            "define it at the top of a module of the repository, and commit that",
        )
    return f"{os.path.relpath(str(path), cwd)}:{name}"


def _refuse_unknown(function: Callable[..., Any], names: Mapping[str, Any]) -> None:
    """Raise UsageError if the function does not accept the parameters as keywords."""
    keywords = {keyword(name): name for name in names}
    if len(keywords) < len(names):
        raise UsageError(f"several parameters end alike: {', '.join(names)}", "rename one of them")
    try:
        inspect.signature(function).bind(**keywords)
    except TypeError as error:
        raise UsageError(
            f"{getattr(function, '__name__', function)} does not take {', '.join(names) or 'nothing'}:"
            f" {error}",
            "give the parameters that it takes",
        ) from error
