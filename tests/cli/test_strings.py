"""The listing of every text that a user meets, and the words that none of them has."""

from __future__ import annotations

import re

import pytest

from gitxexp.cli.main import main
from gitxexp.cli.shell.strings import LocatedText, literals, strings

#: What nobody says in a manual, and the plain word for it.
AVOIDED = {
    r"\bbeside\b": "next to, with, as a candidate",
    r"\bexclude each other\b": "cannot be used together",
    r"\ball the same\b": "anyway",
    r"\bmend\b": "fix",
    r"(?<!what )\bwent\b": "was removed, failed",
    r"(?<!there )\bis none\b": "there is no",
    r"\bto be had\b": "available",
    r"\bthat it be\b": "to",
}


@pytest.fixture(scope="module")
def listed() -> list[LocatedText]:
    return [*strings(main)]


def test_all_kinds_of_text_are_listed(listed: list[LocatedText]) -> None:
    for text, where in (
        ("Print the next version and exit.", "git xexp tag --suggest"),
        ("git xexp is not set up in this repository", "repository/repository.py:"),  # an error
        ("run: git xexp init", "repository/repository.py:"),  # a hint
        ("setting up", "cli/commands/init.py:"),  # progress
        ("{…} already exists: nothing to do", "cli/commands/candidates.py:"),  # with a value
    ):
        assert any(found.text == text and found.where.startswith(where) for found in listed), text
    assert any(found.where == "tutorial(manual)" for found in listed)


def test_no_text_has_a_word_to_avoid(listed: list[LocatedText]) -> None:
    for pattern, better in AVOIDED.items():
        for found in listed:
            assert not re.search(pattern, found.text), f"{found.where}: {found.text} ({better})"


def test_what_reads_as_words_is_a_text() -> None:
    source = 'def f(n):\n    """No user reads it."""\n    q = "SELECT a FROM b"\n    return f"got {n} rows"\n'
    assert list(literals(source)) == [(4, "got {…} rows")]
