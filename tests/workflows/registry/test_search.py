"""``search``: words, prefixes, phrases, exclusions; an index that follows tags and registry."""

from __future__ import annotations

from typing import Any

import pytest

from gitxexp.repository.registry import Registry
from gitxexp.workflows.registry import search as registry_search
from gitxexp.workflows.runs import record
from tests.experiments import tag, three
from tests.helpers import Clock, Repo


@pytest.fixture
def known(repo: Repo, clock: Clock) -> Repo:
    repo.xexp("init", "--no-dvc").good()
    three(repo, clock)
    return repo


def versions(repo: Repo, *words: str) -> list[str]:
    return [
        one["version"] or one["run"] for one in repo.xexp("search", *words, "--json").good().json()
    ]


def test_words_prefixes_phrases_and_exclusions(known: Repo) -> None:
    assert set(versions(known, "bert")) == {"e0.1.0", "e0.2.0"}
    assert versions(known, "BERT", "lower") == ["e0.2.0"]
    assert versions(known, "mod*", "-bert") == ["e1.0.0"]
    assert versions(known, '"first try"') == ["e0.1.0"]
    assert versions(known, '"try first"') == []
    assert versions(known, "bert -baseline") == ["e0.1.0"]
    assert versions(known, "-baseline", "-gpt") == ["e0.1.0"]
    assert versions(known, "blue", "-sky*") == ["e0.1.0"]
    assert versions(known, "train.lr=0.0001") == ["e0.2.0"]
    assert versions(known, "--label", "baseline,good") == ["e0.2.0"]
    assert versions(known, "experiment e1.0.0", "-n", "1") == ["e1.0.0"]
    for odd in ("NEAR(bert", "headline:", "a OR", "^x", "'", "*", "bert AND"):
        assert known.xexp("search", odd, "zzzz").code == 0
    assert known.xexp("search").code == 129
    assert known.xexp("search", '"', "-").code == 129


def test_matches_are_marked_and_the_best_are_first(known: Repo) -> None:
    found: list[dict[str, Any]] = known.xexp("search", "gpt", "--json").json()
    assert (found[0]["in"], found[0]["match"]) == ("params", "epochs=3 model=[gpt] train.lr=0.1")
    table = known.xexp("search", "lower").good().out
    assert "[lower] rate" in table
    known.xexp("registry", "rebuild").good()
    known.commit("registry")
    known.xexp("label", "e0.1.0", "+gpt").good()
    assert versions(known, "gpt") == ["e0.1.0", "e1.0.0"]  # a label counts more than a parameter


def test_the_index_follows_what_it_is_made_of(known: Repo, clock: Clock) -> None:
    assert versions(known, "fresh") == []
    tag(known, clock, "e2.0.0", {"lr": 1}, text="fresh start")
    assert versions(known, "fresh") == ["e2.0.0"]
    for index in (known / ".git/xexp").glob("search-*"):
        index.write_bytes(b"not a database")
    assert versions(known, "fresh") == ["e2.0.0"]
    known.git("tag", "-d", "e2.0.0")
    assert versions(known, "fresh") == []


def test_runs_and_the_ends_of_their_logs(known: Repo) -> None:
    one = record.RunRecord(
        "20260101-000000-abcdef", "failed", ("python", "train.py", "--epochs", "90"), code=1,
        started="2026-01-01T00:00:00.000Z", params={"lr": 3},
    )  # fmt: skip
    with Registry(known / ".xexp/registry.db").rewrite() as db:
        record.put(db, [one])
    folder = known / f".git/xexp/runs/{one.id}"
    folder.mkdir(parents=True)
    (folder / "log").write_text("x" * 20_000 + "\nCUDA out of memory\n")
    (found,) = known.xexp("search", '"out of memory"', "--json").json()
    assert (found["version"], found["run"], found["in"]) == (None, one.id, "log")
    assert versions(known, "train.py", "90") == [one.id]


@pytest.mark.parametrize(
    ("words", "terms"),
    [
        (["a", "b*"], '"a" AND "b"*'),
        (['"a b"*', "-c"], '("a b"*) NOT ("c")'),
        (['a"b'], '"a""b"'),
        (["- a"], '"a"'),
        (['"unclosed words'], '"unclosed words"'),
    ],
)
def test_words_become_phrases(words: list[str], terms: str) -> None:
    assert registry_search.query(words) == terms


def test_before_there_is_an_experiment(set_up: Repo) -> None:
    done = set_up.xexp("search", "anything")
    assert (done.code, done.out) == (0, "")
