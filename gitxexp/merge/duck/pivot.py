"""Three-way by key: base, ours and theirs of one key side by side, and each cell decided."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gitxexp.merge.duck.align import ROW, Aligned
from gitxexp.merge.duck.outcome import SHOWN, Outcome, conflicts_of, counted, named, plain
from gitxexp.merge.duck.rows import collated, count, listed, marks
from gitxexp.merge.duck.session import Session, quote
from gitxexp.merge.duck.settled import settled_rows
from gitxexp.merge.plan import Conflict, MergeOptions, OnConflict


@dataclass(frozen=True)
class Pivot:
    """``firm`` has the rows that differ somewhere, with counts ``n_b``, ``n_o``, ``n_t``."""

    session: Session
    table: Aligned
    key: tuple[str, ...]
    options: MergeOptions
    firm: str
    label: str

    def outcome(self, here: int, incoming: int, loose: tuple[str, int], loose_drop: str) -> Outcome:
        """The keyed part, together with the rows without a whole key (``loose``)."""
        wide = self._wide()
        where_added = "NOT ho AND ht AND (NOT hb OR xexp_moved AND xexp_theirs)"
        new = count(self.session, f"SELECT 1 FROM {wide} WHERE {where_added}")
        parts = [f"(SELECT {self._cells('t')} FROM {wide} WHERE {where_added} ORDER BY xexp_pos)"]
        parts = parts if new else []
        if loose[1]:
            parts.append(f"(SELECT * FROM ({loose[0]}))")
        drop = self._dropped(wide, loose_drop)
        change, filled, replaced = self._changed(wide)
        bad = count(self.session, f"SELECT 1 FROM {wide} WHERE xexp_bad")
        stop = bad and self.options.on_conflict is OnConflict.FAIL
        removed = count(self.session, f"SELECT 1 FROM {drop}")
        added = new + loose[1]
        report = counted(
            self.table,
            here,
            incoming,
            new=added,
            filled=filled,
            replaced=replaced,
            removed=removed,
            conflicting=bad,
            identical=max(0, incoming - added - filled - replaced - bad),
        )
        outcome = Outcome(self.table, report, " UNION ALL ".join(parts), change)
        conflicts = tuple(self._conflicts(wide)) if stop else ()
        return replace(outcome, drop=drop if removed else "", conflicts=conflicts)

    @property
    def _names(self) -> list[str]:
        return [name for name in self.table.columns if name not in self.key]

    def _same(self, name: str, one: str, other: str) -> str:
        cell = quote(name)
        tests = [f"{one} IS NOT DISTINCT FROM {other}"]
        for mark in marks({name: self.table.columns[name]}, collated(self.table)):
            sides = (mark.replace(cell, one), mark.replace(cell, other))
            tests.append(f"{sides[0]} IS NOT DISTINCT FROM {sides[1]}")
        return f"({' AND '.join(tests)})"

    def _wide(self) -> str:
        """One row per key: b0…, o0…, t0… cells, hb/ho/ht presence, v0… result, x0… conflict."""
        keys = listed(self.key)
        joins, cells = [], [f"keys.{quote(k)} AS {quote(k)}" for k in self.key]
        for s in "bot":
            joins.append(
                f"LEFT JOIN (SELECT *, true AS h FROM {self.firm} WHERE n_{s} > 0) AS {s} "
                f"USING ({keys})"
            )
            cells.append(f"coalesce({s}.h, false) AS h{s}")
            cells += [f"{s}.{quote(n)} AS {s}{i}" for i, n in enumerate(self._names)]
        settled = ", ".join(f"settled.s{i} AS s{i}" for i in [*range(len(self._names)), "g"])
        joins.append(f"LEFT JOIN {self._settled()} AS settled USING ({keys})")
        flat = (
            f"SELECT {', '.join(cells)}, {settled}, t.xexp_pos FROM "
            f"(SELECT DISTINCT {keys} FROM {self.firm}) AS keys {' '.join(joins)}"
        )
        decided = f"SELECT *, {', '.join(self._decisions())} FROM ({flat})"
        bad = " OR ".join(["xexp_open", *(f"x{i}" for i in range(len(self._names)))])
        return self.session.keep("wide", f"SELECT *, ({bad}) AS xexp_bad FROM ({decided})")

    def _settled(self) -> str:
        return settled_rows(
            self.session, self.table, self.key, self._names, self.options, self.firm
        )

    def _decisions(self) -> list[str]:
        last = self.options.on_conflict is OnConflict.THEIRS
        theirs = "'theirs'" if last else "'ours'"
        found = []
        moved = {"o": ["false"], "t": ["false"]}
        for i, name in enumerate(self._names):
            clash = f"ho AND ht AND NOT {self._same(name, f'o{i}', f't{i}')}"
            clash += f" AND NOT (hb AND {self._same(name, f'o{i}', f'b{i}')})"
            clash += f" AND NOT (hb AND {self._same(name, f't{i}', f'b{i}')})"
            fills = f"NOT hb AND (o{i} IS NULL OR t{i} IS NULL)" if self.options.fill else "false"
            takes = f"hb AND {self._same(name, f'o{i}', f'b{i}')} OR ({fills}) AND o{i} IS NULL"
            clash = f"({clash}) AND NOT ({fills}) AND s{i} IS NULL"
            pick = f"CASE coalesce(s{i}, {theirs}) WHEN 'theirs' THEN t{i} ELSE o{i} END"
            value = (
                f"CASE WHEN {self._same(name, f'o{i}', f't{i}')} THEN o{i} WHEN {takes} THEN t{i} "
                f"WHEN hb AND {self._same(name, f't{i}', f'b{i}')} OR ({fills}) THEN o{i} "
                f"ELSE {pick} END"
            )
            found += [f"{value} AS v{i}", f"({clash}) AS x{i}"]
            for s, tests in moved.items():
                tests.append(f"NOT {self._same(name, f'{s}{i}', f'b{i}')}")
        ours, other = (" OR ".join(moved[s]) for s in "ot")
        gone = f"hb AND (ho AND NOT ht AND ({ours}) OR ht AND NOT ho AND ({other}))"
        return [
            *found,
            f"({gone}) AS xexp_gone",
            f"({other}) AS xexp_moved",
            f"({gone}) AND sg IS NULL AS xexp_open",
            f"coalesce(sg, {theirs}) = 'theirs' AS xexp_theirs",
        ]

    def _cells(self, letter: str) -> str:
        index = {name: i for i, name in enumerate(self._names)}
        return ", ".join(
            quote(c) if c in self.key else f"{letter}{index[c]} AS {quote(c)}"
            for c in self.table.columns
        )

    def _ours(self) -> str:
        return self.table.ours.query if self.table.ours else f"SELECT 0 AS {ROW} WHERE false"

    def _dropped(self, wide: str, loose: str) -> str:
        """Theirs deleted what we left alone, or deletes win."""
        where = "hb AND ho AND NOT ht AND (NOT xexp_gone OR xexp_theirs)"
        if self.table.ours is None or not count(
            self.session, f"SELECT 1 FROM {wide} WHERE {where}"
        ):
            return loose
        return self.session.keep(
            "drop",
            f"SELECT {ROW} FROM {loose} UNION ALL SELECT {ROW} FROM ({self._ours()}) SEMI JOIN "
            f"(SELECT * FROM {wide} WHERE {where}) USING ({listed(self.key)})",
        )

    def _changed(self, wide: str) -> tuple[str, int, int]:
        if self.table.ours is None:
            return "", 0, 0
        differs = ["false"]
        differs += [f"NOT {self._same(n, f'v{i}', f'o{i}')}" for i, n in enumerate(self._names)]
        some = f"SELECT * FROM {wide} WHERE ho AND ht AND ({' OR '.join(differs)})"
        change = self.session.keep(
            "change",
            f"SELECT mine.{ROW}, {self._cells('v')}, hb FROM ({some}) AS wide JOIN "
            f"(SELECT {listed(self.key)}, {ROW} FROM ({self._ours()})) AS mine "
            f"USING ({listed(self.key)})",
        )
        total = count(self.session, f"SELECT 1 FROM {change}")
        replaced = count(self.session, f"SELECT 1 FROM {change} WHERE hb")
        return (change if total else ""), total - replaced, replaced

    def _conflicts(self, wide: str) -> list[Conflict]:
        found: list[Conflict] = []
        keys = listed(self.key)
        for i, name in enumerate(self._names):
            query = (
                f"SELECT {keys}, o{i} AS xexp_ours, t{i} AS xexp_theirs, b{i} AS xexp_base, "
                f"1 AS xexp_side FROM {wide} WHERE x{i} ORDER BY {keys}"
            )
            if count(self.session, query):
                labels = {1: self.label}
                found += conflicts_of(
                    self.session, self.table, self.key, name, query, "value", labels
                )
        shown = ", ".join(plain(self.table.columns[k], quote(k)) for k in self.key)
        for row in self.session.rows(
            f"SELECT {shown}, ho FROM {wide} WHERE xexp_open ORDER BY {keys} LIMIT {SHOWN}"
        ):
            kind = "change/delete" if row[-1] else "delete/change"
            found.append(
                Conflict(
                    self.table.name, named(self.key, row), None, None, None, None, kind, self.label
                )
            )
        return found
