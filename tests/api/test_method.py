"""What a method declares: its settings, and the numbers that its authors published."""

from __future__ import annotations

from pathlib import Path

import pytest

from adbench import Detector, Method, UsageError
from adbench.api.method import Preset, Published, require_setting
from adbench.api.options import Options

OLD = "dataset,class,metric,source,epoch,percent\n"
NEW = "method,configuration,dataset,class,setting,shots,metric,percent,policy,epoch,source\n"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "published.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_setting_that_a_method_lacks_is_one_error_that_names_those_it_has():
    """One error names all methods that lack a setting, each with the settings that it supports."""
    one = Method("one", "", Detector)
    few = Method("few", "", Detector, settings=("one-class", "few-shot"))
    require_setting([one, few], "one-class")
    require_setting([few], "few-shot")
    with pytest.raises(UsageError) as caught:
        require_setting([one, few], "zero-shot")
    assert str(caught.value) == (
        "one does not support --setting zero-shot, only one-class; "
        "few does not support --setting zero-shot, only one-class, few-shot."
    )


def test_a_preset_of_some_settings_is_refused_in_others():
    """The error names preset, method, and the settings that it is for; without a preset those of the method count."""
    presets = {"joint": Preset(Options(), settings=("multi-class",)), "cpu": Preset(Options())}
    both = Method("both", "", Detector, presets=presets, settings=("one-class", "multi-class"))
    require_setting([both], "one-class")
    require_setting([both], "one-class", "cpu")
    require_setting([both], "multi-class", "joint")
    wanted = "preset joint of both: found --setting one-class, wanted --setting multi-class."
    with pytest.raises(UsageError, match=wanted):
        require_setting([both], "one-class", "joint")


def test_a_file_of_adbench_0_1_is_read_as_before(tmp_path):
    """Without the newer columns a number is one-class, and its source gives the policy."""
    path = written(
        tmp_path, OLD + 'mvtec,can,aupro,"log, last evaluated epoch",3,91.5\nmvtec,can,aupro,"log, best epoch",,92\n'
    )
    last, best = Published.read_csv(path)
    assert last == Published("mvtec", "can", "aupro", 0.915, "last", "log, last evaluated epoch", 3)
    assert (best.policy, best.epoch, best.setting, best.shots) == ("oracle", None, "one-class", None)


def test_policy_setting_shots_and_configuration_are_read_where_they_stand(tmp_path):
    """The newer columns are read, and only the rows of the wanted method."""
    path = written(
        tmp_path,
        NEW + "mine,small,visa,pcb1,few-shot,4,image_auroc,90,unknown,,table 2\nyours,,visa,pcb1,,,aupro,80,last,,t\n",
    )
    (mine,) = Published.read_csv(path, method="mine")
    expected = Published("visa", "pcb1", "image_auroc", 0.9, "unknown", "table 2", None, "few-shot", 4, "small")
    assert mine == expected
    assert len(Published.read_csv(path)) == 2


@pytest.mark.parametrize(("old", "new"), [("few-shot", "fewshot"), ("unknown", "best"), (",4,", ",four,")])
def test_a_cell_that_cannot_be_read_names_file_and_line(tmp_path, old, new):
    """An unknown setting or policy, or text in place of a number, is refused with file and line."""
    row = "mine,small,visa,pcb1,few-shot,4,image_auroc,90,unknown,,table 2\n"
    with pytest.raises(ValueError, match=r"published\.csv, line 2: .*" + new.strip(",")):
        Published.read_csv(written(tmp_path, NEW + row.replace(old, new)))
