"""The columns of an evaluation, by common names, most certain first."""

from __future__ import annotations

#: Columns that name the input of an evaluation, most certain first.
ID_COLUMNS = ("input_id", "sample_id", "example_id", "item_id", "instance_id", "case_id", "question_id",
              "prompt_id", "query_id", "doc_id", "document_id", "image_id", "record_id", "row_id", "data_id",
              "datapoint_id", "text_id", "utterance_id", "uid", "uuid", "input_hash", "sample_idx",
              "example_idx")  # fmt: skip
SPLITS = ("split", "data_split", "dataset_split", "subset", "fold_type", "partition")
ERRORS = ("error", "exception", "error_message", "err", "error_msg", "failure")
#: What a column of errors holds where there is none, in small letters.
NO_ERRORS = (
    "0",
    "0.0",
    "false",
    "none",
    "null",
    "nan",
    "n/a",
    "[]",
    "{}",
    "no",
    "no error",
    "ok",
    "success",
)
PREDICTIONS = (
    "prediction",
    "predicted",
    "pred",
    "y_pred",
    "predicted_label",
    "prediction_label",
    "y_hat",
)
TRUTHS = ("ground_truth", "groundtruth", "y_true", "label", "target", "expected", "actual", "gold",
          "true_label", "gold_label", "truth", "y")  # fmt: skip
RAW = ("raw_response", "response", "raw_output", "raw", "completion", "llm_response", "output_text",
       "raw_prediction", "model_output")  # fmt: skip
#: 0 or 1 for each row: whether its prediction is correct.
RIGHT = ("correct", "is_correct", "right", "is_right", "passed", "is_passed")
#: How many rows the metrics of a row were computed from.
COUNTS = ("n_samples", "num_samples", "n_test", "test_size", "n_examples", "num_examples", "support",
          "samples", "n_eval", "eval_size", "n")  # fmt: skip
