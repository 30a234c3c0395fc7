"""Write ``completions/``, ``man/`` and ``usage.txt`` from the click tree.

``python -m gitxexp.cli.shell.generate`` does it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

_BEGIN = "# man pages, listed by python -m gitxexp.cli.shell.generate"
_END = "# completion"
ROOT = Path(__file__).resolve().parents[3]


def generate(root: Path = ROOT) -> list[Path]:
    """Write what has changed below ``root``; returns those files. What is no longer made goes."""
    from gitxexp.cli.main import main
    from gitxexp.cli.shell import completion, man_pages, usage

    made = {f"completions/{name}": text for name, text in completion.generate(main).items()}
    pages = man_pages.generate(main)
    made |= {f"man/{name}": text for name, text in pages.items()}
    made[f"gitxexp/cli/shell/{usage.FILE}"] = usage.generate(main)
    made["pyproject.toml"] = shared((root / "pyproject.toml").read_text("utf-8"), pages)
    changed = []
    for name, text in made.items():
        path = root / name
        if not path.is_file() or path.read_text("utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            changed.append(path)
    return changed


def shared(text: str, pages: Iterable[str]) -> str:
    """pyproject's ``text`` with each page in the wheel's shared-data (it lists files by name)."""
    lines = [f'"man/{name}" = "share/man/man{name[-1]}/{name}"' for name in pages]
    inside = "\n".join([_BEGIN, *lines, _END])
    return re.sub(f"{re.escape(_BEGIN)}.*?{re.escape(_END)}", lambda _: inside, text, flags=re.S)


if __name__ == "__main__":
    for file in generate():
        sys.stderr.write(f"wrote {file.relative_to(ROOT)}\n")
