"""Imports point downward only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent / "gitxexp"

#: Floor of every module, by the longest name that fits. Same floor or below may be imported.
FLOORS = {
    # 4: the door
    "entry": 4, "__main__": 4, "cli": 4, "options": 4, "commands": 4, "render": 4,
    "manpages": 4, "roff": 4, "completions": 4, "lazygroup": 4, "progress": 4,
    "generate": 4, "usage": 4, "argv": 4, "asking": 4, "manners": 4, "status": 3, "installing": 3,
    "installcheck": 3,
    # 3: the domain
    "api": 3, "experiments": 3, "tagging": 3, "publishing": 3, "setting_up": 3, "rebuilding": 3,
    "operations": 3, "collect": 3, "worktrees": 3, "artifacts": 3, "models": 3, "explore": 3,
    "resolving": 3, "lostrows": 3, "positional": 3, "remarks": 3, "check": 3, "merge": 3, "demo": 3,
    # 2: the project and its operations
    "project": 2, "wayback": 2, "modelback": 2, "snapshot": 2, "treeback": 2,
    # 1: adapters
    "gitio": 1, "dvcio": 1, "pointers": 1, "pointerfile": 1, "results": 1, "registry": 1,
    "oplog": 1, "ahead": 1, "config": 1, "remotes": 1, "history": 1, "code": 1, "describe": 1,
    "processes": 1, "gittrees": 1,
    # 0: pure
    "version": 0, "payload": 0, "confighash": 0, "errors": 0, "interrupting": 0, "naming": 0,
    "ticking": 0, "wording": 0, "plainyaml": 0, "streams": 0,
    "_version": 0, "": 0,
}  # fmt: skip


def floor(module: str) -> int:
    """The floor of ``gitxexp.MODULE``; an unknown room is an error."""
    return FLOORS[module.partition(".")[0]]


def imports(path: Path) -> Iterator[str]:
    """The gitxexp modules that a file imports when it is run (not for type checking only)."""
    tree = ast.parse(path.read_text("utf-8"))
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith("gitxexp"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gitxexp"):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                file = ROOT.parent / inner.replace(".", "/")
                is_module = file.with_suffix(".py").exists() or file.is_dir()
                yield inner if is_module else str(node.module)


def test_imports_point_downward() -> None:
    wrong = []
    for path in sorted(ROOT.rglob("*.py")):
        own = (
            ".".join(path.relative_to(ROOT).with_suffix("").parts)
            .removesuffix("__init__")
            .strip(".")
        )
        for imported in imports(path):
            other = imported.removeprefix("gitxexp").strip(".")
            if own and floor(other) > floor(own):
                wrong.append(f"{own} (floor {floor(own)}) imports {other} (floor {floor(other)})")
    assert not wrong, "\n".join(wrong)


def test_no_circle_of_modules() -> None:
    graph = {}
    for path in ROOT.rglob("*.py"):
        own = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
        graph[own.removesuffix(".__init__")] = set(imports(path))
    # A circle is told by CycleError, whose second argument is the way round.
    assert len(list(TopologicalSorter(graph).static_order())) >= len(graph)


def test_one_importer_of_dvc_and_none_at_the_top_of_a_module() -> None:
    heavy = {"dvc", "dvc_data", "dvc_objects", "duckdb", "git", "pandas", "sqlite_utils", "ruamel"}
    wrong = []
    for path in sorted(ROOT.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        top = {id(n) for n in tree.body}
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Import):
                names = [a.name for a in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for root in {n.partition(".")[0] for n in names} & heavy:
                where = path.relative_to(ROOT).as_posix()
                if id(node) in top:
                    wrong.append(f"{where} imports {root} at its top")
                if root.startswith("dvc") and not where.startswith("dvcio/"):
                    wrong.append(f"{where} imports {root}: only dvcio may")
    assert not wrong, "\n".join(wrong)
