"""Comparisons: named variants, differences, and the papers' numbers."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from made_results import footer_of, make_result, records_of

from adbench import report
from adbench.api.method import Published
from adbench.report.render import render
from adbench.results.variants import boards
from adbench.util.errors import UnknownNameError

# ---------------------------------------------------------------- variants


def labels(results) -> set[str]:
    (board,) = boards(results)
    return {variant.label for variant in board.variants}


def test_variants_are_named_by_what_differs():
    """A preset, an option, a backbone or a size makes a separate row."""
    results = [
        make_result(),
        make_result(preset="cpu"),
        make_result(preset="cpu", overrides={"backbone": "resnet18"}),
        make_result(overrides={"size": (32, 64)}),
    ]
    assert labels(results) == {"msflow", "msflow:cpu", "msflow:cpu,backbone=resnet18", "msflow:size=32x64"}


def test_hidden_differences_make_separate_variants():
    """Runs of one name but another precision, option or weights are never averaged."""
    assert labels([make_result(amp="off"), make_result(amp="bf16")]) == {"msflow:amp=off", "msflow:amp=bf16"}
    assert labels([make_result("m", "x", amp="off"), make_result("m", "y", amp="bf16")]) == {"m:amp=off", "m:amp=bf16"}
    changed = [make_result(preset="cpu", options={"lr": lr}) for lr in (0.1, 0.2)]
    assert labels(changed) == {"msflow:cpu,lr=0.1", "msflow:cpu,lr=0.2"}
    weights = make_result(backbone="resnet18")
    other = replace(weights, protocol=replace(weights.protocol, backbone_weights="fedcba987654"))
    assert labels([weights, other]) == {"msflow:weights=0123456789ab", "msflow:weights=fedcba987654"}


def test_runs_that_were_evaluated_otherwise_are_variants_of_their_own():
    """Runs with another evaluation size or with held-out images are not averaged with the rest."""
    plain = make_result()
    native = replace(plain.protocol, mask_size="native", map_resampling="bilinear")
    assert labels([plain, replace(plain, protocol=native)]) == {"msflow", "msflow:eval-size=native"}
    held = replace(plain, protocol=replace(plain.protocol, holdout=0.1), class_name="nuts")
    assert labels([plain, held]) == {"msflow", "msflow:holdout=0.1"}


def test_options_that_a_preset_sets_per_class_make_no_variant():
    """MSFlow's transistor at another size belongs to the same variant."""
    assert labels([make_result("m", "x", size=(64, 64)), make_result("m", "y", size=(32, 32))]) == {"m"}


def test_runs_on_older_images_do_not_count():
    """If a class's images changed, only the runs on the newest ones are compared, and a note says so."""
    results = [
        make_result("a", image=0.9, fingerprint="old", finished="2024-01-01"),
        make_result("a", image=0.7, fingerprint="new", finished="2024-01-03", seed=1),
        make_result("b", image=0.8, fingerprint="old", finished="2024-01-02"),
    ]
    (table,) = report.leaderboard(results)
    assert [(row["variant"], row["image_auroc"]) for row in records_of(table)] == [("a", 0.7)]
    assert any("2 older" in note for note in table.notes)


# ---------------------------------------------------------------- compare


def pair():
    return [
        make_result("a", "x", image=0.9),
        make_result("a", "y", image=0.8),
        make_result("a", "z", image=0.1),
        make_result("b", "x", image=0.7),
        make_result("b", "y", image=1.0),
    ]


def test_compare_shows_differences_and_the_common_mean():
    """Rows are classes; there are differences to the first, and a mean over the common classes."""
    table, *others = report.compare(pair(), ["a", "b"])
    assert len(others) == 2
    rows = {row["class"]: row for row in records_of(table)}
    assert rows["x"]["b - a"] == pytest.approx(-0.2)
    assert rows["y"]["b - a"] == pytest.approx(0.2)
    assert rows["z"]["b"] is None
    assert rows["z"]["b - a"] is None
    assert footer_of(table)["a"] == pytest.approx(0.85)
    assert footer_of(table)["b"] == pytest.approx(0.85)
    assert footer_of(table)["b - a"] == pytest.approx(0)
    assert any("left out: z" in note for note in table.notes)
    assert re.search(r"\| z \| 10.00 \| - \| - \|", render([table], "markdown"))


@pytest.mark.parametrize("count", [2, 6])
def test_variants_without_a_common_class_are_told_with_their_classes(count):
    """One line says why all means and differences are dashes; many variants, with many classes, are cut short."""
    results = [make_result(f"m{number}", f"class{number}") for number in range(count)]
    results += [make_result("m0", f"more{number}") for number in range(7)]
    first, *_ = report.compare(results, [f"m{number}" for number in range(count)], metrics=["image_auroc"])
    (note,) = (note for note in first.notes if note.startswith("No class"))
    more = ", ".join(f"more{number}" for number in range(5))
    assert f"there is no mean: m0 has class0, {more} and 2 more; m1 has class1" in note
    assert not any("0 classes" in note for note in first.notes)


def test_compare_takes_methods_and_variants():
    """A method's name means all its variants, a variant's name itself; the order is the command's."""
    results = [
        make_result("a"),
        make_result("a", preset="cpu"),
        make_result("b", amp="off"),
        make_result("b", amp="bf16"),
    ]

    def compared(*names):
        table = report.compare(results, names, metrics=["image_auroc"])[0]
        return [column.key for column in table.columns if column.kind == "percent"]

    assert compared("a:cpu", "a") == ["a:cpu", "a"]
    assert compared("b", "a:cpu") == ["b:amp=off", "b:amp=bf16", "a:cpu"]
    assert compared("b:amp=bf16") == ["b:amp=bf16"]


def test_a_variant_that_is_called_just_so_is_meant_alone():
    """Beside variants whose names go on, the plain one has no longer name; a method's name still means all of them."""
    plain, other = make_result("a"), make_result("a", preset="cpu")
    ruled = replace(other, protocol=replace(other.protocol, mask_rule="inverted"))
    for names, wanted in (
        (["a:cpu"], ["a:cpu"]),
        (["a:cpu,mask-rule=inverted", "a:cpu"], ["a:cpu,mask-rule=inverted", "a:cpu"]),
        (["a"], ["a", "a:cpu", "a:cpu,mask-rule=inverted"]),
    ):
        table = report.compare([plain, other, ruled], names, metrics=["image_auroc"])[0]
        assert [column.key for column in table.columns if column.kind == "percent"] == wanted


def test_compare_names_what_is_there():
    """An unknown name is an error that lists the known ones."""
    with pytest.raises(UnknownNameError, match=r"'c'.*a, b"):
        report.compare(pair(), ["a", "c"])


PUBLISHED = (
    Published("folder", "x", "image_auroc", 0.95, "last", "log, last", 24),
    Published("folder", "x", "image_auroc", 0.981, "oracle", "log, best", 7),
    Published("folder", "y", "image_auroc", 0.991, "oracle", "log, best", 9),
    Published("folder", "x", "image_auroc", 0.98, "oracle", "table"),
    Published("folder", "y", "image_auroc", 0.99, "oracle", "table"),
    Published("folder", "x", "pixel_auroc", 0.5, "last", "log, last", 24),
    Published("elsewhere", "x", "image_auroc", 0.1, "last", "log, last", 24),
)


def test_published_numbers_meet_ours_of_the_same_policy():
    """Last epoch is compared with last, best epoch with our oracle; the gap is ours minus theirs."""
    results = [
        make_result("a", "x", image=0.90, oracle={"image_auroc": 0.97}),
        make_result("a", "y", image=0.80, oracle={"image_auroc": 0.995}),
    ]
    (table,) = report.compare(results, ["a"], metrics=["image_auroc"], vs_published={"a": PUBLISHED})
    x, y = records_of(table)
    assert x["a published (last)"] == 0.95
    assert x["a gap (last)"] == pytest.approx(0.90 - 0.95)
    assert x["a published (oracle)"] == 0.98
    assert x["a (oracle)"] == 0.97
    assert x["a gap (oracle)"] == pytest.approx(0.97 - 0.98)
    assert y["a published (last)"] is None
    assert y["a gap (last)"] is None
    assert y["a gap (oracle)"] == pytest.approx(0.995 - 0.99)
    assert footer_of(table)["a gap (last)"] == pytest.approx(-0.05)
    assert footer_of(table)["a gap (oracle)"] == pytest.approx((-0.01 + 0.005) / 2)
    said = "\n".join(table.notes)
    assert "a published (last): log, last." in said
    assert "a published (oracle): table." in said
    assert "a published (last): mean over x only." in said


def test_a_gap_of_another_set_up_is_no_gap_of_reproduction():
    """A note names a variant with another preset than the paper's."""
    results = [make_result("a", "x", preset="cpu"), make_result("a", "x")]
    (table,) = report.compare(results, ["a"], metrics=["image_auroc"], vs_published={"a": PUBLISHED})
    assert "Not the papers' set-up, so the gap is not one of reproduction: a:cpu." in table.notes


def test_published_source_with_most_classes_is_taken():
    """The log of all classes is used rather than a table of one."""
    results = [make_result("a", name, image=0.9, oracle={"image_auroc": 0.9}) for name in "xy"]
    (table,) = report.compare(results, ["a"], metrics=["image_auroc"], vs_published={"a": PUBLISHED[:4]})
    assert [row["a published (oracle)"] for row in records_of(table)] == [0.981, 0.991]


def test_numbers_that_are_not_shipped_are_not_called_unpublished():
    """A method or data set whose published numbers are not shipped with adbench gets a note and no columns."""
    (table,) = report.compare(pair(), ["b"], metrics=["image_auroc"], vs_published={"a": PUBLISHED})
    assert any(re.search("image AUROC of b on .* are not shipped with adbench", note) for note in table.notes)
    assert [column.key for column in table.columns if column.kind == "percent"] == ["b"]


# ---------------------------------------------------------------- many variants


def many(count: int = 12) -> list:
    """Variants of one method on two classes."""
    return [
        make_result("a", name, overrides={"dimensions": 50 + 10 * number}, image=0.5 + number / 100)
        for number in range(count)
        for name in ("x", "y")
    ]


def seen(tables, audience: str) -> list:
    return [table for table in tables if table.audience in ("all", audience)]


def test_people_see_a_row_for_each_of_many_variants():
    """Twelve variants are twelve rows with mean and difference, not columns over several screens."""
    tables = report.compare(many(), ["a"], metrics=["image_auroc"])
    (shown,) = seen(tables, "people")
    assert len(shown.rows) == 12
    assert shown.column("mean")[3] == pytest.approx(0.53)
    assert shown.column("difference")[:2] == [None, pytest.approx(0.01)]
    assert any("--by-class" in note for note in shown.notes)
    text = render(tables, "markdown")
    assert len(text.splitlines()) < 25


def test_programs_get_the_same_columns_of_many_variants():
    """Their table has a column for each variant and a row for each class, as for two variants."""
    tables = report.compare(many(), ["a"], metrics=["image_auroc"])
    (whole,) = seen(tables, "programs")
    assert [row["class"] for row in records_of(whole)] == ["x", "y"]
    assert records_of(whole)[0]["a:dimensions=60"] == pytest.approx(0.51)
    assert footer_of(whole)["a:dimensions=60 - a:dimensions=50"] == pytest.approx(0.01)


def test_each_class_of_many_variants_is_shown_on_demand():
    """--by-class gives people the table of programs."""
    (table,) = seen(report.compare(many(), ["a"], metrics=["image_auroc"], by_class=True), "people")
    assert records_of(table)[0]["class"] == "x"
    assert len([column for column in table.columns if column.kind == "percent"]) == 12


def test_few_variants_stand_side_by_side():
    """Up to four variants are columns."""
    (table,) = seen(report.compare(many(4), ["a"], metrics=["image_auroc"]), "people")
    assert len([column for column in table.columns if column.kind == "percent"]) == 4


# ---------------------------------------------------------------- settings


FEW = (
    Published("folder", "x", "image_auroc", 0.6, "last", "few", setting="few-shot", shots=1),
    Published("folder", "x", "image_auroc", 0.7, "last", "few", setting="few-shot", shots=4),
    Published("folder", "x", "image_auroc", 0.8, "unknown", "few", setting="few-shot", shots=4, configuration="large"),
    Published("folder", "mean", "image_auroc", 0.85, "last", "many", setting="multi-class"),
)


def test_published_numbers_meet_ours_of_the_same_setting_and_shots():
    """Four shots are set against four shots, and never against one shot or the full training set."""
    results = [make_result("a", "x", image=0.9), make_result("a", "x", image=0.75, setting="few-shot", shots=4)]
    (table,) = report.compare(results, ["a"], metrics=["image_auroc"], vs_published={"a": (*PUBLISHED[:1], *FEW)})
    (row,) = records_of(table)
    assert row["a published (last)"] == 0.95
    assert row["a gap (last)"] == pytest.approx(0.9 - 0.95)
    assert row["a published (few-shot=4, last)"] == 0.7
    assert row["a:few-shot=4 gap (last)"] == pytest.approx(0.75 - 0.7)
    assert row["setting"] == "one-class | few-shot"
    assert not any("Not the papers' set-up" in note for note in table.notes)


def test_a_published_number_of_an_unknown_epoch_is_marked():
    """It stands beside our last, with its configuration, under its own name."""
    results = [make_result("a", "x", image=0.75, setting="few-shot", shots=4)]
    (table,) = report.compare(results, ["a"], metrics=["image_auroc"], vs_published={"a": FEW})
    (row,) = records_of(table)
    assert row["a published (few-shot=4, unknown)"] == 0.8
    assert row["a:few-shot=4 gap (unknown)"] == pytest.approx(0.75 - 0.8)
    said = "\n".join(table.notes)
    assert "a published (few-shot=4, unknown): few, configuration large." in said
    assert (
        "a published (few-shot=4, unknown): the source doesn't say of which epoch, so it stands beside our last."
        in said
    )


def test_a_published_mean_without_classes_stands_in_the_row_of_the_mean():
    """Our classes may be fewer than those of the data set, so no gap is shown; the note says so."""
    results = [make_result("a", name, setting="multi-class", classes=("x", "y")) for name in "xy"]
    (table,) = report.compare(results, ["a"], metrics=["image_auroc"], vs_published={"a": FEW})
    key = "a published (multi-class, last)"
    assert [row[key] for row in records_of(table)] == [None, None]
    assert footer_of(table)[key] == 0.85
    assert not any("gap" in column.key for column in table.columns)
    said = "\n".join(table.notes)
    assert f"{key}: only the mean over all classes of the data set is published, so no gap is shown." in said
    assert "The published model is one of all classes of the data set; ours: a:multi-class of 2." in said


def test_settings_and_sets_of_classes_are_rows_of_their_own():
    """Runs of several settings are never averaged, nor models of other sets of classes."""
    results = [
        make_result(),
        make_result(setting="few-shot", shots=1),
        make_result(preset="cpu", setting="few-shot", shots=4, overrides={"lr": 1.0}),
        make_result(setting="zero-shot"),
        make_result(setting="multi-class", classes=("bolts", "nuts")),
        make_result(setting="multi-class", classes=("bolts", "gears", "nuts", "screws")),
    ]
    found = labels(results)
    assert found >= {"msflow", "msflow:few-shot=1", "msflow:cpu,few-shot=4,lr=1.0", "msflow:zero-shot"}
    assert "msflow:multi-class,classes=bolts+nuts" in found
    assert len(found) == 6
    assert labels(results[4:5]) == {"msflow:multi-class"}


def test_another_test_split_is_a_board_of_its_own():
    """Numbers on other test images don't compare, so they share neither a table nor a mean."""
    results = [make_result(fingerprint="a"), make_result(test="private", fingerprint="b")]
    one, other = boards(results)
    assert (one.title, other.title) == ("folder", "folder, test split private")
    assert [variant.label for board in (one, other) for variant in board.variants] == ["msflow", "msflow:test=private"]
    assert one.remarks == other.remarks == ()


def test_a_methods_variants_are_compared_with_its_preset():
    """The reference of all differences is no accident of the order of folders."""
    results = [make_result("m", overrides={"noise": value}) for value in (1.0, 0.6, 10.0)] + [make_result("m")]
    table = report.compare(results, ["m"], metrics=["image_auroc"])[0]
    keys = [column.key for column in table.columns if column.kind == "percent"]
    assert keys == ["m", "m:noise=0.6", "m:noise=1.0", "m:noise=10.0"]
