"""``%load_ext gitxexp``: ``%xexp`` runs a command of git-xexp in a notebook, ``%%xexp_sql`` a query."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from typing import Any

from gitxexp.api import open as open_repository
from gitxexp.common.errors import XexpError

#: The columns of a notebook's cell, about.
_COLUMNS = 120


def load(ipython: Any) -> None:
    """Register the magics with IPython."""
    ipython.register_magic_function(xexp, "line", "xexp")
    magic = _sql_of(ipython)
    ipython.register_magic_function(magic, "line_cell", "xexp_sql")


def xexp(line: str) -> None:
    """Run ``git xexp`` with the words of the line and stream its output, as on a terminal.

    ``%xexp list --sort f1``. Raises UsageError, which ends the cell, if it fails.
    """
    from IPython.core.error import UsageError

    try:
        words = shlex.split(line)
    except ValueError as error:
        raise UsageError(f"%xexp {line}: {error}") from error
    command = [sys.executable, "-m", "gitxexp", *words]
    size = str(shutil.get_terminal_size((_COLUMNS, 24)).columns)
    environment = {**os.environ, "XEXP_NOTEBOOK": "true", "COLUMNS": size}
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        encoding="utf-8", errors="replace", env=environment,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            for text in process.stdout:
                print(text, end="", flush=True)
        except KeyboardInterrupt:
            process.wait()
    if process.returncode:
        raise UsageError(f"git xexp {line}: exit code {process.returncode}")


def _sql_of(ipython: Any) -> Any:
    def xexp_sql(line: str, cell: str | None = None) -> Any:
        """Return the rows of a query over experiments and results, as ``git xexp sql``: a pandas
        DataFrame if pandas is installed, else a DuckDB relation.

        ``%xexp_sql SELECT ...`` on one line, or ``%%xexp_sql [NAME]`` above a cell; with NAME the
        rows are assigned to that variable and not shown. Raises UsageError for an invalid query.
        """
        from IPython.core.error import UsageError

        name = line.strip() if cell is not None else ""
        if name and not name.isidentifier():
            raise UsageError(
                f"%%xexp_sql [NAME]: '{name}' is not the name of a variable",
                "use letters, digits and underscores",
            )
        try:
            rows = _rows(line if cell is None else cell)
        except XexpError as error:
            hint = f"\nhint: {error.hint}" if error.hint else ""
            raise UsageError(f"{error.message}{hint}") from error
        if not name:
            return rows
        ipython.push({name: rows})
        return None

    return xexp_sql


def _rows(query: str) -> Any:
    from importlib.util import find_spec

    # imports DuckDB, as the query itself does
    from gitxexp.workflows.sql.mistakes import KnownNames, explained

    relation = open_repository().sql(query)
    if not find_spec("pandas"):
        return relation
    with explained(KnownNames(list), query):  # values are computed here
        return relation.df()
