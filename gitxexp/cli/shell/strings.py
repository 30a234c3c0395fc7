"""List every text that a user can meet: ``python -m gitxexp.cli.shell.generate --strings``.

Help comes from the click tree, the manual from ``prose/``, and the rest from the source: each literal
of two words or more that is no docstring and no SQL. ``{…}`` stands for what an f-string fills in.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

from gitxexp.cli.shell import completion_spec

PACKAGE = Path(__file__).resolve().parents[2]
#: Lists of names of columns, which nobody is shown.
_NAMES = PACKAGE / "trackers/vocabulary.py"
_SQL = re.compile(
    r"\b(SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|PRAGMA|ATTACH|COPY|WHERE|GROUP BY|ORDER BY"
    r"|FROM|JOIN|CASE|AND|OR|IS NULL|IS NOT|CAST|UNION|COLLATE|INTEGER|VARCHAR|SET|USE|DETACH|FORMAT"
    r"|FILTER|REINDEX)\b|\b(typeof|count|coalesce|sum|max|read_\w+)\(|xexp_"
)
_WORDS = re.compile(r"[A-Za-z]{2,}[^A-Za-z]* [^A-Za-z]*[a-z]{2,}")


class LocatedText(NamedTuple):
    """A text and where it is: a command, a page, or a file and its line."""

    where: str
    text: str


def strings(root: click.Command) -> Iterator[LocatedText]:
    """All of them: help, manual, messages."""
    helps = list(help_texts(root))
    yield from helps
    shown = {help.text for help in helps}
    for page in sorted((PACKAGE / "cli/shell/prose").glob("*.md")):
        for block in re.split(r"\n\s*\n", page.read_text("utf-8")):
            yield LocatedText(f"{page.stem}(manual)", " ".join(block.split()))
    for file in sorted({*PACKAGE.rglob("*.py")} - {_NAMES}):
        where = file.relative_to(PACKAGE).as_posix()
        for line, text in literals(file.read_text("utf-8")):
            if text not in shown:
                yield LocatedText(f"{where}:{line}", text)


def help_texts(root: click.Command) -> Iterator[LocatedText]:
    """The help of every command and option, each option's once."""
    seen = set()
    for path, command in completion_spec.commands(root):
        name = f"git xexp {path}".strip()
        if command.help:
            yield LocatedText(f"{name} -h", " ".join(inspect.cleandoc(command.help).split()))
        for option in completion_spec.options(command):
            known = (option.opts[-1], option.help)
            if option.help and known not in seen:
                seen.add(known)
                yield LocatedText(f"{name} {option.opts[-1]}", option.help)


def literals(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of each literal in a Python source that reads as words."""
    passed = set()
    for node in ast.walk(ast.parse(source)):  # a node after what it is in
        if isinstance(node, ast.Constant):
            text = node.value if isinstance(node.value, str) and id(node) not in passed else ""
        elif isinstance(node, ast.JoinedStr):
            passed |= {id(part) for part in node.values}
            text = "".join(
                part.value
                if isinstance(part, ast.Constant) and isinstance(part.value, str)
                else "{…}"
                for part in node.values
            )
        else:
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                passed.add(id(node.value))  # a docstring
            continue
        if _WORDS.search(text) and not _SQL.search(text):
            yield node.lineno, " ".join(text.split())
