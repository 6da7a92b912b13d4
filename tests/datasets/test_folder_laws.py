"""A law of own images: every file is used, wrong, or named; none is dropped in silence."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest
from adbench_datasets import folder, layout
from hypothesis import example, given, settings
from hypothesis import strategies as st
from layout_files import touch

from adbench.api.data_options import with_options
from adbench.util.errors import UsageError

PLACES = (
    "", "good", "OK", "bad", "bad/cut", "NG", "masks", "masks/cut", "extra", "train", "train/good", "train/Normal",
    "train/bad", "train/good/monday", "test", "test/good", "test/ok", "test/cut", "test/cut/deep", "Ground_truth/cut",
    "ground_truth/cut", "ground_truth/cut/1", "ground_truth/good", "ground_truth/hole", "validation/good",
)  # fmt: skip
NAMES = ("1.png", "2.jpg", "1_mask.png", "2_GT.bmp", "3_label.png", "4.heic", "notes.txt", "ok_5.png", "ng_5.png")
PATHS = st.tuples(st.sampled_from(PLACES), st.sampled_from(NAMES)).map(lambda parts: "/".join(filter(None, parts)))
TREES = st.lists(PATHS, min_size=3, max_size=14)
OPTIONS = st.sampled_from(
    [{}, {"good": ("ok",)}, {"good": ("ok_*",), "bad": ("ng_*",)}, {"good": ("**/ok*",)}, {"bad": ("**/ng*", "NG")}]
)


def accounted(task, files: list[str]) -> list[str]:
    """The files that are neither used, nor wrong, nor named, alone or by a folder above them."""
    root = task.root
    used = {path.relative_to(root).as_posix() for part in task.splits.values() for each in part for path in each.files}
    wrong = [problem.path.relative_to(root).as_posix() for problem in task.problems]
    text = " ".join(task.remarks) + " ".join(problem.found for problem in task.problems)

    def named(name: str) -> bool:
        own = name.removeprefix(f"{task.class_name}/")
        above = [str(path) for path in Path(own).parents if str(path) != "."]
        return (
            re.search(rf"(^|[ /]){re.escape(own)}($|[ ,.])", text) is not None
            or any(f" {path}/" in text or f"in {path} left out" in text for path in above)
            or any(name == each or name.startswith(f"{each}/") for each in wrong)
        )

    return [name for name in files if name not in used and not named(name)]


@settings(max_examples=40, deadline=None)
@given(TREES, OPTIONS)
@example(["train/good/1.png", "test/cut/1.png", "test/cut/1_mask.png", "ground_truth/cut/1.png"], {})
@example(["ok_5.png", "extra/ok_5.png", "ng_5.png", "1.png", "masks/1.png"], {"good": ("**/ok*",), "bad": ("ng*",)})
def test_no_file_is_dropped_in_silence(files, options):
    """Whatever lies in the folder of a class that can be read."""
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "LISTED", 100)
        touch(Path(place) / "nut", *files)
        reader = with_options(folder.reader(), options)
        try:
            task = reader.load(Path(place) / "nut", "nut")
        except UsageError:
            return
        names = sorted({f"nut/{name}" for name in files})
        task_files = [path for part in task.splits.values() for each in part for path in each.files]
        assert accounted(task, names) == []
        assert not [path for part in task.splits.values() for each in part if "_mask" in (path := each.path).stem
                    and any(other.stem + "_mask" == path.stem for other in path.parent.iterdir())]  # fmt: skip
        assert len({*task_files}) >= len({each.path for part in task.splits.values() for each in part})
