"""The interactive prompt of ``git xexp sql``, by prompt_toolkit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from gitxexp.cli.failures import words
from gitxexp.cli.render import console
from gitxexp.cli.render.sql import as_table, schema_table
from gitxexp.common.sql import quote
from gitxexp.workflows.sql.converted import Conversions
from gitxexp.workflows.sql.database import ColumnEntry, ProjectDatabase

if TYPE_CHECKING:
    from gitxexp.repository.repository import Project

_KEYWORDS = (
    "SELECT", "FROM", "WHERE", "GROUP BY", "ORDER BY", "LIMIT", "JOIN", "LEFT JOIN", "USING", "ON", "AS",
    "AND", "OR", "NOT", "IN", "IS NULL", "DISTINCT", "HAVING", "QUALIFY", "WITH", "UNION ALL BY NAME",
    "PIVOT", "SUMMARIZE", "DESCRIBE", "EXPLAIN", "avg(", "count(*)", "max(", "min(", "sum(", "median(",
    "all_versions('",
)  # fmt: skip
_HELP = ("A statement ends with a semicolon; Ctrl-D or .quit ends the session.",
         ".schema lists tables and columns; Tab completes, Ctrl-R searches the history.")  # fmt: skip


def completions(entries: Iterable[ColumnEntry]) -> list[str]:
    """What can be completed: tables, columns, keywords."""
    names: dict[str, None] = {}
    for entry in entries:
        names[_quoted(entry.table)] = None
    for entry in entries:
        names[_quoted(entry.column)] = None
    return [*names, *_KEYWORDS]


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_][\w.]*", name) else quote(name)


def prompt(project: Project, *, allow_files: bool) -> None:
    """Read statements until the end of input; an error ends a statement, not the session.

    Raises UsageError where prompt_toolkit is not installed.
    """
    try:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.history import FileHistory
    except ImportError:
        from gitxexp.common.missing import missing_package

        raise missing_package(
            "prompt_toolkit", "the prompt needs it; git xexp sql 'QUERY' does not", "sql"
        ) from None
    with ProjectDatabase(project) as database:
        entries = database.schema()
    project.state.mkdir(parents=True, exist_ok=True)
    session: Any = PromptSession(
        "sql> ",
        multiline=False,
        completer=_completer(completions(entries)),
        complete_while_typing=False,
        history=FileHistory(str(project.state / "sql_history")),
    )
    console.say(*_HELP)
    conversions = Conversions()
    for script in _scripts(session):
        if script == ".schema;":
            console.page(schema_table(entries))
            continue
        if script.startswith("."):
            console.say(*_HELP)
            continue
        _answer(project, script, conversions, allow_files=allow_files)


def _scripts(session: Any) -> Iterator[str]:
    """What was typed, up to a semicolon."""
    lines: list[str] = []
    while True:
        try:
            line = session.prompt("...> " if lines else "sql> ")
        except KeyboardInterrupt:  # Ctrl-C: what is typed is dropped
            lines = []
            continue
        except EOFError:
            return
        if not lines and line.strip() in (".quit", ".exit", "exit", "quit", "exit;", "quit;"):
            return
        if not lines and line.strip().startswith("."):
            yield f"{line.strip()};"
            continue
        lines += [line] if line.strip() or lines else []
        if lines and lines[-1].rstrip().endswith(";"):
            yield "\n".join(lines)
            lines = []


def _answer(project: Project, script: str, conversions: Conversions, *, allow_files: bool) -> None:
    try:
        with ProjectDatabase(project, allow_files=allow_files, conversions=conversions) as database:
            statements = database.prepare(script)
            console.notes(dict.fromkeys(database.notes))
            for statement in statements:
                cursor = database.print(statement)
                with database.reading():
                    as_table(cursor)
    except KeyboardInterrupt:
        console.say("interrupted")
    except Exception as error:  # whatever it is, what was typed before is worth more
        message, hint = words(error)
        console.say(*f"error: {message}".splitlines())
        console.say(*(f"hint: {line}" for line in hint.splitlines()))


def _completer(known: list[str]) -> Any:
    from prompt_toolkit.completion import WordCompleter

    return WordCompleter(known, ignore_case=True, pattern=re.compile(r'"?[\w.]*'))
