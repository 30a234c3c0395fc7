"""Before a run: whether several processes can write what they will write."""

from __future__ import annotations

from collections.abc import Iterator

from gitxexp.common.files import database_kind
from gitxexp.common.text import some
from gitxexp.storage.git import Git
from gitxexp.workflows.checks.context import Context
from gitxexp.workflows.checks.rule import Finding, Scope, Severity, found, rule

#: Python code that starts several processes, chooses xetrack's DuckDB engine, monitors the system; as
#: extended regular expressions for git-grep(1).
_POOL = (
    r"multiprocessing|ProcessPoolExecutor|joblib|n_jobs *=|torch\.distributed|mp\.spawn|dask|ray\.init|"
    r"accelerate\.|pathos"
)
_DUCKDB = r"engine *= *[\"']duckdb[\"']"
_MONITOR = r"log_system_params *= *True"
_TRACKER = r"(from|import) +xetrack"


@rule("engine", Severity.WARNING, Scope.BEFORE)
def engine(context: Context) -> Iterator[Finding]:
    """Several processes will write one DuckDB file, use xetrack's DuckDB engine, or each monitor the system.

    DuckDB lets only one process write: the second one fails, after it has computed its result. xetrack's
    monitoring starts a process for every call, which the worker of a pool (a daemon) may not do.
    The rule searches the Python files of the repository for pools.

    Let the workers return their rows to one process that writes them, or use SQLite (xetrack's default).
    Switch off `log_system_params` in a pool.
    """
    git = context.project.at_top
    pools = _files(git, _POOL)
    if not pools:
        return
    databases = [path for path in context.databases if database_kind(path) == "duckdb"]
    names = [context.shown(path) for path in databases]
    if names:
        yield found(
            f"the processes of {some(pools, 3)} will write {some(names, 3)}, which DuckDB lets one do",
            path=names[0], count=len(names),
            rows=({"path": name} for name in names),
            hint="write from one process, or use SQLite",
        )  # fmt: skip
    tracked = set(_files(git, _TRACKER))
    for pattern, what, how in (
        (
            _DUCKDB,
            "xetrack's DuckDB engine with several processes",
            "omit engine to use SQLite",
        ),
        (_MONITOR, "system monitoring with several processes", "log_system_params=False"),
    ):
        used = [name for name in _files(git, pattern) if name in tracked]
        both = [name for name in used if name in pools]
        if both:
            yield found(
                f"{what}: {some(both, 3)}", path=both[0], count=len(both),
                rows=({"path": name} for name in both), hint=how,
            )  # fmt: skip


def _files(git: Git, pattern: str) -> tuple[str, ...]:
    """The Python files of the work tree, tracked or new, that match."""
    return tuple(git.fields(*_search(pattern), ok=(0, 1)))


def _search(pattern: str) -> tuple[str, ...]:
    return ("grep", "-z", "-l", "-I", "--untracked", "-E", "-e", pattern, "--", "*.py", "*.ipynb")


#: What the rule asks git at the top of the work tree in any case.
QUESTION = _search(_POOL)
