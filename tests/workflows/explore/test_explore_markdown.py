"""--where, --md, and show without a version."""

from __future__ import annotations

import math

import pytest

from tests import experiments
from tests.helpers import Clock, Repo


@pytest.mark.parametrize(
    ("condition", "versions"),
    [
        ("f1 > 0.85", ["e0.2.0"]),
        ("\"train.lr\" = 0.1 AND model IN ('gpt', 'bert')", ["e1.0.0", "e0.1.0"]),
        ("list_contains(label, 'good')", ["e0.2.0"]),
        ("NOT list_contains(label, 'good') AND f1 IS NULL", ["e1.0.0"]),
        ("year(date) >= 2020 -- all", ["e1.0.0", "e0.2.0", "e0.1.0"]),
    ],
)
def test_where(repo: Repo, clock: Clock, condition: str, versions: list[str]) -> None:
    experiments.three(repo, clock)
    done = repo.xexp("list", "--where", condition, "--columns", "version", "--csv").good()
    assert done.out.splitlines()[1:] == versions


def test_mistakes_of_where(repo: Repo, clock: Clock) -> None:
    """They are pointed at; what is more than a condition, or reads files, is refused."""
    experiments.three(repo, clock)
    done = repo.xexp("list", "--where", "f2 > 1")
    assert (done.code, done.err.splitlines()) == (129, [
        "fatal: there is no column 'f2'",
        "  f2 > 1",
        "  ^^",
        "hint: did you mean f1?",
    ])  # fmt: skip
    for condition, place, marks, said in (
        ("f1 >", "f1 >", "    ^", "is not complete"),
        ("f1 > 0.5) OR (1=1", "f1 > 0.5) OR (1=1", "        ^", 'syntax error at or near ")"'),
        ("f1 > 0.5\n  AND mdel = 1", "  AND mdel = 1", "      ^^^^", "did you mean model?"),
        (
            'model = "bert"',
            'model = "bert"',
            "        ^^^^^^",
            "hint: text goes in single quotes: 'bert'",
        ),
        ("opt.lr > 1", "opt.lr > 1", "^^^^^^", 'in double quotes: "opt.lr"'),
        ("f1 > 1 OR order = 3", "f1 > 1 OR order = 3", "          ^^^^^", 'quotes: "order"'),
    ):
        if condition.startswith("opt"):
            experiments.tag(
                repo, clock, "e2.0.0", {"opt.lr": 0.5, "K": 1, "k": 2}, {"f1": 0.5, "order": 1}
            )
        done = repo.xexp("list", "--where", condition)
        assert done.code == 129 and done.err.splitlines()[1:3] == [f"  {place}", f"  {marks}"], (
            done.err
        )
        assert said in done.err
    wide = repo.xexp("sql", 'SELECT K, "params.k" FROM params_wide LIMIT 1', "--csv").good()
    assert wide.out.splitlines()[1] == "1,2"  # DuckDB does not tell K from k
    assert repo.xexp("list", "--where", "true); DROP TABLE list; SELECT (1").code == 129
    assert "the condition is empty" in repo.xexp("list", "--where", " ").err
    tuple_ = repo.xexp("list", "--where", "f1, f1")
    assert tuple_.code == 129 and "^" not in tuple_.err
    outside = repo.xexp(
        "list", "--where", "version IN (SELECT column0 FROM read_csv('/etc/passwd'))"
    )
    assert "refused" in outside.err
    assert repo.xexp("list", "--md", "--csv").code == 129


def test_markdown(repo: Repo, clock: Clock) -> None:
    """Tables for a pull request: rounded, the best in bold, names that are no markup."""
    experiments.three(repo, clock)
    experiments.tag(
        repo, clock, "e1.1.0", {"model": "<b>|*x*"}, {"f1": 0.8684999999999999}, parent="e1.0.0"
    )
    listed = repo.xexp("list", "--md", "--columns", "version,model,f1").good().out.splitlines()
    assert listed == [
        "| version | model | f1 |",
        "| --- | --- | ---: |",
        r"| e1.1.0 | \<b\>\|\*x\* | 0.8685 |",
        "| e1.0.0 | gpt |  |",
        "| e0.2.0 | bert | **0.9** |",
        "| e0.1.0 | bert | 0.8 |",
    ]
    compared = repo.xexp("explore", "diff", "e0.1.0", "e0.2.0", "--md")
    assert compared.good().out.splitlines()[:9] == [
        "### e0.1.0 → e0.2.0",
        "",
        "| parameter | e0.1.0 | e0.2.0 |",
        "| --- | --- | --- |",
        "| train.lr | 0.1 | 0.0001 |",
        "",
        "| metric | e0.1.0 | e0.2.0 | change |",
        "| --- | --- | --- | --- |",
        "| f1 | 0.8 | 0.9 | +0.1 +12.5% better |",
    ]


def test_nan_is_found_and_told_of(repo: Repo, clock: Clock) -> None:
    """DuckDB takes NaN for greater than any number: whoever asks for f1 > 0.8 is told of it."""
    experiments.three(repo, clock)
    experiments.tag(repo, clock, "e1.1.0", {}, {"f1": math.nan})
    filtered = repo.xexp("list", "--filter", "f1 = nan", "--porcelain", "--columns", "version")
    assert filtered.good().out == "e1.1.0\n"
    great = repo.xexp("list", "--where", "f1 > 0.8", "--porcelain", "--columns", "version").good()
    assert great.out == "e1.1.0\ne0.2.0\n"
    assert great.err == (
        "note: 1 row with NaN as f1, to SQL greater than any number:"
        ' AND NOT isnan("f1") leaves it out\n'
    )
    known = repo.xexp("list", "--where", "f1 > 0.8 AND NOT isnan(f1)", "--porcelain")
    assert (known.out[:6], known.err) == ("e0.2.0", "")
    bare = repo.xexp("list", "--where", "f1 = nan")
    assert bare.code == 129 and "hint: nan goes in single quotes: 'nan'" in bare.err


def test_markdown_of_one_and_of_its_columns(tagged: Repo) -> None:
    """Every table has a header of as many cells as its rows; names are no markup."""
    shown = tagged.xexp("show", "--md").good().out.splitlines()
    assert shown[0] == "### e0.1.0" and "| lr | 1.0 |" in shown and "| f1 | 0.45 |" in shown
    assert any(line.startswith(r"| track\_id | key | run-lr-1.0 |") for line in
               tagged.xexp("explore", "columns", "--md").good().out.splitlines())  # fmt: skip
    widths = [line.replace(r"\|", "").count("|") for line in shown if line.startswith("|")]
    heads = [at for at, line in enumerate(shown) if line.startswith("| ---")]
    assert len(heads) >= 5 and all(shown[at - 2] == "" for at in heads)
    assert min(widths) >= 3
    for verb in ("show", "explore columns"):
        assert tagged.xexp(*verb.split(), "--md", "--json").code == 129


def test_show_the_last(repo: Repo, clock: Clock) -> None:
    repo.write("a", "b")
    repo.commit()
    assert repo.xexp("show").code == 128
    assert (
        repo.xexp("list", "--where", "f1 > 0.8").good().err.startswith("there are no experiments")
    )
    experiments.three(repo, clock)
    assert repo.xexp("show").good().out.startswith("e1.0.0")
