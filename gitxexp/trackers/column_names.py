"""What a column's name says: metric or parameter, better high or low, first or last in a list.

Trackers store parameters and metrics side by side in one table, and nothing in the database tells
them apart. The vocabulary is that of scikit-learn's metrics, Keras' and PyTorch's logs and
xetrack's own columns. A user's explicit lists (``.xexp/config.toml``) always come before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import pairwise

from gitxexp.tables.rules import VERSION_COLUMNS


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Where or how a value was measured; says nothing about what it is.
SPLITS = _names("train training val valid validation test eval evaluation dev holdout cv")
AGGREGATES = _names(
    "best final last mean avg average median min max std sum total macro micro weighted binary "
    "samples overall running smoothed ema p50 p90 p95 p99 top at k n per class"
)

HIGHER = _names(
    "f1 fbeta f05 f2 acc accuracy auc auroc roc_auc pr_auc auprc ap map precision recall "
    "sensitivity specificity tpr tnr score r2 correlation pearson spearman kendall kappa mcc iou "
    "dice jaccard bleu rouge rouge1 rouge2 rougel meteor chrf bertscore ndcg mrr hit hits em "
    "exact_match reward return likelihood loglikelihood ll elbo ssim psnr silhouette "
    "explained_variance throughput speed fps qps coverage success win winrate gain lift r_squared "
    "f1score balanced_accuracy matthews"
)
LOWER = _names(
    "loss error errors err rmse mae mse rmsle msle mape smape nrmse medae nll bce ce crossentropy "
    "cross_entropy logloss log_loss perplexity ppl bpc bpb wer cer ter mer eer fpr fnr latency "
    "time duration runtime elapsed seconds secs sec ms us ns minutes hours cost memory mem ram "
    "bytes kb mb gb flops brier ece mce hinge deviance kl divergence distance fid kid lpips "
    "regret misses failures violations overfit gap residual aic bic inertia davies_bouldin "
    "misclassification energy carbon price toxicity"
)
#: A metric only as the whole name (less split and aggregate): ``map`` is, ``map_path`` is not.
METRICS = HIGHER | LOWER

PARAM_ORDER = (
    "model", "model_name", "model_type", "architecture", "arch", "backbone", "algorithm",
    "estimator", "classifier", "lr", "learning_rate", "batch_size", "batch", "epochs", "num_epochs",
    "n_epochs", "max_epochs", "optimizer", "scheduler", "dropout", "weight_decay", "hidden_size",
    "hidden_dim", "num_layers", "n_layers", "max_depth", "n_estimators", "alpha", "beta", "gamma",
    "temperature", "threshold", "max_length", "max_len",
)  # fmt: skip
PARAMS = frozenset(PARAM_ORDER) | _names(
    "eta momentum betas eps epsilon l1 l2 c lambda lambda_ reg regularization penalty solver "
    "kernel degree tol warmup warmup_steps steps max_steps num_steps max_iter seed random_state "
    "random_seed device gpu gpus num_gpus num_workers n_jobs precision_mode dtype fp16 bf16 amp "
    "dataset data data_path train_path test_path data_version split test_size train_size val_size "
    "test_split val_split fold_count n_folds folds criterion loss_fn loss_function objective "
    "metric activation units filters kernel_size stride padding embedding_dim embed_dim d_model "
    "heads num_heads n_heads layers depth width vocab_size tokenizer prompt prompt_template top_k "
    "top_p max_tokens context_length min_samples_split min_samples_leaf subsample "
    "colsample_bytree num_leaves boosting grad_clip clip label_smoothing patience early_stopping "
    "features n_features num_classes n_classes image_size img_size resolution augmentation freeze "
    "pretrained checkpoint lora_r lora_alpha rank class_weight normalize shuffle window horizon"
)
PARAM_ENDINGS = _names(
    "size rate dim dims depth width layers heads units type name fn function path file dir seed "
    "steps epochs iter iters iterations threshold weight weights ratio fraction frac split mode "
    "strategy method scheduler optimizer decay dropout momentum patience workers jobs len length "
    "version config kwargs args id interval every freq frequency window limit budget penalty "
    "smoothing backend device dtype enabled folds model dataset data set column columns"
)
#: ``error_rate`` is a metric, ``dropout_rate`` is not.
RATES = _names("error hit win success miss failure failures false true fp fn tp tn")

#: Places in a loop: they count rows, they neither configure nor measure anything.
COUNTERS = _names(
    "epoch step global_step iteration iter fold batch_idx batch_index index idx row sample "
    "sample_id example_id item_id request_id row_id prediction_id uuid"
)
#: Columns that name one run and no other. (``run`` and ``trial`` may be numbers that begin again.)
COMMIT_COLUMNS = ("git_commit", "git_commit_hash", "run_commit", "commit", "commit_hash")
#: Columns that say where a row came from, and xetrack 0.7's own (``config.py``, ``tracker.py``:
#: ``_run_func``, ``_apply_system_params``).
BOOKKEEPING = frozenset((*VERSION_COLUMNS, *COMMIT_COLUMNS)) | _names(
    "track_id timestamp git_branch branch dirty git_dirty dvc_hash data_hash data_commit "
    "config_hash git_tag function_name function_result args kwargs cache hostname host user "
    "username pid cpu cpu_percent ram_percent memory_percent p_memory_percent disk_percent "
    "bytes_sent bytes_recv created_at updated_at started_at finished_at start_time end_time"
)
_WORD = re.compile(r"[a-z]+\d*|\d+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])")


def words(name: str) -> list[str]:
    """The lower-case words of a name: ``valLoss``, ``val/loss`` and ``val-loss`` are the same."""
    return _WORD.findall(_HUMP.sub("_", name).lower())


def is_bookkeeping(name: str) -> bool:
    """Whether a column says where a row came from (ids, commits, hashes, machine load)."""
    return name.lower() in BOOKKEEPING


def is_counter(name: str) -> bool:
    """Whether a column counts rows within a run (``epoch``, ``step``)."""
    return name.lower() in COUNTERS


def is_metric_name(name: str) -> bool:
    """Whether a name is that of a measured quantity: ``f1``, ``val_loss``, ``rouge/l``.

    Known parameters (``loss_fn``, ``test_size``) are not. ``val_…`` and ``test_…`` are, unless
    what follows reads as a parameter.
    """
    if is_bookkeeping(name) or is_counter(name) or is_param_name(name):
        return False
    parts = words(name)
    core = [part for part in parts if part not in SPLITS and part not in AGGREGATES]
    core = [part for part in core if not part.isdigit()]
    if not core:
        return False
    return (
        "_".join(core) in METRICS
        or core[-1] in METRICS
        or core[0] in METRICS
        or _is_rate(parts)
        or ("per" in parts[1:-1] and parts[-1] in _UNITS)
        or (parts[0] in SPLITS - {"train", "training"} and len(parts) > 1)
    )


def is_param_name(name: str) -> bool:
    """Whether a name is that of a setting: ``lr``, ``batch_size``, ``model.hidden_dim``."""
    parts = words(name)
    if not parts or is_bookkeeping(name):
        return False
    tail = name.rpartition(".")[2] if "." in name else name
    joined = "_".join(words(tail))
    if joined in PARAMS or "_".join(parts) in PARAMS or name.lower() in PARAMS:
        return True
    return len(parts) > 1 and parts[-1] in PARAM_ENDINGS and not _is_rate(parts)


_UNITS = _names("s sec second minute min hour ms us step token sample request query item")


def _is_rate(parts: list[str]) -> bool:
    return parts[-1] == "rate" and any(part in RATES for part in parts[:-1])


def maximize(name: str, overrides: Mapping[str, str | bool] | None = None) -> bool:
    """Whether a higher value of metric ``name`` is the better one.

    ``overrides`` (name → ``"max"``/``"min"`` or bool; exact name first, then without regard to
    case) wins. Else a word of the name decides: errors, losses and costs are minimised, anything
    unknown is maximised. ``neg_…`` (scikit-learn) turns it round, and of ``x_per_y`` only ``x`` is
    looked at (``tokens_per_second`` is a speed).
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
    if _is_rate(parts):
        return not any(part in ("hit", "win", "success", "true", "tp", "tn") for part in parts)
    pairs = {f"{one}_{two}" for one, two in pairwise(parts)}
    if pairs & HIGHER or (parts and parts[-1] in HIGHER):
        return False
    return bool(pairs & LOWER) or any(part in LOWER for part in parts)


def key_params_order(names: Iterable[str]) -> list[str]:
    """Parameters by how much they say: the model, learning rate, batch size, epochs, then others.

    Known names come in the order of :data:`PARAM_ORDER`; the rest keep theirs, other settings
    before the seed and what names files or machines.
    """
    last = ("seed", "random_state", "random_seed", "device", "num_workers", "n_jobs")

    def rank(name: str) -> tuple[int, int]:
        tail = "_".join(words(name.rpartition(".")[2]))
        if tail in PARAM_ORDER:
            return 0, PARAM_ORDER.index(tail)
        return (2 if tail in last or tail.endswith(("path", "file", "dir")) else 1), 0

    return sorted(names, key=rank)


def is_key_param(name: str) -> bool:
    """Whether a parameter is one that a short description names (:data:`PARAM_ORDER`)."""
    return "_".join(words(name.rpartition(".")[2])) in PARAM_ORDER


METRIC_ORDER = ("f1", "accuracy", "acc", "auc", "r2", "map", "bleu", "score", "precision", "recall",
                "rmse", "mae", "wer", "perplexity", "loss")  # fmt: skip
_SPLIT_ORDER = ("test", "", "val", "valid", "validation", "eval", "dev", "train", "training")


def key_metrics_order(names: Iterable[str]) -> list[str]:
    """Metrics by how likely each is the primary one: quality first, then losses, then costs.

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
