"""The language of --filter, against Python."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitxexp.common.errors import UsageError, XexpError
from gitxexp.workflows.explore import filters, rows
from gitxexp.workflows.explore.rows import ColumnNames, Row

EXAMPLES = int(os.environ.get("XEXP_TEST_EXAMPLES", "30"))

ROW = Row(
    {"model": "bert-base", "train.lr": 0.0001, "opt.eps": 1e-8, "bf16": True, "tag": "A and B",
     "spelled": "1e-4", "steps": 1000},
    {"f1": 0.9, "Loss": 0.4, "nan": math.nan, "inf": math.inf},
    None,
    {"version": None, "date": None, "label": ("good", "baseline"), "run": "r1"},
)  # fmt: skip


def matches(text: str, row: Row = ROW) -> bool:
    return len(rows.select([row], text, ColumnNames([row]))[0]) == 1


@pytest.mark.parametrize(
    "text",
    [
        "f1 = 0.9", "f1 == .90", "f1 > 0.8 and model = bert-base", "f1>0.8", "f1 != 0.8",
        "train.lr = 1e-4", "lr = 0.00010", "lr < 1e-3", "spelled = 0.0001", "spelled <= 1e-4",
        "steps = 1e3", "bf16 = true", "bf16 != false", "model ~ bert", "model ~ b*e",
        "model ~ '^bert'", "model ~ 'B?e' or model ~ b?r", "model !~ gpt", "tag = 'A and B'",
        "tag = \"A and B\"", "'model' = 'bert-base'", "not f1 < 0.8", "not not f1 > 0.8",
        "(f1 > 1 or f1 < 1) and model ~ bert", "f1 > 1 or f1 < 1 and model ~ bert",
        "f1 > 0 AND NOT model = gpt", "label = good", "label = baseline and label != bad",
        "label ~ base", "LOSS < 0.5", "loss < 0.5", "inf > 1e300", "params.model ~ bert",
        "metrics.f1 > 0.8", "not model ~ '['", "run = r1", "model >= alpha", "labels = good",
        "nan = nan", "nan = NaN", "nan != 1", "nan ~ n", "f1 != nan",
    ],
)  # fmt: skip
def test_matches(text: str) -> None:
    assert matches(text)


@pytest.mark.parametrize(
    "text",
    [
        "f1 = 0.8", "nan != nan", "nan = 1", "nan < 1", "nan > 1", "model > 3",
        "f1 > bert", "model = bert", "model ~ BERT", "label = bad", "label != good", "label !~ goo",
        "version = e0.1.0", "version != e0.1.0", "version < e9.9.9", "date > 2020", "date != 2020",
        "date ~ 20", "bf16 > 0", "not f1 > 0.8", "f1 > 1 or (f1 < 1 and model ~ gpt)",
        "data = none", "data != none", "text !~ x", "data != nan", "nan >= nan", "f1 = nan",
    ],
)  # fmt: skip
def test_does_not_match(text: str) -> None:
    assert not matches(text)


@pytest.mark.parametrize(
    ("text", "what", "at"),
    [
        ("", "it is empty", 0),
        ("   ", "it is empty", 3),
        ("f1", "expected a comparison (=, <, ~, ...) after 'f1'", 2),
        ("f1 >", "expected a value after '>'", 4),
        ("f1 > and model = x", "expected a value after '>'; quote 'and' to mean the word", 5),
        ("f1 > 1 model = x", "expected 'and', 'or' or the end", 7),
        ("(f1 > 1", "expected 'and', 'or' or ')'", 7),
        ("f1 > 1)", "expected 'and', 'or' or the end", 6),
        ("> 1", "expected a name", 0),
        ("f1 > 1 or", "expected a name", 9),
        ("model = 'bert", "a quote is not closed", 8),
        ("f1 ! 1", "what is '!'?", 3),
        ("model ~ '(['", "not a regular expression", 8),
        ("version > 3", "'3' is not a version (like e0.3.0)", 10),
        ("date > soon", "'soon' is not a date", 7),
        ("date > 2026-13", "'2026-13' is not a date", 7),
        ("漢字 = 1 und", "expected 'and', 'or' or the end", 7),
    ],
)
def test_a_mistake_gets_a_caret(text: str, what: str, at: int) -> None:
    row = Row({"model": "bert", "漢字": 1}, {"f1": 0.9}, None, {"label": ()})
    with pytest.raises(UsageError) as caught:
        matches(text, row)
    assert caught.value.message.startswith(f"the filter cannot be read: {what}")
    shown, caret = (caught.value.hint or "").split("\n")
    wide = 2 if text.startswith("漢") else 0
    assert (shown, caret) == (f"  {text}", f"{' ' * (2 + at + wide)}^")


def test_deep_nesting_is_an_error_and_no_crash() -> None:
    assert matches("(" * 100 + "f1 > 0" + ")" * 100)
    assert matches("not " * 5000 + "f1 > 0")
    with pytest.raises(UsageError, match="too many parentheses"):
        matches("(" * 5000 + "f1 > 0" + ")" * 5000)


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(XexpError) as caught:
        matches("f2 > 1")
    assert caught.value.message == "no parameter, metric or field is named 'f2'"
    assert caught.value.hint == "did you mean f1?"
    with pytest.raises(XexpError) as caught:
        matches("zzzzzz > 1")
    assert (caught.value.hint or "").startswith("known are: f1, Loss, ")


def test_an_ambiguous_end_of_a_dotted_name_names_both() -> None:
    row = Row({"a.lr": 1, "b.lr": 2}, {}, None, {})
    with pytest.raises(XexpError) as caught:
        matches("lr = 1", row)
    assert caught.value.hint == "it may be a.lr or b.lr"


def test_dates_are_spans_of_local_time() -> None:
    start, end = rows.date_span("2024-02-29")
    assert end - start == 86400
    assert rows.date_span("2024-02")[1] - rows.date_span("2024-02")[0] == 29 * 86400
    assert rows.date_span("2024")[1] == rows.date_span("2025-01-01")[0]
    assert rows.date_span("2024-02-29 12:30")[0] == start + 12 * 3600 + 1800
    row = Row({}, {}, None, {"date": start + 5})
    for text in ("date = 2024-02-29", "date >= 2024-02-29", "date <= 2024-02", "date < 2024-03-01",
                 "date > 2023", "date != 2023", "date = '2024-02-29 00:00:05'", "date ~ 02-29"):  # fmt: skip
        assert matches(text, row), text
    for text in ("date > 2024-02-29", "date < 2024-02-29", "date != 2024", "date = 2023"):
        assert not matches(text, row), text


# -- against a Python evaluator ---------------------------------------------------------------

Expression = tuple[str, Callable[[dict[str, Any]], bool]]
OPS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
    ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
NAMES = ("alpha", "beta.gamma", "delta", "text")
WORDS = st.text("abcxyz", min_size=1, max_size=3).filter(lambda w: w not in ("or", "and", "not"))
NUMBERS = st.integers(-3, 3) | st.sampled_from([0.5, -1.25, 1e-4, 1e20])
SPACE = st.sampled_from([" ", "  ", "\t", "\n"])


def _compare(name: str, op: str, wanted: Any) -> Callable[[dict[str, Any]], bool]:
    def test(row: dict[str, Any]) -> bool:
        value = row.get(name)
        if value is None:
            return False
        same_kind = isinstance(value, str) == isinstance(wanted, str)
        if not same_kind:
            return op == "!="
        return OPS[op](value, wanted)

    return test


@st.composite
def comparisons(draw: st.DrawFn) -> Expression:
    name, op = draw(st.sampled_from(NAMES)), draw(st.sampled_from(sorted(OPS)))
    wanted = draw(NUMBERS | WORDS)
    quote = draw(st.sampled_from(["", "'", '"']))
    gap = draw(st.sampled_from(["", " ", "\t"]))
    return f"{name}{gap}{op}{gap}{quote}{wanted}{quote}", _compare(name, op, wanted)


def _extend(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    def negated(expression: Expression, space: str) -> Expression:
        text, test = expression
        return f"not{space}({text})", lambda row: not test(row)

    def joined(one: Expression, other: Expression, word: str, space: str) -> Expression:
        (text1, test1), (text2, test2) = one, other
        text = f"({text1}){space}{word}{space}({text2})"
        if word.lower() == "and":
            return text, lambda row: test1(row) and test2(row)
        return text, lambda row: test1(row) or test2(row)

    words = st.sampled_from(["and", "or", "AND", "Or"])
    return st.builds(negated, inner, SPACE) | st.builds(joined, inner, inner, words, SPACE)


EXPRESSIONS = st.recursive(comparisons(), _extend, max_leaves=8)
VALUES = st.none() | NUMBERS | WORDS | st.just(math.nan)
ROWS = st.fixed_dictionaries(dict.fromkeys(NAMES, VALUES))


@settings(max_examples=EXAMPLES, deadline=None)
@given(EXPRESSIONS, ROWS)
def test_agrees_with_python(expression: Expression, values: dict[str, Any]) -> None:
    text, test = expression
    row = Row({k: v for k, v in values.items() if v is not None}, {}, None, {})
    known = ColumnNames([Row(dict.fromkeys(NAMES, 0), {}, None, {})])
    # alpha.. are parameters, but `text` is a field unless it is said to be a parameter
    renamed = text.replace("text", "params.text")
    assert (len(rows.select([row], renamed, known)[0]) == 1) is test(values)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(comparisons(), min_size=1, max_size=5), st.data(), ROWS)
def test_and_binds_tighter_than_or(
    parts: list[Expression], data: st.DataObject, values: dict[str, Any]
) -> None:
    words = [data.draw(st.sampled_from(["and", "or"])) for _ in parts[1:]]
    nots = [data.draw(st.booleans()) for _ in parts]
    text, python = "", ""
    for at, (part, negate) in enumerate(zip(parts, nots, strict=True)):
        join = f" {words[at - 1]} " if at else ""
        text += join + ("not " if negate else "") + part[0].replace("text", "params.text")
        python += join + ("not " if negate else "") + str(part[1](values))
    row = Row({k: v for k, v in values.items() if v is not None}, {}, None, {})
    known = ColumnNames([Row(dict.fromkeys(NAMES, 0), {}, None, {})])
    assert (len(rows.select([row], text, known)[0]) == 1) is eval(python)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.text(max_size=40) | st.text("f1 ()'\"<>=!~andornot\\*[", max_size=40))
def test_any_text_is_a_filter_or_a_clear_error(text: str) -> None:
    try:
        matches(text)
    except XexpError as error:
        assert "\n" not in error.message


@pytest.mark.parametrize("text", ["1", "1.0", "1e0", " 1 ", "+1", "01"])
def test_numbers_are_numbers_however_spelled(text: str) -> None:
    assert filters.number(text) == 1


@pytest.mark.parametrize("text", ["", "nan", "1_0", "0x1", "true", "e0.1.0", "1,0", True, None])
def test_what_is_no_number(text: Any) -> None:
    assert filters.number(text) is None
