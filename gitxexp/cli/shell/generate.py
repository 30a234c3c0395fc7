"""Write ``completions/`` and ``man/`` from the click tree, and the picture of the README.

``python -m gitxexp.cli.shell.generate`` does it; with ``--strings`` it prints every text that a user may
meet instead, so that all can be read at once.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PICTURE = "gitxexp/cli/shell/demo_files/terminal.svg"


def generate(root: Path = ROOT) -> list[Path]:
    """Write what has changed below ``root``, and delete the pages that are no longer made; returns
    those files."""
    from gitxexp.cli.main import main
    from gitxexp.cli.shell import completion, man_pages
    from gitxexp.cli.shell.picture import picture

    made = {root / "completions" / name: text for name, text in completion.generate(main).items()}
    made |= {root / "man" / name: text for name, text in man_pages.generate(main).items()}
    readme = root / "README.md"
    if readme.is_file():
        made[root / PICTURE] = picture(readme.read_text("utf-8"))
    changed = [path for path in (root / "man").rglob("*.[157]") if path not in made]
    for path in changed:
        path.unlink()
    for path, text in made.items():
        if not path.is_file() or path.read_text("utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            changed.append(path)
    return changed


def print_strings() -> None:
    """Every text that a user may meet, one a line with where it is."""
    from gitxexp.cli.main import main
    from gitxexp.cli.shell.strings import strings

    for found in strings(main):
        sys.stdout.write(f"{found.where}\t{found.text}\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["--strings"]:
        print_strings()
        sys.exit()
    for file in generate():
        sys.stderr.write(f"{'wrote' if file.exists() else 'deleted'} {file.relative_to(ROOT)}\n")
