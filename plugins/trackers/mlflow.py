"""Logs runs to MLflow: to the server of MLFLOW_TRACKING_URI, else to a local SQLite file.

MLFLOW_EXPERIMENT_NAME names the experiment. Processes that share a SQLite file write to it in turn.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TypeVar

from filelock import FileLock

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # before the import: a benchmark reports to nobody
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # by default a missing server holds a run up for minutes

from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from adbench.api import (
    Fact,
    TrackedEpoch,
    TrackedFailure,
    TrackedResult,
    TrackedRun,
    Tracker,
    TrackerRun,
    files,
    option_text,
)

EXPERIMENT = "adbench"

AT_ONCE = 100
"""Values in a request, at most: the limit of the server for parameters."""

MILLISECONDS = 1000

SQLITE = "sqlite:///"

PATIENCE = 120.0
"""Seconds to wait for the other processes that write to the same file: more means that one of them hangs."""

T = TypeVar("T")


class MlflowTracker(Tracker):
    """A run of adbench is a run of MLflow. After a break it goes on in the same one."""

    def __init__(self) -> None:
        for name in ("alembic", "mlflow.store.db.utils"):  # they tell of each step when they make the database
            logging.getLogger(name).setLevel(logging.WARNING)
        self._client: MlflowClient | None = None
        self._uri = self._run = ""
        self._last = 0

    def run_started(self, run: TrackedRun) -> TrackerRun:
        """Open a run, or an earlier one again."""
        uri = self._uri = os.environ.get("MLFLOW_TRACKING_URI") or _local(run.store)
        self._run, self._last = "", 0
        with _in_turn(uri):
            self._start(run, uri)
        return TrackerRun(self._run, f"mlflow ui --backend-store-uri {uri}" if "://" in uri else uri)

    def _start(self, run: TrackedRun, uri: str) -> None:
        _make_database(uri)
        client = self._client = MlflowClient(tracking_uri=uri)
        if run.earlier and _is_there(client, run.earlier):
            self._run = run.earlier
            client.update_run(self._run, status="RUNNING")
            history = client.get_metric_history(self._run, "fit_seconds")
            self._last = max((metric.step for metric in history), default=0)
        else:
            tags = {"mlflow.source.name": "adbench", "method": run.method, "dataset": run.dataset}
            made = client.create_run(_experiment(client, run.store, uri), run_name=run.title, tags=tags)
            self._run = made.info.run_id
            params = [Param(_key(name), option_text(name, value)) for name, value in run.facts().items()]
            for some in _parts(params):
                client.log_batch(self._run, params=some)

    def epoch(self, epoch: TrackedEpoch) -> None:
        """Log the numbers of an epoch, unless they were logged before a break."""
        if epoch.number > self._last:
            self._last = epoch.number
            with _in_turn(self._uri):
                self._log(epoch.values(), epoch.number)

    def finished(self, result: TrackedResult) -> None:
        """Log the tables, the maps and the place of the checkpoint, and close the run."""
        with _in_turn(self._uri):
            self._finish(result)

    def _finish(self, result: TrackedResult) -> None:
        client = self._open()
        for point in result.frontier:  # by the time of training in place of epochs
            self._log({"image_auroc_by_fit_ms": point.image_auroc}, round(MILLISECONDS * point.fit_seconds))
        tags: dict[str, Fact] = {**result.facts, "checkpoint": str(result.checkpoint)}
        tags["mlflow.note.content"] = result.class_table().markdown()  # shown as the run's description
        for some in _parts([RunTag(_key(name), option_text(name, value)) for name, value in tags.items()]):
            client.log_batch(self._run, tags=some)
        client.log_text(self._run, result.class_table().csv(), "classes.csv")
        client.log_text(self._run, result.frontier_table().csv(), "frontier.csv")
        for number, image in enumerate(result.images):
            place = f"maps/{_file(image.class_name)}/{number:02d}-{_file(PurePosixPath(image.path).stem)}.png"
            client.log_image(self._run, image.pixels, artifact_file=place)
        client.set_terminated(self._run, "FINISHED")

    def failed(self, failure: TrackedFailure) -> None:
        """Close the run as failed, or as killed if the user stopped it."""
        client = self._open()
        with _in_turn(self._uri):
            client.set_tag(self._run, "failure", failure.reason)
            client.set_terminated(self._run, "KILLED" if failure.stopped else "FAILED")

    def _open(self) -> MlflowClient:
        assert self._client is not None
        return self._client

    def _log(self, values: Mapping[str, float], step: int) -> None:
        now = int(time.time() * MILLISECONDS)
        for some in _parts([Metric(_key(name), value, now, step) for name, value in values.items()]):
            self._open().log_batch(self._run, metrics=some)


def _local(store: Path) -> str:
    """A database below the results."""
    store.mkdir(parents=True, exist_ok=True)
    return f"{SQLITE}{(store / 'mlflow.db').as_posix()}"


def _database(uri: str) -> Path | None:
    """The SQLite file of an address; None of a server's, or in memory."""
    name = uri.removeprefix(SQLITE).partition("?")[0]
    return Path(name) if uri.startswith(SQLITE) and name not in ("", ":memory:") else None


@contextmanager
def _in_turn(uri: str) -> Iterator[None]:
    """Keep other processes from a SQLite file: two that make its tables at once break each other's.

    Raises:
        TimeoutError: another process keeps it too long.
    """
    database = _database(uri)
    with ExitStack() as held:
        if database is not None:
            with suppress(NotImplementedError):  # a file system without locks
                held.enter_context(FileLock(f"{database}.lock", timeout=PATIENCE, poll_interval=0.02))
        yield


def _make_database(uri: str) -> None:
    """Make a SQLite file with its tables under another name: a process killed in that would leave a broken one."""
    database = _database(uri)
    if database is None or database.exists():
        return
    files.sweep(database.parent)
    with files.new_folder(database) as folder, suppress(PermissionError):  # Windows doesn't rename open files
        made = folder / database.name
        MlflowClient(tracking_uri=f"{SQLITE}{made.as_posix()}").search_experiments()
        os.replace(made, database)


def _is_there(client: MlflowClient, run: str) -> bool:
    try:
        return bool(client.get_run(run).info.lifecycle_stage == "active")
    except MlflowException:
        return False


def _experiment(client: MlflowClient, store: Path, uri: str) -> str:
    """The id of the experiment, which is made on first use; files of a local one are below the results, too."""
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
    found = client.get_experiment_by_name(name)
    if found is None:
        place = (store / "mlflow").as_uri() if uri == _local(store) else None
        try:
            return str(client.create_experiment(name, artifact_location=place))
        except MlflowException:  # another process was faster
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return str(found.experiment_id)


def _parts(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), AT_ONCE):
        yield values[start : start + AT_ONCE]


def _key(name: str) -> str:
    """A name that MLflow takes."""
    return re.sub(r"[^\w\-. /]", "_", name)


def _file(name: str) -> str:
    """A name that every file system takes."""
    return re.sub(r"[^\w\-]", "_", name) or "_"
