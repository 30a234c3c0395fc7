"""Run the ``console`` and ``pycon`` blocks of a document.

A block's lines that begin with ``$`` are commands, run in one folder that ``cd`` changes; what
follows each is its output as a wide terminal shows it, where nothing is cut, standard error last.
Those of Python begin with ``>>>`` or ``...``, and a block is one session.
"""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

from tests.helpers import run

_BLOCK = re.compile(r"(?<=```console\n).*?(?=```)", re.DOTALL)
_PYTHON = re.compile(r"(?<=```pycon\n).*?(?=```)", re.DOTALL)

#: Python as it runs interactively, its input from a pipe: what it prints after each example, and a mark.
_SESSION = """
import doctest, sys
names = {}
for example in doctest.DocTestParser().get_examples(sys.stdin.read()):
    exec(compile(example.source, "<document>", "single"), names)
    print("\\0", end="")
"""

_TERMINAL = {"GIT_PAGER_IN_USE": "true", "COLUMNS": "220", "TERM": "dumb"}

#: What differs from one machine or day to the next.
_VARYING = (
    (
        re.compile(r"\brun-\d{8}-\d{6}-[0-9a-f]{4}(?![0-9a-f])"),
        "<run>",
    ),  # as the training names it itself
    (re.compile(r"\b\d{8}-\d{6}-[0-9a-f]{6}\b"), "<id>"),
    (re.compile(r"\bin \d+(\.\d+)? s$", re.MULTILINE), "in <while>"),
    (re.compile(r"\b\d+\.\d s\b"), "<while>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?([+-]\d\d:\d\d|Z)?"), "<time>"),
    (re.compile(r"\btagger .*"), "tagger <who>"),
    (re.compile(r"\bby [A-Z][\w .-]*$", re.MULTILINE), "by <who>"),
    (re.compile(r"\b[a-z]+-[a-z]+-\d{4}(?!\d)"), "<run>"),
    (re.compile(r"\b(?=[0-9a-f]*[a-f])(?=[0-9a-f]*[0-9])[0-9a-f]{6,64}\b"), "<hash>"),
    (re.compile(r"\b[0-9a-f]{7,8}\b"), "<hash>"),  # a short one may be all digits
    (re.compile(r"\b\d+(\.\d+)? [kM]?B\b"), "<size>"),
    (re.compile(r"[ \t]+"), " "),
)


def steady(text: str) -> str:
    """``text`` without what varies."""
    for pattern, name in _VARYING:
        text = pattern.sub(name, text)
    return text


def replayed_python(document: str, here: Path) -> str:
    """``document`` with what each example of its Python prints in the folder ``here``."""
    return _PYTHON.sub(lambda block: _session(block[0], here), document)


def _session(block: str, here: Path) -> str:
    """A block of Python with what each example prints."""
    done = run(sys.executable, "-c", _SESSION, cwd=here, stdin=block, env=_TERMINAL)
    assert done.code == 0, f"{block}\n{done.out}\n{done.err}"
    examples = re.findall(r"^>>> .*\n(?:\.\.\. .*\n)*", block, re.MULTILINE)
    outputs = done.out.split("\0")[:-1]
    return "".join(map("".join, zip(examples, outputs, strict=True)))


def replayed(document: str, folder: Path) -> str:
    """``document`` with the real output below every command, run from ``folder`` on."""
    here = folder

    def replay(block: re.Match[str]) -> str:
        nonlocal here
        lines = []
        for line in block[0].splitlines():
            if not line.startswith("$ "):
                continue
            command = line[2:]
            lines.append(line)
            if command.startswith("cd "):
                here = (here / shlex.split(command)[1]).resolve()  # as a shell does
                continue
            done = run("bash", "-c", command, cwd=here, env=_TERMINAL)
            assert done.code == 0, f"{command}: exit {done.code}\n{done.out}\n{done.err}"
            lines += (done.out + done.err).rstrip().splitlines()
        return "\n".join(lines) + "\n"

    return _BLOCK.sub(replay, document)
