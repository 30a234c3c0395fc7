"""Names and types in SQL text: quoting, affinity, and a column's type inside ``CREATE TABLE``.

Rules: sqlite.org/datatype3.html section 3.1 (affinity), sqlite.org/lang_keywords.html (quoting).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*(?:\n|$)|/\*.*?(?:\*/|$))
      | (?P<name>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|'(?:[^']|'')*'|[^\s"'`\[\](),;]+)
      | (?P<mark>.)""",
    re.VERBOSE | re.DOTALL,
)
_TABLE_CONSTRAINTS = frozenset({"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"})
_CONSTRAINTS = (_TABLE_CONSTRAINTS - {"FOREIGN"}) | frozenset(
    {"NOT", "NULL", "DEFAULT", "COLLATE", "REFERENCES", "GENERATED", "AS"}
)
_PLAIN_TYPE = re.compile(r"[A-Za-z_][\w ]*(\(\s*[+-]?[\d.]+\s*(,\s*[+-]?[\d.]+\s*)?\))?\Z")

Token = tuple[str, str, int, int]


def quote(name: str) -> str:
    """``name`` as an SQL identifier: every name reaches SQL through here."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """``text`` as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def fold(name: str) -> str:
    """``name`` as SQLite compares names: ASCII letters without case, others as they are."""
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in name)


def affinity(declared: str) -> str:
    """The affinity of a declared type: INTEGER, TEXT, BLOB (none), REAL or NUMERIC."""
    up = declared.upper()
    if "INT" in up:
        return "INTEGER"
    if "CHAR" in up or "CLOB" in up or "TEXT" in up:
        return "TEXT"
    if "BLOB" in up or not up:
        return "BLOB"
    if "REAL" in up or "FLOA" in up or "DOUB" in up:
        return "REAL"
    return "NUMERIC"


def type_sql(declared: str) -> str:
    """A declared type as it may be written into new DDL; odd ones are quoted, never interpreted."""
    if not declared or (_PLAIN_TYPE.match(declared) and not _has_keyword(declared)):
        return declared
    return quote(declared)


def _has_keyword(declared: str) -> bool:
    return any(word.upper() in _CONSTRAINTS for word in re.findall(r"\w+", declared))


def drop_type(create: str, column: str) -> str | None:
    """``CREATE TABLE`` text without the declared type of ``column``; None if it is not there.

    Without a type the column has no affinity and keeps every value bit for bit.
    """
    for group in _definitions(create):
        first = group[0]
        if fold(unquote(first[1])) != fold(column):
            continue
        if first[1].upper() in _TABLE_CONSTRAINTS:
            continue
        span = _type_span(group[1:])
        if span is None:
            return create
        return create[: span[0]].rstrip() + " " + create[span[1] :].lstrip()
    return None


def unquote(token: str) -> str:
    """The name inside a possibly quoted token."""
    mark = token[:1]
    if mark in {'"', "`", "'"}:
        return token[1:-1].replace(mark * 2, mark)
    return token[1:-1] if mark == "[" else token


def _definitions(create: str) -> Iterator[list[Token]]:
    """The comma-separated parts in the first parentheses, as tokens without white space."""
    depth, group = 0, list[Token]()
    for match in _TOKEN.finditer(create):
        kind, text = match.lastgroup or "", match.group()
        if kind == "space":
            continue
        depth_before = depth
        depth += (text == "(") - (text == ")")
        at_end = depth_before == 1 and (text == "," or depth == 0)
        if at_end and group:
            yield group
            group = []
        elif depth_before >= 1 and not at_end:
            group.append((kind, text, match.start(), match.end()))
        if depth_before == 1 and depth == 0:
            return


def _type_span(rest: list[Token]) -> tuple[int, int] | None:
    """Where the declared type stands among the tokens after the column's name."""
    end, depth, start = 0, 0, 0
    for kind, text, begin, stop in rest:
        if depth == 0 and kind == "name" and text.upper() in _CONSTRAINTS:
            break
        start = start or begin
        depth += (text == "(") - (text == ")")
        end = stop
    return (start, end) if end else None
