"""Print one experiment, or the difference between two, as text, Markdown and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from gitxexp.cli.render import markdown
from gitxexp.cli.render.console import (
    Column,
    ago,
    moment,
    one_line,
    or_dash,
    paint,
    rounded,
    size,
    width,
)
from gitxexp.common import streams
from gitxexp.common.text import counted, show_date
from gitxexp.repository.registry import AnnotationChange, Promotion
from gitxexp.workflows.explore.artifacts import ArtifactPlaces
from gitxexp.workflows.explore.compare import (
    CodeFileChange,
    ComparedSide,
    Comparison,
    MetricChange,
    ValueChange,
)
from gitxexp.workflows.explore.show import ExperimentDetails

Cells = Sequence[str]


def section(title: str, rows: Iterable[Cells]) -> list[str]:
    """A title and indented, aligned rows; nothing when there are none."""
    table = [list(row) for row in rows]
    if not table:
        return []
    count = max(map(len, table))
    table = [row + [""] * (count - len(row)) for row in table]
    sizes = [max(width(row[at]) for row in table) for at in range(count)]
    lines = [paint(title, "bold")]
    for row in table:
        padded = (text + " " * (size - width(text)) for text, size in zip(row, sizes, strict=True))
        lines.append(f"  {'  '.join(padded)}".rstrip())
    return [*lines, ""]


def short_hash(value: Any) -> str:
    """A hash as its first digits; what is not there as a dash."""
    return str(value).partition(":")[2][:8] if value else "-"


# -- show ----------------------------------------------------------------------------------------


def as_text(found: ExperimentDetails) -> list[str]:
    """The whole page of ``explore show``."""
    experiment = found.experiment
    head = paint(experiment.name, "yellow")
    metrics = {delta.name: delta for delta in found.since.metrics} if found.since else {}
    own = experiment.payload.metrics
    lines = [
        f"{head}  {one_line(experiment.payload.headline)}",
        "",
        *section("tag", _facts(found)),
        *section(
            "parameters", ((one_line(n), or_dash(v)) for n, v in experiment.payload.params.items())
        ),
        *section("metrics", (_metric(n, v, metrics.get(n)) for n, v in own.items())),
        *section(
            "context", ((one_line(n), or_dash(v)) for n, v in experiment.payload.context.items())
        ),
        *section("artifacts", _artifact_rows(found.artifacts)),
        *section("promotions", map(_promotion, found.promotions)),
        *section("noted later", map(_noted, found.changes)),
        *_changes(found),
        *section("rows", _row_lines(found)),
    ]
    return lines if lines[-1] else lines[:-1]


def as_markdown(found: ExperimentDetails) -> list[str]:
    """``explore show --md``: a table for each kind of thing that is known."""
    experiment, said = found.experiment, found.experiment.payload
    since = found.since
    deltas = {delta.name: delta for delta in since.metrics} if since else {}
    before = since.before.name if since else ""
    artifacts = list(_artifact_rows(found.artifacts))
    tables: list[tuple[Cells, Iterable[Cells]]] = [
        (("tag", ""), _facts(found)),
        (("parameter", "value"), ((name, or_dash(v)) for name, v in said.params.items())),
        (
            ("metric", "value", *([f"since {before}"] if since else [])),
            (_markdown_metric(name, v, deltas.get(name)) for name, v in said.metrics.items()),
        ),
        (("context", "value"), ((name, or_dash(v)) for name, v in said.context.items())),
        (artifacts[0] if artifacts else (), artifacts[1:]),
        (("promoted", "as", "model", "by", "why"), map(_promotion, found.promotions)),
        (("noted later", "by", "what"), map(_noted, found.changes)),
        ((f"changed since {before}", ""), _change_rows(since) if since else ()),
        (("code", "lines"), _file_rows(since) if since else ()),
        (("rows", "of", "in"), _row_lines(found)),
    ]
    lines = [f"### {markdown.escaped(experiment.name)}", "", markdown.escaped(said.headline), ""]
    return [*lines, *_markdown_tables(tables)]


def _markdown_tables(tables: Iterable[tuple[Cells, Iterable[Cells]]]) -> list[str]:
    """Tables with an empty line between them, those without rows left out; a row may be short."""
    lines: list[str] = []
    for heads, each in tables:
        rows = [[*cells, *[""] * (len(heads) - len(cells))] for cells in each]
        if rows:
            columns = zip(heads, zip(*rows, strict=True), strict=True)
            shown = [Column(name, list(map(streams.plain, cells))) for name, cells in columns]
            lines += [*markdown.table(shown), ""]
    return lines[:-1]


def _markdown_metric(name: str, value: Any, delta: MetricChange | None) -> Cells:
    if delta is None or delta.delta is None:
        return name, or_dash(value)
    return name, or_dash(value), " ".join(filter(None, delta_cells(delta))) or "same"


def _facts(found: ExperimentDetails) -> Iterable[Cells]:
    experiment, said = found.experiment, found.experiment.payload
    yield "tagged", f"{show_date(experiment.date)} by {experiment.tagger or 'somebody'}"
    on = f"  on {', '.join(found.branches)}" if found.branches else "  on no branch"
    yield "commit", f"{experiment.commit}{on}"
    if said.run_commit and said.run_commit != experiment.commit:
        yield "ran at", said.run_commit
    if said.config_hash:
        also = f"  (also {', '.join(found.same_config)})" if found.same_config else ""
        yield "config", f"{said.config_hash}{also}"
    if said.data:
        yield "data", said.data
    if said.run:
        where = f"  {said.table} of {said.results}" if said.results else ""
        yield "run", f"{said.run}{where}"
    if said.labels:
        yield "labels", ", ".join(said.labels)
    if found.parent:
        yield "parent", found.parent.name
    if said.reason:
        yield "level", said.reason
    if said.handwritten:
        yield "note", "the tag was written by hand: it names no more than this"


def _metric(name: str, value: Any, delta: MetricChange | None) -> Cells:
    if delta is None or delta.delta is None:
        return one_line(name), or_dash(value)
    return one_line(name), or_dash(value), *delta_cells(delta)


def _artifact_rows(found: Sequence[ArtifactPlaces]) -> Iterable[Cells]:
    if not found:
        return
    yield "path", "role", "size", "cache", "remote", "hash"
    for artifact in found:
        amount = size(artifact.size)
        amount += f" in {counted(artifact.files, 'file')}" if artifact.files else ""
        yield (
            artifact.path, artifact.role, amount, artifact.cached.value, _remote(artifact),
            short_hash(artifact.hash),
        )  # fmt: skip


def _remote(artifact: ArtifactPlaces) -> str:
    if artifact.proved is None:
        return artifact.remote.value
    return f"proved {ago(artifact.proved)}"


def _promotion(promotion: Promotion) -> Cells:
    at = f"{promotion.at[:19].replace('T', ' ')}Z"
    return at, promotion.slot, promotion.hash_after[4:12], promotion.who, promotion.why


def _change_object(change: AnnotationChange) -> dict[str, Any]:
    kinds = {"+": "label added", "-": "label removed", "text": "description"}
    what = kinds.get(change.what, change.what)
    return {"at": change.at, "who": change.who, "what": what, "value": change.value}


def _noted(change: AnnotationChange) -> Cells:
    what = change.value if change.what == "text" else f"{change.what}{change.value}"
    return f"{change.at[:19].replace('T', ' ')}Z", change.who, one_line(what)


def _changes(found: ExperimentDetails) -> list[str]:
    if found.since is None:
        return []
    rows = [*_change_rows(found.since), *_file_rows(found.since)]
    return section(f"changed since {found.since.before.name}", rows or [("nothing",)])


def _row_lines(found: ExperimentDetails) -> Iterable[Cells]:
    for link in found.rows:
        value = link.value[:12] if "commit" in link.column else link.value
        yield (
            counted(link.rows, "row"),
            f"{link.column} = {value}",
            f"{link.table} of {link.database.name}",
        )


# -- diff ----------------------------------------------------------------------------------------


def comparison_text(found: Comparison) -> list[str]:
    """The whole page of ``explore diff``, without the patch."""
    lines = [
        f"{title(found.before)} → {title(found.after)}",
        "",
        *section("parameters", map(_change, found.params)),
        *section("metrics", map(_delta, found.metrics)),
        *section("artifacts", map(_artifact_change, found.artifacts)),
        *section("code", _file_rows(found)),
    ]
    if not found.different:
        lines += ["nothing differs"]
    return lines if lines[-1] else lines[:-1]


def comparison_markdown(found: Comparison) -> list[str]:
    """``explore diff --md``: a table for each kind of thing that differs."""
    before, after = found.before.name, found.after.name
    lines = [f"### {markdown.escaped(before)} → {markdown.escaped(after)}", ""]
    hashes = [(c.name, short_hash(c.before), short_hash(c.after)) for c in found.artifacts]
    tables: list[tuple[Cells, Iterable[Cells]]] = [
        (
            ("parameter", before, after),
            ((c.name, or_dash(c.before), or_dash(c.after)) for c in found.params),
        ),
        (("metric", before, after, "change"), map(_markdown_delta, found.metrics)),
        (("artifact", before, after), hashes),
        (("code", before, after), map(_markdown_file, found.files)),
    ]
    lines += _markdown_tables(tables)
    return (
        lines if found.different else [*lines, *([""] if found.metrics else []), "nothing differs"]
    )


def _markdown_file(file: CodeFileChange) -> Cells:
    if why := file.uncounted:
        return file.path, why, why
    return file.path, f"-{file.deleted}", f"+{file.added}"


def _markdown_delta(delta: MetricChange) -> Cells:
    amounts = map(or_dash, (delta.before, delta.after))
    change = " ".join(streams.plain(cell) for cell in delta_cells(delta) if cell)
    return delta.name, *amounts, change or ("same" if delta.delta == 0 else "")


def title(side: ComparedSide) -> str:
    """A side of a comparison with its run."""
    run = f" (run {side.run})" if side.run else ""
    return f"{paint(side.name, 'yellow')}{run}"


def _change_rows(found: Comparison) -> Iterable[Cells]:
    yield from map(_change, found.params)
    yield from map(_artifact_change, found.artifacts)


def _change(change: ValueChange) -> Cells:
    return one_line(change.name), f"{or_dash(change.before)} → {or_dash(change.after)}"


def _artifact_change(change: ValueChange) -> Cells:
    if change.before is None or change.after is None:
        only = "added" if change.before is None else "removed"
        return change.name, f"{only} {short_hash(change.before or change.after)}"
    return change.name, f"{short_hash(change.before)} → {short_hash(change.after)}"


def _delta(delta: MetricChange) -> Cells:
    before, after = map(or_dash, (delta.before, delta.after))
    if delta.delta == 0:
        return delta.name, before, "", "same"
    return delta.name, before, f"→ {after}", *delta_cells(delta)


def delta_cells(delta: MetricChange) -> Cells:
    """By how much a metric changed, in percent, better or worse, and how sure that is; nothing where
    it did not."""
    if not delta.delta:
        return ()
    sign = "+" if delta.delta > 0 else "-"
    amount = f"{sign}{rounded(abs(delta.delta))}"
    part = f"{100 * delta.relative:+.1f}%" if delta.relative is not None else ""
    verdict = paint("better", "green") if delta.better else paint("worse", "red")
    if delta.low is None or delta.high is None:
        return amount, part, verdict
    doubt = "noise: " if delta.noise else ""
    return amount, part, verdict, f"({doubt}95% from {rounded(delta.low)} to {rounded(delta.high)})"


def _file_rows(found: Comparison) -> Iterable[Cells]:
    for file in found.files:
        if why := file.uncounted:
            yield file.path, why
        else:
            yield file.path, f"+{file.added} -{file.deleted}"


def as_object(found: ExperimentDetails) -> dict[str, Any]:
    """``explore show --json``."""
    experiment, said = found.experiment, found.experiment.payload
    return {
        "version": experiment.name,
        "headline": said.headline,
        "text": said.text,
        "date": show_date(experiment.date),
        "tagger": experiment.tagger,
        "tag": experiment.oid,
        "commit": experiment.commit,
        "branches": list(found.branches),
        "labels": list(said.labels),
        "config_hash": said.config_hash or None,
        "same_config": list(found.same_config),
        "data": said.data or None,
        "run": said.run or None,
        "run_commit": said.run_commit or None,
        "results": said.results or None,
        "table": said.table or None,
        "parent": found.parent.name if found.parent else None,
        "reason": said.reason or None,
        "handwritten": said.handwritten,
        "params": dict(said.params),
        "metrics": dict(said.metrics),
        "context": dict(said.context),
        "artifacts": [
            artifact._asdict() | {"proved": moment(artifact.proved)} for artifact in found.artifacts
        ],
        "promotions": [promotion._asdict() for promotion in found.promotions],
        "changes": [_change_object(change) for change in found.changes],
        "since_parent": comparison(found.since) if found.since else None,
        "rows": [link._asdict() | {"database": str(link.database)} for link in found.rows],
    }


def comparison(found: Comparison) -> dict[str, Any]:
    """``explore diff --json``."""
    return {
        "before": side(found.before),
        "after": side(found.after),
        "params": [change._asdict() for change in found.params],
        "metrics": [delta._asdict() for delta in found.metrics],
        "artifacts": [change._asdict() for change in found.artifacts],
        "code": [
            {"path": file.path, "added": file.added, "deleted": file.deleted}
            for file in found.files
        ],
        "different": found.different,
    }


def side(compared: ComparedSide) -> dict[str, Any]:
    """A side of a comparison for JSON."""
    return {"name": compared.name, "commit": compared.commit, "run": compared.run or None}
