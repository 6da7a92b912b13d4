"""The run file and the comparison of ``python -m benchmarks executors``; tests of executors have its runs."""

from __future__ import annotations

from runs import adbench

from benchmarks import executors


def test_the_run_file_has_each_task(tiny_data, tmp_path):
    """Two methods on the classes of demo and of a folder with two seeds: a dry run lists them all."""
    path = tmp_path / "suite.toml"
    path.write_text(executors.suite(["random", "padim"], tiny_data, [], 64, 2))
    shown = adbench("run", path, "--dry-run", "--format", "csv", "--results", tmp_path / "results")
    assert shown.exit_code == 0, shown.stderr
    lines = shown.stdout.splitlines()[1:]
    assert len([line for line in lines if ",folder/" in line]) == 2 * 2 * 2
    assert len([line for line in lines if ",demo/" in line]) >= 4
    assert all(line.startswith(("random,", "padim,")) for line in lines)


def test_times_are_left_out_of_the_comparison():
    """Rows that differ in their times alone are equal; another number is another row."""
    head = "variant,image_auroc,fit_seconds,images_per_second,peak_mb\n"
    one, other, wrong = (f"{head}padim,{text}\n" for text in ("0.5,1,2,3", "0.5,4,5,6", "0.6,1,2,3"))
    assert executors.without_times(one) == executors.without_times(other) != executors.without_times(wrong)
