"""``-h``: the short usage of every command, soon and without what the command itself needs."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from gitxexp import entry
from gitxexp.cli.main import SHORTS, main
from gitxexp.cli.shell import completion_spec

COMMANDS = dict(completion_spec.commands(main))
#: What only a command that does something may import.
HEAVY = ("gitxexp.workflows", "gitxexp.storage", "gitxexp.repository.repository", "sqlite3",
         "subprocess", "json", "dvc", "duckdb", "git", "tqdm")  # fmt: skip


def test_every_command_is_here() -> None:
    assert len(COMMANDS) > 35


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path or "git xexp")
def test_it_shows_the_usage(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main([*path.split(), "-h"]) == 0
    shown, said = capsys.readouterr()
    assert shown.startswith(f"Usage: {f'git xexp {path}'.rstrip()} ") and said == ""
    text = " ".join(shown.split())
    for option in completion_spec.options(COMMANDS[path]):
        assert option.hidden or " ".join((option.help or "").split()) in text, option
    assert all(len(line) <= 100 for line in shown.splitlines())
    assert entry.main(["-h", *path.split()]) == 0


def test_it_imports_nothing_that_only_the_command_needs() -> None:
    script = f"""
import sys
from gitxexp.entry import main
for words in sys.argv[1:]:
    main([*words.split(), "-h"])
print(sorted(set(sys.modules) & set({HEAVY})), file=sys.stderr)
"""
    quick = [path for path in COMMANDS if path]
    done = subprocess.run(
        [sys.executable, "-c", script, *quick], capture_output=True, text=True, check=True
    )
    assert done.stdout.count("Usage: ") == len(quick)
    assert done.stderr == "[]\n"


@pytest.mark.parametrize("group", ["explore", "registry"])
def test_short_forms_are_named(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main([group, "-h"]) == 0
    last = capsys.readouterr().out.rpartition("Short for these: git xexp ")[2]
    known = {name for name, words in SHORTS.items() if words.startswith(f"{group} ")}
    assert set(re.findall(r"(\w+)(?: \(\w+\))?[,.]", last)) == known


def test_an_unknown_command_is_still_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main(["tga", "-h"]) == 129
    assert "Did you mean tag" in capsys.readouterr().err


def test_choices_are_those_of_the_domain() -> None:
    """They are written down where the options are, so that -h needs not import the domain."""
    from gitxexp.cli.commands import get, merge, prune
    from gitxexp.storage.sources import Strategy
    from gitxexp.tables.engine import Engine
    from gitxexp.workflows.models.prune import GroupBy

    assert tuple(Strategy) == get.STRATEGIES
    assert tuple(Engine) == merge.ENGINES
    assert tuple(GroupBy) == prune.PER


def test_a_closed_pipe_is_quiet() -> None:
    command = f"{sys.executable} -m gitxexp tag -h; echo $? >&2"
    shell = subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert shell.stdout and shell.stderr
    shell.stdout.close()
    assert shell.stderr.read() == b"141\n"
    shell.stderr.close()
    shell.wait()


def test_windows_is_told_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from gitxexp.entry import main

    monkeypatch.setattr("sys.platform", "win32")
    assert main(["--version"]) == 128
    assert (
        "does not run on Windows itself\nhint: use it in the Windows Sub" in capsys.readouterr().err
    )
