"""What a statement needs: the tables it names, and the parts of them that it can use.

DuckDB's own parser gives the tree (``json_serialize_sql``); a statement without one (PIVOT) is read
word by word, and then needs all columns.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import UsageError
from gitxexp.common.files import DATABASES

if TYPE_CHECKING:
    from gitxexp.tables.duckdb.session import Session

#: Read-only statements (duckdb.StatementType).
_READS = ("SELECT", "EXPLAIN", "MULTI")  # MULTI is what PIVOT becomes
#: What to do instead of a statement that is refused.
_INSTEAD = {
    **dict.fromkeys(
        ("COPY", "EXPORT", "CREATE", "INSERT"),
        "a result goes to a file with --parquet FILE, or --csv > FILE",
    ),
    "ATTACH": 'a database of the project is a schema: FROM "FILE".TABLE',
}
_OTHERS = "it runs FROM, SELECT, WITH, PIVOT and EXPLAIN"
_EXPLAIN = re.compile(r"(\s|--[^\n]*\n|/\*.*?\*/)*EXPLAIN(\s+ANALYZE)?\b", re.I | re.S)
_WORD = re.compile(r'"((?:[^"]|"")+)"|\'((?:[^\']|\'\')*)\'|([\w.]+)')
_ALL_VERSIONS = "all_versions"


#: How DuckDB reads a file that is a table by itself.
READERS = {
    ".parquet": "read_parquet({}, hive_partitioning = false)",
    ".csv": "read_csv({}, hive_partitioning = false)",
    ".tsv": "read_csv({}, hive_partitioning = false)",
    ".json": "read_json({}, hive_partitioning = false)",
    ".jsonl": "read_json({}, hive_partitioning = false)",
    ".ndjson": "read_json({}, hive_partitioning = false)",
}


def is_path(name: str) -> bool:
    return "/" in name or name.lower().endswith((*READERS, *DATABASES))


@dataclass(frozen=True)
class TableName:
    """A table as a statement names it; ``schema`` is the part before the dot, or ""."""

    name: str
    schema: str = ""


@dataclass(frozen=True)
class Statement:
    """One statement. ``columns`` are the only names (in lower case) that it can need from any
    table, None: all; ``limit`` is the number of first rows that suffice, None: all."""

    text: str
    tables: tuple[TableName, ...]
    every_version: tuple[TableName, ...]  #: the arguments of all_versions()
    columns: frozenset[str] | None = None
    limit: int | None = None
    guessed: bool = False  #: the tables are words, some of which may not be tables
    lists: bool = False  #: it lists tables


def parse(session: Session, script: str) -> list[Statement]:
    """The statements of ``script``. Raises UsageError for one that would write."""
    found = session.connection.extract_statements(script)
    statements = []
    for each in found:
        kind = each.type.name
        if kind not in _READS:
            word = each.query.split(None, 1)[0].upper() if each.query.split() else kind
            raise UsageError(f"{word} is refused: sql only reads", _INSTEAD.get(word, _OTHERS))
        statements.append(_statement(session, each.query))
    return statements


def _statement(session: Session, text: str) -> Statement:
    explained = _EXPLAIN.match(text)
    inner = text[explained.end() :] if explained else text
    (dumped,) = session.connection.execute("SELECT json_serialize_sql($1)", [inner]).fetchone()
    tree = json.loads(dumped)
    if tree["error"]:
        return _by_words(text, inner)
    nodes = list(_nodes(tree["statements"]))
    tables = [
        TableName(node["table_name"], node["schema_name"])
        for node in nodes
        if node.get("type") == "BASE_TABLE"
    ]
    shows = [node for node in nodes if node.get("type") == "SHOW_REF"]
    listing = [node for node in shows if node.get("show_type") in ("SHOW_SPECIAL", "SHOW_FROM")]
    shown = [node for node in shows if node.get("table_name") and node not in listing]
    tables += [_parsed(str(node["table_name"])) for node in shown]
    return Statement(
        text,
        tuple(dict.fromkeys(tables)),
        tuple(dict.fromkeys(_every_version(nodes))),
        None if shown else _columns(nodes),
        _limit(tree["statements"]),
        lists=bool(listing) or any(t.schema.lower() == "information_schema" for t in tables),
    )


def _parsed(name: str) -> TableName:
    """Return a name as in DESCRIBE: quoted."""
    words = [(quoted or plain).replace('""', '"') for quoted, _, plain in _WORD.findall(name)]
    return TableName(words[-1] if words else "", words[-2] if len(words) > 1 else "")


def _by_words(text: str, inner: str) -> Statement:
    tables, every = [], []
    for found in _WORD.finditer(inner):
        quoted, string, plain = found.groups()
        if string is not None:
            before = inner[: found.start()].rstrip(" (\n\t").lower()
            every += [_dotted(string)] if before.endswith(_ALL_VERSIONS) else []
        elif plain:
            tables.append(_dotted(plain))
        else:
            tables.append(TableName(quoted.replace('""', '"')))
    return Statement(text, tuple(dict.fromkeys(tables)), tuple(dict.fromkeys(every)), guessed=True)


def _dotted(name: str) -> TableName:
    schema, dot, table = name.rpartition(".")
    return TableName(table, schema) if dot else TableName(name)


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of the tree."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


def _every_version(nodes: Sequence[dict[str, Any]]) -> Iterator[TableName]:
    for node in nodes:
        if str(node.get("function_name", "")).lower() != _ALL_VERSIONS:
            continue
        arguments = node.get("arguments") or node.get("children") or []
        literal = _literal(arguments[0]) if arguments else None
        if not isinstance(literal, str):
            raise UsageError(
                "all_versions() takes the name of a table in quotes",
                "such as all_versions('predictions')",
            )
        yield TableName(literal)


def _literal(argument: dict[str, Any]) -> Any:
    """The text of a constant; DuckDB 2.0 and 1.5 spell one differently."""
    constant = argument.get("expression", argument)
    if "literal" in constant:
        return constant["literal"].get("text")
    value = constant.get("value")
    return value.get("value") if isinstance(value, dict) else None


def _columns(nodes: Sequence[dict[str, Any]]) -> frozenset[str] | None:
    """Return all words of the tree, which include every column name; None if they may not."""
    words: set[str] = set()
    for node in nodes:
        kind = node.get("type")
        if node.get("class") == "STAR" or kind in ("STAR", "SHOW_REF", "PIVOT"):
            return None
        if node.get("ref_type") in ("NATURAL", "POSITIONAL") or node.get("column_name_alias"):
            return None
        words |= _words(node)
    own = {str(node.get(key)).lower() for node in nodes if node.get("type") == "BASE_TABLE"
           for key in ("table_name", "alias")}  # fmt: skip
    own |= {
        str(node.get("alias")).lower() for node in nodes if node.get("type") == "TABLE_FUNCTION"
    }
    whole = {tuple(node["column_names"])[-1].lower() for node in nodes
             if node.get("class") == "COLUMN_REF" and node.get("column_names")}  # fmt: skip
    return None if own & whole else frozenset(words)


def _words(node: dict[str, Any]) -> set[str]:
    words = set()
    for value in node.values():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, str):
                words.add(item.lower())
    return words


#: Nodes that only pass on values of one row.
_PLAIN = {"COLUMN_REF", "STAR", "CONSTANT"}


def _limit(statements: Sequence[dict[str, Any]]) -> int | None:
    """The rows that ``SELECT a, b FROM t LIMIT n OFFSET m`` can reach."""
    node = statements[0]["node"] if len(statements) == 1 else {}
    table, picked = node.get("from_table") or {}, node.get("select_list") or []
    if node.get("type") != "SELECT_NODE" or table.get("type") != "BASE_TABLE":
        return None
    if any(column.get("class") not in _PLAIN for column in picked):
        return None
    conditions = ("where_clause", "having", "sample", "qualify", "group_expressions", "group_sets")
    if any(node.get(each) for each in conditions) or table.get("sample"):
        return None
    modifiers = node.get("modifiers") or []
    if len(modifiers) != 1 or modifiers[0].get("type") != "LIMIT_MODIFIER":
        return None
    if modifiers[0].get("limit_type", "ROW_COUNT") != "ROW_COUNT":
        return None
    numbers = [_literal(part) if part else "0" for part in
               (modifiers[0].get("limit"), modifiers[0].get("offset"))]  # fmt: skip
    if not all(str(number).isdigit() for number in numbers) or modifiers[0].get("limit") is None:
        return None
    return sum(map(int, map(str, numbers)))
