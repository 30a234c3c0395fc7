"""Questions on a terminal: every answer, Ctrl-C, the end of input, and editors that fail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.cli.test_words import on_terminal
from tests.helpers import Repo
from tests.terminal import Terminal

QUESTION = r"use, edit or quit\? \[u\] "


def answered(repo: Repo, sent: str, **env: str) -> tuple[list[str], int | None]:
    """What ``git xexp tag`` says after ``sent`` to its question, and its exit code."""
    child = Terminal(["tag"], repo.path, env)
    child.expect(QUESTION)
    child.setecho(False)
    child.sendintr() if sent == "^C" else child.sendeof() if sent == "^D" else child.send(sent)
    text, code = child.finish()
    return text.splitlines(), code


def test_every_answer(ready: Repo) -> None:
    assert answered(ready, "^C")[0][-1] == "interrupted; all changes were rolled back"
    assert answered(ready, "^C")[1] == 130
    assert answered(ready, "^D") == (["", "error: nothing was tagged"], 1)
    assert answered(ready, "q\n")[1] == 1
    lines, code = answered(ready, "what\nqu\n")
    assert lines[-2:] == [
        "'what' is not use or edit or quit",
        "use, edit or quit? [u] error: nothing was tagged",
    ]
    assert code == 1 and ready.tags == []
    assert answered(ready, "\n")[1] == 0 and ready.tags == ["e0.1.0"]


def test_editors(ready: Repo) -> None:
    """git's editor is a command of the shell; what it leaves is the description."""
    lines, code = answered(ready, "e\n", GIT_EDITOR="false")
    assert lines[-2:] == [
        "error: there was a problem with the editor 'false'",
        "hint: give the text with -m TEXT",
    ]
    assert code == 1
    text, code = on_terminal(ready, "tag", "-e", GIT_EDITOR="kill -INT $$;")
    assert code == 130 and text.endswith("interrupted; all changes were rolled back\n")
    for name in ("GIT_EDITOR", "VISUAL", "EDITOR"):
        os.environ.pop(name, None)
    text, code = on_terminal(ready, "tag", "-e", TERM="dumb")
    assert (text, code) == ("fatal: Terminal is dumb, but EDITOR unset\n", 128)
    assert on_terminal(ready, "tag", "-e", GIT_EDITOR='f() { echo "# no" > "$1"; }; f')[1] == 1
    assert ready.tags == []
    text, code = on_terminal(ready, "tag", "-e", GIT_EDITOR="sed -i '1s/$/ said/'", XEXP_X="")
    assert code == 0 and "data=none said" in text
    assert not (ready / ".git/TAG_EDITMSG").exists()
    assert on_terminal(ready, "tag", "-e", GIT_EDITOR=":")[1] == 0


def test_an_interrupt_is_one_line_of_json(ready: Repo) -> None:
    """Where nobody looks at a terminal, nothing stands before it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gitxexp", "tag", "--json", "-e"], cwd=ready.path,
        stderr=subprocess.PIPE, env=os.environ | {"GIT_EDITOR": "kill -INT $$;"},
    )  # fmt: skip
    _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGINT
    assert err.startswith(b'{"error": ') and err.count(b"\n") == 1


def test_an_end_of_file_is_no_interrupt(ready: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a pickle that is cut off, for instance; click takes it for Ctrl-C."""
    from gitxexp.cli import project

    def cut_off(*_args: object) -> None:
        raise EOFError("Ran out of input")

    monkeypatch.setattr(project, "open_to_read", cut_off)
    done = ready.xexp("log")
    assert (done.code, done.err.splitlines()[0]) == (
        128,
        "fatal: unexpected EOFError: Ran out of input",
    )


@pytest.mark.parametrize(
    ("words", "imported"), [(["log"], "click"), (["explore"], "click"), ([], "subprocess")]
)
def test_ctrl_c_while_python_is_still_starting(
    ready: Repo, words: list[str], imported: str
) -> None:
    """The process ends by the signal, as git does, and says nothing: nothing has begun."""
    shadow = ready.path.parent / "shadow"
    shadow.mkdir()
    module = shadow / f"{imported}.py"
    module.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    done = ready.xexp_process(*words, env={"PYTHONPATH": str(shadow)})
    assert (done.code, done.out, done.err) == (-signal.SIGINT, "", "")
