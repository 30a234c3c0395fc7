"""Everything a merge decided, and the writing of it in the kind that is wanted."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from gitxexp.common.files import Kind
from gitxexp.tables.duckdb.outcome import Outcome
from gitxexp.tables.duckdb.parquet import (
    ARROW,
    Manner,
    arrow_schema,
    manner_of,
    stored_otherwise,
    write_parquet,
)
from gitxexp.tables.duckdb.session import Session, Source
from gitxexp.tables.duckdb.to_duckdb import carry, create_duckdb, finish_duckdb, write_duckdb
from gitxexp.tables.duckdb.to_sqlite import write_sqlite
from gitxexp.tables.plan import MergeOptions, MergeReport


@dataclass(frozen=True)
class Job:
    """One merge, decided."""

    session: Session
    kind: Kind
    ours: Source | None
    others: list[Source]
    outcomes: tuple[Outcome, ...]
    options: MergeOptions

    def report(self) -> MergeReport:
        """What this merge does, before it does it."""
        return MergeReport(
            tables=tuple(o.report for o in self.outcomes),
            conflicts=tuple(c for o in self.outcomes for c in o.conflicts),
            similar=tuple(s for o in self.outcomes for s in o.table.similar),
            carried=tuple(o.table.name for o in self.outcomes if o.report.created and self.ours)
            + tuple(name for name, _ in self.objects()),
            notes=tuple(n for o in self.outcomes for n in o.notes) + self._as_text(),
        )

    def objects(self) -> list[tuple[str, str]]:
        """Indexes and views of inputs of the output's kind that the target lacks."""
        if self.kind == "parquet":
            return []
        inputs = list(self.others)
        have: set[str] = set()
        if self.ours is not None and self.ours.kind == self.kind:
            have = {name.lower() for name in self.ours.objects}
        elif self.ours is not None:
            inputs.insert(0, self.ours)
        found: dict[str, tuple[str, str]] = {}
        for source in inputs:
            for name, sql in source.objects.items():
                if source.kind == self.kind and name.lower() not in have:
                    found.setdefault(name.lower(), (name, sql))
        return list(found.values())

    def _as_text(self) -> tuple[str, ...]:
        """SQLite lacks these types; their text keeps the value."""
        if self.kind != "sqlite":
            return ()
        simple = ("INT", "DOUBLE", "FLOAT", "VARCHAR", "BLOB", "BOOLEAN", "INTEGER", '"NULL"')
        return tuple(
            f"column {column} of {o.table.name}: {kind} is kept as text"
            for o in self.outcomes
            for column, kind in o.table.columns.items()
            if not kind.endswith(simple)
        )


def write(job: Job, temp: Path, copy_of: Path | None) -> tuple[str, ...]:
    """Write the merged file to ``temp``; gives notes. ``copy_of``: nothing changes, copy this."""
    if copy_of is not None and job.ours is not None and job.ours.kind == job.kind == "parquet":
        shutil.copyfile(copy_of, temp)
        return ()
    if job.kind == "parquet":
        return _parquet(job, temp)
    if job.kind == "sqlite":
        base = job.ours.handle if job.ours is not None and job.ours.kind == "sqlite" else None
        return write_sqlite(job.session, temp, base, job.outcomes, job.objects())
    return _duckdb(job, temp)


def _parquet(job: Job, temp: Path) -> tuple[str, ...]:
    outcome = job.outcomes[0]
    inputs = [job.ours, *job.others] if job.ours else job.others
    model = next((s for s in inputs if s is not None and s.kind == "parquet"), None)
    manner = manner_of(job.session, model) if model else Manner()
    files = [s for s in inputs if s is not None and s.kind == "parquet"]
    schema = arrow_schema(job.session, files, manner, outcome.table)
    write_parquet(job.session, outcome, manner, schema, temp)
    notes = stored_otherwise(job.session, model, temp) if model else ()
    lost = not schema and any(key == ARROW for key, _ in manner.metadata)
    left = "the Arrow schema in the metadata no longer fits and was left out"
    return (*notes, left) if lost else notes


def _duckdb(job: Job, temp: Path) -> tuple[str, ...]:
    edit = job.ours is not None and job.ours.kind == "duckdb"
    place = job.session.workplace(temp)
    alias = job.ours.alias if edit and job.ours else create_duckdb(job.session, place)
    notes = write_duckdb(job.session, alias, job.outcomes, edit)
    _, missed = carry(job.session, alias, job.objects())
    finish_duckdb(job.session, alias)
    if place != temp:
        shutil.move(place, temp)
    return (*notes, *missed)
