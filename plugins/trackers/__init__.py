"""Trackers: Weights & Biases, MLflow and TensorBoard, each of which is imported only where it is asked for."""

from collections.abc import Sequence

from adbench import hookimpl
from adbench.api import Package, Tracker, TrackerEntry


def make_wandb() -> Tracker:
    """Make the tracker of Weights & Biases."""
    from .wandb import WandbTracker

    return WandbTracker()


def make_mlflow() -> Tracker:
    """Make the tracker of MLflow."""
    from .mlflow import MlflowTracker

    return MlflowTracker()


def make_tensorboard() -> Tracker:
    """Make the tracker of TensorBoard."""
    from .tensorboard import TensorboardTracker

    return TensorboardTracker()


DATABASE = "keeps MLflow's runs in a local database"

WANDB = (Package("wandb", "wandb>=0.18", "logs runs to Weights & Biases"),)
MLFLOW = (
    Package("mlflow", "mlflow-skinny>=2.16", "logs runs to MLflow"),
    Package("sqlalchemy", "sqlalchemy>=2", DATABASE),
    Package("alembic", "alembic>=1.10", DATABASE),
)
TENSORBOARD = (Package("tensorboard", "tensorboard>=2.14", "writes files for TensorBoard"),)


@hookimpl
def adbench_trackers() -> Sequence[TrackerEntry]:
    """Offer the three trackers."""
    return [
        TrackerEntry("wandb", "Weights & Biases, offline without an account", make_wandb, WANDB),
        TrackerEntry("mlflow", "MLflow, by default in a local SQLite file", make_mlflow, MLFLOW),
        TrackerEntry("tensorboard", "TensorBoard", make_tensorboard, TENSORBOARD),
    ]
