"""Convert between tag messages and experiments: one line for people, then TOML for programs.

The message of an experiment's tag is ``HEADLINE``, a blank line and a TOML document (toml.io, v1.0)
with the tables ``[xexp]``, ``[params]``, ``[metrics]``, ``[context]`` and ``[artifacts]``.
Handwritten tags (``model=x | F1=0.9 | text``, no TOML) are parsed as far as possible.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gitxexp.common import limits
from gitxexp.common.errors import XexpError

#: 1: [xexp], [params], [metrics], [artifacts]; 2: and [context]
SCHEMA = 2

#: Bytes of a message.
MOST = 1_000_000

#: What separates the fields of a headline.
SEPARATOR = " | "

# Compiled on first use: a warm listing parses no tag.
_SIGNATURE = r"^-----BEGIN (?:PGP|SSH|SIGNED)"
_FIELD = r"([^\s=|]+)\s*=\s*(.*)"
_LINE = r"""(?:([A-Za-z0-9_-]+)|"([^"\\\x00-\x1f\x7f]*)")\ =\ (?:"([^"\\\x00-\x1f\x7f]*)"
    |(-?(?:0|[1-9][0-9]*))|(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:e[+-]?[0-9]+)?|e[+-]?[0-9]+))
    |(true|false))"""


class Payload(NamedTuple):
    """The content of an experiment's tag.

    ``params`` and ``metrics`` have dotted names; ``artifacts`` maps the path of every DVC output to
    ``md5:…``. ``handwritten`` marks a message without our TOML.
    """

    headline: str
    version: str = ""
    text: str = ""  #: the prose part of the headline
    config_hash: str = ""
    data: str = ""  #: the six digits after ``data=``, or "none"
    run: str = ""
    run_commit: str = ""
    code: str = ""  #: hash of the code files (see :mod:`gitxexp.workflows.experiments.code_hash`)
    parent: str = ""  #: the parent: the experiment that this one was compared with
    reason: str = ""  #: the reason for the version's level
    results: str = ""  #: the results database, relative to the top of the repository
    table: str = ""  #: the table of the run in ``results``
    labels: tuple[str, ...] = ()
    params: Mapping[str, Any] = {}
    metrics: Mapping[str, Any] = {}
    artifacts: Mapping[str, str] = {}
    handwritten: bool = False
    #: where it ran (python, host, code and data commits); never hashed or compared
    context: Mapping[str, Any] = {}


#: The text fields of a payload, except the headline.
TEXTS = ("version", "text", "config_hash", "data", "run", "run_commit", "code", "parent", "reason",
          "results", "table")  # fmt: skip


def encode(payload: Payload) -> str:
    """Return the whole tag message, ending in a newline. Empty fields and NULL values are omitted."""
    import tomli_w  # late: 4 ms, only needed to write

    head: dict[str, Any] = {"schema": SCHEMA}
    head |= {name: value for name in TEXTS if (value := getattr(payload, name))}
    if payload.labels:
        head["labels"] = list(payload.labels)
    document: dict[str, Any] = {"xexp": head}
    for table in ("params", "metrics", "context", "artifacts"):
        values = {k: _storable(v) for k, v in getattr(payload, table).items() if v is not None}
        if values or table != "context":
            document[table] = dict(sorted(values.items()))
    text = f"{payload.headline}\n\n{tomli_w.dumps(document)}"
    if wrong := problem(text.encode("utf-8", "replace")):
        raise XexpError(
            f"the tag's message would not be readable: it {wrong}",
            "leave parameters out: [params] ignore in .xexp/config.toml, or shorten the description",
        )
    return text


def problem(message: bytes) -> str | None:
    """Return why a message is not read (it "is larger than 1 MB" …); None if it is."""
    if len(message) > MOST:
        return f"is larger than {MOST // 1_000_000} MB"
    text = message.decode("utf-8", "replace")
    return limits.problem(text[text.index("[xexp]") :]) if "[xexp]" in text else None


def decode(message: str) -> Payload:
    """Parse a tag message, signed or not, that has no :func:`problem`; never raises."""
    found = re.search(_SIGNATURE, message, re.MULTILINE)
    if found:
        message = message[: found.start()]
    headline, _, rest = message.strip("\n").partition("\n")
    document = _document(rest)
    if document is None:
        return _handwritten(headline.strip())
    head = document["xexp"]
    texts: dict[str, Any] = {name: str(head[name]) for name in TEXTS if name in head}
    labels = head.get("labels", [])
    return Payload(
        headline=headline.strip(),
        labels=tuple(map(str, labels)) if isinstance(labels, list) else (),
        params=_table(document, "params"),
        metrics=_table(document, "metrics"),
        artifacts={k: str(v) for k, v in _table(document, "artifacts").items()},
        context=_table(document, "context"),
        **texts,
    )


def headline(fields: Mapping[str, str], text: str = "") -> str:
    """``a=1 | b=2 | text`` on one line; separators and line breaks in values are replaced."""
    parts = [f"{name}={_one_line(value)}" for name, value in fields.items()]
    prose = _one_line(text, keep_bars=True)
    return SEPARATOR.join([*parts, *([prose] if prose else [])])


def show(value: Any) -> str:
    """Format a value as people write it: ``0.0001`` not ``1e-04``, ``true`` not ``True``."""
    if isinstance(value, float):
        text = repr(value)
        if "e" not in text:
            return text
        if 1e-6 <= abs(value) < 1e16:
            plain = f"{value:.12f}".rstrip("0")
            return plain if float(plain) == value else text
        return text
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def show_all(values: Sequence[Any]) -> list[str]:
    """Apply :func:`show` to each value of a column, "" for None; faster for long columns."""
    kinds = set(map(type, values))
    if kinds <= {str, int}:
        return list(map(str, values))
    if kinds == {float}:
        texts = map(repr, values)
        return [show(float(text)) if "e" in text else text for text in texts]
    return ["" if value is None else show(value) for value in values]


def _one_line(text: str, *, keep_bars: bool = False) -> str:
    line = " ".join(text.split())
    return line if keep_bars else line.replace("|", "/")


def _storable(value: Any) -> Any:
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value if item is not None]
    if isinstance(value, Mapping):
        return {str(k): _storable(v) for k, v in value.items() if v is not None}
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _table(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    table = document.get(name)
    return table if isinstance(table, dict) else {}


def _document(text: str) -> dict[str, Any] | None:
    """Return the TOML after the headline if it is ours, else None."""
    if "[xexp]" not in text:
        return None
    document = quick_toml(text)
    if document is None:
        import tomllib

        try:
            document = _storable(tomllib.loads(text[text.index("[xexp]") :]))
        except (ValueError, RecursionError):
            return None
    return document if isinstance(document.get("xexp"), dict) else None


def quick_toml(text: str) -> dict[str, Any] | None:
    """Parse ``text`` if it is as simple as what :func:`encode` usually writes, else return None.

    tomllib takes 0.3 ms per tag, too slow for a listing of 2,000. Tests compare the result with
    tomllib's; anything else is left to tomllib.
    """
    document: dict[str, Any] = {}
    table: dict[str, Any] = document
    match = re.compile(_LINE, re.VERBOSE).fullmatch
    for line in text.split("\n"):
        found = match(line)
        if found:
            bare, quoted, string, integer, number, truth = found.groups()
            name = quoted if bare is None else bare
            if name in table:
                return None
            if string is not None:
                table[name] = string
            elif integer is not None:
                table[name] = int(integer)
            elif number is not None:
                table[name] = float(number)
            else:
                table[name] = truth == "true"
        elif not line:
            continue
        elif (
            line in ("[xexp]", "[params]", "[metrics]", "[context]", "[artifacts]")
            and line[1:-1] not in document
        ):
            table = document[line[1:-1]] = {}
        else:
            return None
    return document


#: Names that people use for the tracker's run, and for fields that are not parameters.
_RUN = ("run", "run_id", "track_id", "run_name")


def _handwritten(headline: str) -> Payload:
    from gitxexp.trackers import column_names  # late: thousands of words, for few tags

    aside = (column_names.Role.CONTEXT, column_names.Role.KEY)
    params: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    context: dict[str, Any] = {}
    texts: list[str] = []
    data = run = ""
    for part in headline.split("|"):
        found = re.fullmatch(_FIELD, part.strip(), re.DOTALL)
        if not found:
            texts += [part.strip()] if part.strip() else []
            continue
        name, value = found[1], found[2].strip()
        number = limits.scalar(value)
        named = column_names.role_of(name.lower())
        if name.lower() == "data":
            data = value
        elif name.lower() in _RUN:
            run = value
        elif isinstance(number, int | float) and column_names.is_metric_name(name.lower()):
            metrics[name.lower()] = number
        elif named is not None and named.sure and named.role in aside:
            context[name] = number
        else:
            params[name] = number
    return Payload(
        headline,
        text=SEPARATOR.join(texts),
        run=run,
        data=data,
        context=context,
        params=params,
        metrics=metrics,
        handwritten=True,
    )
