"""Column names: which are metrics, which parameters, and which way is better."""

from __future__ import annotations

from itertools import combinations

import pytest

from gitxexp.trackers import column_names, vocabulary
from gitxexp.trackers.column_names import Role


def words(text: str) -> list[str]:
    return text.split()


METRICS = words(
    "f1 F1 f1_score f1_macro val_f1 test/f1 eval_f1 macro_f1 acc accuracy val_accuracy "
    "valAccuracy top_5_accuracy accuracy_at_1 balanced_accuracy auc roc_auc val_auc precision "
    "recall recall@10 precision_macro loss train_loss val_loss valLoss best_val_loss "
    "epoch_loss_mean error error_rate mse rmse mae r2 latency latency_ms p95_latency perplexity "
    "bleu wer cer rouge_l rougeL score f1Score kappa my_custom_score val_kpi test_fairness "
    "neg_mean_squared_error tokens_per_second map mAP explained_variance hit_rate "
    "test.loss"
)
PARAMS = words(
    "model model_name lr learning_rate batch_size train_batch_size test_batch_size epochs "
    "num_epochs seed random_state dropout dropout_rate weight_decay optimizer loss_fn "
    "loss_function test_size val_split validation_split metric hidden_dim n_estimators "
    "max_depth model.lr optim.learning_rate train_path test_path error_threshold class_weight "
    "C"
)
#: Where it came from, counters, what came out: never compared.
OTHERS = words(
    "track_id timestamp version experiment_version git_commit git_commit_hash dvc_hash "
    "data_commit config_hash git_branch dirty epoch step cpu_percent ram_percent "
    "p_memory_percent disk_percent bytes_sent bytes_recv function_name args kwargs cache "
    "prediction x device function_time n_samples total_tokens gpu_name hostname notes user_id"
)


@pytest.mark.parametrize("name", METRICS)
def test_metric_names(name: str) -> None:
    assert column_names.is_metric_name(name)
    assert not column_names.is_param_name(name)


@pytest.mark.parametrize("name", PARAMS)
def test_param_names(name: str) -> None:
    assert column_names.is_param_name(name)
    assert not column_names.is_metric_name(name)


@pytest.mark.parametrize("name", OTHERS)
def test_names_of_context_output_and_keys(name: str) -> None:
    named = column_names.role_of(name)
    assert named is not None and named.role in (Role.CONTEXT, Role.OUTPUT, Role.KEY)


#: One line for each rule: the role that it gives, and names that differ from each other otherwise.
KINDS = {
    "written together": ("param", "batchsize learningrate maxdepth"),
    "what is set, at its place": ("param", "sigma_max beta_start ema_fast heads res tokenizer_b quantizer"),
    "the first of two": ("param", "model_name_or_path"),
    "a verb is a switch": ("param", "pack_pieces shuffle_rows train_on_inputs"),
    "a verb is done": ("context", "skip_count load_time resume_from n_shots_used max_tokens_seen logged_by"),
    "a limit": ("param", "max_documents min_leaf"),
    "no limit": ("context", "max_timestamp min_created_at"),
    "an output": ("output", "pred_prob gold_class retrieved_docs max_prob image_name canonical_smiles"),
    "counts": ("context", "epoch_num trial_num env_steps_total n_queries num_chunks n_round_trips gen_len"),
    "settings that are counted": ("param", "layer_num num_clients"),
    "what identifies settings": ("context", "config_sha config_yaml args_json"),
    "of the run": ("context", "run_desc exp_flavour torch_ver code_rev experiment_tag"),
    "the size of data": ("context", "train_set_size test_set_size cohort_size"),
    "ratios": ("metric", "hazard_ratio odds_ratio signal_to_noise_ratio drag_coefficient"),
    "ratios that are set": ("param", "mask_ratio dropout_ratio entropy_coefficient"),
    "by the piece": ("metric", "bits_per_dim tflops_per_gpu fp_per_scan mean_rank global_norm clip_sim"),
    "logged by a loop": ("metric", "val_mae_epoch train_loss_step"),
    "epochs of the best": ("context", "best_loss_epoch best_val_epoch"),
    "with digits": ("metric", "fid50k fid_10k"),
    "exports": ("metric", "metrics.training_quality"),
    "tags of exports": ("context", "tags.mlflow.source.name"),
    "times of a target": ("param", "kl_target borrow_cost_bps"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_rules_of_names(kind: str) -> None:
    role, names = KINDS[kind]
    found = {name: column_names.role_of(name) for name in names.split()}
    assert {name: named and str(named.role) for name, named in found.items()} == dict.fromkeys(
        found, role
    )


@pytest.mark.parametrize("name", words("0 _ zeta_flavour shard"))
def test_names_that_say_nothing(name: str) -> None:
    assert column_names.role_of(name) is None


def test_a_whole_name_has_one_role() -> None:
    assert not vocabulary.HIGHER & vocabulary.LOWER
    for one, other in combinations((vocabulary.KEYS, vocabulary.CONTEXT, vocabulary.COUNTERS,
                                    vocabulary.OUTPUTS, vocabulary.PARAMS), 2):  # fmt: skip
        assert not one & other
    assert not vocabulary.PARAMS & vocabulary.METRICS


@pytest.mark.parametrize(
    "name",
    words(
        "f1 accuracy val_auc precision recall@5 r2 bleu tokens_per_second throughput score reward "
        "neg_mean_squared_error neg_log_loss unheard_of hit_rate true_positive_rate mAP "
        "log_likelihood explained_variance win_rate requests_per_ms"
    ),
)
def test_maximised(name: str) -> None:
    assert column_names.maximize(name)


@pytest.mark.parametrize(
    "name",
    words(
        "loss val_loss trainLoss error error_rate latency latency_ms p99_latency inference_time "
        "rmse mae mse test/mse perplexity wer cost log_loss cross_entropy seconds_per_step "
        "false_positive_rate memory_mb training_time kl_divergence errors_per_second"
    ),
)
def test_minimised(name: str) -> None:
    assert not column_names.maximize(name)


def test_overrides_come_first_and_ignore_case() -> None:
    assert column_names.maximize("loss", {"loss": "max"})
    assert column_names.maximize("Loss", {"loss": "maximize"})
    assert not column_names.maximize("f1", {"f1": "min"})
    assert not column_names.maximize("f1", {"F1": False})
    assert column_names.maximize("f1", {"accuracy": "min"})


def test_key_params_order() -> None:
    given = ["seed", "zeta", "epochs", "data_path", "alphabet", "lr", "batch_size", "model"]
    assert column_names.key_params_order(given) == [
        "model", "lr", "batch_size", "epochs", "zeta", "alphabet", "seed", "data_path",
    ]  # fmt: skip
    assert column_names.key_params_order(["optim.lr", "net.model"]) == ["net.model", "optim.lr"]


def test_key_metrics_order() -> None:
    given = ["latency", "loss", "train_f1", "val_f1", "novelty", "accuracy", "f1", "test_f1"]
    assert column_names.key_metrics_order(given) == [
        "test_f1", "f1", "val_f1", "train_f1", "accuracy", "loss", "novelty", "latency",
    ]  # fmt: skip
