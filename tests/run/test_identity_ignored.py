"""An ignore mask names a run by its content, and is read once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from image_files import save
from PIL import Image

from adbench.api import registry as plugins
from adbench.api.marking import Marking
from adbench.run import engine
from adbench.run.identity import Identifier, ignored_digest
from adbench.run.job import Job
from adbench.run.resolved import ResolvedJob, prepare
from adbench.run.watch import Watch
from adbench.util.digests import Digests
from adbench.util.errors import DataError


def _ignoring(place) -> tuple[Path, plugins.Registry, ResolvedJob]:
    """A job with an ignore mask, and the mask."""
    registry, path = plugins.load([place.plugin]), place.folder / "ignored.png"
    change = {"ignore_mask": str(path)}
    options = registry.method("tiny").options(epochs=1)
    task = registry.reader("folder", {}).load(place.data, "bolts")
    height, width = np.asarray(Image.open(task.test[0].path)).shape[:2]
    save(path, np.arange(width)[None].repeat(height, 0) < 9)
    task = registry.reader("folder", change).load(place.data, "bolts")
    task = replace(task, validation=tuple(sample for sample in task.test if not sample.label))
    job = Job("tiny", "cpu", (), options, "folder", "bolts", place.data, device="cpu", results=place.folder / "new",
              data_options=tuple(change.items()))  # fmt: skip
    return path, registry, prepare(job, [task], Identifier(registry).of(job, [task]))


def test_an_ignore_mask_that_changes_while_other_tasks_run_stops_its_task(place):
    """Its content names the run as that of the images does."""
    path, registry, resolved = _ignoring(place)
    save(path, ~np.asarray(Image.open(path)))
    with pytest.raises(DataError, match="files that changed since the run began"):
        engine.run(resolved, registry)


def test_an_ignore_mask_that_is_gone_after_training_loses_no_result(place):
    """It was read before, and the protocol has the digest that names the run."""
    path, registry, resolved = _ignoring(place)

    class Removing(Watch):
        def announce(self, epoch: int, total: int) -> None:
            path.unlink(missing_ok=True)

    (result,) = engine.run(resolved, registry, watch=Removing())
    assert not path.exists()
    assert result.protocol.ignore_mask == resolved.identity.files["ignore-mask"]
    assert result.metrics.segf1 is not None


def test_files_of_the_system_beside_ignore_masks_name_no_other_run(tmp_path):
    """Macs write ._screw.png to foreign disks, and names in another form of Unicode."""
    save(tmp_path / "here/sch\u00fctz.png", np.eye(4, dtype=bool))
    save(tmp_path / "there/schu\u0308tz.png", np.eye(4, dtype=bool))
    (tmp_path / "there/._schu\u0308tz.png").write_bytes(b"fork")
    found = {ignored_digest(Marking(ignore_mask=str(tmp_path / name)), Digests()) for name in ("here", "there")}
    assert len(found) == 1
