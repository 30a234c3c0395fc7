"""The rules of merging, which are the same for every kind of file.

The back-ends (``sqlite``, ``duckdb``) apply them: which columns match, which key decides, what the
stamps of a row become, and the text of reports, notes and errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import field

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.tables.plan import Conflict, MergeOptions, OnConflict, SimilarColumn, Value

#: Columns that name the run of a row, by which ``rebase`` replaces rows unless told another key.
RUN_IDS = ("track_id", "run_id", "run_uuid")
#: Columns that name the experiment that a row belongs to.
VERSION_COLUMNS = ("version", "experiment_version")
#: Columns that a tag fills in rows that the tracker wrote: ignored when comparing rows.
STAMPS = (*VERSION_COLUMNS, "git_commit", "dvc_hash")
#: Columns that identify an experiment in a results table, in order of preference.
DEFAULT_KEYS = (*VERSION_COLUMNS, *RUN_IDS)


# Names ------------------------------------------------------------------------------------------


def fold(name: str) -> str:
    """Fold ``name`` as SQLite and DuckDB compare names: ASCII letters without case."""
    return name.translate(_LOWER)


_LOWER = {letter: letter + 32 for letter in range(ord("A"), ord("Z") + 1)}


def renamed(
    table: str, columns: Iterable[str], rename: Mapping[str, str], label: str
) -> dict[str, str]:
    """Folded names of a source's columns that ``--rename`` changes, with their new names.

    Raises XexpError if the source has a column of the new name already.
    """
    asked = {fold(old): new for old, new in rename.items()}
    names = {fold(name) for name in columns}
    changed = {old: new for old, new in asked.items() if old in names}
    for old, new in changed.items():
        if fold(new) in names and fold(new) not in changed and fold(new) != old:
            raise XexpError(
                f"{label}: table {table} has both {old} and {new}: they cannot be joined",
                "rename one of them first",
            )
    return changed


RATIO = 0.85  #: of difflib; a lower one would take metrics such as f1 and f2 for one


def similar_columns(
    table: str, ours: Sequence[str], sources: Sequence[Sequence[str]]
) -> list[SimilarColumn]:
    """Pairs of a column that only sources have and one that only ours has whose names look alike.

    ``ours`` is the table before the merge, or as the first source had it where it is new.
    """
    known = {fold(name) for name in ours}
    offered = {fold(name): name for names in reversed(sources) for name in names}
    fresh = [name for key, name in reversed(offered.items()) if key not in known]
    lonely = [name for name in ours if fold(name) not in offered]
    return [SimilarColumn(table, new, old) for new in fresh for old in lonely if alike(new, old)]


def alike(one: str, two: str) -> bool:
    """Whether two names may mean one thing: spellings, abbreviations, initials, or one qualified.

    ``learningRate``/``learning_rate``, ``val_acc``/``validation_accuracy``, ``lr``/``learning_rate``,
    ``loss``/``train_loss``. Names with other digits (``top1``, ``top5``) never are.
    """
    a, b = _words(one), _words(two)
    if not a or not b:
        return False
    short, long = "".join(a), "".join(b)
    if short == long:
        return True
    if _digits(one) != _digits(two):
        return False
    if any(_initials(*p) or _abbreviates(*p) or _qualifies(*p) for p in ((a, b), (b, a))):
        return True
    from difflib import SequenceMatcher  # late: only for names that differ

    return min(len(short), len(long)) > 4 and SequenceMatcher(None, short, long).ratio() >= RATIO


def _words(name: str) -> list[str]:
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    return [w.lower() for w in re.split(r"[^A-Za-z0-9]+", spaced) if w]


def _digits(name: str) -> str:
    return "".join(c for c in name if c.isdigit())


def _initials(a: list[str], b: list[str]) -> bool:
    return len(a) == 1 and len(b) > 1 and a[0] == "".join(w[0] for w in b)


def _abbreviates(a: list[str], b: list[str]) -> bool:
    """Whether each word of ``a`` begins the one of ``b`` at its place: val_acc, validation_accuracy."""
    return len(a) == len(b) and all(
        w == v or (len(w) >= 2 and v.startswith(w)) for w, v in zip(a, b, strict=True)
    )


def _qualifies(a: list[str], b: list[str]) -> bool:
    """Whether ``b`` is ``a`` with words before or after it: loss, train_loss; f1, f1_score."""
    return len("".join(a)) > 1 and len(a) < len(b) and a in (b[: len(a)], b[-len(a) :])


# Keys -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RowKey:
    """The columns that identify a row, as the table spells them; none: whole rows are compared."""

    columns: tuple[str, ...] = ()
    declared: bool = False  #: declared by the user, so the table has no unique index for it


def merge_key(
    columns: Sequence[str], unique: Sequence[Sequence[str]], declared: Sequence[str]
) -> RowKey:
    """The table's own first unique key, else the declared one if the table has all its columns."""
    spelled = {fold(name): name for name in columns}
    for key in unique:
        if all(fold(name) in spelled for name in key):
            return RowKey(tuple(spelled[fold(name)] for name in key))
    if declared and all(fold(name) in spelled for name in declared):
        return RowKey(tuple(spelled[fold(name)] for name in declared), declared=True)
    return RowKey()


def rebase_key(columns: Collection[str], declared: Sequence[str]) -> tuple[str, ...]:
    """The key that decides what ``rebase`` replaces; () where the table has none.

    ``columns``: those that ours and a source have. A row whose default key is NULL is identified by its run
    (see :func:`run_column`).
    """
    spelled = {fold(name): name for name in columns}
    if declared:
        found = tuple(spelled[fold(c)] for c in declared if fold(c) in spelled)
        return found if len(found) == len(declared) else ()
    return next(((spelled[name],) for name in DEFAULT_KEYS if name in spelled), ())


def run_column(columns: Iterable[str]) -> str | None:
    """The column that names a row's run."""
    spelled = {fold(name): name for name in columns}
    return next((spelled[name] for name in RUN_IDS if name in spelled), None)


def check_declared_key(declared: Sequence[str], tables: Iterable[Iterable[str]]) -> None:
    """Raise XexpError if a key was declared and no table has all its columns."""
    asked = {fold(name) for name in declared}
    if asked and not any(asked <= {fold(c) for c in columns} for columns in tables):
        raise XexpError(
            f"no table has the key {', '.join(declared)}",
            "name columns that are there: --key COLUMN",
        )


def ambiguous_key(table: str, key: Sequence[str], rows: Sequence[tuple[str, int]]) -> XexpError:
    """The error for a declared key that is not unique: ``rows`` are values with their counts."""
    shown = "; ".join(f"{value} ({number} rows)" for value, number in rows)
    return XexpError(
        f"--key {','.join(key)} does not identify one row in table {table}: {shown}",
        "add columns to --key, merge without it, or keep all rows with --on-conflict both",
    )


def renumbers(options: MergeOptions, counted: bool) -> bool:
    """Whether clashing rows get a new number; ``counted``: the key is the integer primary key."""
    return counted and (options.renumber or options.on_conflict is OnConflict.BOTH)


def keeps_both(options: MergeOptions, key: RowKey) -> bool:
    """Whether conflicting rows both stay, because no unique index forbids it."""
    return options.on_conflict is OnConflict.BOTH and key.declared


# Stamps -----------------------------------------------------------------------------------------

Stamp = tuple[Value, ...]


@dataclass(frozen=True)
class Stamps:
    """The stamped columns of a table that are not part of its key, and the column of its runs."""

    columns: tuple[str, ...] = ()
    run: str | None = None

    @property
    def versions(self) -> int:
        """How many of the columns, from the first, hold a version."""
        return sum(fold(c) in VERSION_COLUMNS for c in self.columns)

    def holds(self, column: str) -> bool:
        return fold(column) in {fold(c) for c in self.columns}


def stamps_of(columns: Iterable[str], key: Sequence[str] = ()) -> Stamps:
    """The stamps of a table with these columns; none of them is one of its ``key``."""
    spelled = {fold(name): name for name in columns}
    used = {fold(name) for name in key}
    found = tuple(spelled[name] for name in STAMPS if name in spelled and name not in used)
    return Stamps(found, run_column(spelled.values()))


def version_of(stamp: Stamp, versions: int) -> Value:
    """Return the version in a stamp, or None."""
    return next((v for v in stamp[:versions] if v is not None), None)


def earlier(one: Value, other: Value) -> bool:
    """Whether version ``one`` was given before ``other``: e0.2.0 before e0.10.0."""
    return _order(one) < _order(other)


def _order(version: Value) -> list[tuple[int, int, str]]:
    parts = re.findall(r"\d+|\D+", str(version))
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts]


def merged_stamp(ours: Stamp, theirs: Stamp, versions: int) -> Stamp:
    """Merge two stamps of one row: the earlier version's, with its gaps filled if the versions agree."""
    mine, other = version_of(ours, versions), version_of(theirs, versions)
    if mine is not None and other is not None and mine != other:
        return theirs if earlier(other, mine) else ours
    first, second = (theirs, ours) if mine is None and other is not None else (ours, theirs)
    return tuple(b if a is None else a for a, b in zip(first, second, strict=True))


def one_run(ours: StampedRow, theirs: StampedRow) -> bool:
    """Whether two otherwise equal rows belong to one run: then their stamps belong to the same row."""
    return ours.run is not None and ours.run == theirs.run


@dataclass(frozen=True)
class StampedRow:
    """One row: its position, run and stamp. The rest is equal within a group."""

    place: int
    run: Value
    stamp: Stamp


@dataclass
class StampedGroup:
    """The outcome for rows that differ only in their stamps.

    ``ours``: new stamps of our rows, None if the row is removed; ``theirs``, ``base``: stamps with
    which an ordinary merge gives this outcome; ``added``: rows of theirs that have no partner.
    """

    ours: dict[int, Stamp | None] = field(default_factory=dict)
    theirs: dict[int, Stamp] = field(default_factory=dict)
    base: dict[int, Stamp] = field(default_factory=dict)
    added: list[StampedRow] = field(default_factory=list)
    partners: dict[int, int] = field(default_factory=dict)  #: of rows that both added: theirs, ours
    differing: list[tuple[Value, Value]] = field(default_factory=list)  #: kept, given up


def merge_stamped(
    base: Sequence[StampedRow],
    ours: Sequence[StampedRow],
    theirs: Sequence[StampedRow],
    versions: int,
) -> StampedGroup:
    """Pair the rows of one group and decide their stamps; ``base`` is empty in a two-way merge.

    A row of the base and its partners are one row, whatever their stamps. Rows that both sides
    added are one if a stamp only lacks values that the other has, or if one run has both;
    otherwise they are two. A side that deleted a row deleted it with any stamp.
    """
    done = StampedGroup()
    mine, other = _pairs(base, ours, True), _pairs(base, theirs, True)
    for row in base:
        o, t = mine.get(row.place), other.get(row.place)
        if o is not None and t is not None:
            stamp = _three(row.stamp, o.stamp, t.stamp, versions)
            _tell(done, o, t, stamp, versions)
            done.ours[o.place], done.theirs[t.place] = stamp, stamp
            done.base[row.place] = o.stamp
        elif t is not None:
            done.theirs[t.place] = row.stamp
        elif o is not None:
            done.ours[o.place], done.base[row.place] = None, o.stamp
    taken = {row.place for row in mine.values()}, {row.place for row in other.values()}
    mine_added = [row for row in ours if row.place not in taken[0]]
    other_added = [row for row in theirs if row.place not in taken[1]]
    partners = _pairs(other_added, mine_added, False)
    for row in other_added:
        partner = partners.get(row.place)
        if partner is None:
            done.added.append(row)
            continue
        stamp = merged_stamp(partner.stamp, row.stamp, versions)
        _tell(done, partner, row, stamp, versions)
        done.ours[partner.place], done.theirs[row.place] = stamp, stamp
        done.partners[row.place] = partner.place
    return done


def _tell(
    done: StampedGroup, ours: StampedRow, theirs: StampedRow, stamp: Stamp, versions: int
) -> None:
    """Remember two versions of one row."""
    kept = version_of(stamp, versions)
    for row in (ours, theirs):
        version = version_of(row.stamp, versions)
        if version is not None and version != kept and kept is not None:
            done.differing.append((kept, version))


def _three(base: Stamp, ours: Stamp, theirs: Stamp, versions: int) -> Stamp:
    if theirs in (ours, base):
        return ours
    return theirs if ours == base else merged_stamp(ours, theirs, versions)


def _same(one: Value, other: Value) -> bool:
    """Whether two values are identical, including their type: 1 and 1.0 are two versions."""
    return type(one) is type(other) and one == other


def _pairs(
    rows: Sequence[StampedRow], others: Sequence[StampedRow], always: bool
) -> dict[int, StampedRow]:
    """Return the partner of each row: an equal one, else one with a fuller stamp, else any allowed."""
    tests: list[Callable[[StampedRow, StampedRow], bool]] = [
        lambda a, b: all(_same(x, y) for x, y in zip(a.stamp, b.stamp, strict=True)),
        lambda a, b: all(x is None or _same(x, y) for x, y in zip(a.stamp, b.stamp, strict=True)),
        lambda a, b: all(
            x is None or y is None or _same(x, y) for x, y in zip(a.stamp, b.stamp, strict=True)
        ),
        lambda a, b: always or one_run(a, b),
    ]
    found: dict[int, StampedRow] = {}
    free = list(others)
    for test in tests:
        for row in rows:
            if row.place in found:
                continue
            partner = next((other for other in free if test(row, other)), None)
            if partner is not None:
                found[row.place] = partner
                free.remove(partner)
        if not free:
            break
    return found


# Counts and single cells ------------------------------------------------------------------------


def combined(base: int, ours: int, theirs: int) -> int:
    """The multiplicity of a row in the result of a three-way merge.

    One side's change counts; the same change on both sides counts once (the larger one, so that an
    empty base gives what a two-way merge gives); opposite changes add up.
    """
    mine, other = ours - base, theirs - base
    return max(base + max(mine, other, 0) + min(mine, other, 0), 0)


def settled_whole(table: str, column: str | None, options: MergeOptions) -> OnConflict:
    """Return the side that keeps a column, or the whole table, that the other side dropped."""
    for conflict, side in settled_in(table, options):
        if not conflict.key and fold(conflict.column or "") == fold(column or ""):
            return side
    return options.on_conflict


def settled_in(table: str, options: MergeOptions) -> list[tuple[Conflict, OnConflict]]:
    """The single conflicts that the user resolved in one table."""
    return [(c, side) for c, side in options.settled if fold(c.table) == fold(table)]


def clashing_numbers(conflicts: Iterable[Conflict]) -> bool:
    """Whether rows conflict only because both sides continued counting: new numbers keep them all."""
    return any(conflict.kind == "primary key" for conflict in conflicts)


def names_rows(key: Sequence[str]) -> bool:
    """Whether a key may name single rows; a version or a run alone names several, for rebase."""
    return not {fold(name) for name in key} <= set(DEFAULT_KEYS)


# Words ------------------------------------------------------------------------------------------


def both_forbidden(table: str) -> str:
    return f"{table}: cannot keep both: its unique key forbids it"


def only_added(table: str, declared: Sequence[str]) -> str:
    wanted = ", ".join(declared) or "version or run id"
    return f"table {table} has no {wanted}: its rows were added"


def renumbered(table: str, count: int, column: str) -> str:
    return f"{table}: {count} rows got a new {column}"


def dropped_with(kind: str, name: str) -> str:
    return f"{kind} {name} dropped: theirs dropped it"


def two_stamps(table: str, differing: Collection[tuple[Value, Value]]) -> list[str]:
    """Notes on runs that two tags name: the earlier one's stamp stays in the rows."""
    return [
        f"{table}: a run was tagged twice, its rows keep {kept!s}, not {other!s}"
        for kept, other in sorted(set(differing), key=str)
    ]


def carried(kind: str, name: str) -> str:
    return f"{kind} {name}"


def missing_table(name: str) -> XexpError:
    return XexpError(f"no input has a table {name}", "check its name")


def constraint_left(what: str, table: str, label: str) -> str:
    """The note on a constraint that a source declares and the target's table cannot get."""
    return f"{what} of {table}, as {label} declares it, is not added"


def stored_values(computed: str) -> str:
    """The note on a column that a source computes and the target's table lacked."""
    return f"{computed}: its values are stored"


def stored_elsewhere(table: str, column: str, label: str) -> XexpError:
    """The error for values in a column that the result computes."""
    return XexpError(
        f"{table}.{column} is a generated column here and stored in {label}",
        f"import it under another name: --rename {column}={column}_stored",
    )
