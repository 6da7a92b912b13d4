"""Weights & Biases without an account: all that a run logs is in its offline files."""

from __future__ import annotations

import json
import struct

import pytest
from runs import curve_of, only_run, run_tiny

from adbench.results.store import RunFolder

pytest.importorskip("wandb", reason="install it: pip install wandb")


@pytest.fixture(autouse=True)
def _nobody_is_logged_in(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_DIR", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))


class Offline:
    """The records of an offline run."""

    def __init__(self, folder):
        from wandb.proto import wandb_internal_pb2 as protocol

        self.folder, self.config, self.summary, self.history = folder, {}, {}, []
        (path,) = folder.glob("*.wandb")
        for data in log_of(path.read_bytes()):
            record = protocol.Record()
            record.ParseFromString(data)
            self._add(record)

    def _add(self, record):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            self.id, self.name, self.group = record.run.run_id, record.run.display_name, record.run.run_group
            self.config |= values(record.run.config.update)
        elif kind == "config":
            self.config |= values(record.config.update)
        elif kind == "summary":
            self.summary |= values(record.summary.update)
        elif kind == "history":
            self.history.append(values(record.history.item))
        elif kind == "exit":
            self.exit_code = record.exit.exit_code


def log_of(data, head=7, block=32768):
    """The records of a log in LevelDB's format, whose file begins with seven bytes of its own."""
    place, record = head, b""
    while place + 7 <= len(data):
        if block - place % block < 7:  # no room for a header: the rest of a block is empty
            place += block - place % block
            continue
        _, size, kind = struct.unpack_from("<IHB", data, place)
        record += data[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # a whole record, or the last part of one
            yield record
            record = b""


def values(items):
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}


def offline_runs(results):
    return [Offline(folder) for folder in sorted((results / "tracking" / "wandb").glob("offline-run-*"))]


def tracked(data, results, *words):
    return run_tiny(data, results, "-c", "bolts", "--track", "wandb", *words)


@pytest.mark.slow
def test_a_stopped_run_goes_on_and_has_all_its_parts(tiny_data, tmp_path, monkeypatch):
    """Offline there is a second run, which has everything: options, all epochs, tables, maps and checkpoint."""
    stop = ("-o", "stop_at=3", "--eval-every", 1)
    assert tracked(tiny_data, tmp_path, *stop).exit_code == 130
    monkeypatch.setenv("TINY_SURVIVES", "1")
    done = tracked(tiny_data, tmp_path, *stop)
    assert done.exit_code == 0, done.stderr
    assert f"wandb: offline in {tmp_path / 'tracking' / 'wandb'}; wandb sync uploads it" in done.stderr
    first, second = offline_runs(tmp_path)
    assert first.id != second.id
    assert [each["epoch"] for each in first.history] == [1, 2]
    assert (first.exit_code, first.summary["failure"]) == (1, "stopped by the user")
    assert second.exit_code == 0
    assert second.name == "tiny:stop_at=3 · folder/bolts · seed 0"
    assert (second.config["options.lr"], second.config["protocol.size"]) == (0.05, "64x64")
    assert second.config["protocol.aupro_map"] == "anomaly map"
    rows = curve_of(RunFolder(tmp_path, "folder", "bolts", "tiny", only_run(tmp_path).name))
    logged = [each for each in second.history if "loss" in each]
    for name in ("loss", "image_auroc"):
        assert [each[name] for each in logged] == [float(row[name]) for row in rows]
    assert [each["epoch"] for each in logged] == [1, 2, 3, 4]
    assert second.summary["checkpoint"] == str((only_run(tmp_path) / "last.pt").absolute())
    media = second.folder / "files" / "media"
    assert list(media.rglob("maps*.png"))
    (table,) = (json.loads(path.read_text()) for path in media.rglob("classes*.json"))
    assert table["data"][0][table["columns"].index("image_auroc")] == float(rows[3]["image_auroc"])
    (points,) = (json.loads(path.read_text()) for path in media.rglob("frontier*.json"))
    assert [row[0] for row in points["data"]] == [1, 2, 3, 4]
