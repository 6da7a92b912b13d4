"""The command that makes a stored run's variant for other classes."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace

import pytest
from made_results import make_result
from runs import TINY, adbench, run_tiny

from adbench.results import result_file
from adbench.results.records import Identity
from adbench.run import command_line

CHANGES = {
    "nothing": (),
    "options": ("-o", "epochs=1", "--seed", "3", "-p", "cpu", "--label", "it's $5"),
    "tiles": ("-o", "epochs=1", "--tile", "32x32", "--overlap", "8", "--size", "64"),
    "evaluation": ("-o", "epochs=1", "--eval-size", "native", "--eval-every", "1", "--min-defect-area", "3"),
    "few shots": ("-o", "epochs=1", "--shots", "2", "--mask-rule", "nonzero"),
    "own threshold": (
        "-o", "epochs=1", "--holdout", "0.3", "--target-false-alarms", "50%", "--segf1", "own",
    ),
}  # fmt: skip


@pytest.mark.parametrize("words", CHANGES.values(), ids=CHANGES)
def test_it_names_the_same_run(words, tiny_data, tmp_path):
    """For the class of the run itself, the command finds that run as done; so for another class it is that variant."""
    done = run_tiny(tiny_data, tmp_path, "-c", "nuts", *words)
    assert done.exit_code == 0, done.stderr
    (path,) = tmp_path.rglob("result.json")
    result = replace(result_file.read(path), command=shlex.join(["adbench", "run", "--plugin", str(TINY)]))
    command = shlex.split(command_line.of_result(result, ["nuts"], tmp_path))
    found = adbench(*command[1:], "--dry-run", "--format", "json")
    assert found.exit_code == 0, found.stderr
    (row,) = json.loads(found.stdout)[0]["rows"]
    assert (row["run"], row["state"]) == (result.run, "done")


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("--aux images=a --aux teacher=b", "--aux images=a --aux teacher=b"),
        ("--aux efficientad.teacher=b --aux draem.textures=c", "--aux images=PATH --aux teacher=b"),
        ("suite.toml", "--aux images=PATH --aux teacher=PATH"),
    ],
)
def test_auxiliary_data_is_where_the_command_said(typed, wanted, tmp_path):
    """That of other methods is left out; where a run file named it, the word PATH shows that it is missing."""
    files = {"aux.images": "0" * 32, "aux.teacher": "1" * 32}
    made = replace(make_result("efficientad"), identity=Identity("d", "c", 1, files), command=f"adbench run {typed}")
    assert f" {wanted} " in command_line.of_result(made, ["a", "b"], tmp_path)
