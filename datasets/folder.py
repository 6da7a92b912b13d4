"""Your own images: named by a list, in folders of good and bad ones without a split, or in MVTec layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

from adbench import Dataset, Task, hookimpl
from adbench.api import GOOD, MASK_FOLDERS, DataError, Facts

from . import image_list
from .layout import (
    ROOT_HINT,
    check_class,
    check_root,
    folders_in,
    images_in,
    is_text,
    named,
    passed_over,
    visible,
)
from .names import is_bad, is_good
from .plain import FolderOptions, check_names, is_plain, read_loose, read_plain
from .tree import Tree, has_split, is_class, read_class

NAME = "folder"
PLAIN = "CLASS/good and CLASS/bad"
LAYOUT = "CLASS/train/good, CLASS/test/good, CLASS/test/DEFECT and CLASS/ground_truth/DEFECT"

OPTION_FILE = "dataset.toml"
"""A file in the root that sets options."""

Layout = Literal["plain", "mvtec", "loose", "list"]

USUAL = FolderOptions()
FACTS = Facts(
    masks="as you have them",
    notes=("Classes are the folders, or the root itself.", "Its licence is that of your images."),
)


def classes(root: Path, options: FolderOptions = USUAL) -> Sequence[str]:
    """Names of the folders that are classes, or that a list has; a root that is a class itself is the only one.

    A root without any class that holds images itself is one class of images without labels.

    Raises:
        DataError: the root is missing, or holds neither classes nor images.
    """
    return list(_find(root, options))


def load(root: Path, class_name: str, options: FolderOptions = USUAL) -> Task:
    """Find the images of one class.

    Raises:
        UnknownNameError: no such class.
        DataError: the root or the class's images are missing, or can't be split.
    """
    found = _find(root, options)
    check_class(NAME, class_name, list(found))
    folder, layout = found[class_name]
    read = (OPTION_FILE,) if folder == root.resolve() else ()
    if layout == "loose":
        return read_loose(NAME, folder, read)
    if layout == "list":
        return image_list.load(NAME, folder, class_name, options)
    task = (_read_split if layout == "mvtec" else _read_plain)(folder, options, read)
    if read:
        return task
    known = {*found, OPTION_FILE}
    others = [path for path in visible(root) if path.name not in known and not is_text(path)]
    return replace(task, remarks=(*task.remarks, *passed_over(f"{NAME} at {root}", named(others, root))))


def _tree(options: FolderOptions, read: Sequence[str] = ()) -> Tree:
    """MVTec's layout with the folders that the user named for good images, or with those of the usual names."""
    masks = ("ground_truth", "masks")
    tree = Tree(masks=masks, files=tuple(read))
    return tree if options.good == USUAL.good else replace(tree, good=options.good, only=True)


def _read_split(folder: Path, options: FolderOptions, read: Sequence[str]) -> Task:
    """Read a class that is split by its folders; of the options only names of good images count."""
    task = read_class(NAME, folder, _tree(options, read))
    without = replace(options, good=USUAL.good)
    lines = [] if without == USUAL else [_own_split(folder.name)]
    counting = replace(USUAL, good=options.good)
    return replace(task, options=None if counting == USUAL else counting, remarks=(*lines, *task.remarks))


def _read_plain(folder: Path, options: FolderOptions, read: Sequence[str]) -> Task:
    """Read a class without a split; a line says which folders were taken for good and bad ones by their names."""
    likely = _by_names(folder, options)
    task = read_plain(NAME, folder, likely, read)
    if likely == options:
        return task
    bad = [name for name in likely.bad if likely.bad != options.bad and (folder / name).is_dir()]
    good = [f"{', '.join(likely.good)} taken for good images"] if likely.good != options.good else []
    taken = [*good, *([f"{', '.join(bad)} {'' if good else 'taken '}for defective ones"] if bad else [])]
    said = f"{NAME}/{folder.name}: {' and '.join(taken)} (--good and --bad name others)."
    return replace(task, options=options, remarks=(said, *task.remarks))


def _by_names(folder: Path, options: FolderOptions) -> FolderOptions:
    """The options with the usual names of good and bad images where a class has no folders ``good`` and ``bad``."""
    if options.good != USUAL.good or is_class(folder, _tree(options)):
        return options
    inner = folders_in(folder)
    if not (folder / GOOD).is_dir() and any(is_plain(each, options) or is_class(each) for each in inner):
        return options
    names = [each.name for each in inner]
    good, bad = options.good, options.bad
    if not (folder / GOOD).is_dir():
        good = tuple(name for name in names if is_good(name) and images_in(folder / name)) or good
    if bad == USUAL.bad and not (folder / bad[0]).is_dir() and (folder / good[0]).is_dir():
        bad = tuple(name for name in names if is_bad(name)) or bad
    return replace(options, good=good, bad=bad)


def _own_split(class_name: str) -> str:
    return (
        f"{NAME}/{class_name}: split by its folders train and test, so options for folders without a split don't count."
    )


def _find(root: Path, options: FolderOptions) -> dict[str, tuple[Path, Layout]]:
    """The classes, each with its folder, or with the list that names its images, and how it is read."""
    check_root(NAME, root)
    if (listed := image_list.find(root)) is not None:
        return dict.fromkeys(image_list.classes(listed), (listed, "list"))
    own = _layout(root, options)
    if own is not None:
        folder = root.resolve()
        return {folder.name: (folder, own)}
    found = {folder.name: (folder, layout) for folder in folders_in(root) if (layout := _layout(folder, options))}
    if found:
        return found
    if images_in(root):
        folder = root.resolve()
        return {folder.name: (folder, "loose")}
    raise DataError(
        f"data set {NAME} at {root}", found="no class", wanted=f"{PLAIN}, or {LAYOUT}",
        hint=_names_hint(root) or ROOT_HINT,
    )  # fmt: skip


def _names_hint(root: Path) -> str:
    """How to name the folders of images in the root, or in a folder of it; empty if there are no two of them."""
    for place in (root, *folders_in(root)):
        names = [each.name for each in folders_in(place) if each.name not in MASK_FOLDERS and images_in(each)]
        if len(names) > 1:
            good = next(filter(is_good, names), names[0])
            bad = ",".join(name for name in names if name != good)
            return f"Name the folders of {place}, such as --good {good} --bad {bad}"
    return ""


def _layout(folder: Path, options: FolderOptions) -> Layout | None:
    """How a folder is read, if it is a class. Folders that the user named win over MVTec's layout."""
    options = _by_names(folder, options)
    named = (options.good, options.bad) != (USUAL.good, USUAL.bad)
    if named and is_plain(folder, options):
        return "plain"
    tree = _tree(options)
    if has_split(folder, tree):
        return "mvtec"
    if is_plain(folder, options):
        return "plain"
    return "mvtec" if is_class(folder, tree) else None


def reader(options: FolderOptions = USUAL) -> Dataset:
    """The data set ``folder``, read with these options. Raises ``OptionError`` for names of folders that can't be."""
    check_names(options, f"data set {NAME}")
    return Dataset(
        NAME,
        "Your own images: good and bad ones in a folder each, or MVTec's layout",
        partial(classes, options=options),
        partial(load, options=options),
        f"Layout: {PLAIN}, or {LAYOUT}",
        options=options,
        configure=reader,
        facts=FACTS,
        option_file=OPTION_FILE,
    )


@hookimpl
def adbench_datasets() -> Sequence[Dataset]:
    """Offer ``folder``."""
    return [reader()]
