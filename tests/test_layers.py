"""Imports point downward only: the floors are the folders of the package, in this order."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent / "gitxexp"

#: The folders, lowest first; files at the top of the package stand above them all.
FLOORS = ("common", "storage", "tables", "trackers", "repository", "workflows", "cli")


def floor(module: str) -> int:
    """The floor of a module below ``gitxexp``."""
    first = module.partition(".")[0]
    return FLOORS.index(first) if first in FLOORS else len(FLOORS)


def name_of(path: Path) -> str:
    """The module of a file, from the package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts).removesuffix("__init__").strip(".")


@cache
def statements(path: Path) -> list[ast.stmt]:
    """The statements at the top of a file."""
    return ast.parse(path.read_text("utf-8")).body


def statements_in(node: ast.stmt) -> Iterator[ast.stmt]:
    """A statement and all within it. Nothing else imports, and most of a tree is something else."""
    yield node
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        for inner in getattr(node, name, ()):
            yield from statements_in(inner)


@cache
def imports(path: Path) -> frozenset[str]:
    """The modules below ``gitxexp`` that a file imports, anywhere in it, for types too."""
    return frozenset(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in (inner for top in statements(path) for inner in statements_in(top)):
        if isinstance(node, ast.Import):
            yield from (a.name[8:] for a in node.names if a.name.startswith("gitxexp."))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gitxexp"):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                file = ROOT.parent / inner.replace(".", "/")
                is_module = file.with_suffix(".py").exists() or file.is_dir()
                yield (inner if is_module else str(node.module)).removeprefix("gitxexp").strip(".")


def graph() -> dict[str, set[str]]:
    """Module → what it imports, for the whole package."""
    return {name_of(path): set(imports(path)) for path in sorted(ROOT.rglob("*.py"))}


def test_every_folder_is_a_floor() -> None:
    folders = {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()}
    assert folders == set(FLOORS)


def test_imports_point_downward() -> None:
    wrong = [
        f"{own} imports {other}"
        for own, others in graph().items()
        for other in others
        if own and floor(other) > floor(own)
    ]
    # `python -m gitxexp` and the version are known to all
    wrong = [line for line in wrong if not line.endswith(("imports _version", "imports "))]
    assert not wrong, "\n".join(sorted(wrong))


def test_no_circle_of_modules() -> None:
    # A circle is told by CycleError, whose second argument is the way round.
    modules = graph()
    assert len(list(TopologicalSorter(modules).static_order())) >= len(modules)


def test_packages_hold_no_code_of_their_own() -> None:
    """A name has one address: packages re-export nothing."""
    own = {""}
    full = [p for p in ROOT.rglob("__init__.py") if p.read_text("utf-8").strip()]
    assert {name_of(path) for path in full} <= own


#: The one file, or folder, that may import a package.
DOORS = {
    "dvc": "storage/dvc/",
    "dvc_data": "storage/dvc/",
    "dvc_objects": "storage/dvc/",
    "_duckdb": "tables/duckdb/core.py",
    "git": "storage/git_write.py",
    "sqlite_utils": "storage/sqlite_write.py",
}


def test_one_importer_of_each_heavy_package_and_none_at_the_top_of_a_module() -> None:
    heavy = {*DOORS, "duckdb", "pandas", "ruamel"}
    wrong = []
    for path in sorted(ROOT.rglob("*.py")):
        body = statements(path)
        top = {id(n) for n in body}
        checks = [n for n in body if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.dump(n.test)]
        for_types = {id(inner) for check in checks for inner in statements_in(check)}
        for node in (inner for each in body for inner in statements_in(each)):
            names = []
            if isinstance(node, ast.Import):
                names = [a.name for a in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for root in {n.partition(".")[0] for n in names} & heavy:
                where = path.relative_to(ROOT).as_posix()
                if id(node) in top:
                    wrong.append(f"{where} imports {root} at its top")
                door = DOORS.get(root, "")
                if not where.startswith(door) and id(node) not in for_types:
                    wrong.append(f"{where} imports {root}: only {door} may")
    assert not wrong, "\n".join(wrong)
