"""The limits that the rules use, and their settings in ``[check] bounds``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import NamedTuple

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.trackers import column_names

_INFINITY = float("inf")


class Range(NamedTuple):
    """From ``low`` to ``high``."""

    low: float = -_INFINITY
    high: float = _INFINITY

    def __str__(self) -> str:
        low, high = (f"{value:g}" for value in self)
        return f"{low}..{high}"


_UNIT, _SIGNED, _POSITIVE, _BELOW_ONE = Range(0, 1), Range(-1, 1), Range(0), Range(high=1)

#: Ranges by the last word, or words, of a metric's name.
_RANGES: dict[Range, tuple[str, ...]] = {
    _UNIT: ("accuracy", "acc", "f1", "f1_score", "precision", "recall", "auc", "auroc", "roc_auc", "auprc",
            "pr_auc", "average_precision", "map", "iou", "miou", "dice", "jaccard", "ndcg", "mrr", "hit_rate",
            "hitrate", "specificity", "sensitivity", "balanced_accuracy", "exact_match", "em", "brier",
            "brier_score", "ece", "error_rate", "win_rate", "success_rate", "pass_rate", "ssim",
            "fpr", "tpr", "fnr", "tnr", "top1", "top5"),
    _SIGNED: ("mcc", "matthews_corrcoef", "kappa", "cohen_kappa", "pearson", "spearman", "kendall",
              "correlation", "silhouette", "cosine_similarity"),
    _BELOW_ONE: ("r2", "r2_score", "explained_variance"),
    _POSITIVE: ("mse", "rmse", "mae", "mape", "smape", "msle", "rmsle", "hinge_loss", "cross_entropy", "bce",
                "ce_loss", "mse_loss", "mae_loss", "l1_loss", "l2_loss", "cross_entropy_loss", "bce_loss",
                "log_loss", "logloss", "perplexity", "ppl", "wer", "cer", "latency", "fid", "throughput",
                "duration", "hinge", "huber_loss"),
}  # fmt: skip
_BY_NAME = {name: span for span, names in _RANGES.items() for name in names}


@dataclass(frozen=True)
class Bounds:
    """``samples``: rows below which a comparison is mostly noise. ``tolerance``: the relative difference
    up to which two metrics are the same. ``failures``: the share of failed rows that is an error.
    ``ranges`` are those of metrics, by name."""

    samples: int = 100
    tolerance: float = 1e-6
    failures: float = 0.1
    ranges: Mapping[str, Range] = field(default_factory=dict)

    def range_of(self, metric: str) -> Range | None:
        """The range of a metric; None if unknown."""
        if metric in self.ranges:
            return self.ranges[metric]
        words = column_names.words(metric)
        joined = ["_".join(words[at:]) for at in range(len(words))]
        return next(
            (_BY_NAME[name] for name in (metric.lower(), *joined) if name in _BY_NAME), None
        )


#: The largest value of a bound that is not of a metric.
_LIMITS = {"samples": 1e12, "tolerance": 1e12, "failures": 1.0}


def parse(texts: Iterable[str]) -> Bounds:
    """Parse ``[check] bounds``; raises XexpError naming an invalid one."""
    plain: dict[str, float] = {}
    ranges: dict[str, Range] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        try:
            if ".." in value:
                low, _, high = value.partition("..")
                ranges[name] = Range(float(low or "-inf"), float(high or "inf"))
                valid = bool(name) and ranges[name].low <= ranges[name].high
            else:
                plain[name] = float(value)
                valid = 0 <= plain[name] <= _LIMITS[name]
            if not (valid and equals):
                raise ValueError
        except (ValueError, KeyError):
            raise XexpError(
                f"[check] bounds: '{text}' is not a bound",
                "samples=100, tolerance=1e-6, failures=0.1, or the range of a metric: score=0..10",
            ) from None
    return Bounds(
        int(plain.get("samples", Bounds.samples)),
        plain.get("tolerance", Bounds.tolerance),
        plain.get("failures", Bounds.failures),
        ranges,
    )
