"""The readers of published data sets: their layouts and those of copies, and what they say of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import published_files as made
import pytest

from adbench import Task
from adbench.api import registry
from adbench.api.data import UNLABELLED, Problem
from adbench.api.data_options import with_options
from adbench.data import masks
from adbench.run import check_dataset
from adbench.util.errors import DataError

MASKED = {"scratch": "000_mask.png"}


def btad(root: Path) -> Path:
    """All three classes with the suffixes of the archive."""
    made.write(root, *made.tree("01", kinds={}, good="ok", suffix=".bmp"))
    made.write(root, "01/test/ko/000.bmp", "01/ground_truth/ko/000.png = 5")
    made.write(root, *made.tree("02", kinds={"ko": "000.png"}, good="ok"))
    return made.write(root, *made.tree("03", kinds={"ko": "000.bmp"}, good="ok", suffix=".bmp"))


def autovi(root: Path) -> Path:
    """A class with the layout of MVTec LOCO AD, kinds of its own and coloured masks."""
    made.write(root, *made.tree("pipe_clip", kinds={}), "pipe_clip/test/operator/000.png")
    made.write(root / "pipe_clip/ground_truth/operator/000", "0000.png = 3 of 255 rgb", "0001.png = 5 of 254 rgb")
    config = [made.kind("operator", 255, 2, False), made.kind("other", 254, 1.0, True)]
    return made.write_text(root, "pipe_clip/defects_config.json", made.json.dumps(config))


def goodsad(root: Path) -> Path:
    made.write(root, *made.tree("drink_can", kinds={}, suffix=".jpg"))
    return made.write(root, "drink_can/test/dent/000.jpg", "drink_can/ground_truth/dent/000.png = 5")


LAYOUTS = {
    "autovi": autovi,
    "btad": btad,
    "dagm": made.dagm,
    "dtd_synthetic": lambda root: made.write(root, *made.tree("Woven_001", kinds={"bad": "000_mask.png"})),
    "elpv": made.elpv,
    "goodsad": goodsad,
    "kolektorsdd": made.kolektor,
    "kolektorsdd2": made.kolektor2,
    "mpdd": lambda root: made.write(root, *made.tree("tubes", kinds=MASKED)),
    "mtd": made.mtd,
    "mvtec_ad2": made.ad2,
    "mvtec_loco": made.loco,
    "real_iad": made.real_iad,
    "vad": made.vad,
}


@pytest.fixture(scope="module")
def readers():
    return registry.load().datasets


def only(readers, name: str, root: Path, **changes) -> Task:
    """The task of the only class."""
    reader = with_options(readers[name], changes)
    (class_name,) = reader.classes(root)
    return reader.load(root, class_name)


def kinds(samples) -> list[tuple[str, int, str, tuple[str, ...]]]:
    return [(each.path.name, each.label, each.defect, tuple(mask.name for mask in each.masks)) for each in samples]


def pixels(sample) -> int:
    found = masks.decode_mask(sample, (8, 8), (0, 0, 8, 8), None)
    assert not isinstance(found, Problem), found
    return int(found.sum())


@pytest.mark.parametrize("above", ["", "one", "one/two"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_each_passes_the_audit_at_any_depth(readers, tmp_path, name, above):
    """The layout is read in the root or two folders below it: all checks of readers pass, and no image has a problem.

    What differs from the published numbers is a warning that names them.
    """
    LAYOUTS[name](tmp_path / above)
    results = check_dataset.run(readers[name], tmp_path)
    assert [(each.check, each.reason) for each in results if each.outcome != "passed"] == []
    tasks = [readers[name].load(tmp_path, each) for each in readers[name].classes(tmp_path)]
    decoded = [pixels(sample) for task in tasks for sample in task.test if sample.mask is not None]
    assert all(decoded)
    assert bool(decoded) == (name not in ("vad", "elpv"))
    said = "\n".join(line for task in tasks for line in task.remarks if line.startswith("Warning: "))
    if name not in ("dtd_synthetic", "dagm", "real_iad"):  # no numbers by class are published
        assert "other numbers than published" in said
    if len(readers[name].facts.classes) not in (1, len(tasks)):
        assert f"{len(tasks)} of {len(readers[name].facts.classes)} classes; no " in said


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_root_without_it_says_where_to_get_it(readers, tmp_path, name):
    """The message names the page; tables of another copy are named, too."""
    with pytest.raises(check_dataset.AdbenchError, match="found no") as caught:
        readers[name].classes(tmp_path)
    assert "--data-root" in str(caught.value)
    made.write_text(tmp_path, "data/train.parquet", "")
    with pytest.raises(check_dataset.AdbenchError, match=r"found tables \(.parquet\), which are not read"):
        readers[name].classes(tmp_path)


# ---------------------------------------------------------------- one by one


def test_mvtec_ad_2_has_private_tests_without_labels(readers, tmp_path):
    """The public test is scored by default, and the private ones by name; validation images are apart."""
    task = only(readers, "mvtec_ad2", made.ad2(tmp_path))
    assert list(task.splits) == ["train", "validation", "test_public", "test_private", "test_private_mixed"]
    assert kinds(task.test) == [
        ("000_shift_1.png", 1, "bad", ("000_shift_1_mask.png",)), ("000_regular.png", 0, "good", ()),
    ]  # fmt: skip
    assert {sample.defect for sample in task.with_test("test_private").test} == {UNLABELLED}
    assert len(task.tests["test_private_mixed"]) == 1


def test_the_masks_of_an_image_of_loco_are_joined(readers, tmp_path):
    """Their pixels count once, whatever their values, and the rules of their regions come with the task."""
    task = only(readers, "mvtec_loco", made.loco(tmp_path))
    logical, structural = (sample for sample in task.test if sample.label)
    assert kinds([logical]) == [("000.png", 1, "logical_anomalies", ("000.png", "001.png"))]
    assert (pixels(logical), pixels(structural)) == (30, 9)
    assert [each.defect for each in task.region_rules.saturations] == ["one", "two", "bent"]
    assert len(task.validation) == 1


def test_merged_masks_of_loco_have_no_regions(readers, tmp_path):
    """A copy with one mask per image, or without the file of saturations, is read and said to have no such metric."""
    made.loco(tmp_path)
    config = tmp_path / "pushpins" / "defects_config.json"
    text = config.read_text(encoding="utf-8")
    config.unlink()
    assert "no defects_config.json" in " ".join(only(readers, "mvtec_loco", tmp_path).remarks)
    config.write_text(text, encoding="utf-8")
    for each in list((tmp_path / "pushpins/ground_truth").glob("*/000")):
        shutil.rmtree(each)
        made.write(each.parent, "000.png = 9")
    task = only(readers, "mvtec_loco", tmp_path)
    assert task.region_rules is None
    assert "masks in single files" in " ".join(task.remarks)
    assert {pixels(sample) for sample in task.test if sample.label} == {9}


@pytest.mark.parametrize(
    ("text", "found"),
    [("{", "no JSON"), ("{}", "no list"), ('[{"pixel_value": 3}]', "an entry without defect_name"),
     *((made.json.dumps([made.kind("cut", *values)]), found) for values, found in (
         ((0, 1.0, True), "pixel_value 0"), ((True, 1.0, True), "pixel_value True"), ((9, 1.5, True), "1.5"),
         ((9, 0.5, False), "0.5"), ((9, 0, False), "threshold 0"), ((9, 1, "yes"), "threshold 1"))),
     (made.json.dumps([made.kind("a", 9, 1.0, True), made.kind("b", 9, 1.0, True)]), "pixel_value 9 twice")],
)  # fmt: skip
def test_broken_saturations_are_a_problem(readers, tmp_path, text, found):
    """The run stops unless it has --skip-bad; the file and what is wrong with it are named."""
    made.write_text(made.loco(tmp_path), "pushpins/defects_config.json", text)
    (problem,) = only(readers, "mvtec_loco", tmp_path).problems
    assert (problem.path.name, found in problem.found) == ("defects_config.json", True), problem


@pytest.mark.parametrize("path", ["/etc/hostname", "../other/a.jpg", "C:\\a.jpg", 5, None, "a\0.jpg"])
@pytest.mark.parametrize("key", ["image_path", "mask_path"])
def test_real_iad_reads_nothing_outside_its_folder(readers, tmp_path, key, path):
    """A json names files below its class alone; a mask may also be named by nothing."""
    split = made.real_iad(tmp_path) / "realiad_jsons/realiad_jsons/audiojack.json"
    facts = json.loads(split.read_text())
    facts["test"][0][key] = path
    split.write_text(json.dumps(facts))
    if key == "mask_path" and path is None:
        assert only(readers, "real_iad", tmp_path).test
        return
    with pytest.raises(DataError, match="in test, which is none below the class's folder"):
        only(readers, "real_iad", tmp_path)


def test_real_iad_takes_labels_from_its_json(readers, tmp_path):
    """A view of a defective object that shows no defect is good; the single view is read from either json."""
    made.real_iad(tmp_path)
    task = only(readers, "real_iad", tmp_path)
    assert [(label, kind) for _, label, kind, _ in kinds(task.test)] == [(1, "AK"), (0, "good")]
    single = only(readers, "real_iad", tmp_path, views="single")
    assert [len(samples) for samples in single.splits.values()] == [1, 1]
    made.real_iad(tmp_path, folder="realiad_jsons_sv")
    assert "realiad_jsons_sv" in only(readers, "real_iad", tmp_path, views="single").remarks[0]
    with pytest.raises(check_dataset.AdbenchError, match="realiad_512/CLASS/OK"):
        only(readers, "real_iad", tmp_path, resolution="512")


def test_defective_training_images_are_left_out_and_counted(readers, tmp_path):
    """DAGM, KolektorSDD2 and VAD have them for supervised methods."""
    for name, make in (("dagm", made.dagm), ("kolektorsdd2", made.kolektor2), ("vad", made.vad)):
        task = only(readers, name, make(tmp_path / name))
        assert not any(sample.label for sample in task.train)
        assert "1 defective image" in task.remarks[0]
        assert "left out" in task.remarks[0]


def test_vad_keeps_its_unseen_kinds_apart(readers, tmp_path):
    """They are a type of defect, and no image has a mask."""
    task = only(readers, "vad", made.vad(tmp_path))
    assert {sample.defect for sample in task.test} == {"bad", "bad_unseen_defects", "good"}
    assert "no masks" in " ".join(task.remarks)


def test_no_item_of_kolektorsdd_is_in_both_parts(readers, tmp_path):
    """The split draws items by their names: another order of files, or a copy, has the same one."""
    task = only(readers, "kolektorsdd", made.kolektor(tmp_path, items=10))
    trained = {sample.path.parent.name for sample in task.train}
    tested = {sample.path.parent.name for sample in task.test if not sample.label}
    assert (len(trained), len(tested), trained & tested) == (8, 2, set())
    assert [pixels(sample) for sample in task.test if sample.label] == [4]
    assert only(readers, "kolektorsdd", tmp_path, split_seed=1).train != task.train


def test_an_image_without_its_mask_has_no_label(readers, tmp_path):
    """In data sets whose masks give the labels this is a problem of that image, and so is a broken mask."""
    made.kolektor(tmp_path)
    (tmp_path / "kos02/Part0_label.bmp").unlink()
    (tmp_path / "kos02/Part1_label.bmp").write_bytes(b"x")
    made.write(tmp_path, "kos03/Part9_label.bmp = 1")
    task = only(readers, "kolektorsdd", tmp_path)
    assert sorted((problem.path.name, problem.found) for problem in task.problems) == [
        ("Part0.jpg", "no mask Part0_label, so its label is unknown"),
        ("Part1_label.bmp", "a mask that can't be read"),
    ]
    assert "passed over: kos03/Part9_label.bmp." in task.remarks[1]


def test_soft_masks_of_mtd_count_above_half(readers, tmp_path):
    """127 of 255 is no defect, 128 is one."""
    task = only(readers, "mtd", made.mtd(tmp_path))
    assert sorted(pixels(sample) for sample in task.test if sample.label) == [3, 6]
    assert [len(task.train), sum(not sample.label for sample in task.test)] == [4, 1]


def test_mtd_takes_a_published_split_and_leaves_out_black_masks(readers, tmp_path):
    """The list of DifferNet beside the folders is the split; images whose published mask is black are named."""
    made.write_text(made.mtd(tmp_path), "mtd_train_filenames.txt", "exp1_num_1.jpg\nexp1_num_3.jpg\n")
    made.write(tmp_path / "MT_Uneven/Imgs", "exp4_num_45057.jpg", "exp4_num_45057.png = 0")
    task = only(readers, "mtd", tmp_path)
    assert [sample.path.stem for sample in task.train] == ["exp1_num_1", "exp1_num_3"]
    assert "as mtd_train_filenames.txt says" in task.remarks[0]
    assert "exp4_num_45057.jpg" in task.remarks[1]
    assert "exp4_num_45057" not in {sample.path.stem for sample in task.test}


def test_the_list_of_mtd_may_have_a_byte_order_mark(readers, tmp_path):
    """The first name counts where an editor of Windows has saved the list; another encoding is one clear message."""
    place = made.mtd(tmp_path) / "mtd_train_filenames.txt"
    place.write_text("exp1_num_1.jpg\nexp1_num_3.jpg\n", encoding="utf-8-sig")
    task = only(readers, "mtd", tmp_path)
    assert [sample.path.stem for sample in task.train] == ["exp1_num_1", "exp1_num_3"]
    place.write_text("exp1_num_1.jpg\n", encoding="utf-16")
    with pytest.raises(DataError, match="found bytes that are no UTF-8, wanted names of images"):
        only(readers, "mtd", tmp_path)


def test_elpv_has_a_threshold_and_may_leave_out_doubtful_labels(readers, tmp_path):
    """Two thirds is defective and a third is good, unless options say otherwise."""
    made.elpv(tmp_path)

    def labels(**changes) -> tuple[int, int]:
        task = only(readers, "elpv", tmp_path, **changes)
        found = [sample.label for samples in task.splits.values() for sample in samples]
        return found.count(0), found.count(1)

    assert labels() == (3, 2)
    assert labels(threshold=0.9) == (4, 1)
    assert labels(doubtful=False) == (2, 1)


@pytest.mark.parametrize("line", ["images/cell0001.png 1.0", "images/cell0001.png 2.0 mono", "a b c"])
def test_a_wrong_label_of_elpv_is_named(readers, tmp_path, line):
    """The message has the line."""
    made.write_text(made.elpv(tmp_path), "labels.csv", f"images/cell0002.png 0 poly\n{line}\n")
    with pytest.raises(check_dataset.AdbenchError, match=r"labels.csv, line 2.*found '"):
        only(readers, "elpv", tmp_path)
