"""The README is true: its commands run and print what it shows."""

from __future__ import annotations

import json
import os
import re
import sqlite3
from contextlib import closing
from difflib import unified_diff
from pathlib import Path
from xml.etree import ElementTree

import pytest

from gitxexp.cli.shell import generate
from gitxexp.cli.shell.picture import picture
from tests.cli.conftest import WHO_AND_WHEN, Demo
from tests.cli.readme import replayed, replayed_python, steady
from tests.experiments import tag
from tests.helpers import Clock, Repo

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_commands_print_what_the_readme_shows(
    demo: Demo, quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """XEXP_TEST_WRITE=1 writes the real output into the README instead."""
    for name in WHO_AND_WHEN:  # as the demo was made
        monkeypatch.delenv(name)
    demo.copied(tmp_path / "demo")
    shown = README.read_text("utf-8")
    real = replayed(shown, tmp_path)
    if os.environ.get("XEXP_TEST_WRITE"):
        README.write_text(real, "utf-8")
    _compare(shown, real)


def test_the_python_prints_what_the_readme_shows(repo: Repo, clock: Clock) -> None:
    """In a repository with three experiments of two predictions each."""
    values = {"e0.1.0": (0.1, 0.78), "e0.2.0": (0.05, 0.84), "e0.3.0": (0.01, 0.91)}
    with closing(sqlite3.connect(repo / "results.db")) as db:
        db.execute("CREATE TABLE predictions (track_id, timestamp, input_id, prediction)")
        for at, (version, (lr, f1)) in enumerate(values.items(), 1):
            repo.write("params.yaml", f"model: bert\nlr: {lr}\n")
            rows = [(f"run-{at}", f"2026-03-0{at}", f"in-{n}", "yes") for n in (1, 2)]
            db.executemany("INSERT INTO predictions VALUES (?, ?, ?, ?)", rows)
            db.commit()
            tag(repo, clock, version, {"model": "bert", "lr": lr}, {"f1": f1, "loss": round(1 - f1, 2)},
                run=f"run-{at}", table="predictions", results="results.db", text="smaller steps")  # fmt: skip
    shown = README.read_text("utf-8")
    real = replayed_python(shown, repo.path)
    if os.environ.get("XEXP_TEST_WRITE"):
        README.write_text(real, "utf-8")
    _compare(shown, real)


def _compare(shown: str, real: str) -> None:
    lines = steady(shown).splitlines(), steady(real).splitlines()
    difference = list(unified_diff(*lines, "shown", "real", lineterm="", n=1))
    assert not difference, "\n".join(difference)


def test_the_first_screen_says_how_to_begin() -> None:
    first = README.read_text("utf-8").split("## ")[0]
    assert "pip install . && git xexp demo" in first
    assert "\npip install '.[test]' && pytest -n auto" in first  # a line that CI runs
    assert len(first.splitlines()) < 25


def test_the_picture_is_drawn_from_the_examples() -> None:
    text = README.read_text("utf-8")
    drawn = (README.parent / generate.PICTURE).read_text("utf-8")
    assert drawn == picture(text), "run: python -m gitxexp.cli.shell.generate"
    assert generate.PICTURE in text and ElementTree.fromstring(drawn).tag.endswith("svg")


def test_the_files_that_it_gives_can_be_parsed() -> None:
    blocks = dict(
        re.findall(r"```(json|dockerfile)\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    )
    assert {task["label"] for task in json.loads(blocks["json"])["tasks"]} == {"run", "check"}
    words = [line.split()[0] for line in blocks["dockerfile"].splitlines()]
    assert words == ["FROM", "RUN", "COPY", "RUN", "WORKDIR", "ENTRYPOINT"]
    assert json.loads(blocks["dockerfile"].splitlines()[-1].split(maxsplit=1)[1]) == ["git", "xexp"]
