"""The listeners of a run: a JSONL file, and TensorBoard and MLflow where they are installed."""

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, Self

from pydantic import JsonValue

Fields = Mapping[str, JsonValue]

PROGRESS = "progress"  # stage, done, total: for a bar, not for a log
EPOCH = "epoch"  # fold, number, loss, validation_ctd
MEASURED = "measured"  # the figures of the whole run, by name
WARNING = "warning"  # sentence: what a reader of the figures must know


class RunListener(Protocol):
    """Called with the stable name of what happened, and its fields."""

    def __call__(self, event: str, **fields: JsonValue) -> None:
        """Take note."""


def unheard(event: str, **fields: JsonValue) -> None:
    """The listener that does nothing."""


class Journal:
    """All listeners of one run; a context that closes them.

    Parameters
    ----------
    out : folder of the run: ``log.jsonl`` and ``tensorboard/`` in it
    also : further listeners
    """

    def __init__(self, out: Path, also: Sequence[RunListener] = ()) -> None:
        self._stack = ExitStack()
        self._file = self._stack.enter_context((out / "log.jsonl").open("a", encoding="utf-8"))
        self._listeners: list[RunListener] = [self._log, *also]
        if find_spec("tensorboard"):
            self._listeners.append(self._stack.enter_context(TensorBoard(out / "tensorboard")))
        if find_spec("mlflow"):
            self._listeners.append(self._stack.enter_context(MLflow(out)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __call__(self, event: str, **fields: JsonValue) -> None:
        """Call all listeners."""
        for listener in self._listeners:
            listener(event, **fields)

    def _log(self, event: str, **fields: JsonValue) -> None:
        if event == PROGRESS:
            return
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **fields}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


class TensorBoard:
    """Loss and concordance of each fold by epoch."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._writers = folder, dict[JsonValue, Any]()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self._writers.values():
            writer.close()

    def __call__(self, event: str, **fields: JsonValue) -> None:
        """Write the scalars of an epoch."""
        if event == EPOCH:
            for name, value in _figures(fields).items():
                self._writer(fields["fold"]).add_scalar(name, value, fields["number"])

    def _writer(self, fold: JsonValue) -> Any:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  an extra

        if fold not in self._writers:
            self._writers[fold] = SummaryWriter(str(self._folder / f"fold-{fold}"))
        return self._writers[fold]


class MLflow:
    """One MLflow run, where the environment says (``MLFLOW_TRACKING_URI``)."""

    def __init__(self, out: Path) -> None:
        import mlflow  # noqa: PLC0415  an extra

        self._mlflow, self._out = mlflow, out

    def __enter__(self) -> Self:
        self._mlflow.start_run(run_name=self._out.name)
        return self

    def __exit__(self, *_: object) -> None:
        self._mlflow.end_run()

    def __call__(self, event: str, **fields: JsonValue) -> None:
        """Log an epoch's scalars, or the run's figures."""
        if event == EPOCH:
            named = {f"fold-{fields['fold']}/{name}": value for name, value in _figures(fields).items()}
            self._mlflow.log_metrics(named, step=fields["number"])
        elif event == MEASURED:
            self._mlflow.log_metrics({name: value for name, value in fields.items() if isinstance(value, float)})


def _figures(fields: Fields) -> dict[str, float]:
    named = {name: fields[name] for name in ("loss", "validation_ctd")}
    return {name: float(value) for name, value in named.items() if isinstance(value, int | float)}
