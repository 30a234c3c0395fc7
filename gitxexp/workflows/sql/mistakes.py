"""Explain DuckDB's errors in a user's statement: what, where, and similar names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import UsageError, require_utf8, suggestion
from gitxexp.storage.paths import leaves
from gitxexp.tables.duckdb import session
from gitxexp.tables.duckdb.core import core
from gitxexp.workflows.sql.statement import is_path

#: Returns names on demand, which may take a while.
Names = Callable[[], Sequence[str]]


@dataclass(frozen=True)
class KnownNames:
    """The names that a statement may mean."""

    tables: Names
    columns: Names = list
    views: Names = list
    shadowed: Names = list  #: FILE.TABLE of each whose plain name the statement uses for another


_ALLOW = "--allow-files reads any file of this machine"
#: SQL keywords, to suggest for misspelt ones.
KEYWORDS = (
    "SELECT", "FROM", "WHERE", "GROUP", "ORDER", "BY", "HAVING", "LIMIT", "OFFSET", "JOIN", "LEFT",
    "INNER", "USING", "UNION", "DISTINCT", "BETWEEN", "DESCRIBE", "SUMMARIZE", "EXPLAIN", "PIVOT",
    "UNPIVOT", "QUALIFY", "VALUES", "WITH", "CASE", "WHEN", "THEN", "ELSE", "END", "AND", "OR", "NOT",
    "IN", "IS", "NULL", "LIKE", "AS", "ON", "EXCLUDE", "REPLACE", "OVER", "PARTITION", "ASC", "DESC",
)  # fmt: skip

#: Words that stand for a number in most languages, and name a column in SQL.
_NOT_FINITE = ("nan", "inf", "infinity")


@contextmanager
def explained(known: KnownNames, script: str = "") -> Iterator[None]:
    """Convert DuckDB's errors in ``script`` to UsageError with the position of the mistake.
    ``known`` supplies similar names if a name is unknown and DuckDB suggests none. Raises
    KeyboardInterrupt if the query was interrupted."""
    require_utf8(script)
    duckdb = core()
    try:
        yield
    except duckdb.PermissionException as error:
        raise _refused(str(error)) from None
    except duckdb.InterruptException as error:
        raise KeyboardInterrupt from error
    except _mistakes(duckdb) as error:
        raise mistake(str(error), known, script) from None
    except duckdb.Error as error:
        raise session.explain(error) from None
    except RuntimeError as error:  # DuckDB's message for a KeyboardInterrupt that it caught
        if "Query interrupted" not in str(error):
            raise
        raise KeyboardInterrupt from error


def _refused(said: str) -> UsageError:
    """Return what is wrong with a file that a statement names: it is outside, or does not exist, or
    is named to a function, which reads it past our tables."""
    name, hint = re.search(r'Cannot access file "([^"]+)"', said), _ALLOW
    if not name or leaves(name[1]):
        what = "the query reads a file outside the project: refused"
    elif "\nLINE " in said:
        what = "functions that read files are refused"
        hint = f"a file of the project is a table: FROM 'PATH'\n{hint}"
    else:
        what = f"the project has no file '{name[1]}'"
    return UsageError(what, hint)


def _mistakes(duckdb: Any) -> tuple[type[Exception], ...]:
    """Return what is wrong with a statement, or with the values that it computes."""
    return (
        duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException,
        duckdb.ConversionException, duckdb.OutOfRangeException,
    )  # fmt: skip


def mistake(said: str, known: KnownNames, script: str = "") -> UsageError:
    """Return DuckDB's message, the position it points at, and similar names."""
    lines = said.strip().split("\n")
    first = re.sub(r"^[\w ]+ Error: ", "", lines[0]).rstrip("!")
    at = next((n for n, line in enumerate(lines) if line.startswith("LINE ")), None)
    place = lines[at : at + 2] if at is not None else _place(first, script)
    shown = "".join(f"\n  {line}" for line in place)
    if "able with name" in first:
        name = first.split("able with name ", 1)[1].split(" does not", 1)[0].strip('"')
        if is_path(name):
            return UsageError(
                f"the project has no file '{name}'{shown}",
                _ALLOW,
            )
        tables = known.tables()
        if name in tables:  # a function took its name for a string
            return UsageError(
                f"table '{name}' is not read: no FROM or JOIN names it{shown}",
                f"its columns: DESCRIBE {name}",
            )
        if name.lower() in [view.lower() for view in known.views()]:
            return UsageError(
                f"'{name}' is a view, and only tables are read{shown}",
                "query the tables that it names: a view comes with its file and may read others",
            )
        hint = suggestion(name, tables, f"tables: {', '.join(tables)}; see --schema")
        return UsageError(f"there is no table '{name}'{shown}", hint)
    function = re.match(r"\w+ Function with name \"?([^\s\"]+)\"? does not exist", first)
    if function:
        first = f"there is no function '{function[1]}'"
    elif not first[1:2].isupper():  # a keyword
        first = f"{first[:1].lower()}{first[1:]}"
    hint = _hint(said, first, place, known.columns)
    if "there is no column" in _plain(first) and (others := known.shadowed()):
        hint = "\n".join(filter(None, [f"the results have a table {others[0]}, too", hint]))
    return UsageError(f"{_plain(first)}{shown}", hint)


def _plain(first: str) -> str:
    """Remove DuckDB's internal names."""
    for form, words in {
        r'referenced column "(.*)" not found in FROM clause': r"there is no column '\1'",
        r'referenced table "(.*)" not found': r"no table '\1' is named after FROM",
        r'(?:values list|table) "(.*)" does not have a column named "(.*)"': r"\1 has no column '\2'",
    }.items():
        if found := re.match(form, first):
            return found.expand(words) + first[found.end() :]
    return first


def _place(first: str, script: str) -> list[str]:
    """Return the position of the name that DuckDB quotes, if it occurs only once in the statement."""
    name = re.search(r'"([^"]+)"', first)
    found = list(re.finditer(rf"\b{re.escape(name[1])}\b", script)) if name else []
    if len(found) != 1:
        return []
    start = script.rfind("\n", 0, found[0].start()) + 1
    head = f"LINE {script.count(chr(10), 0, start) + 1}: "
    line = script[start:].partition("\n")[0]
    before = " " * (len(head) + found[0].start() - start)
    return [f"{head}{line}", f"{before}{'^' * len(name[1] if name else '')}"]


def _hint(said: str, first: str, place: Sequence[str], columns: Names) -> str | None:
    """Return names similar to the wrong one, else all names."""
    missing = re.search(
        r'(column|table)(?: named)? "([^"]*)".*?\nCandidate \w+:[ :]*([^\n]*)', said, re.S | re.I
    )
    if missing:
        known = re.findall(r'"([^"]*)"', missing[3])
        if missing[1].lower() == "column":  # DuckDB knows only those that were read
            known = list(dict.fromkeys([*columns(), *known]))
        if missing[2].lower() in _NOT_FINITE:
            return f"{missing[2]} goes in single quotes: '{missing[2]}'; or isnan(...), isinf(...)"
        if place and f'"{missing[2]}"' in place[0]:
            close = suggestion(missing[2], known)
            return "\n".join(filter(None, [f"text goes in single quotes: '{missing[2]}'", close]))
        return suggestion(missing[2], known, f"{missing[1].lower()}s: {', '.join(known)}")
    unknown = re.search(r'does not have a column named "([^"]*)"', first)
    if unknown:
        known = list(columns())
        return suggestion(unknown[1], known, f"columns: {', '.join(known)}")
    meant = re.search(r'Did you mean "([^"]*)"', said)
    if meant:
        name = re.search(r"there is no function '(.*)'", first)
        close = suggestion(name[1], ["all_versions"]) if name else None
        return close or f"did you mean {meant[1]}?"
    if "must appear in the GROUP BY" in first:
        return said.split("\n")[1]
    if first.startswith("syntax error") and len(place) > 1:
        return _unquoted(place[0], place[1]) or _misspelt(place[0], place[1])
    return None


def _unquoted(line: str, marks: str) -> str | None:
    """Return the name at the position as it is to be quoted, if it is of a table at a version."""
    at = marks.find("^")
    named = (match for match in re.finditer(r"[\w./-]+@[\w./~^@{}-]+", line) if "'" not in match[0])
    match = next((match for match in named if match.start() <= at < match.end()), None)
    return f'a table at a version goes in double quotes: "{match[0]}"' if match else None


def _misspelt(line: str, marks: str) -> str | None:
    """Return a word at or shortly before the position that resembles a keyword; the typo may be
    well to the left of where parsing fails."""
    from difflib import get_close_matches  # only for an error

    words = re.findall(r"[A-Za-z_]+", line[: len(marks.rstrip())].partition(": ")[2])
    for word in reversed(words[-4:]):
        close = get_close_matches(word.upper(), KEYWORDS, 1, 0.75)
        if close and close != [word.upper()]:
            return f"did you mean {close[0]}?"
    return None
