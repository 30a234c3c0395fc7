"""How one artifact is merged: by the command line, ``params.yaml``'s ``merge:``, the configuration.

``params.yaml``::

    merge:
      strategy: merge            # or rebase, or keep (leave it alone); accumulate, replace and
      key_columns: [version]     # similar words mean the same
      table: predictions         # one name or a list; all tables without it
      data_strategy: merge
      data_key_columns: []
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gitxexp import results
from gitxexp.config import STRATEGIES, Config
from gitxexp.describe import Role
from gitxexp.errors import UsageError, XexpError
from gitxexp.merge.plan import MergeOptions, Mode

_MODES = {"merge": Mode.MERGE, "rebase": Mode.REBASE, "keep": None}
_WORDS: dict[str, Mode | None] = {
    word: _MODES[name] for name, others in STRATEGIES.items() for word in (name, *others)
}


@dataclass(frozen=True)
class Strategy:
    """``mode`` None leaves the artifact alone; ``where`` says who decided."""

    mode: Mode | None
    key: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    where: str = "the default"

    def over(self, options: MergeOptions) -> MergeOptions:
        """The options with this strategy's mode, and its key and tables where they name none."""
        return replace(
            options,
            mode=self.mode or Mode.MERGE,
            key=options.key or self.key,
            tables=options.tables or self.tables,
        )


def parse(word: str, where: str) -> Mode | None:
    """The mode that a word names; raises UsageError for an unknown one."""
    lowered = word.strip().lower()
    if lowered not in _WORDS:
        raise UsageError(f"{where}: '{word}' is not a strategy", "use merge, rebase or keep")
    return _WORDS[lowered]


def params_section(top: Path, config: Config) -> tuple[dict[str, Any], str]:
    """The ``merge:`` section of the first parameter file that has one, and that file's name."""
    for name in config.params_files:
        if (top / name).is_file():
            section = results.read_params(top / name).get("merge")
            if isinstance(section, Mapping):
                return dict(section), name
    return {}, ""


def strategy(
    role: Role, config: Config, section: Mapping[str, Any], file: str, asked: str | None = None
) -> Strategy:
    """How artifacts of ``role`` are merged; ``asked`` (the command line) wins, then ``section``.

    Raises UsageError for a word or list that cannot be read.
    """
    prefix = "data_" if role is Role.DATA else ""
    word, where = asked, "--strategy"
    if word is None:
        word, where = section.get(f"{prefix}strategy"), f"{prefix}strategy in {file}"
    if word is None:
        word = config.merge_data_strategy if prefix else config.merge_strategy
        where = f"[merge] {prefix}strategy"
    key = _names(section.get(f"{prefix}key_columns"), f"{prefix}key_columns in {file}")
    key = key or (config.merge_data_key if prefix else config.merge_key)
    tables = () if prefix else _names(section.get("table"), f"table in {file}")
    if not word:
        return Strategy(Mode.MERGE, key, tables)
    if not isinstance(word, str):
        raise UsageError(f"{where}: expected a word", "use merge, rebase or keep")
    return Strategy(parse(word, where), key, tables, where)


def _names(value: Any, where: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise XexpError(f"{where}: expected a name or a list of names", "mend the parameter file")
