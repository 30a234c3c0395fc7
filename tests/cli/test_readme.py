"""The README is true: its commands run and print what it shows."""

from __future__ import annotations

import os
from difflib import unified_diff
from pathlib import Path

from tests.cli.readme import replayed, steady
from tests.helpers import run

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_commands_print_what_the_readme_shows(quick: None, tmp_path: Path) -> None:
    """XEXP_TEST_WRITE=1 writes the real output into the README instead."""
    run("git", "xexp", "demo", "demo", cwd=tmp_path).good()
    shown = README.read_text("utf-8")
    real = replayed(shown, tmp_path)
    if os.environ.get("XEXP_TEST_WRITE"):
        README.write_text(real, "utf-8")
    lines = steady(shown).splitlines(), steady(real).splitlines()
    difference = list(unified_diff(*lines, "shown", "real", lineterm="", n=1))
    assert not difference, "\n".join(difference)


def test_the_first_screen_has_the_two_commands() -> None:
    first = README.read_text("utf-8").split("## ")[0]
    assert "pip install . && git xexp demo" in first
    assert "pip install '.[test]' && pytest -n auto" in first
    assert len(first.splitlines()) < 25
