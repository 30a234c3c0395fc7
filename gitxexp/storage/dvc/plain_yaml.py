"""The plain block YAML that DVC writes, read without a YAML library.

A ``.dvc`` file is five lines and ruamel costs 60 ms to import. This reader knows only block
mappings, block sequences and unambiguous scalars; on anything else it gives up and ruamel (which
DVC installs) reads the whole text. Both give the same value: a test generates documents and
compares. Measured on a quiet core: importing this module takes 0.5 ms, PyYAML 14 ms, ruamel 57 ms;
a whole ``get`` takes 60 ms.

Documents are untrusted, so :func:`check` limits their depth and their size with all aliases
expanded ("billion laughs").
"""

from __future__ import annotations

import re
from typing import Any

from gitxexp.common.errors import XexpError

_KEY = re.compile(r"([A-Za-z_][A-Za-z0-9_./@-]*):(?: +(\S.*))?$")
_QUOTE = re.compile(r"['\"]")
_QUOTED = re.compile(r"'([^']*)'$|\"([^\"\\]*)\"$")
_PLAIN = re.compile(r"[\w./$+-][\w./$+\-@=,:%!?*&<>|;()\[\]{}\"'^~\\ ]*$")
_INT = re.compile(r"(?:0|-?[1-9][0-9]*)$")
_FLOAT = re.compile(r"-?[0-9]+(?:\.[0-9]+(?:[eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)$")
_MD5 = re.compile(r"(?=.*[abcdf])[0-9a-f]{32}(?:\.dir)?$")
#: Words that YAML 1.2 takes for something other than text (ruamel reads 1.2: "no" is text).
_RESERVED = re.compile(r"(?:null|true|false)$", re.IGNORECASE)
_TEXT = re.compile(r"(?:[^\W\d]|/|\.{1,2}/|\.[a-hj-mo-z]|\$\{|\.{1,2}$|[0-9][\w./-]*[g-np-suwyz])")


MOST = 10_000_000  #: characters, with every alias expanded
DEEPEST = 64
_ALIAS = re.compile(r"(?:^|[\s\[{,:-])\*[^\s\[\]{},]", re.MULTILINE)
_INDENT = re.compile(r"^ {64}", re.MULTILINE)
_BRACKET = re.compile(r"""[\[\]{}]|"(?:[^"\\]|\\.)*"|'[^']*'""")
_HOPELESS = 1000  #: brackets: ruamel would take minutes to find out
_ITEMS = re.compile(r"(?:- ){8}|(?:\? ){8}")


class Odd(Exception):
    """Not the plain form: let ruamel read it."""


def load(text: str, name: str = "YAML") -> Any:
    """Return the value of a YAML 1.2 document (None if empty).

    Raises XexpError naming ``name`` if it is invalid, larger than :data:`MOST` or deeper than
    :data:`DEEPEST`.
    """
    check(text, name)
    try:
        return load_plain(text)
    except Odd:
        return _load_any(text, name)


def load_plain(text: str) -> Any:
    """Return the value of a document in the plain form that :func:`check` accepts; raises Odd for
    any other."""
    return _Plain(text).document()


def check(text: str, name: str = "YAML") -> None:
    """Raise XexpError for a document that would take too much memory or time to read.

    Only documents with aliases or deep nesting are parsed to find out.
    """
    if len(text) > MOST:
        raise XexpError(f"{name} has {len(text):,} characters, more than {MOST:,}", "split it")
    depth = _flow_depth(text)
    if depth > _HOPELESS:
        raise XexpError(f"{name} is nested more than {DEEPEST} deep", "make it flatter")
    if depth > DEEPEST or _ALIAS.search(text) or _INDENT.search(text) or _ITEMS.search(text):
        _measure(text, name)


def _flow_depth(text: str) -> int:
    """Return the maximum number of open brackets, ignoring quoted ones as far as possible."""
    if text.count("[") + text.count("{") <= DEEPEST:
        return 0
    depth = most = 0
    for match in _BRACKET.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match.group(), 0)
        most = max(most, depth)
    return most


def _measure(text: str, name: str) -> None:
    """Go through the parser's events, which expand nothing, and add up the expanded size."""
    from ruamel.yaml import YAML  # late, as below
    from ruamel.yaml.events import (
        AliasEvent,
        CollectionEndEvent,
        CollectionStartEvent,
        NodeEvent,
        ScalarEvent,
    )

    sizes: dict[str, int] = {}  # of nodes with an anchor
    opened: list[tuple[str | None, int]] = []
    total = 0
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            if isinstance(event, CollectionEndEvent):
                anchor, before = opened.pop()
                if anchor:
                    sizes[anchor] = total - before
            elif isinstance(event, CollectionStartEvent):
                opened.append((event.anchor, total))
                total += 1
            elif isinstance(event, AliasEvent):
                total += sizes.get(event.anchor, MOST)  # an alias inside its own anchor never ends
            elif isinstance(event, NodeEvent):
                size = len(event.value) + 1 if isinstance(event, ScalarEvent) else 1
                total += size
                if event.anchor:
                    sizes[event.anchor] = size
            if len(opened) > DEEPEST:
                raise XexpError(f"{name} is nested more than {DEEPEST} deep", "make it flatter")
            if total > MOST:
                raise XexpError(
                    f"{name} is larger than {MOST:,} characters with its aliases",
                    "use fewer aliases",
                )
    except XexpError:
        raise
    except Exception as error:
        raise _broken(name, error) from error


def _broken(name: str, error: Exception) -> XexpError:
    """On broken documents ruamel also raises TypeError and others."""
    first = str(error).strip().splitlines()[0] if str(error).strip() else "broken"
    return XexpError(f"{name} is not valid YAML: {first}", f"fix {name}")


def _load_any(text: str, name: str) -> Any:
    from ruamel.yaml import YAML  # late: 60 ms, and most documents never need it

    try:
        return YAML(typ="safe").load(text)
    except Exception as error:
        raise _broken(name, error) from error


class _Plain:
    """One pass over the lines: ``(indent, content, gap)``, gap = comments or blanks before it."""

    def __init__(self, text: str) -> None:
        self.lines: list[tuple[int, str, bool]] = []
        self.at = 0
        gap = False
        for line in text.split("\n"):
            content = line.strip(" ")
            if not content or content.startswith("#"):
                gap = True
                continue
            if content.startswith(("---", "...", "%")):
                raise Odd
            value, mark, _ = content.partition(" #")
            commented = bool(mark) and not _QUOTE.search(content)
            if commented:
                content = value.rstrip(" ")
            self.lines.append((len(line) - len(line.lstrip(" ")), content, gap))
            gap = commented

    def document(self) -> Any:
        """Parse the whole document; raises Odd if any part is not plain."""
        if not self.lines:
            return None
        value = self.block(self.lines[0][0])
        if self.at != len(self.lines):
            raise Odd
        return value

    def block(self, indent: int) -> Any:
        """Parse the mapping or sequence that starts at the current line, which has this indent."""
        content = self.lines[self.at][1]
        return self.sequence(indent) if content.startswith("- ") else self.mapping(indent)

    def mapping(self, indent: int) -> dict[str, Any]:
        """Parse lines ``key: value`` at ``indent``."""
        values: dict[str, Any] = {}
        while self.at < len(self.lines) and self.lines[self.at][0] == indent:
            match = _KEY.match(self.lines[self.at][1])
            if match is None:
                if self.lines[self.at][1].startswith("- ") and values:
                    break
                raise Odd
            key, rest = match.groups()
            if key in values or _RESERVED.match(key):
                raise Odd
            self.at += 1
            values[key] = self.nested(indent) if rest is None else self.scalar(rest, indent)
        if self.at < len(self.lines) and self.lines[self.at][0] > indent:
            raise Odd
        return values

    def nested(self, indent: int) -> Any:
        """Parse what follows a key without a value on its line."""
        if self.at == len(self.lines):
            return None
        inner, content, _ = self.lines[self.at]
        if inner > indent:
            return self.block(inner)
        return self.sequence(indent) if inner == indent and content.startswith("- ") else None

    def sequence(self, indent: int) -> list[Any]:
        """Parse lines ``- item`` at ``indent``; a mapping item is read as if indented."""
        found: list[Any] = []
        while self.at < len(self.lines) and self.lines[self.at][0] == indent:
            _, content, gap = self.lines[self.at]
            if not content.startswith("- "):
                break
            rest = content[2:].lstrip(" ")
            if rest.startswith("- "):
                raise Odd
            if _KEY.match(rest):
                inner = indent + len(content) - len(rest)
                self.lines[self.at] = (inner, rest, gap)
                found.append(self.mapping(inner))
            else:
                self.at += 1
                found.append(self.scalar(rest, indent))
        return found

    def scalar(self, text: str, indent: int) -> Any:
        """Parse a value, with the deeper lines that continue it if it is plain text."""
        quoted = _QUOTED.match(text)
        more = self.at < len(self.lines) and self.lines[self.at][0] > indent
        if quoted or text in ("[]", "{}"):
            if more:
                raise Odd
            return quoted.group(1) or quoted.group(2) or "" if quoted else ([], {})[text == "{}"]
        parts = [text]
        while self.at < len(self.lines) and self.lines[self.at][0] > indent:
            if self.lines[self.at][2]:
                raise Odd
            parts.append(self.lines[self.at][1])
            self.at += 1
        if any(not _PLAIN.match(part) or ": " in part or part.endswith(":") for part in parts):
            raise Odd
        return _typed(text) if len(parts) == 1 else _words(parts)


def _words(parts: list[str]) -> str:
    """Parse folded plain text, whose first line must be unambiguously text."""
    return " ".join(parts) if _TEXT.match(parts[0]) else _give_up()


def _typed(text: str) -> Any:
    """Parse a one-line plain scalar by the YAML 1.2 core schema, if it is unambiguous."""
    if text in ("true", "false"):
        return text == "true"
    if _INT.match(text):
        return int(text)
    if _FLOAT.match(text):
        return float(text)
    if _MD5.match(text) or (_TEXT.match(text) and not _RESERVED.match(text)):
        return text
    return _give_up()


def _give_up() -> Any:
    raise Odd
