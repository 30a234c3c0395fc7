r"""The language of ``--filter``: ``f1 > 0.8 and (model = bert or not label = baseline)``.

Grammar, from loose to tight (keywords in any case)::

    filter     = conjunct { "or" conjunct }
    conjunct   = negation { "and" negation }
    negation   = [ "not" ] ( "(" filter ")" | comparison )
    comparison = NAME ( "=" | "==" | "!=" | "<" | "<=" | ">" | ">=" | "~" | "!~" ) VALUE

A NAME or VALUE is a word, or anything in single or double quotes (backslash escapes). What is
missing matches no comparison. Numbers compare as numbers however they are spelled (``1e-4`` is
``0.0001``), other values as text, and a number never orders with a text. NaN is equal to ``nan``
alone, and neither less nor greater than anything.
``~`` asks whether the text contains VALUE: a regular expression if it has one of ``^ $ | ( { + \``
or ``.*``, else a glob if it has one of ``* ? [``, else plain text; case counts only if VALUE has
a capital letter.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, NoReturn

from gitxexp.common.errors import UsageError

#: Compiled on first use: a listing without a filter does not need it.
_TOKEN = r"""\s*(?:(?P<op>==|!=|<=|>=|!~|=|<|>|~)|(?P<paren>[()])
    |(?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<word>[^\s()"'=<>!~]+)|(?P<end>$))"""
_KEYWORDS = ("and", "or", "not")
_DEEPEST = 100
#: How a value that is not a number is spelled, in any case.
NAN = "nan"
#: The greatest float as an integer.
_GREATEST = int(sys.float_info.max)

#: Tests whether a row matches.
Predicate = Callable[[Any], bool]
#: Makes the test of one comparison: ``(name, op, text)`` → predicate. Raises ValueError
#: when the text cannot be compared with that name.
Comparer = Callable[[str, str, str], Predicate]


class Token(NamedTuple):
    """``kind`` is op, paren, quoted, word or end; ``at`` counts characters from the start."""

    kind: str
    text: str
    at: int


class Filter(NamedTuple):
    """A parsed filter: a predicate on rows, and the names that it uses."""

    matches: Predicate
    names: tuple[str, ...]


def parse(text: str, comparer: Comparer) -> Filter:
    """Parse a filter; raises UsageError with a caret at the first mistake."""
    return _Parser(text, comparer).parse()


class _Parser:
    def __init__(self, text: str, comparer: Comparer) -> None:
        self.text = text
        self.comparer = comparer
        self.names: dict[str, None] = {}
        self.depth = 0
        self.tokens = list(self._tokens())
        self.position = 0

    def parse(self) -> Filter:
        if self.tokens[0].kind == "end":
            self.fail("it is empty", self.tokens[0].at)
        matches = self.disjunction()
        if self.next.kind != "end":
            self.fail("expected 'and', 'or' or the end", self.next.at)
        return Filter(matches, tuple(self.names))

    def disjunction(self) -> Predicate:
        parts = [self.conjunction()]
        while self.keyword("or"):
            parts.append(self.conjunction())
        return parts[0] if len(parts) == 1 else lambda row: any(part(row) for part in parts)

    def conjunction(self) -> Predicate:
        parts = [self.negation()]
        while self.keyword("and"):
            parts.append(self.negation())
        return parts[0] if len(parts) == 1 else lambda row: all(part(row) for part in parts)

    def negation(self) -> Predicate:
        turned = False
        while self.keyword("not"):
            turned = not turned
        test = self.group() if self.next.text == "(" else self.comparison()
        return (lambda row: not test(row)) if turned else test

    def group(self) -> Predicate:
        opening = self.take()
        self.depth += 1
        if self.depth > _DEEPEST:
            self.fail("too many parentheses", opening.at)
        inner = self.disjunction()
        if self.next.text != ")":
            self.fail("expected 'and', 'or' or ')'", self.next.at)
        self.take()
        self.depth -= 1
        return inner

    def comparison(self) -> Predicate:
        name = self.operand("a name")
        if self.next.kind != "op":
            self.fail(f"expected a comparison (=, <, ~, ...) after {name.text!r}", self.next.at)
        op = self.take().text
        value = self.operand(f"a value after {op!r}")
        self.names[name.text] = None
        try:
            return self.comparer(name.text, "=" if op == "==" else op, value.text)
        except ValueError as error:
            self.fail(str(error), value.at)

    def operand(self, wanted: str) -> Token:
        token = self.next
        keyword = token.kind == "word" and token.text.lower() in _KEYWORDS
        if token.kind not in ("word", "quoted") or keyword:
            more = f"; quote '{token.text}' to mean the word" if keyword else ""
            self.fail(f"expected {wanted}{more}", token.at)
        self.take()
        if token.kind == "quoted":
            return token._replace(text=re.sub(r"\\(.)", r"\1", token.text[1:-1], flags=re.DOTALL))
        return token

    @property
    def next(self) -> Token:
        return self.tokens[self.position]

    def take(self) -> Token:
        token = self.tokens[self.position]
        self.position += 1
        return token

    def keyword(self, word: str) -> bool:
        matches = self.next.kind == "word" and self.next.text.lower() == word
        self.position += matches
        return matches

    def _tokens(self) -> Iterator[Token]:
        position = 0
        token = re.compile(_TOKEN, re.VERBOSE | re.DOTALL)
        while True:
            match = token.match(self.text, position)
            if match is None:
                at = position + len(self.text[position:]) - len(self.text[position:].lstrip())
                quote = self.text[at] in "\"'"
                self.fail("a quote is not closed" if quote else f"what is {self.text[at]!r}?", at)
            kind = str(match.lastgroup)
            yield Token(kind, match[kind], match.start(kind))
            if kind == "end":
                return
            position = match.end()

    def fail(self, what: str, at: int) -> NoReturn:
        from unicodedata import east_asian_width  # only for an error

        shown = "".join(char if char.isprintable() else " " for char in self.text)
        space = "".join("  " if east_asian_width(char) in "WF" else " " for char in shown[:at])
        raise UsageError(f"the filter cannot be read: {what}", f"  {shown}\n  {space}^")


# -- comparing values --------------------------------------------------------------------------


def compare_values(op: str, text: str) -> Callable[[Any], bool]:
    """The test of one value: ``op`` is one of ``= != < <= > >= ~ !~``.

    Raises ValueError if ``text`` is an invalid pattern.
    """
    if op in ("~", "!~"):
        return _pattern_test(text, wanted=op == "~")
    if op in ("=", "!="):
        return _equality_test(text, wanted=op == "=")
    wanted = number(text)
    if wanted is not None:
        return lambda value: (n := number(value)) is not None and ORDER[op](n, wanted)
    return lambda value: isinstance(value, str) and number(value) is None and ORDER[op](value, text)


ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda one, other: bool(one < other),
    "<=": lambda one, other: bool(one <= other),
    ">": lambda one, other: bool(one > other),
    ">=": lambda one, other: bool(one >= other),
}


def number(value: Any) -> float | int | None:
    """``value`` as a number if it is one or spells one; None for booleans and NaN.

    An integer beyond the greatest float becomes infinity, so that computations do not fail.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return value if value == value else None
    if isinstance(value, int):
        return value if abs(value) <= _GREATEST else math.inf if value > 0 else -math.inf
    if not isinstance(value, str):
        return None
    try:
        amount = float(value)
    except ValueError:
        return None
    if amount != amount or "_" in value:
        return None
    try:
        return int(value) if math.isfinite(amount) else amount
    except ValueError:
        return amount


def finite(value: Any) -> float | None:
    """:func:`number` as a float; None for infinity as well."""
    amount = number(value)
    return None if amount is None or not math.isfinite(amount) else float(amount)


def missing(value: Any) -> bool:
    """Whether there is no value: None, or NaN."""
    return value is None or value != value


def _equality_test(text: str, *, wanted: bool) -> Callable[[Any], bool]:
    amount = number(text)
    is_nan = text.lower() == NAN

    def test(value: Any) -> bool:
        if value is None:
            return False
        if value != value:
            return is_nan is wanted
        if amount is not None and (actual := number(value)) is not None:
            return (actual == amount) is wanted
        return (as_text(value) == text) is wanted

    return test


def _pattern_test(text: str, *, wanted: bool) -> Callable[[Any], bool]:
    search = _pattern(text).search
    return lambda value: value is not None and (search(as_text(value)) is not None) is wanted


def _pattern(text: str) -> re.Pattern[str]:
    flags = re.DOTALL | (0 if any(char.isupper() for char in text) else re.IGNORECASE)
    if any(mark in text for mark in ("^", "$", "|", "(", "{", "+", "\\", ".*")):
        source = text
    elif any(mark in text for mark in "*?["):
        import fnmatch

        source = fnmatch.translate(text)[: -len(r"\Z")]
    else:
        source = re.escape(text)
    try:
        return re.compile(source, flags)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"not a regular expression: {error}") from error


def as_text(value: Any) -> str:
    """A value as a filter spells it: ``true``, ``0.0001``."""
    from gitxexp.repository import tag_message

    return tag_message.show(value)
