"""Results made by hand, for the tests of the store and the reports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from adbench.api.data import Setting
from adbench.api.scores import Metrics
from adbench.report.render import render
from adbench.report.tables import Table
from adbench.results.audits import Audit, Check
from adbench.results.records import Best, Environment, Protocol, Result, Timing
from adbench.results.result_file import SCHEMA
from adbench.util.numerics import NUMERICS


def make_result(
    method: str = "msflow",
    class_name: str = "bolts",
    *,
    preset: str = "paper",
    overrides: Mapping[str, Any] | None = None,
    seed: int = 0,
    image: float | None = 0.9,
    pixel: float | None = 0.95,
    aupro: float | None = 0.85,
    oracle: Mapping[str, float] | None = None,
    amp: str = "off",
    size: tuple[int, int] = (64, 64),
    dataset: str = "folder",
    synthetic: bool = False,
    fingerprint: str = "aaaa",
    finished: str = "2024-01-01T00:00:00+00:00",
    backbone: str | None = None,
    options: Mapping[str, Any] | None = None,
    setting: Setting = "one-class",
    shots: int | None = None,
    classes: tuple[str, ...] = (),
    test: str | None = None,
) -> Result:
    """A result with every field; its run's name shows its arguments."""
    changed = dict(overrides or {})
    chosen = {"size": list(size), "amp": amp, **(options or {})}
    chosen.update({key: list(value) if isinstance(value, tuple) else value for key, value in changed.items()})
    how = f"{setting}{shots}{classes}{test}-" if setting != "one-class" or test else ""
    return Result(
        schema=SCHEMA,
        run=f"{preset}-{how}seed{seed}-{amp}-{'x'.join(map(str, chosen['size']))}-{sorted(changed)}",
        method=method,
        preset=preset,
        overrides=changed,
        options=chosen,
        dataset=dataset,
        class_name=class_name,
        synthetic=synthetic,
        fingerprint=fingerprint,
        content="c" * 64,
        train_images=10,
        test_images=8,
        skipped=(),
        seed=seed,
        protocol=Protocol(
            size=size,
            resize="stretch",
            picture_resampling="lanczos",
            mask_size=size,
            mask_resampling="nearest",
            epoch_policy="last",
            aupro_map="anomaly map",
            backbone=backbone,
            backbone_weights="0123456789ab" if backbone else None,
            precision=amp,
            setting=setting,
            shots=shots,
            classes=classes,
            test=test,
        ),
        metrics=Metrics(image_auroc=image, pixel_auroc=pixel, aupro=aupro),
        last_epoch=4,
        oracle=tuple(Best(metric, value, 2) for metric, value in (oracle or {}).items()),
        timing=Timing(fit=10.0, score=1.0, evaluate=0.5, total=12.0, images_per_second=40.0),
        peak_memory_bytes=1_000_000,
        parameters=1234,
        environment=Environment("cpu", "a processor", "Linux", "3.11", 2, {"torch": "2.6"}, None),
        method_package="adbench 0.1.0",
        command="adbench run",
        finished=finished,
    )


def make_audit(method: str = "a", **changes: Any) -> Audit:
    """An audit of two checks, one of which passed."""
    made = Audit(
        method=method,
        preset="cpu",
        overrides={},
        code="0" * 16,
        numerics=NUMERICS,
        method_package="adbench-suite 0.1.0",
        environment=Environment("cpu", "a processor", "Linux", "3.11", 2, {"adbench": "0.1.0", "torch": "2.6"}, None),
        checked="2026-01-02T03:04:05+00:00",
        checks=(Check("works on the CPU", "passed", "2 epochs"), Check("works on a GPU", "skipped", "no CUDA device")),
    )
    return replace(made, **changes)


def records_of(table: Table) -> list[dict]:
    """The rows that programs see."""
    return json.loads(render([table], "json"))[0]["rows"]


def footer_of(table: Table) -> dict:
    """The row of the mean that programs see."""
    return json.loads(render([table], "json"))[0]["footers"][0]


def ranks(table: Table) -> list[tuple]:
    """Rank and variant of each row."""
    return [(row["rank"], row["variant"]) for row in records_of(table)]
