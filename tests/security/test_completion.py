"""TAB with names that a stranger chose: in none of the three shells does any of them run.

Neither as the names are looked up and listed, nor when Enter is pressed after one that TAB put on the
line.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gitxexp.repository.tag_message import Payload, encode
from tests.cli.shells import Shell
from tests.conftest import seal
from tests.helpers import Clock, Repo

#: What a name may hold that no ref can, as :func:`evil` builds it.
_ALL = "$(touch${{IFS}}PWNED{0}1)`touch${{IFS}}PWNED{0}2`'\";touch${{IFS}}PWNED{0}3;%s%n\\"


def evil(start: str, kind: str) -> str:
    """A name that runs in a shell which does not take it for a name: by ``$(…)``, backticks, a
    quote that ends, a ``;`` or a line break."""
    return f"{start}{_ALL.format(kind)}\n$(touch${{IFS}}PWNED{kind}4)"


def ref(start: str, kind: str) -> str:
    """The same, as far as git allows it in the name of a ref."""
    return f"{start}$(touch${{IFS}}PWNED{kind}5)`touch${{IFS}}PWNED{kind}6`'\";touch${{IFS}}PWNED{kind}7;%s"


@pytest.fixture(scope="module")
def hostile(sealed: Path, tmp_path_factory: pytest.TempPathFactory) -> Repo:
    """A repository in which whatever TAB offers is hostile."""
    Clock()
    made = Repo(tmp_path_factory.mktemp("hostile") / "repo")
    made.path.mkdir()
    made.git("init", "-q", "-b", "main")
    made.write(".xexp/config.toml", '[results]\ndatabases = ["x.db"]\n')
    made.write(f"models/{evil('zfile', 'file').replace('/', '')}", "text")
    made.write(f"{evil('zdata', 'data').replace('/', '')}.db", "")
    with closing(sqlite3.connect(made / "x.db")) as db, db:
        column, table = (
            f'"{evil(start, start).replace(chr(34), chr(34) * 2)}"' for start in ("zcol", "ztab")
        )
        db.execute(f"CREATE TABLE events (track_id TEXT, timestamp TEXT, f1 REAL, {column} REAL)")
        db.execute(f"CREATE TABLE {table} (a)")
        db.execute("INSERT INTO events VALUES (?, '2026-01-01', 0.5, 1)", (evil("zrun", "run"),))
    made.commit("all of it")
    made.git("branch", ref("zbranch", "branch"))
    payload = Payload(
        headline="model=mlp | f1=0.9",
        version="e0.1.0",
        run=evil("zrtag", "rtag"),
        labels=(evil("zlabel", "label"),),
        params={evil("zparam", "param"): 1, "lr": 0.1},
        metrics={evil("zmetric", "metric"): 1.0, "f1": 0.9},
        artifacts={evil("zart", "art"): "md5:" + "0" * 32},
    )
    for name in ("e0.1.0", f"exp-{ref('ztag', 'tag')}-v1"):
        made.git("tag", "-a", "--cleanup=verbatim", "-F", "-", name, stdin=encode(payload))
    made.git("tag", "-a", "--cleanup=verbatim", "-F", "-", "e0.2.0", stdin=LITERALS)
    return made


#: TOML's strings in single quotes, in which nothing is escaped.
LITERALS = """by hand

[xexp]
schema = 1
version = "e0.2.0"
run = 'yrun$(touch${IFS}PWNEDlrun)'
labels = ['ylabel`touch${IFS}PWNEDllabel`', "yother"]
[params]
'yparam$(touch${IFS}PWNEDlparam)' = 1
[metrics]
'ymetric";touch${IFS}PWNEDlmetric' = 0.5
"""


@pytest.fixture(scope="module", params=["bash", "zsh", "fish"])
def shell(
    request: pytest.FixtureRequest, hostile: Repo, sealed: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shell]:  # fmt: skip
    if shutil.which(request.param) is None:
        pytest.skip(f"no {request.param}")
    seal(sealed / f"hostile-home-{request.param}")
    scratch = tmp_path_factory.mktemp(f"hostile-{request.param}")
    with Shell(request.param, hostile.path, scratch) as started:
        yield started


LINES = (
    "worktree new a --branch z", "worktree new a --at z", "merge z", "get e0.1.0 z",
    "get e0.1.0 models/z", "get z", "explore show z", "explore show exp-z", "tag --run z",
    "tag -P z", "tag -M z", "tag --best z", "tag -l z", "explore list --sort z",
    "explore list --columns z", "explore list -l z", "promote --run z", "promote exp-z", "push exp-z",
    "merge z --table z", "merge z --key z", "merge x.db -o z", "diff z",
)  # fmt: skip
ENTERED = ("explore show z", "explore show exp-z", "tag -l zl", "explore list --sort zm", "tag --run zru",
           "get e0.1.0 models/z", "worktree new a --branch z")  # fmt: skip


def ran(shell: Shell, hostile: Repo) -> list[str]:
    """What the names left behind where they ran."""
    found = [
        path
        for top in (hostile.path.parent, shell.scratch, Path.home())
        for path in top.rglob("PWNED*")
    ]
    return [str(path) for path in found if ".git" not in path.parts]


def test_names_are_offered_and_none_runs(shell: Shell, hostile: Repo) -> None:
    offered = set()
    for number, line in enumerate(LINES):
        for start in ("", "'\""[number % 2]):
            head, _, last = line.rpartition(" ")
            typed = f"git xexp {head} {start}{last}"
            done, shown = shell.tab(typed, 2)
            assert ran(shell, hostile) == [], typed
            if "PWNED" in done.removeprefix(typed) + shown:
                offered.add(line)
    assert len(offered) > 12, offered


@pytest.mark.parametrize(
    "line", ["tag --run y", "tag -l yl", "tag -P y", "tag -M y", "tag --best y"]
)
def test_strings_in_single_quotes_are_read_too(shell: Shell, hostile: Repo, line: str) -> None:
    assert "PWNEDl" in shell.completed(f"git xexp {line}")
    assert ran(shell, hostile) == []


def test_nothing_runs_when_the_completed_line_does(shell: Shell, hostile: Repo) -> None:
    """git-xexp is a trap here that is told the words: each is one word, as it was offered."""
    entered = 0
    for line in ENTERED:
        for start in ("", "'", '"'):
            head, _, last = line.rpartition(" ")
            done = shell.completed(f"git-xexp {head} {start}{last}")
            if "PWNED" in done:
                entered += 1
                shell.run(done.rstrip("\n"))
            assert ran(shell, hostile) == [], done
    assert entered > 5
