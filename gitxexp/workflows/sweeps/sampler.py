"""Configurations that Optuna chooses, one after the other, based on earlier results.

Its ask-and-tell interface (optuna.readthedocs.io, "Ask-and-Tell Interface"); the study is a journal
in the state directory, so that a resumed sweep knows its earlier trials.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gitxexp.common.errors import UsageError
from gitxexp.common.missing import missing_package
from gitxexp.repository.config_hash import canonical
from gitxexp.workflows.sweeps.grid import Axis, Configuration

SAMPLERS = ("tpe", "random")


class Sampler:
    """A study in the file ``journal``. Raises UsageError if Optuna is not installed."""

    def __init__(
        self, journal: Path, axes: Sequence[Axis], name: str, seed: int, *, maximize: bool
    ) -> None:
        if name not in SAMPLERS:
            raise UsageError(f"there is no sampler '{name}'", f"one of: {', '.join(SAMPLERS)}")
        if not axes:
            raise UsageError(
                "a sampler chooses from -S NAME=VALUES", "--zip and lists of runs are for a grid"
            )
        try:
            optuna = importlib.import_module("optuna")
            storages = importlib.import_module("optuna.storages")
            backends = importlib.import_module("optuna.storages.journal")
        except ImportError as error:
            raise missing_package("optuna", "--sampler needs it") from error
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.axes = list(axes)
        self._optuna = optuna
        journal.parent.mkdir(parents=True, exist_ok=True)
        storage = storages.JournalStorage(backends.JournalFileBackend(str(journal)))
        self.study = optuna.create_study(
            study_name="sweep",
            storage=storage,
            direction="maximize" if maximize else "minimize",
            load_if_exists=True,
        )
        at = seed + self.asked  # a resumed study must not repeat the same random choices
        if name == "tpe":
            self.study.sampler = optuna.samplers.TPESampler(seed=at, constant_liar=True)
        else:
            self.study.sampler = optuna.samplers.RandomSampler(seed=at)

    @property
    def asked(self) -> int:
        """The number of configurations returned so far."""
        return len(self.study.trials)

    def ask(self) -> tuple[int, Configuration]:
        """The next configuration and its number."""
        trial = self.study.ask({axis.name: self._distribution(axis) for axis in self.axes})
        chosen = {axis.name: self._value(axis, trial.params[axis.name]) for axis in self.axes}
        return trial.number, chosen

    def tell(self, number: int, value: float | None) -> None:
        """Report the result of a configuration; None: it failed. Repeating the report changes
        nothing."""
        state = self._optuna.trial.TrialState
        if value is None:
            self.study.tell(number, state=state.FAIL, skip_if_finished=True)
        else:
            self.study.tell(number, value, skip_if_finished=True)

    def trials(self) -> dict[int, Configuration]:
        """The configurations returned so far, by number."""
        return {
            trial.number: {a.name: self._value(a, trial.params[a.name]) for a in self.axes}
            for trial in self.study.trials
            if all(axis.name in trial.params for axis in self.axes)
        }

    def _distribution(self, axis: Axis) -> Any:
        """Lists are JSON texts: Optuna's categories are scalars."""
        kinds = self._optuna.distributions
        between = axis.interval
        if between is None:
            return kinds.CategoricalDistribution([canonical({"": v}) for v in axis.values])
        low, high = between.low, between.high
        if isinstance(low, int) and isinstance(high, int):
            return kinds.IntDistribution(low, high, step=int(between.step or 1))
        if between.log:
            return kinds.FloatDistribution(low, high, log=True)
        return kinds.FloatDistribution(low, high, step=between.step)

    @staticmethod
    def _value(axis: Axis, chosen: Any) -> Any:
        if axis.interval is not None:
            return float(f"{chosen:.6g}") if isinstance(chosen, float) else chosen
        known: Mapping[str, Any] = {canonical({"": value}): value for value in axis.values}
        return known[chosen]
