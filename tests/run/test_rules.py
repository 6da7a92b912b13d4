"""Rules of adbench that changed for some runs alone: their results are stale, and all others stay."""

from __future__ import annotations

from dataclasses import replace

import published_files as files
import pytest
from runs import job_for, made_method, one_epoch, registry_of, resolve, run_one

from adbench.results.records import Result
from adbench.results.store import RunFolder
from adbench.results.variants import Names
from adbench.run.job import run_name
from adbench.run.standing import Inspector, predecessor

METHOD = made_method(one_epoch)

OLD = "mean + 3 sd of the pixels of held-out images"


@pytest.fixture
def job(tmp_path):
    """A run on AD 2's layout, which has validation images, that holds out training images as well."""
    data = files.ad2(tmp_path / "data")
    files.write(data / "can", *(f"train/good/{number:03d}_regular.png" for number in range(1, 6)))
    return job_for(METHOD, data, tmp_path / "results", dataset="mvtec_ad2", class_name="can", classes=(), size=(8, 8),
                   holdout=0.5)  # fmt: skip


def before(result: Result) -> Result:
    """The result as it was when SegF1's threshold came from the held-out images."""
    made = replace(result.identity, rules={})
    return replace(result, identity=made, protocol=replace(result.protocol, segf1=OLD), seed=1)


def test_segf1_of_held_out_images_is_not_used_again(job):
    """A run of before is stale with the reason, has another name than the present run, and is never its seed."""
    result, _ = run_one(METHOD, job)
    command = f"adbench run -m made -d mvtec_ad2 --data-root {job.data_root}"
    result = replace(result, command=command)
    old, inspector = before(result), Inspector(registry_of(METHOD))
    assert inspector.standing(result).state == "current"
    assert inspector.standing(old).reason == "adbench's rule changed: segf1-from"
    names = [run_name(job, each.identity, amp=result.protocol.precision) for each in (result, old)]
    assert names[0] == result.run != names[1]
    assert [Names([result, old]).of(each) for each in (result, old)] == ["made", "made:segf1-from=held-out"]
    stored = RunFolder(job.results, "mvtec_ad2", "can", "made", names[1])
    stored.write_result(replace(old, run=names[1], seed=0), [], [])
    found = predecessor(job, result.identity)
    assert found is not None
    assert found[1].reason == "adbench's rule changed: segf1-from"


@pytest.mark.parametrize(
    "changes", [{"holdout": 0.0}, {"setting": "few-shot", "shots": 2}, {"segf1": "own", "target_false_alarms": 0.5}]
)
def test_other_runs_keep_their_names(job, changes):
    """Without held-out images, or with a threshold of the run's own, nothing was decided in another way."""
    assert resolve(METHOD, replace(job, **changes)).identity.rules == {}


def test_without_validation_images_nothing_changed(tiny_data, tmp_path):
    """Held-out images give the threshold then as now."""
    assert resolve(METHOD, job_for(METHOD, tiny_data, tmp_path, holdout=0.5)).identity.rules == {}
