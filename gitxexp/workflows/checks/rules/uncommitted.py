"""Before a run: what would not be on record afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from gitxexp.common.errors import XexpError
from gitxexp.common.text import counted, some
from gitxexp.repository.config import FOLDER
from gitxexp.repository.repository import Project, Running
from gitxexp.storage.dvc.pointers import is_data_pointer
from gitxexp.workflows.checks.context import Context
from gitxexp.workflows.checks.rule import Finding, Fix, Scope, Severity, found, rule
from gitxexp.workflows.experiments import describe, outputs
from gitxexp.workflows.experiments.code_hash import is_code

#: Suffixes of files that are code though git does not have them.
_CODE = (".py", ".ipynb", ".r", ".jl", ".sh", ".sql", ".c", ".cc", ".cpp", ".cu", ".rs", ".go", ".java",
         ".scala", ".yaml", ".yml", ".toml")  # fmt: skip
_NAMED = 5


@rule("data-uncommitted", Severity.ERROR, Scope.BEFORE)
def data_uncommitted(context: Context) -> Iterator[Finding]:
    """Data that the run reads is not what the last commit says: a pointer (`.dvc` file, `dvc.lock`) is
    modified, staged or not in git, or an output was changed but not added to DVC.

    The run is recorded with the hash of the data. If the files differ, nobody can tell later what produced
    the metrics, and a rerun gives others. Results and models that the last run left are only a note:
    `git xexp tag` takes them.

    Add and commit the data: `dvc add PATH`, then `git commit`; or restore it: `dvc checkout`.
    """
    pointers = [c.path for c in context.changes if is_data_pointer(c.path)]
    if pointers:
        yield found(
            f"{counted(len(pointers), 'pointer')} not committed: {some(pointers, _NAMED)}",
            count=len(pointers), rows=({"path": path} for path in pointers),
            hint=f"git commit {context.project.typed(*pointers[:_NAMED])}",
        )  # fmt: skip
    roles = {path: describe.role(path, context.config) for path in context.standing.changed}
    data = [path for path, role in roles.items() if role is describe.OutputRole.DATA]
    made = [path for path in roles if path not in data]
    if data:
        yield found(
            f"{counted(len(data), 'output')} changed and not added: {some(data, _NAMED)}",
            count=len(data), rows=({"path": path} for path in data),
            hint=f"dvc add {context.project.typed(*data[:_NAMED])}, and commit; or dvc checkout to go back",
        )  # fmt: skip
    if made:
        yield found(
            f"the last run left changes that are not tagged: {some(made, _NAMED)}",
            level=Severity.NOTE, count=len(made), rows=({"path": path} for path in made),
            hint="git xexp tag",
        )  # fmt: skip
    if stale := context.standing.stale:
        yield found(
            f"{counted(len(stale), 'output')} as another commit has them: {some(stale, _NAMED)}",
            count=len(stale), rows=({"path": path} for path in stale), hint="dvc checkout",
        )  # fmt: skip


@rule("code-uncommitted", Severity.WARNING, Scope.BEFORE)
def code_uncommitted(context: Context) -> Iterator[Finding]:
    """Code is modified but not committed, or git does not track it.

    The record of a run names a commit. If the code in the work tree differs, `git xexp rerun` and everybody
    else run something other than you did.

    Commit it, or let `git xexp tag --all` commit it with the experiment.
    """
    changed = [c.path for c in context.changes if not c.is_new and _is_code(c.path, context)]
    new = [c.path for c in context.changes if c.is_new and _is_new_code(c.path, context)]
    for paths, what, how in (
        (changed, "changed and not committed", "git commit -a; or git xexp tag --all"),
        (new, "not in git", "git add them, or list them in .gitignore"),
    ):
        if paths:
            yield found(
                f"{counted(len(paths), 'code file')} {what}: {some(paths, _NAMED)}",
                count=len(paths), rows=({"path": path} for path in paths), hint=how,
            )  # fmt: skip


def _is_code(path: str, context: Context) -> bool:
    return is_code(path, context.config) and not path.startswith(f"{FOLDER}/")


def _is_new_code(path: str, context: Context) -> bool:
    if path.endswith("/"):  # a folder of which git has nothing
        return any((context.project.top / path).glob("*.py"))
    return PurePosixPath(path).suffix.lower() in _CODE and _is_code(path, context)


@rule("not-tracked", Severity.WARNING, Scope.BEFORE)
def not_tracked(context: Context) -> Iterator[Finding]:
    """Neither git nor DVC tracks a file of data, a model or a results database.

    An untracked file is in no version: a clone does not have it, `git xexp get` cannot fetch it, and the
    next change overwrites what it held at the time of the run.

    Add it: `dvc add PATH`, which `--fix` runs. List in `.gitignore` what need not be kept.
    """
    try:
        names = list(outputs.untracked(context.project).every)
    except XexpError:  # a damaged database: `unreadable` says so
        names = []
    if names:
        yield found(
            f"neither git nor DVC tracks {some(names, _NAMED)}",
            count=len(names), rows=({"path": name} for name in names),
            hint=f"dvc add {context.project.typed(*names[:_NAMED])}", fix=_added(context, tuple(names)),
        )  # fmt: skip
    held = {output.path for output in context.outputs}
    for path in context.databases:
        name = context.shown(path)
        parents = {name, *map(str, PurePosixPath(name).parents)}
        if name in names or not parents.isdisjoint({*names, *held}):
            continue
        if not context.project.at_top.tracks(name):
            yield found(
                f"git ignores {name}, and DVC does not track it", path=name,
                hint=f"dvc add {context.project.typed(name)}",
            )  # fmt: skip


def _added(context: Context, names: tuple[str, ...]) -> Fix | None:
    from gitxexp.storage.dvc.places import has_dvc

    if not has_dvc(context.project.top):
        return None

    def apply(project: Project, running: Running) -> None:
        outputs.track(project, running, names)

    return Fix(f"dvc add {some(names, _NAMED)}", inside=apply)
