"""``-h``: what is shown is what click would say, for every command."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gitxexp import entry
from gitxexp.cli.main import main
from gitxexp.cli.shell import completion_spec, usage

COMMANDS = [path.split() for path, _ in completion_spec.commands(main.main)]


def said(words: list[str], run: object = entry.main) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert run([*words, "-h"]) == 0  # type: ignore[operator]
    return out.getvalue()


def test_the_committed_usage_is_what_the_generator_makes() -> None:
    committed = Path(usage.__file__).with_name(usage.FILE).read_text("utf-8")
    assert committed == usage.generate(main.main), "run: python -m gitxexp.cli.shell.generate"


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_it_is_clicks_own(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "get_terminal_size", lambda *_: os.terminal_size((80, 24)))
    assert said(words) == said(words, main.run)


def test_nothing_is_imported_to_show_it() -> None:
    script = (
        "import sys; from gitxexp.entry import main; main(['tag', '-h']); "
        "print([name for name in ('click', 'subprocess', 'gitxexp.cli.commands') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("Usage: git xexp tag ") and done.stdout.endswith("\n[]\n")


def test_an_unknown_command_is_still_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main(["tga", "-h"]) == 129
    assert "Did you mean tag" in capsys.readouterr().err


def test_a_closed_pipe_is_quiet() -> None:
    command = f"{sys.executable} -m gitxexp tag -h; echo $? >&2"
    shell = subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert shell.stdout and shell.stderr
    shell.stdout.close()
    assert shell.stderr.read() == b"141\n"
    shell.stderr.close()
    shell.wait()
