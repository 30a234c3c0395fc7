"""Tag message ⇄ payload."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from gitxexp.repository import tag_message
from gitxexp.repository.tag_message import Payload

#: What git and TOML can carry: any text but NUL and surrogates.
text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
scalar = st.booleans() | st.integers() | st.floats(allow_nan=False) | text
tables = st.dictionaries(text, scalar | st.lists(scalar, max_size=3), max_size=5)
plain = st.text("abcxyz_ 019=|", min_size=1, max_size=10).map(str.strip).filter(bool)


@given(
    plain, tables, tables, st.dictionaries(text, text, max_size=4), st.lists(text, max_size=3), text
)
def test_a_payload_survives_the_tag(
    line: str, params: Any, metrics: Any, artifacts: Any, labels: list[str], run: str
) -> None:
    found = Payload(
        headline=line, version="e0.1.0", run=run, config_hash="sha256:ab", labels=tuple(labels),
        params=params, metrics=metrics, artifacts=artifacts,
    )  # fmt: skip
    assert tag_message.decode(tag_message.encode(found)) == found


@given(st.dictionaries(st.sampled_from(["xexp", "params", "metrics", "artifacts"]), tables))
def test_the_quick_reader_agrees_with_tomllib(document: dict[str, Any]) -> None:
    written = tomli_w.dumps(document)
    quick = tag_message.quick_toml(written)
    assert quick is None or quick == tomllib.loads(written)


def test_the_quick_reader_reads_what_is_written() -> None:
    found = Payload("x", version="e0.1.0", params={"lr": 1e-4, "a b": 2, "on": True, "m": "bert"})
    assert tag_message.quick_toml(tag_message.encode(found).partition("\n\n")[2]) is not None


@given(st.text())
def test_nothing_makes_it_raise(message: str) -> None:
    tag_message.decode(message)
    tag_message.decode("x\n\n[xexp]\n" + message)


def test_a_hand_written_tag_is_understood_as_far_as_it_goes() -> None:
    found = tag_message.decode(
        "model=bert | lr=1e-4 | F1=0.9 | data=3a2f1b | the first | that works"
    )
    assert found.handwritten
    assert found.params == {"model": "bert", "lr": 1e-4}
    assert found.metrics == {"f1": 0.9}
    assert (found.data, found.text) == ("3a2f1b", "the first | that works")


def test_a_hand_written_tag_may_name_its_run() -> None:
    found = tag_message.decode("lr=0.1 | acc=0.8 | run=calm-otter-1 | git_commit=3a2f1bc | base")
    assert (found.run, found.params, found.metrics) == ("calm-otter-1", {"lr": 0.1}, {"acc": 0.8})
    assert found.context == {"git_commit": "3a2f1bc"}


@pytest.mark.parametrize("kind", ["PGP SIGNATURE", "SSH SIGNATURE", "SIGNED MESSAGE"])
def test_a_signature_is_no_part_of_it(kind: str) -> None:
    found = Payload("x", version="e0.1.0", params={"a": 1})
    signed = tag_message.encode(found) + f"-----BEGIN {kind}-----\nabc\n-----END {kind}-----\n"
    assert tag_message.decode(signed) == found


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1e-4, "0.0001"), (1.0, "1.0"), (True, "true"), (3, "3"), (1e-9, "1e-09"), (float("nan"), "nan"),
     (0.1 + 0.2, "0.30000000000000004"), ("x", "x"), (1e20, "1e+20")],
)  # fmt: skip
def test_values_are_shown_as_people_write_them(value: Any, shown: str) -> None:
    assert tag_message.show(value) == shown


def test_a_headline_is_one_line() -> None:
    assert tag_message.headline({"m": "a|b\nc"}, " two\nlines ") == "m=a/b c | two lines"
