"""The command that does one job alone."""

from __future__ import annotations

import json
import shlex

import pytest
from runs import TINY, adbench

from adbench.run import command_line
from adbench.run.job import Job


def names(found) -> list[str]:
    """The names of runs in a dry run: they are digests of all that moves a number."""
    assert found.exit_code == 0, found.output
    return [row["run"] for row in json.loads(found.stdout)[0]["rows"]]


SUITES = {
    "grid": 'methods = [{name = "tiny", options = {epochs = 2, size = [[64, 64], "64x96"]}}]\nclasses = "nuts"',
    "settings": 'methods = ["tiny"]\nsetting = ["multi-class", "few-shot", "zero-shot"]\nshots = [2]\nholdout = 0.2\n'
                "seeds = [3]",
    "sizes": 'methods = ["random"]\neval_size = "native"\neval_every = 2\npreset = "cpu"\namp = "off"\nkeep = "oracle"',
    "words": 'methods = ["random"]\nlabel = "it\'s $5"\nsize = 64\nskip_bad = true\nholdout = 0.1\n'
             'target_false_alarms = "1%"\nthreads = 1',
    "own": 'methods = ["random", "tiny"]\nholdout = 0.1\ntarget_false_alarms = "5%"\nsegf1 = "own"\nclasses = "nuts"',
}  # fmt: skip


@pytest.mark.parametrize("suite", SUITES)
def test_the_command_names_the_same_run(suite, tiny_data, tmp_path, monkeypatch):
    """Each job of a run file has the same run's name by its own command: settings, options and sizes are all there."""
    path = tmp_path / "suite.toml"
    data = json.dumps({"name": "folder", "root": str(tiny_data)}).replace('": ', '" = ')
    path.write_text(
        f"data = {data}\nplugin = {json.dumps(str(TINY))}\nresults = 'results'\ndevice = 'cpu'\n{SUITES[suite]}\n",
        encoding="utf-8",
    )
    commands: list[str] = []
    made = command_line.of_job

    def kept(job: Job, *, needs_root: bool) -> str:
        commands.append(made(job, needs_root=needs_root))
        return commands[-1]

    monkeypatch.setattr(command_line, "of_job", kept)
    dry = ("--dry-run", "--format", "json")
    whole = names(adbench("run", path, *dry))
    monkeypatch.undo()
    assert len(whole) == len(commands) > 1
    single = [names(adbench(*shlex.split(each)[1:], *dry)) for each in commands]
    assert [name for few in single for name in few] == whole
