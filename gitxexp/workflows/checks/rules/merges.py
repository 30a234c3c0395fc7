"""After a merge: whether it dropped rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitxexp.common.text import counted
from gitxexp.tables.row_changes import RowChange
from gitxexp.workflows.checks.context import Context
from gitxexp.workflows.checks.profile import MOST
from gitxexp.workflows.checks.rule import Finding, Scope, Severity, found, rule


@rule("merge-dropped-rows", Severity.ERROR, Scope.MERGE)
def merge_dropped_rows(context: Context) -> Iterator[Finding]:
    """A merge between BASE and HEAD, made without the merge driver, dropped rows of a database or took an
    old value. Rows of tables that refer to others (child rows) count, too.

    Without the driver, git takes one side of a database that both sides changed, and silently drops the
    rows of the other. The rule compares each merge with the three-way merge of its parents.

    ```console
    $ git xexp check --merge e0.1.0
    ```

    Restore them: `git xexp merge COMMIT^1 COMMIT^2 --commit`.
    """
    merges = context.merges
    if merges is None:
        return
    for one in merges.dropped:
        yield found(
            f"{one.commit[:10]} ({one.subject}) dropped {counted(len(one.rows), 'row')}",
            path=one.path, table=one.table, subject=one.commit, count=len(one.rows),
            rows=[_shown(change) for change in one.rows[:MOST]],
            hint=f"git xexp merge {one.commit[:10]}^1 {one.commit[:10]}^2 --commit",
        )  # fmt: skip
    for problem in merges.problems:
        yield found(f"a merge could not be compared: {problem}")


def _shown(change: RowChange) -> dict[str, Any]:
    return {**change.key, **(change.new or change.old or {})}
