"""``python -m gitxexp.generate``: write ``completions/`` and ``man/`` anew from the click tree."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def generate(root: Path = ROOT) -> list[Path]:
    """Write what has changed below ``root``; returns those files. What is no longer made goes."""
    from gitxexp import completions
    from gitxexp.cli import main

    made = {f"completions/{name}": text for name, text in completions.generate(main).items()}
    changed = []
    for name, text in made.items():
        path = root / name
        if not path.is_file() or path.read_text("utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            changed.append(path)
    return changed


if __name__ == "__main__":
    for file in generate():
        sys.stderr.write(f"wrote {file.relative_to(ROOT)}\n")
