"""Results that were stored before there were the newer metrics."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

from made_results import make_result

from adbench.api.scores import METRIC_NAMES, USUAL_METRICS, Metrics
from adbench.results import result_file
from adbench.results.protocol_text import protocol_text
from adbench.results.records import EpochRecord
from adbench.results.run_files import read_epochs
from adbench.results.store import RunFolder

NEWER = set(METRIC_NAMES) - set(USUAL_METRICS)


def test_older_results_have_dashes(tmp_path):
    """Without the newer fields and columns they are read, with None there, and as of another protocol."""
    metrics = Metrics(image_auroc=0.9, aupro=0.5)
    folder = RunFolder(tmp_path, "d", "a", "m", "r")
    folder.write_result(replace(make_result(), metrics=metrics), [], [EpochRecord(4, 4, None, None, 1.0, metrics)])
    path, curve = folder.path / "result.json", folder.path / "epochs.csv"
    content = json.loads(path.read_text())
    for name in ("undefined", "segf1_threshold", "digest", "files"):
        del content[name]
    content["metrics"] = {name: value for name, value in content["metrics"].items() if name not in NEWER}
    content["protocol"] = {name: each for name, each in content["protocol"].items() if name not in ("regions", "segf1")}
    path.write_text(json.dumps(content))
    rows = list(csv.DictReader(curve.read_text().splitlines()))
    columns = [name for name in rows[0] if name not in NEWER]
    curve.write_text("\n".join([",".join(columns), *(",".join(row[name] for name in columns) for row in rows), ""]))
    found = result_file.read(path)
    assert found.metrics == metrics
    assert (found.undefined, found.segf1_threshold) == ({}, None)
    assert "regions: those of the resized masks" in protocol_text(found.protocol)
    assert read_epochs(folder, found)[0].metrics == metrics
