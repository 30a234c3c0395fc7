"""``python -m gitxexp.call FILE:FUNCTION NAME=VALUE...``: what a run of a Python function starts.

The function is called with the values, which are spelled as YAML has them, or after ``NAME:text=`` are
texts. Numbers by name that it returns are written to the repository's first metrics file, as JSON.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any


def main(words: Sequence[str]) -> None:
    """Call the function that ``words`` name, and write what it returns."""
    from gitxexp.workflows.runs.functions import TEXT, keyword
    from gitxexp.workflows.runs.parameters import read_value

    place, *given = words
    file, _, name = place.rpartition(":")
    values: dict[str, Any] = {}
    for word in given:
        key, _, text = word.partition("=")
        is_text = key.endswith(TEXT)
        key = keyword(key.removesuffix(TEXT))
        values[key] = text if is_text else None if text == "None" else read_value(text)
    _write(load(Path(file), name)(**values))


def load(file: Path, name: str) -> Callable[..., Any]:
    """The function ``name`` of a Python file, imported as the module that it is, in its packages."""
    path = file.resolve()
    parts, folder = [path.stem], path.parent
    while (folder / "__init__.py").exists():
        parts, folder = [folder.name, *parts], folder.parent
    sys.path.insert(0, str(folder))
    module = importlib.import_module(".".join(parts))
    if Path(module.__file__ or "").resolve() != path:
        sys.exit(f"{'.'.join(parts)} is not {file}, but {module.__file__}: rename one of them")
    return getattr(module, name)  # type: ignore[no-any-return]


def _write(returned: object) -> None:
    if returned is None:
        return
    if not isinstance(returned, Mapping):
        sys.exit(f"it returned {type(returned).__name__}: return its metrics, a mapping of numbers")
    metrics = {str(name): _number(str(name), value) for name, value in returned.items()}
    from gitxexp.repository.repository import Project
    from gitxexp.workflows.experiments.collect import metrics_files

    project = Project.open()
    names = [name for name in metrics_files(project.config) if name.endswith(".json")]
    file = project.top / (names[0] if names else "metrics.json")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{json.dumps(metrics, indent=2)}\n", "utf-8")


def _number(name: str, value: Any) -> float | int:
    """A number of Python, from what any library calls one."""
    if isinstance(value, int | float):
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        sys.exit(f"it returned {name}={value!r}: metrics are numbers")


if __name__ == "__main__":
    main(sys.argv[1:])
