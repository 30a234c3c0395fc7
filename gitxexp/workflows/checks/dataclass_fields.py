"""Read the fields of a dataclass from its source, without executing it."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError, suggestion

#: Annotations of values that cannot be hashed.
_UNHASHABLE = ("list", "dict", "set", "List", "Dict", "Set", "ndarray", "DataFrame", "Tensor")


@dataclass(frozen=True)
class Fields:
    """Names with their defaults (None unless a literal), the fields whose values cannot be hashed,
    and whether an instance can."""

    values: dict[str, Any]
    unhashable: tuple[str, ...]
    frozen: bool


def fields_of(top: Path, name: str) -> Fields:
    """Return the fields of ``MODULE:CLASS``, with the module searched in ``top`` or its ``src``.

    Raises XexpError if there is no such file or class.
    """
    module, _, wanted = name.partition(":")
    path = _file(top, module)
    try:
        tree = ast.parse(path.read_text("utf-8"))
    except OSError as error:
        raise XexpError(f"cannot read {path}: {error.strerror}") from error
    except (SyntaxError, UnicodeDecodeError) as error:
        raise XexpError(f"cannot read {path}: {error}", f"fix {path}") from error
    classes = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    if wanted not in classes:
        listed = f"classes there: {', '.join(classes) or 'none'}"
        raise XexpError(
            f"no class '{wanted}' in {path}" if wanted else f"'{name}' is not MODULE:CLASS",
            suggestion(wanted, list(classes), listed),
        )
    found = _fields(classes[wanted], classes)
    unhashable = tuple(n for n, (kind, _) in found.items() if kind in _UNHASHABLE)
    return Fields(
        {name: value for name, (_, value) in found.items()}, unhashable, _frozen(classes[wanted])
    )


def _file(top: Path, module: str) -> Path:
    below = module.replace(".", "/")
    for folder in (top, top / "src"):
        for path in (folder / f"{below}.py", folder / below / "__init__.py"):
            if path.is_file():
                return path
    raise XexpError(
        f"no module '{module}' in {top}", "MODULE is a file from the top: train, or src.train"
    )


def _fields(
    node: ast.ClassDef, classes: dict[str, ast.ClassDef], depth: int = 0
) -> dict[str, tuple[str, Any]]:
    """Name → annotation and default, with base classes in the same file first."""
    found: dict[str, tuple[str, Any]] = {}
    for base in node.bases if depth < 20 else ():
        if isinstance(base, ast.Name) and base.id in classes and base.id != node.name:
            found |= _fields(classes[base.id], classes, depth + 1)
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            kind = _kind(line.annotation)
            if kind != "ClassVar":
                found[line.target.id] = kind, _default(line.value)
    return found


def _kind(annotation: ast.expr) -> str:
    """The outermost name of an annotation: ``list`` of ``list[int]``."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return annotation.value.split("[")[0].rpartition(".")[2]
    if isinstance(annotation, ast.Subscript):
        return _kind(annotation.value)
    if isinstance(annotation, ast.Attribute):
        return annotation.attr
    return annotation.id if isinstance(annotation, ast.Name) else ""


def _default(value: ast.expr | None) -> Any:
    if isinstance(value, ast.Call):  # field(default=...)
        given = [word.value for word in value.keywords if word.arg == "default"]
        value = given[0] if given else None
    try:
        return None if value is None else ast.literal_eval(value)
    except ValueError:
        return None


def _frozen(node: ast.ClassDef) -> bool:
    for one in node.decorator_list:
        for word in one.keywords if isinstance(one, ast.Call) else ():
            if word.arg in ("frozen", "unsafe_hash") and isinstance(word.value, ast.Constant):
                return bool(word.value.value)
    return any(getattr(base, "id", "") == "NamedTuple" for base in node.bases)
