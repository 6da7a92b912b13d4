"""Runs go to a git repository in one commit each time, with its site."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from made_repositories import bare, git, names_in, own_settings, subjects, tree
from shared_runs import contents, save_checkpoint, store, store_joint

from adbench.results.sharing.publish import Layout, Published, publish
from adbench.results.sharing.scan import Take, scan
from adbench.util.errors import ResultError, UsageError

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")

RUN = "results/folder/bolts/a/r1"


@pytest.fixture(autouse=True)
def _settings(tmp_path, monkeypatch) -> None:
    own_settings(tmp_path, monkeypatch)


def site(results: Path, folder: Path) -> None:
    """Write a site that lists the runs."""
    folder.mkdir(exist_ok=True)
    names = sorted(path.parent.name for path in results.rglob("result.json"))
    (folder / "index.html").write_text("\n".join(names))


def send(results: Path, repository: Path, **options) -> Published:
    return publish(scan(results, Take(False, False)), str(repository), **{"build_site": site, **options})


@pytest.mark.parametrize("make", [bare, tree])
def test_runs_are_added_in_one_commit(tmp_path, make):
    """Their files are equal to the byte, the site has them, and checkpoints stay here; a second time there is none."""
    save_checkpoint(store(tmp_path / "own") / "last.pt")
    store_joint(tmp_path / "own")
    place = make(tmp_path / "a board")
    done = send(tmp_path / "own", place)
    assert (done.branch, done.races, len(done.merged.of("added"))) == ("main", 0, 2)
    assert subjects(place)[0] == "Add 2 runs of a, joint on folder"
    assert "Add folder/bolts+nuts/joint/j1" in git(place, "log", "-1", "--format=%B", "main")
    assert git(place, "rev-parse", "--short", "main") == done.commit
    git(tmp_path, "clone", "--quiet", str(place), "got")
    own = {name: data for name, data in contents(tmp_path / "own").items() if not name.endswith(".pt")}
    found = contents(tmp_path / "got" / "results")
    assert found.pop(".gitattributes").endswith(b"* -text\n")
    assert found == own
    assert (tmp_path / "got/docs/index.html").read_text() == "j1\nj1\nr1"
    count = len(subjects(place))
    done = send(tmp_path / "own", place)
    assert (done.commit, len(done.merged.of("same")), len(subjects(place))) == ("", 2, count)


def test_a_dry_run_changes_nothing(tmp_path):
    """It says what would be added."""
    store(tmp_path / "own")
    place = tree(tmp_path / "board")
    done = send(tmp_path / "own", place, dry_run=True)
    assert (done.commit, len(done.merged.of("added"))) == ("", 1)
    assert subjects(place) == ["Begin"]


def test_conflicts_are_left_out_and_others_are_added(tmp_path):
    """The message names the repository and no temporary folder; --prefer theirs replaces the run there."""
    store(tmp_path / "own")
    place = bare(tmp_path / "board.git")
    send(tmp_path / "own", place)
    other = store(tmp_path / "other", image=0.5)
    store(tmp_path / "other", "b")
    done = send(tmp_path / "other", place)
    (conflict,) = done.merged.left_out
    assert f"{other / 'result.json'} and {place}/{RUN}/result.json are the same run" in conflict.reason.replace(
        "\\", "/"
    )
    assert subjects(place)[0] == "Add 1 run of b on folder"
    done = send(tmp_path / "other", place, prefer="theirs")
    assert subjects(place)[0] == "Replace 1 run of a on folder"
    assert '"image_auroc": 0.5' in git(place, "show", f"main:{RUN}/result.json")


def test_the_folders_the_message_and_the_site_are_chosen(tmp_path):
    """A site that is wanted later is built without a new run."""
    store(tmp_path / "own")
    place = bare(tmp_path / "board.git")
    send(tmp_path / "own", place, layout=Layout("data/runs", None), build_site=None, message="Numbers of today")
    assert subjects(place) == ["Numbers of today"]
    assert {name.split("/")[0] for name in names_in(place)} == {"data"}
    send(tmp_path / "own", place, layout=Layout("data/runs", "site"))
    assert subjects(place)[0] == "Build the site"
    assert "site/index.html" in names_in(place)


@pytest.mark.parametrize("layout", [
    Layout("../x"), Layout("/x"), Layout(".git"), Layout("a//b"), Layout("."), Layout("a", "a"), Layout("a", "a/b"),
    Layout("docs/runs", "docs"),
], ids=str)  # fmt: skip
def test_folders_elsewhere_are_refused(tmp_path, layout):
    """Before anything is cloned."""
    with pytest.raises(UsageError, match="folder"):
        publish(scan(tmp_path), str(tmp_path), layout=layout)


def test_a_commit_of_somebody_else_in_between_is_taken_in(tmp_path):
    """Both commits and all runs are there, and the site is built again."""
    place = bare(tmp_path / "board.git")
    for name in ("own", "other"):
        store(tmp_path / name, name)
    sent = []

    def site_and_rival(results: Path, folder: Path) -> None:
        site(results, folder)
        if not sent:
            sent.append(send(tmp_path / "other", place))

    done = send(tmp_path / "own", place, build_site=site_and_rival)
    assert (done.races, bool(done.commit)) == (1, True)
    assert subjects(place) == ["Add 1 run of own on folder", "Add 1 run of other on folder"]
    assert git(place, "show", "main:docs/index.html") == "r1\nr1"


def test_a_site_that_fails_leaves_the_repository_as_it_is(tmp_path):
    """The commit comes last."""
    store(tmp_path / "own")
    place = tree(tmp_path / "board")

    def broken(results: Path, folder: Path) -> None:
        raise ResultError("no site")

    with pytest.raises(ResultError, match="no site"):
        send(tmp_path / "own", place, build_site=broken)
    assert subjects(place) == ["Begin"]


def test_links_in_the_repository_lead_nowhere(tmp_path):
    """A repository of other people may have a link in place of its results."""
    store(tmp_path / "own")
    place, outside = tree(tmp_path / "board"), tmp_path / "outside"
    outside.mkdir()
    (place / "results").symlink_to(outside)
    git(place, "add", ".")
    git(place, "commit", "--quiet", "-m", "Link")
    with pytest.raises(ResultError, match="can't be written"):
        send(tmp_path / "own", place)
    assert list(outside.iterdir()) == []


PROGRAM = """
import sys
from pathlib import Path
from adbench.results.sharing.publish import Layout, publish
from adbench.results.sharing.scan import scan
done = publish(scan(Path(sys.argv[1])), sys.argv[2], layout=Layout(site=None))
print(done.races)
"""


@pytest.mark.slow
def test_processes_publish_at_once(tmp_path):
    """Three processes with runs of their own and one in common: all runs are there, and each commit is kept."""
    place = bare(tmp_path / "board.git")
    for number in range(3):
        store(tmp_path / f"own{number}", f"m{number}")
        store(tmp_path / f"own{number}", "common")
    processes = [
        subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path / f"own{number}"), str(place)])
        for number in range(3)
    ]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    methods = {name.split("/")[3] for name in names_in(place) if name.endswith("result.json")}
    assert methods == {"m0", "m1", "m2", "common"}
    assert len(subjects(place)) == 3
