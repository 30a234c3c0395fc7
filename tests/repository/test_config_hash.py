"""The config hash: one configuration, one hash, however it was written."""

from __future__ import annotations

import hashlib
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gitxexp.repository.config_hash import canonical, config_hash, flatten, same_value

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
)
params = st.dictionaries(st.text(min_size=1, max_size=6), scalars, max_size=6)


@given(params, st.randoms())
def test_order_does_not_matter(found: dict[str, Any], random: Any) -> None:
    items = list(found.items())
    random.shuffle(items)
    assert config_hash(dict(items)) == config_hash(found)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_one_however_it_is_spelled(number: float) -> None:
    spellings = [number, repr(number), f"{Decimal(repr(number)):e}"]
    if number == int(number) and abs(number) < 1e15:
        spellings.append(int(number))
    assert len({config_hash({"x": s}) for s in spellings}) == 1


@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_different_numbers_differ(one: float, other: float) -> None:
    assume(one != other)
    assert config_hash({"x": one}) != config_hash({"x": other})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1e-4, 0.0001),
        ("1e-4", 0.0001),
        ("1E-04", 1e-4),
        (1, 1.0),
        (100, "1e2"),
        (-0.0, 0),
        ("+5", 5),
    ],
)
def test_the_same(one: Any, other: Any) -> None:
    assert same_value(one, other)
    assert config_hash({"lr": one}) == config_hash({"lr": other})


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, True), (0, False), (None, "null"), ("a", "A"), ("007", 7), ("1 ", 1), ([1, 2], [2, 1]),
     (2**62 + 1, float(2**62)), ("#1E0", 1), (math.nan, "nan")],
)  # fmt: skip
def test_not_the_same(one: Any, other: Any) -> None:
    assert config_hash({"x": one}) != config_hash({"x": other})


def test_nested_and_dotted_are_one() -> None:
    assert config_hash({"train": {"lr": 1}}) == config_hash({"train.lr": 1.0})
    assert flatten({"a": {"b": {"c": 1}}, "d": {}}) == {"a.b.c": 1, "d": {}}


def test_the_canonical_form_is_what_the_document_says() -> None:
    form = canonical({"lr": "1e-4", "model": "bert", "n": [1, True], "k": None})
    assert form == '{"k":null,"lr":"#1E-4","model":"$bert","n":["#1E0",true]}'
    digest = hashlib.sha256(form.encode()).hexdigest()
    assert (
        config_hash({"n": [1, True], "model": "bert", "lr": 1e-4, "k": None}) == f"sha256:{digest}"
    )
