"""DuckDB's errors in a statement that somebody typed: what, where, and close names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from gitxexp.common.errors import UsageError, suggestion
from gitxexp.tables.duckdb import session
from gitxexp.workflows.sql.statement import is_path


@contextmanager
def explained(tables: Callable[[], Sequence[str]]) -> Iterator[None]:
    """Turn DuckDB's errors into ours: UsageError with the place of a mistake; ``tables`` are asked for
    where a name is none of them. KeyboardInterrupt where the query was interrupted."""
    import duckdb

    mistakes = (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException)
    try:
        yield
    except mistakes as error:
        raise mistake(str(error), tables) from None
    except duckdb.PermissionException:
        raise UsageError(
            "the query reads a file outside the project: refused",
            "--allow-files reads any file of this machine",
        ) from None
    except duckdb.Error as error:
        if isinstance(error, duckdb.InterruptException):
            raise KeyboardInterrupt from error
        raise session.explain(error) from None
    except RuntimeError as error:  # DuckDB's word for a KeyboardInterrupt that it took
        if "Query interrupted" not in str(error):
            raise
        raise KeyboardInterrupt from error


def mistake(said: str, tables: Callable[[], Sequence[str]]) -> UsageError:
    """What DuckDB says, the place it points at, and close names."""
    lines = said.strip().split("\n")
    first = re.sub(r"^\w+ Error: ", "", lines[0]).rstrip("!")
    at = next((n for n, line in enumerate(lines) if line.startswith("LINE ")), None)
    shown = "".join(f"\n  {line}" for line in lines[at : at + 2]) if at is not None else ""
    if "able with name" in first:
        name = first.split("able with name ", 1)[1].split(" does not", 1)[0].strip('"')
        if is_path(name):
            return UsageError(
                f"the project has no file '{name}'{shown}",
                "--allow-files reads any file of this machine",
            )
        known = tables()
        hint = suggestion(name, known, f"tables: {', '.join(known)}; see --schema")
        return UsageError(f"there is no table '{name}'{shown}", hint)
    columns = re.search(r'column "([^"]*)".*\nCandidate bindings: (.*)', said)
    meant = re.search(r'Did you mean "([^"]*)"', said)
    hint = None
    if columns:
        known = re.findall(r'"([^"]*)"', columns[2])
        hint = suggestion(columns[1], known, f"columns: {', '.join(known)}")
    elif meant:
        hint = f"did you mean {meant[1]}?"
    return UsageError(f"{first[:1].lower()}{first[1:]}{shown}", hint)
