"""Infer from a column's name its role, whether higher is better, and its place in a list.

Trackers store parameters and metrics side by side in one table, and nothing in the database tells
them apart. Names are read as English compounds: the last word says what a thing is (``loss_weight``
is a weight, ``policy_loss`` a loss), the words before it narrow it down, and words for where or how
a value was measured (``val_``, ``mean_``, ``_at_10``, ``_ms``) are removed first. The words are
those of :mod:`gitxexp.trackers.vocabulary`. A user's explicit lists (``.xexp/config.toml``) always
come before a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from gitxexp.trackers import vocabulary
from gitxexp.trackers.vocabulary import HIGHER, LOWER, METRICS, OUTCOMES, SPLITS


class Role(StrEnum):
    """What a column is to an experiment; only ``PARAM`` is part of a configuration."""

    PARAM = "param"
    METRIC = "metric"
    CONTEXT = "context"
    OUTPUT = "output"
    KEY = "key"


class Named(NamedTuple):
    """The role that a name suggests, and the words that suggest it."""

    role: Role
    why: str
    sure: bool = True  #: if not, the neighbouring columns may decide


PARAM_ORDER = (
    "model", "model_name", "model_type", "architecture", "arch", "backbone", "algorithm",
    "estimator", "classifier", "lr", "learning_rate", "batch_size", "batch", "epochs", "num_epochs",
    "n_epochs", "max_epochs", "optimizer", "scheduler", "dropout", "weight_decay", "hidden_size",
    "hidden_dim", "num_layers", "n_layers", "max_depth", "n_estimators", "alpha", "beta", "gamma",
    "temperature", "threshold", "max_length", "max_len", "n_est", "n_trees", "max_features",
    "num_leaves", "kernel", "n_neighbors", "n_clusters", "n_components", "embedding_dim", "lora_r",
    "max_tokens", "top_p", "top_k", "chunk_size", "retriever", "embedding_model", "prompt_version",
    "horizon", "lookback", "strategy", "k",
)  # fmt: skip
#: Columns that name the code of a run.
COMMIT_COLUMNS = ("git_commit", "git_commit_hash", "run_commit", "commit", "commit_hash",
                  "code_commit", "git_hash", "git_sha", "commit_sha")  # fmt: skip
_WORD = re.compile(r"[a-z]{2,}\d+k(?![a-z0-9])|[a-z]+\d*|\d+k(?![a-z0-9])|\d+")
_NUMBER = re.compile(r"\d+k?")
_DIGITS = re.compile(r"(?<=[a-z]{2})\d+k?$")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])")


def words(name: str) -> list[str]:
    """The lower-case words of a name: ``valLoss``, ``val/loss`` and ``val-loss`` are the same."""
    return list(_words(name))


@lru_cache(maxsize=4096)
def _words(name: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(_HUMP.sub("_", name).lower()))


_ALIASES = (
    (re.compile(r"(?<![a-z0-9])lr(?![a-z0-9])"), "learning_rate"),
    (re.compile(r"(?<![a-z0-9])acc(?![a-z0-9])"), "accuracy"),
    (re.compile(r"(?<![a-z0-9])bs(?![a-z0-9])"), "batch_size"),
    (re.compile(r"(?<![a-z0-9])f1_?score(?![a-z0-9])"), "f1"),
)


@lru_cache(maxsize=4096)
def canonical(name: str) -> str:
    """Return one spelling for a name that has several: ``lr`` and ``learning_rate``, ``acc`` and
    ``accuracy``, ``bs`` and ``batch_size``, ``F1`` and ``f1_score``, also within a name (``val_acc``).

    For comparing and listing; what is recorded keeps the user's spelling.
    """
    folded = name.lower()
    for pattern, full in _ALIASES:
        folded = pattern.sub(full, folded.replace("-", "_"))
    return folded


@lru_cache(maxsize=4096)
def has_aliases(name: str) -> bool:
    """Whether the name has aliases."""
    full = canonical(name)
    return full != name or any(
        part in full for part in ("learning_rate", "accuracy", "batch_size", "f1")
    )


def alias_in(names: Iterable[str], name: str) -> str | None:
    """The only one of ``names`` that is another name for ``name``; None if there is none."""
    if not has_aliases(name):
        return None
    wanted = canonical(name)
    found = [each for each in names if each != name and canonical(each) == wanted]
    return found[0] if len(found) == 1 else None


def bare(name: str) -> str:
    """Return the name of a setting without its section: ``train.lr`` and ``params_lr`` are lr."""
    tail = name.rpartition(".")[2]
    first, _, rest = tail.partition("_")
    return bare(rest) if rest and first.lower() in vocabulary.PARAM_PREFIXES else tail


def is_metric_name(name: str) -> bool:
    """Whether a name is that of a measured quantity: ``f1``, ``val_loss``, ``rouge/l``."""
    named = role_of(name)
    return named is not None and named.role is Role.METRIC


def is_param_name(name: str) -> bool:
    """Whether a name is that of a setting: ``lr``, ``batch_size``, ``model.hidden_dim``."""
    named = role_of(name)
    return named is not None and named.role is Role.PARAM


def is_counter(name: str) -> bool:
    """Whether a name is that of a loop counter (``epoch``, ``step``)."""
    return "_".join(words(name.rpartition(".")[2])) in vocabulary.COUNTERS


def hints_at_setting(name: str) -> bool:
    """Whether any word of a name is one of settings and none of metrics: ``layer_freeze``."""
    parts = _without_units(words(name))
    if not METRICS.isdisjoint(parts):
        return False
    return any(_is_setting_word(part) for part in parts if len(part) > 2 and part not in SPLITS)


def is_made_of_settings(name: str) -> bool:
    """Whether every word of a name is one of settings: ``l2_reg_embedding``."""
    return all(map(_is_setting_word, words(name)))


def _is_setting_word(word: str) -> bool:
    known = (vocabulary.PARAMS, vocabulary.PARAM_ENDINGS, vocabulary.PARAM_BEGINNINGS,
             vocabulary.SET_RATES)  # fmt: skip
    return any(word in each for each in known)


@lru_cache(maxsize=4096)
def role_of(name: str) -> Named | None:
    """Return the role that ``name`` alone suggests; None if it suggests none."""
    spelled = list(_spellings(name))
    for parts in spelled:
        if named := _whole(parts):
            return named
    if named := _in_section(name):
        return named
    for parts in spelled:
        if named := _compound(parts):
            return named
    return None


def _spellings(name: str) -> Iterator[list[str]]:
    """Return the words of a name: as written, split at capitals, and without digits; of a dotted
    name also those of its last part."""
    tail = name.rpartition(".")[2]
    seen: list[list[str]] = []
    for text in dict.fromkeys((name, tail)):
        plain, humped = _WORD.findall(text.lower()), words(text)
        bare = (_without_digits(plain), _without_digits(humped))
        joined = ["".join(plain)] if any(len(part) > 1 for part in plain) else []  # not n_d
        for parts in (plain, joined, humped, *bare):
            if parts and parts not in seen:
                seen.append(parts)
                yield parts


def _without_digits(parts: list[str]) -> list[str]:
    """Remove digits: ``map50`` is map and ``fid50k`` is fid; a single letter keeps them (``p99``)."""
    bare = [_DIGITS.sub("", part) for part in parts]
    return [part for part in bare if not _NUMBER.fullmatch(part)]


#: Role by whole name, the first set that has it.
_WHOLE = (
    (vocabulary.KEYS, Role.KEY),
    (vocabulary.CONTEXT, Role.CONTEXT),
    (vocabulary.COUNTERS, Role.CONTEXT),
    (vocabulary.TIMES, Role.CONTEXT),
    (vocabulary.OUTPUTS, Role.OUTPUT),
    (vocabulary.PARAMS, Role.PARAM),
    (METRICS, Role.METRIC),
)


#: The same names written as one word: ``batchsize``, ``maxdepth``.
_TOGETHER = {
    name.replace("_", ""): (role, name)
    for names, role in reversed(_WHOLE)
    for name in sorted(names)
    if "_" in name and len(name) > 6
}


#: Numbers of iterations, done or requested.
_TOTALS = frozenset(("total_timesteps", "total_steps", "total_frames", "total_episodes", "n_episodes",
                     "num_episodes", "total_env_steps"))  # fmt: skip


def _whole(parts: list[str]) -> Named | None:
    joined = "_".join(parts)
    for names, role in _WHOLE:
        if joined in names:
            return Named(role, f"named {joined}", joined not in _TOTALS)
    if together := _TOGETHER.get("".join(parts)):
        return Named(together[0], f"named {together[1]}")
    return None


#: Sections: before a slash, as TensorBoard, SB3 and Ultralytics group their logs, or before a dot, as
#: MLflow and W&B export runs.
_SECTIONS = {
    "metrics": Role.METRIC, "metric": Role.METRIC, "losses": Role.METRIC, "loss": Role.METRIC,
    "scores": Role.METRIC, "system": Role.CONTEXT, "time": Role.CONTEXT, "timers": Role.CONTEXT,
    "perf": Role.CONTEXT, "hparams": Role.PARAM, "params": Role.PARAM, "config": Role.PARAM,
    "args": Role.PARAM, "lr": Role.CONTEXT, "tags": Role.CONTEXT,
}  # fmt: skip


def _in_section(name: str) -> Named | None:
    export, _, column = name.partition(".")
    if column and export in ("metrics", "params", "tags"):
        return Named(_SECTIONS[export], f"below {export}.")
    section, slash, rest = name.partition("/")
    if not slash or not rest:
        return None
    role = _SECTIONS.get(section.strip().lower())
    if role is None and section.lower() in METRICS:  # rewards/chosen
        role = Role.METRIC
    if role is not None:
        return Named(role, f"below {section}/")
    return role_of(rest)


#: Settings, before the name of what they apply to: ``weight_value``, ``coef_value_loss``.
_HEADS = frozenset(("coef", "weight", "weights", "lambda", "lr", "temperature", "threshold", "dropout",
                    "noise", "floor", "reserve"))  # fmt: skip
#: Last words that mark a result, whatever verb is first: ``skip_count``, ``load_time``.
_FACTS = frozenset(("count", "counts", "time", "commit", "hash", "id", "date", "at", "url", "seconds",
                    "from"))  # fmt: skip
#: ``params_m`` is how many parameters a model has.
_WEIGHTS = frozenset(("total", "count", "m", "million", "millions", "k", "mb", "trainable"))
_BYTES = frozenset(("kb", "mb", "gb", "tb", "mib", "gib", "bytes"))
#: Endings of a setting, or, after the name of a metric, of a variant: ``acc_norm``.
_FORMS = frozenset(("norm", "rank", "coefficient", "coeff", "coef", "ratio", "factor"))
_SCALED = frozenset(("loss", "kl", "entropy", "reward", "return", "cost", "energy", "divergence",
                     "distance", "gain", "value"))  # fmt: skip
_COUNTING = ("n", "num", "nb", "number", "count", "no")
_COUNTS = ("count", "counts", "cnt", "no", "nr", "num", "total")
_SUMMING = ("mean", "avg", "average", "median", "best", "worst", "final")
_PERCENTILE = re.compile(r"(?:p|q)\d{2,4}|median|mean|std")
_MACHINE = frozenset(("gpu", "cpu", "ram", "mem", "memory", "vram", "disk"))
_LOAD = frozenset(("mem", "memory", "util", "utilization", "usage", "used", "power", "load", "temp",
                   "allocated", "reserved", "percent", "gb", "mb"))  # fmt: skip
#: Units that a model processes one by one, and the names of their length.
_PIECES = frozenset(("audio", "clip", "utt", "utterance", "word", "passage", "text", "prompt", "response",
                     "question", "answer", "input", "output", "doc", "document", "sentence",
                     "video", "gen"))  # fmt: skip
_LENGTHS = frozenset(("len", "length", "duration", "chars", "words"))
#: Units of a measurement per piece: ``bits_per_dim``.
_QUANTITIES = frozenset(("bits", "nats", "joules", "kwh", "watts", "usd", "dollars", "bytes"))
#: Components that are chosen by name: a tokenizer, a classifier, an encoder.
_MAKER = re.compile(r"[a-z]{2,}(?:izer|iser|ifier|oder|ampler|eduler|riever|anker)")
#: Durations of an answer are metrics; those of a training describe the machine.
_ANSWERING = frozenset(("inference", "response", "decode", "decoding", "token", "search", "query",
                        "render", "generation", "wait", "lookup", "serving", "retrieval"))  # fmt: skip
_DURATIONS = frozenset(("time", "duration", "runtime", "elapsed", "seconds", "secs", "minutes",
                        "hours", "walltime"))  # fmt: skip
_EACH = frozenset(("s", "sec", "second", "seconds", "min", "minute", "hour", "h", "ms", "day",
                   "watt", "joule", "dollar", "usd"))  # fmt: skip


def _compound(parts: list[str]) -> Named | None:
    if "or" in parts[1:-1]:  # model_name_or_path
        parts = parts[: parts.index("or", 1)]
        return _whole(parts) or _compound(parts)
    for rule in (_by_source, _by_prefix, _by_count, _by_ratio, _by_machine, _by_ending,
                 _by_measure):  # fmt: skip
        if named := rule(parts):
            return named
    return None


#: Endings that mark what a run did: ``n_iter_actual``, ``max_tokens_seen``.
_DONE = frozenset(
    (
        "seen",
        "used",
        "done",
        "run",
        "processed",
        "completed",
        "reached",
        "actual",
        "left",
        "found",
        "detected",
        "removed",
    )
)
#: Names that identify a configuration but are not part of it.
_IDENTITY = frozenset(
    ("sha", "md5", "yaml", "json", "file", "path", "dir", "id", "version", "rev", "url")
)
#: Words whose size is that of the data.
_COLLECTIONS = frozenset(
    (
        "set",
        "cohort",
        "corpus",
        "dataset",
        "catalog",
        "graph",
        "panel",
        "file",
        "db",
        "gallery",
        "library",
        "collection",
    )
)
#: Prefixes of a model's output for one row: ``predicted_vol``.
_FORETOLD = frozenset(("predicted", "actual", "observed", "forecast"))
_ERRORS = frozenset(("error", "loss", "bias", "accuracy", "mae", "rmse", "mape", "score"))
_LOOPS = frozenset(("epoch", "step"))


def _by_source(parts: list[str]) -> Named | None:
    """Classify by source: a row (``pred_…``, ``gold_…``), the run itself (``…_used``), or a loop
    (``val_loss_epoch``, by Lightning)."""
    if len(parts) < 2:
        return None
    first, last = parts[0], parts[-1]
    if last in _LOOPS and first != "best" and (measure := _metric_core(parts[:-1])):
        return Named(Role.METRIC, measure)
    if last in _DONE or (last == "by" and parts[-2].endswith("ed")):
        return Named(Role.CONTEXT, f"what was {last}")
    if first in vocabulary.OUTPUT_BEGINNINGS and not is_rate(parts):
        bare = [part for part in parts if part not in SPLITS]
        named = _by_count(bare) or _by_machine(bare)
        ending = None if named else _by_ending(parts)
        if ending and (ending.role is not Role.CONTEXT or last not in _COUNTED_DATA):
            named = ending
        if named and named.role is Role.METRIC and first in _FORETOLD and last not in _ERRORS:
            return Named(Role.OUTPUT, f"{first}_…")
        chosen = first in ("forecast", "prediction", "hypothesis")  # the task: prediction_type
        chosen |= last in ("cut", "cutoff", "threshold", "thr", "thresh")
        if named and (named.role is not Role.PARAM or chosen):
            return named
        return Named(Role.OUTPUT, f"{first}_…")
    if last in ("name", "title") and parts[-2] in vocabulary.ROW_NOUNS:
        return Named(Role.OUTPUT, f"the {last} of a {parts[-2]}")
    if first in vocabulary.PARAM_PREFIXES and len(parts) == 2 and last in _IDENTITY:
        return Named(Role.CONTEXT, f"the {last} of a configuration")
    if first == "params" and len(parts) == 2 and last in _WEIGHTS:
        return Named(Role.CONTEXT, "the size of a model")
    if last == "size" and parts[-2] in _COLLECTIONS:
        return Named(Role.CONTEXT, "the size of the data")
    return None


def _by_prefix(parts: list[str]) -> Named | None:
    """``config_x`` and ``max_x`` configure, unless x is measured; ``use_x`` switches."""
    first, rest = parts[0], parts[1:]
    if not rest:
        return None
    if first in vocabulary.PARAM_PREFIXES:
        return Named(Role.PARAM, f"one of {first}_…")
    sized = parts[1] == "size" and parts[-1] not in _BYTES
    if first in _HEADS or sized or parts[:2] == ["learning", "rate"]:
        return Named(Role.PARAM, f"{first}_…")
    inner = _whole(rest) or _compound(rest)
    role = inner.role if inner else None
    if first in ("max", "min", "maximum", "minimum"):
        if role is Role.METRIC:
            return inner
        if role is Role.CONTEXT and not (_MACHINE | METRICS).isdisjoint(rest[:-1]):
            return inner
        if rest[-1] in vocabulary.TIMES | vocabulary.TIME_ENDINGS or role is Role.KEY:
            return Named(Role.CONTEXT, f"the {first} {rest[-1]}")
        if role is Role.OUTPUT and not is_plural(rest[-1]):  # max_prob, not max_documents
            return inner
        return Named(Role.PARAM, f"a limit: {first}_…")
    done_on = parts[1] == "on" and first in vocabulary.SPLITS | {"fit"}  # train_on_inputs
    switch = first in vocabulary.SWITCHES or done_on
    if switch and role is not Role.METRIC and rest[-1] not in _FACTS:
        return Named(Role.PARAM, f"a switch: {first}_…")
    if first in ("is", "has", "was"):
        if role is Role.METRIC:
            return inner
        return Named(Role.OUTPUT, f"output for a row: {first}_…")
    return None


#: Parts of data, rows and machines, whose number is never a setting.
_COUNTED_DATA = (vocabulary.CONTEXT_ENDINGS | vocabulary.OUTPUTS | vocabulary.OUTPUT_ENDINGS
                 | vocabulary.ROW_NOUNS | vocabulary.CONTEXT | OUTCOMES | METRICS)  # fmt: skip


def _by_count(parts: list[str]) -> Named | None:
    """``n_layers`` is a setting, ``n_samples`` a count."""
    first, rest = parts[0], parts[1:]
    if parts[:2] == ["number", "of"]:
        rest = parts[2:]
    if first in _COUNTING and rest and not (first == "no" and rest[-1] in METRICS):
        noun = "_".join(rest)
        done = rest[-1] in _SUMMING or rest[-1].endswith("ed")
        if done and rest[-1] not in vocabulary.COUNTED_SETTINGS:
            return Named(Role.CONTEXT, f"counts {noun}")
        if "per" in rest[1:]:
            return Named(Role.PARAM, f"how many {noun}")
        first = rest[0] if is_plural(rest[0]) else noun  # n_layers_max, not n_round_trips
        if not vocabulary.COUNTED_SETTINGS.isdisjoint((noun, first, rest[-1])):
            return Named(Role.PARAM, f"how many {noun}")
        return Named(Role.CONTEXT, f"counts {noun}", sure=False)
    if len(parts) < 2 or parts[-1] not in _COUNTS:
        return None
    counted = vocabulary.COUNTED_SETTINGS - vocabulary.COUNTERS - {"trial", "iter"}
    if parts[-1] == "num" and parts[-2] in counted:  # layer_num, not epoch_num
        return Named(Role.PARAM, f"how many {parts[-2]}")
    if _metric_core(parts[:-1]):
        return None
    return Named(Role.CONTEXT, "a count", sure=parts[-1] != "num")


def _by_ratio(parts: list[str]) -> Named | None:
    """``win_rate`` and ``tokens_per_second`` are measured, ``dropout_rate`` is set."""
    if "per" in parts[1:-1]:
        at = parts.index("per", 1)
        one, each = parts[at - 1], parts[at + 1]
        measured = one in _QUANTITIES | OUTCOMES or one.endswith("flops")
        if (
            measured
            or each in _EACH
            or _metric_core(parts[:at])
            or one in vocabulary.UNITS & METRICS
        ):
            return Named(Role.METRIC, f"{one} per {each}")
        if one in _COUNTED_DATA and one not in ("samples", "examples", "shots", "points"):
            return Named(Role.CONTEXT, f"{one} per {each}")
        return Named(Role.PARAM, f"{one} per {each}")
    if is_rate(parts):
        return Named(Role.METRIC, f"an outcome's {parts[-1]}")
    if len(parts) > 1 and parts[-1] == "rate":
        return Named(Role.PARAM, f"…_{parts[-2]}_rate")
    return None


def counts_data(name: str) -> bool:
    """Whether a name is that of a number of rows, images or users."""
    last = words(name)[-1:]
    return not _COUNTED_DATA.isdisjoint(last) and last not in (["timesteps"], ["episodes"])


def is_count(name: str) -> bool:
    """Whether a name is that of a number of things: ``n_paths``, ``draws``."""
    parts = words(name)
    return bool(parts) and (parts[0] in _COUNTING or is_plural(parts[-1]) or parts[-1] in _COUNTS)


def is_plural(word: str) -> bool:
    """Whether a word is the plural of something that one counts."""
    return len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is", "as"))


def is_rate(parts: list[str]) -> bool:
    """Whether words end as the rate of an outcome: ``error_rate``, not ``dropout_rate``."""
    if len(parts) < 2:
        return False
    if parts[-1] in ("rate", "ratio"):
        if parts[-2] in vocabulary.SET_RATES or "_".join(parts[-3:-1]) in vocabulary.SET_RATES:
            return False
        return parts[-1] == "rate" or any(part in OUTCOMES for part in parts[:-1])
    return parts[-1] in ("pct", "percent", "percentage") and any(
        part in OUTCOMES for part in parts[:-1]
    )


def _by_machine(parts: list[str]) -> Named | None:
    """Classify the load of the machine, and durations that are not an answer's."""
    bare = [part for part in parts if part not in vocabulary.AGGREGATES]
    end = bare[-1] if bare else ""
    loaded = end in _LOAD | _MACHINE | vocabulary.UNITS
    if end in _MACHINE and _metric_core(bare[:-1]):  # rtf_cpu
        return None
    if loaded and _MACHINE.intersection(bare):
        return Named(Role.CONTEXT, "load of the machine")
    core = _without_units(parts)
    timed = core and core[-1] in _DURATIONS
    if len(parts) > 1 and (timed or parts[-1] in _DURATIONS):
        if _ANSWERING.intersection(parts):
            return Named(Role.METRIC, "how long an answer takes")
        return Named(Role.CONTEXT, "how long it took", sure=False)
    if not _PIECES.isdisjoint(parts[:-1]) and not _LENGTHS.isdisjoint(core[-1:]):
        return Named(Role.CONTEXT, f"the length of each {parts[0]}", sure=False)
    if "tokens" in parts[:-1] or (parts[-1] == "tokens" and parts[0] == "total"):
        return Named(Role.CONTEXT, "counts tokens")
    if parts[0] == "meta" and _is_whole_setting(parts[1:]):  # of meta-learning
        return Named(Role.PARAM, f"meta_{parts[-1]}")
    if parts[0] in vocabulary.CONTEXT_PREFIXES and len(parts) > 1:
        return Named(Role.CONTEXT, f"one of {parts[0]}_…")
    return None


def _by_ending(parts: list[str]) -> Named | None:
    """Classify by the last word, ignoring units."""
    if _MAKER.fullmatch(parts[-1]):
        return Named(Role.PARAM, f"chosen: a {parts[-1]}")
    if len(parts) < 2:
        return (
            Named(Role.PARAM, f"a setting: {parts[0]}", sure=False)
            if parts[0] in vocabulary.PARAM_ENDINGS
            else None
        )
    last, joined = parts[-1], "_".join(parts)
    if "at" in parts[1:] and (measure := _metric_core(parts[: parts.index("at", 1)])):
        return Named(Role.METRIC, measure)
    if last in vocabulary.KEY_ENDINGS and joined not in vocabulary.NOT_KEYS:
        return Named(Role.KEY, f"…_{last}")
    if last in _BYTES:
        return Named(Role.CONTEXT, "a size in bytes")
    if last in ("days", "hours", "weeks", "months", "years", "bars", "candles"):
        if vocabulary.SET_SPANS.isdisjoint(parts) or parts[0] in _SUMMING:
            return Named(Role.CONTEXT, "how long it was")
        return Named(Role.PARAM, f"…_{last}")
    set_to = any(part in _SCALED or _is_setting_word(part) for part in parts[:-1])
    if last in ("ratio", "coefficient") and ("to" in parts or not set_to):
        return Named(Role.METRIC, f"a {last} of nothing that is set", sure=False)
    if last == "k" and parts[-2] in METRICS - _SCALED:  # map_k, as map_at_k
        return Named(Role.METRIC, f"{parts[-2]} at k")
    if last == "delay" and parts[-2] in OUTCOMES | _ANSWERING:
        return Named(Role.METRIC, "how long an answer takes")
    if last == "rank" and (parts[0] in _SUMMING or not _is_setting_word(parts[-2])):
        return Named(Role.METRIC, "a statistic", sure=parts[0] in _SUMMING)
    if last in vocabulary.CONTEXT_ENDINGS and parts[-2] in _SPANS:
        return Named(Role.PARAM, f"how many {last}")
    if last == "norm" and parts[-2] in vocabulary.AGGREGATES | {"gradient", "update", "residual"}:
        return Named(Role.METRIC, "a norm")
    if last == "sim":
        return Named(Role.METRIC, "a similarity")
    if last in _FORMS:
        measured = parts[-2] in METRICS and parts[-2] not in _SCALED
        return Named(Role.METRIC if measured else Role.PARAM, f"{parts[-2]}_{last}", measured)
    if last in _PLACES and _is_whole_setting(parts[:-1]):
        return Named(Role.PARAM, f"the {last} of {parts[-2]}")
    if parts[0] in SPLITS and last in ("from", "to", "since", "until"):
        return Named(Role.PARAM, "a period")
    if last == "gain" and _is_whole_setting(parts[:-1]):  # kp_gain
        return Named(Role.PARAM, f"the {last} of {parts[-2]}")
    if last == "target" and parts[-2] in METRICS:  # kl_target
        return Named(Role.PARAM, "a target")
    if last in vocabulary.TIME_ENDINGS and (
        last != "at" or parts[-2].endswith("ed") or parts[-2] in ("ran", "run")
    ):
        return Named(Role.CONTEXT, "a point in time")
    if last == "bps":
        if _ASSUMED.isdisjoint(parts):
            return Named(Role.METRIC, "in basis points", sure=False)
        return Named(Role.PARAM, "an assumed cost", sure=False)
    of_rows = vocabulary.ROW_NOUNS - {"class", "label", "category"}
    if last in of_rows and (measure := _metric_core(_without_digits(parts[:-1]))):  # mae_user
        return Named(Role.METRIC, measure)
    core = _without_units(parts)
    if core != parts and (named := _whole(core)) and named.role is not Role.OUTPUT:
        return named
    for tail in ("_".join(core[-2:]), core[-1] if core else ""):
        if tail in METRICS and tail not in vocabulary.PARAM_ENDINGS:
            return Named(Role.METRIC, f"…_{tail}", sure=False)
    for tail in ("_".join(parts[-2:]), last):
        if tail in vocabulary.PARAM_ENDINGS:
            return Named(Role.PARAM, f"…_{tail}", sure=False)
        if tail in vocabulary.OUTPUT_ENDINGS:
            return Named(Role.OUTPUT, f"…_{tail}")
        if tail in vocabulary.CONTEXT_ENDINGS:
            return Named(Role.CONTEXT, f"…_{tail}")
    return None


#: Qualifiers of a setting with several values: ``sigma_max``, ``beta_start``, ``ma_fast``.
_ASSUMED = frozenset(
    ("cost", "costs", "fee", "fees", "commission", "slippage", "tc", "tax", "tcost")
)
_SPANS = frozenset(("lookahead", "lookback", "overlap", "warmup", "stride", "hop", "window", "chunk",
                    "patience", "shift", "horizon", "history"))  # fmt: skip
_PLACES = frozenset(("max", "min", "start", "end", "init", "initial", "base", "fast", "slow", "short",
                     "long", "low", "high", "on", "off", "buy", "sell"))  # fmt: skip


def _is_whole_setting(parts: list[str]) -> bool:
    named = _whole(parts)
    return named is not None and named.role is Role.PARAM


def _by_measure(parts: list[str]) -> Named | None:
    """Classify by the name without split, aggregate and unit, or by the first word."""
    if len(parts) > 1 and parts[0] in ("hours", "minutes", "days"):
        return Named(Role.CONTEXT, f"how many {parts[0]}", sure=False)
    core = _metric_core(parts)
    if core:
        return Named(Role.METRIC, f"{core}", sure=len(parts) == 1)
    bare = [part for part in parts if part not in SPLITS]
    if bare != parts and bare:
        inner = _whole(bare) or _compound(bare)
        if inner:
            return inner
    if parts[0] in SPLITS and len(parts) > 1 and is_plural(parts[-1]):
        return Named(Role.CONTEXT, f"counts {parts[-1]}")
    if parts[-1] in SPLITS and len(parts) == 2 and is_plural(parts[0]):  # tracks_test
        return Named(Role.CONTEXT, f"counts {parts[0]}")
    if parts[0] in SPLITS - {"train", "training", "trn"} and len(parts) > 1:
        return Named(Role.METRIC, f"{parts[0]}_…")
    if all(part in vocabulary.UNITS or _PERCENTILE.fullmatch(part) for part in parts):
        return Named(Role.METRIC, "a statistic")
    if len(parts) > 1:
        if parts[0] in ("run", "exp", "experiment", "job", "project"):
            return Named(Role.CONTEXT, f"one of {parts[0]}_…")
        if parts[0] in vocabulary.PARAM_BEGINNINGS or "noise" in parts:
            return Named(Role.PARAM, f"{parts[0]}_…")
        if parts[0] == "total" and parts[-1] in ("usd", "eur", "dollars"):
            return Named(Role.METRIC, "a cost")
        if parts[0] in ("total", "cum", "cumulative"):
            return Named(Role.CONTEXT, "a total")
        if parts[0] in _SUMMING or parts[-1] in ("mean", "avg", "median"):
            return Named(Role.METRIC, "a statistic")
    return None


def _metric_core(parts: list[str]) -> str:
    """Return the metric in ``val_loss``, ``recall_at_20`` or ``ep_rew_mean``, or ""."""
    core = [p for p in parts if p not in SPLITS and p not in vocabulary.AGGREGATES]
    core = [part for part in core if not _NUMBER.fullmatch(part)]
    if len(core) > 1:
        core = _without_units(core)
    pairs = ("_".join(core), "_".join(core[-2:]), "_".join(core[:2]))
    for found in (*pairs, *core[-1:], *core[:1]):
        if found in METRICS:
            return found
    return ""


def _without_units(parts: list[str]) -> list[str]:
    core = list(parts)
    while len(core) > 1 and (core[-1] in vocabulary.UNITS or core[-1].isdigit()):
        core.pop()
    return core


def maximize(name: str, overrides: Mapping[str, str | bool] | None = None) -> bool:
    """Whether a higher value of metric ``name`` is the better one.

    ``overrides`` (name → ``"max"``/``"min"`` or bool; exact name first, then without regard to
    case) wins. Otherwise a word of the name decides: errors, losses and costs are minimised, anything
    unknown is maximised. ``neg_…`` (scikit-learn) reverses it, and of ``x_per_y`` only ``x``
    counts (``tokens_per_second`` is a speed).
    """
    for key, value in (overrides or {}).items():
        if key == name or key.lower() == name.lower():
            return value if isinstance(value, bool) else value.strip().lower().startswith("max")
    parts = words(name)
    if "per" in parts[1:]:
        parts = parts[: parts.index("per", 1)]
    lower = _is_lower(parts)
    return lower if parts[:1] == ["neg"] else not lower


def _is_lower(parts: list[str]) -> bool:
    if is_rate(parts):
        return not any(part in ("hit", "win", "success", "true", "tp", "tn") for part in parts)
    pairs = {f"{one}_{two}" for one, two in pairwise(parts)}
    if pairs & HIGHER or (parts and parts[-1] in HIGHER):
        return False
    return bool(pairs & LOWER) or any(part in LOWER for part in parts)


def key_params_order(names: Iterable[str]) -> list[str]:
    """Sort parameters by importance: the model, learning rate, batch size, epochs, then others.

    Known names come in the order of :data:`PARAM_ORDER`; the rest keep their order, with
    the seed and names of files or machines last.
    """
    last = ("seed", "random_state", "random_seed", "device", "num_workers", "n_jobs")

    def rank(name: str) -> tuple[int, int]:
        tail = "_".join(words(bare(name)))
        if tail in PARAM_ORDER:
            return 0, PARAM_ORDER.index(tail)
        return (2 if tail in last or tail.endswith(("path", "file", "dir")) else 1), 0

    return sorted(names, key=rank)


def is_key_param(name: str) -> bool:
    """Whether a parameter is one that a short description names (:data:`PARAM_ORDER`)."""
    return "_".join(words(bare(name))) in PARAM_ORDER


METRIC_ORDER = ("f1", "accuracy", "acc", "auc", "r2", "map", "bleu", "score", "precision", "recall",
                "rmse", "mae", "wer", "perplexity", "loss")  # fmt: skip
_SPLIT_ORDER = ("test", "", "val", "valid", "validation", "eval", "dev", "train", "training")


def key_metrics_order(names: Iterable[str]) -> list[str]:
    """Sort metrics, the likely primary one first: quality, then losses, then costs.

    Test values come before validation values, those before training values.
    """

    def rank(name: str) -> tuple[int, int, int]:
        parts = words(name)
        split = next((part for part in parts if part in _SPLIT_ORDER), "")
        core = next((i for i, known in enumerate(METRIC_ORDER) if known in parts), None)
        known = len(METRIC_ORDER) if core is None else core
        cost = int(core is None and not maximize(name))
        return cost, known, _SPLIT_ORDER.index(split)

    return sorted(names, key=rank)
