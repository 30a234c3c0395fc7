"""git xexp explore list."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.experiments import tag
from tests.helpers import Clock, Repo


@pytest.fixture
def tagged(with_three: Repo) -> Repo:
    return with_three


def versions(repo: Repo, *options: str) -> list[str]:
    out = repo.xexp("explore", "list", "--columns", "version", *options).good().out
    return out.splitlines()[1:]


def test_small_numbers_that_differ_look_different(repo: Repo, clock: Clock) -> None:
    rates = {
        0.001: "0.001",
        0.00104: "0.00104",
        0.012345678: "0.01235",
        0.123456: "0.1235",
        0.0: "0",
    }
    for number, rate in enumerate(rates):
        tag(repo, clock, f"e0.{number}.0", {"lr": rate}, {})
    rows = repo.xexp("explore", "list", "--columns", "lr").good().out.splitlines()[1:]
    assert rows == list(reversed(rates.values()))


def test_the_whole_table_in_a_pipe(tagged: Repo) -> None:
    expected = (
        "version\tdate\tmodel\ttrain.lr\tf1\tloss\tdata\ttext\n"
        "e1.0.0\t2023-11-14T22:16:20+00:00\tgpt\t0.1\t\t0.7\tbbbbbb\tother model\n"
        "e0.2.0\t2023-11-14T22:15:20+00:00\tbert\t0.0001\t0.9\t0.4\taaaaaa\tlower rate\n"
        "e0.1.0\t2023-11-14T22:14:20+00:00\tbert\t0.1\t0.8\t0.5\taaaaaa\tfirst try\n"
    )
    assert tagged.xexp("explore", "list").good().out == expected
    assert tagged.xexp("explore").good().out == expected, "list is what explore does by itself"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--sort", "f1"], ["e0.2.0", "e0.1.0", "e1.0.0"]),
        (["--sort", "f1", "--reverse"], ["e0.1.0", "e0.2.0", "e1.0.0"]),
        (["--sort", "loss"], ["e0.2.0", "e0.1.0", "e1.0.0"]),
        (["--sort", "loss", "--reverse"], ["e1.0.0", "e0.1.0", "e0.2.0"]),
        (["--sort", "lr"], ["e0.2.0", "e1.0.0", "e0.1.0"]),
        (["--sort", "model"], ["e0.2.0", "e0.1.0", "e1.0.0"]),
        (["--sort", "version"], ["e1.0.0", "e0.2.0", "e0.1.0"]),
        (["--sort", "date", "--reverse"], ["e0.1.0", "e0.2.0", "e1.0.0"]),
        (["--sort", "label"], ["e0.2.0", "e1.0.0", "e0.1.0"]),
        (["--reverse"], ["e0.1.0", "e0.2.0", "e1.0.0"]),
        (["-n", "2"], ["e1.0.0", "e0.2.0"]),
        (["--sort", "f1", "--limit", "1"], ["e0.2.0"]),
        (["--label", "good"], ["e0.2.0"]),
        (["-l", "good", "-l", "bad"], []),
        (["--filter", "f1 > 0.8 and model = bert"], ["e0.2.0"]),
        (["--filter", "not f1 > 0.8"], ["e1.0.0", "e0.1.0"]),
        (["--filter", "version >= e0.2.0"], ["e1.0.0", "e0.2.0"]),
        (["--filter", "date < '2023-11-14 22:15:30'"], ["e0.2.0", "e0.1.0"]),
        (["--filter", "tagger ~ ada and text ~ try"], ["e0.1.0"]),
    ],
)
def test_order_and_choice(tagged: Repo, options: list[str], expected: list[str]) -> None:
    assert versions(tagged, *options) == expected


def test_the_configured_direction_wins(tagged: Repo) -> None:
    tagged.git("config", "xexp.metrics.maximize", "loss")
    assert versions(tagged, "--sort", "loss") == ["e1.0.0", "e0.1.0", "e0.2.0"]


def test_columns(tagged: Repo) -> None:
    out = tagged.xexp("explore", "list", "--columns", "version, lr,commit", "-n1").good().out
    assert out == f"version\ttrain.lr\tcommit\ne1.0.0\t0.1\t{tagged.head}\n"
    out = tagged.xexp("explore", "list", "--columns", "+epochs,+label,+run").good().out
    assert out.splitlines()[0] == (
        "version\tdate\tmodel\ttrain.lr\tepochs\tf1\tloss\tlabel\trun\tdata\ttext"
    )
    assert "\tbaseline, good\tblue-sky-2\t" in out
    head = tagged.xexp("explore", "list", "--filter", "epochs = 3").good().out.splitlines()[0]
    assert "epochs" in head.split("\t"), "what is asked for is shown"


def test_json_holds_everything(tagged: Repo) -> None:
    found = tagged.xexp("explore", "list", "--json", "--sort", "f1").good().json()
    assert [row["version"] for row in found] == ["e0.2.0", "e0.1.0", "e1.0.0"]
    best = found[0]
    assert best["params"] == {"epochs": 3, "model": "bert", "train.lr": 0.0001}
    assert best["metrics"] == {"f1": 0.9, "loss": 0.4}
    assert best["labels"] == ["baseline", "good"]
    assert best["date"] == "2023-11-14T22:15:20+00:00"
    assert best["commit"] == tagged.git("rev-parse", "e0.2.0^{commit}")
    assert best["tagger"] == "Ada Lovelace"
    chosen = tagged.xexp("explore", "list", "--json", "--columns", "version,f1", "-n1").good()
    assert chosen.json() == [{"version": "e1.0.0", "f1": None}]


def test_csv_can_be_read_back(repo: Repo, clock: Clock) -> None:
    tag(repo, clock, "e0.1.0", {"note": 'say "hi", twice'}, {"f1": 1 / 3})
    tag(repo, clock, "e0.2.0", {"note": "plain"}, {"f1": 0.5})
    out = repo.xexp("explore", "list", "--csv", "--columns", "version,note,f1").good().out
    assert list(csv.reader(io.StringIO(out))) == [
        ["version", "note", "f1"],
        ["e0.2.0", "plain", "0.5"],
        ["e0.1.0", 'say "hi", twice', repr(1 / 3)],
    ]


def test_porcelain_never_changes_its_columns(tagged: Repo) -> None:
    out = tagged.xexp("explore", "list", "--porcelain", "-n1").good().out
    fields = out.removesuffix("\n").split("\t")
    assert fields[:3] == ["e1.0.0", str(Clock.START + 180), tagged.head]
    assert fields[3].startswith("sha256:")
    assert fields[4:] == ["bbbbbb", "", "e1.0.0 | other model"]
    nul = tagged.xexp("explore", "list", "-z", "--columns", "version,text").good().out
    assert nul == "e1.0.0\tother model\0e0.2.0\tlower rate\0e0.1.0\tfirst try\0"


def test_only_one_form(tagged: Repo) -> None:
    failed = tagged.xexp("explore", "list", "--json", "--csv")
    assert failed.code == 129
    assert json.loads(failed.err)["error"]["message"] == "--json and --csv cannot be used together"


def test_a_mistake_in_the_filter(tagged: Repo) -> None:
    failed = tagged.xexp("explore", "list", "--filter", "f1 > and model = bert")
    assert failed.code == 129
    assert failed.err == (
        "fatal: the filter cannot be read: expected a value after '>'; quote 'and' to mean the word\n"
        "hint:   f1 > and model = bert\n"
        "hint:        ^\n"
    )
    assert failed.out == ""


@pytest.mark.parametrize("options", [["--sort", "f2"], ["--columns", "f2"], ["--filter", "f2 > 1"]])
def test_an_unknown_name(tagged: Repo, options: list[str]) -> None:
    failed = tagged.xexp("explore", "list", *options)
    assert (failed.code, failed.out) == (128, "")
    assert failed.err == (
        "fatal: no parameter, metric or field is named 'f2'\nhint: did you mean f1?\n"
    )


def test_nothing_to_list(repo: Repo) -> None:
    empty = repo.xexp("explore", "list").good()
    assert (empty.out, empty.err) == (
        "", "there are no experiments yet; make one: git xexp tag\n")  # fmt: skip
    assert repo.xexp("explore", "list", "--json").good().json() == []
    assert repo.xexp("explore", "list", "--sort", "f1", "--filter", "f1 > 1").good().out == ""
    repo.git("tag", "-a", "-m", "x=1", "e0.1.0")
    assert repo.xexp("explore", "list", "-l", "no").good().err == "none of 1 experiments match\n"


def test_outside_a_repository(tmp_path: Path) -> None:
    from tests.helpers import xexp_inside

    failed = xexp_inside("explore", "list", cwd=tmp_path)
    assert failed.code == 128
    assert failed.err.startswith("fatal: not a git repository")


def test_runs_tagged_or_not(trained: Repo, clock: Clock) -> None:
    trained.write(".xexp/config.toml", '[results]\ndatabases = ["results/*.db"]\n')
    tag(trained, clock, "e0.1.0", {"lr": 0.1}, run="run-lr-0.1", labels=("good",))
    out = trained.xexp("explore", "list", "--runs", "--sort", "f1", "--json").good().json()
    assert [(row["run"], row["version"]) for row in out] == [
        ("run-lr-0.1", "e0.1.0"), ("run-lr-0.01", None), ("run-lr-1.0", None)]  # fmt: skip
    assert [row["metrics"]["f1"] for row in out] == [0.9, 0.855, 0.45]
    assert out[0]["rows"] == 4
    assert out[0]["results"] == "results/experiments.db"
    table = trained.xexp("explore", "list", "--runs", "--filter", "lr < 1").good().out
    assert table.splitlines()[0] == "run\tversion\tdate\tlr\tf1\taccuracy\ttext"
    assert [line.split("\t")[0] for line in table.splitlines()[1:]] == ["run-lr-0.1", "run-lr-0.01"]
    assert trained.xexp("explore", "list", "--runs", "-l", "good").good().out.count("\n") == 2


def test_runs_without_a_database(repo: Repo) -> None:
    assert repo.xexp("explore", "list", "--runs").good().err == (
        "there are no runs: no database has a table with a column of times or runs; name what the "
        "tracker writes in .xexp/config.toml, [results] databases and table\n"
    )


# -- on a terminal -----------------------------------------------------------------------------


def on_terminal(repo: Repo, *args: str, columns: int = 80, **env: str) -> str:
    """What ``git-xexp ARGS`` shows on a terminal of that width."""
    main, other = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "gitxexp", *args], cwd=repo.path, stdout=other, stdin=other,
        env=os.environ | {"COLUMNS": str(columns), "LINES": "50", "TERM": "xterm"} | env,
    )  # fmt: skip
    os.close(other)
    seen = b""
    try:
        while chunk := os.read(main, 65536):
            seen += chunk
    except OSError:
        pass  # Linux reports the closed terminal as an error
    os.close(main)
    assert process.wait() == 0
    return seen.decode().replace("\r\n", "\n")


def test_colour_is_what_git_says(tagged: Repo) -> None:
    """And asking git for it prints nothing of its own."""
    plain = on_terminal(tagged, "explore", "list", NO_COLOR="1")
    assert plain.startswith("version ") and "\x1b" not in plain
    coloured = on_terminal(tagged, "explore", "list")
    assert coloured.startswith("\x1b[1mversion")
    tagged.git("config", "color.xexp", "false")
    assert on_terminal(tagged, "explore", "list") == plain


def test_the_best_of_every_metric_is_marked(tagged: Repo) -> None:
    out = on_terminal(tagged, "explore", columns=120, NO_COLOR="1")
    assert out == (
        "version  date              model      lr   f1   loss   data    text\n"
        "e1.0.0   2023-11-14 22:16  gpt       0.1         0.7   bbbbbb  other model\n"
        "e0.2.0   2023-11-14 22:15  bert   0.0001  0.9*   0.4*  aaaaaa  lower rate\n"
        "e0.1.0   2023-11-14 22:14  bert      0.1  0.8    0.5   aaaaaa  first try\n"
    )
    coloured = on_terminal(tagged, "explore", columns=120)
    assert coloured.count("\x1b[32m") == 2
    assert re.sub(r"\x1b\[\d*m| +(?=\n|\x1b)", "", coloured).count("*") == 2


@pytest.mark.parametrize("columns", [60, 80, 100, 200])
def test_it_fits_the_terminal(repo: Repo, clock: Clock, columns: int) -> None:
    for number in range(3):
        params = {f"parameter_{n}": f"value-{number * 7 + n}" * 2 for n in range(8)}
        tag(repo, clock, f"e0.{number}.0", params, {"f1": number / 3}, text="long " * 30 + "漢字")
    out = on_terminal(repo, "explore", columns=columns, NO_COLOR="1")
    from gitxexp.cli.render.console import width

    lines = out.splitlines()
    assert len(lines) == 4
    assert max(map(width, lines)) <= columns
    assert all(name in lines[0] for name in ("version", "f1", "text"))


def test_the_date_makes_room_for_parameters(repo: Repo, clock: Clock) -> None:
    for number in range(2):
        params = {"model": f"mlp-{number}", "lr": 0.1 + number, "epochs": 20 + number}
        tag(repo, clock, f"e0.{number}.0", params, {"f1": 0.9, "accuracy": 0.8}, text="long " * 9)
    heads = {
        columns: on_terminal(repo, "explore", columns=columns, NO_COLOR="1").split("\n")[0].split()
        for columns in (120, 66, 44)
    }
    own = ["model", "lr", "epochs", "f1", "accuracy", "text"]
    assert heads[120][:2] == ["version", "date"] and heads[120][2:] != own
    assert heads[66] == ["version", *own]
    assert heads[44] == ["version", "model", "f1", "accuracy", "text"]


def test_a_long_list_goes_through_gits_pager(repo: Repo, clock: Clock) -> None:
    for number in range(4):
        repo.git("tag", "-a", "-m", f"lr={number}", f"e0.{number}.0")
    pager = {"GIT_PAGER": "sed 's/^/paged: /'", "LINES": "4", "NO_COLOR": "1"}
    assert on_terminal(repo, "explore", **pager).count("paged: e0.") == 4
    assert "paged" not in on_terminal(repo, "explore", "-n", "1", **pager)


def test_help_and_unknown_verbs(repo: Repo) -> None:
    assert "Usage: git xexp explore" in repo.xexp("explore", "-h").good().out
    assert "Usage: git xexp explore list" in repo.xexp("explore", "list", "-h").good().out
    failed = repo.xexp("explore", "shwo")
    assert (failed.code, failed.err.splitlines()[0]) == (
        129, "fatal: 'shwo' is not a git-xexp explore command. Did you mean show?")  # fmt: skip
    failed = repo.xexp("explroe")
    assert failed.err.startswith("fatal: 'explroe' is not a git-xexp command. Did you mean explore")
