"""From a file to a detector and back: invalid fields and incomplete states are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from runs import adbench, brightness, job_for, line_of, made_method, one_epoch, registry_of, run_one

from adbench import Detector, Epoch, Method, Scores
from adbench.api.context import BuildContext
from adbench.run import checkpoint, trial
from adbench.util.errors import CheckpointError


@pytest.fixture(scope="module")
def saved(tiny, tiny_data, tmp_path_factory) -> dict:
    """Content of a checkpoint of the tiny method."""
    _, folder = run_one(tiny, job_for(tiny, tiny_data, tmp_path_factory.mktemp("results"), epochs=1))
    return torch.load(folder.checkpoint("last"), weights_only=True)


def written(content, folder):
    torch.save(content, folder / "a.pt")
    return folder / "a.pt"


def test_a_run_comes_back_as_it_was_written(tiny, saved, tiny_data, tmp_path):
    """Every field of the file is in the record."""
    found = checkpoint.read(written(saved, tmp_path))
    assert isinstance(found, checkpoint.Checkpoint)
    assert (found.method, found.dataset, found.classes, found.seed, found.epoch) == ("tiny", "folder", ("bolts",), 0, 1)
    assert found.options_for(tiny) == replace(
        job_for(tiny, tiny_data, tmp_path, epochs=1).options, amp=saved["options"]["amp"]
    )
    assert (found.eval_size, found.holdout, found.setting, found.shots) == (None, 0.0, "one-class", None)
    assert found.parts == frozenset(found.state)
    assert found.threshold_of("bolts").value == saved["threshold"][0]


def test_a_checkpoint_of_adbench_01_is_read(tiny, saved, tiny_data, tmp_path):
    """Its missing fields are optional, and it gives the same scores as a new one."""
    old = {name: saved[name] for name in ("adbench_checkpoint", "method", "options", "dataset", "class", "seed",
                                          "epoch", "threshold", "eval_size", "holdout", "state")}  # fmt: skip
    job, registry = job_for(tiny, tiny_data, tmp_path), registry_of(tiny)
    found = [trial.run(job, registry, checkpoint.read(written(each, tmp_path))).metrics for each in (old, saved)]
    assert found[0] == found[1]


MISSING = object()


@pytest.mark.parametrize(
    ("field", "value", "found"),
    [
        ("adbench_checkpoint", "1", "found '1', wanted a whole number from 1 up"),
        ("adbench_checkpoint", 2, "found version 2, written by a newer adbench, wanted version 1"),
        ("method", MISSING, "found nothing, wanted a text"),
        ("method", 3, "found 3, wanted a text"),
        ("options", [1], "found a list of 1, wanted a dict with texts for keys"),
        ("options", {1: 2}, "found a dict, wanted a dict with texts for keys"),
        ("dataset", None, "found None, wanted a text"),
        ("class", MISSING, "found nothing, wanted a text"),
        ("classes", "bolts", "found 'bolts', wanted a list of texts"),
        ("seed", -1, "found -1, wanted a whole number from 0 up"),
        ("seed", True, "found True, wanted a whole number"),
        ("epoch", 1.5, "found 1.5, wanted a whole number"),
        ("epoch", torch.ones(2), "found a Tensor, wanted a whole number"),
        ("map_scale", [0, 10**400], "wanted two finite numbers in ascending order"),
        ("threshold", [1.0], "wanted a finite number and the rule that found it"),
        ("threshold", ["low", "rule"], "found 'low', wanted a finite number"),
        ("threshold", [float("inf"), "rule"], "found inf, wanted a finite number"),
        ("eval_size", "large", "found 'large', wanted height and width, 'native' or None"),
        ("eval_size", [64, 0], "found a list of 2, wanted height and width"),
        ("holdout", "x", "found 'x', wanted a number from 0 to 0.5"),
        ("holdout", float("nan"), "found nan, wanted a number from 0 to 0.5"),
        ("setting", "two-class", "found 'two-class', wanted one of one-class"),
        ("setting", ["one-class"], "found a list of 1, wanted one of one-class"),
        ("train_images", -3, "found -3, wanted a whole number from 0 up"),
        ("validation", 2, "found 2, wanted a number from 0 to 1"),
        ("shots", "4", "found '4', wanted a number or None"),
        ("parts", 7, "found 7, wanted a list of texts"),
        ("state", MISSING, "found nothing, wanted a dict"),
        ("state", [1, 2], "found a list of 2, wanted a dict"),
    ],
)
def test_an_odd_field_is_named(saved, tmp_path, field, value, found):
    """For a file of any writer, one sentence has its path, the field, the found value and the wanted one."""
    content = {name: each for name, each in saved.items() if name != field}
    if field == "class":
        del content["classes"]  # which says it as well
    path = written(content if value is MISSING else {**content, field: value}, tmp_path)
    with pytest.raises(CheckpointError) as caught:
        checkpoint.read(path)
    assert str(path) in str(caught.value)
    assert found in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"size": "big"}, "option size of tiny: found 'big', wanted HxW"),
        ({"batch_size": 0}, "option batch_size of tiny: found 0, wanted a whole number, from 1 up"),
        ({"batch_size": "x"}, "option batch_size of tiny: found 'x', wanted a whole number"),
        ({"colour": 3}, "unknown option of tiny 'colour'"),
        ({"size": [8, 8]}, "option size of tiny: found 8x8, wanted at least 32 pixels"),
    ],
)
def test_odd_options_are_the_checkpoints_fault(tiny, saved, tmp_path, change, found):
    """The user did not give them, so the message names the file."""
    path = written({**saved, "options": {**saved["options"], **change}}, tmp_path)
    with pytest.raises(CheckpointError) as caught:
        checkpoint.read(path).options_for(tiny)
    assert str(caught.value).startswith(f"checkpoint {path}, ")
    assert found in str(caught.value)


def test_an_odd_checkpoint_is_the_users_mistake(saved, tiny_data, tiny_method, tmp_path):
    """``adbench test`` prints one line, with exit code 2."""
    path = written({**saved, "epoch": "last"}, tmp_path)
    done = adbench("test", "-m", "tiny", "--plugin", tiny_method, "-d", "folder", "--data-root", tiny_data,
                   "--checkpoint", path)  # fmt: skip
    assert (done.exit_code, done.stdout) == (2, "")
    assert line_of(done).startswith(f"Error: checkpoint {path}, 'epoch': found 'last', wanted a whole number")


# ---------------------------------------------------------------- states


class Two(Detector):
    """Has two parts from the start, and one that fit makes."""

    def __init__(self, options, device):
        super().__init__(options, device)
        self.first, self.second = torch.nn.Linear(3, 1), torch.nn.Linear(3, 1)
        self.optimizer = torch.optim.SGD(self.first.parameters(), 0.1)

    def fit(self, images):
        self.centre = torch.full((3,), 0.25)
        yield Epoch(1, 1)

    def score(self, batch):
        maps = self.second(self.first(batch.images.movedim(1, 3) - self.centre).expand(-1, -1, -1, 3))[..., 0]
        return Scores(maps.amax((1, 2)), maps)


class OwnLoader(Two):
    """Loads its parts under other names, too."""

    def load_state_dict(self, state):
        super().load_state_dict({"second" if name == "old" else name: value for name, value in state.items()})


@pytest.fixture(scope="module")
def two(tiny_data, tmp_path_factory) -> dict:
    """A checkpoint of the detector with two parts."""
    method = Method("two", "", Two)
    _, folder = run_one(method, job_for(method, tiny_data, tmp_path_factory.mktemp("results")))
    return torch.load(folder.checkpoint("last"), weights_only=True)


def opened(content, folder, kind=Two):
    method = Method("two", "", kind)
    found = checkpoint.read(written(content, folder))
    return checkpoint.build(found, method, method.options(), BuildContext(torch.device("cpu"), 5))


def without(content, *names, state=None):
    """The checkpoint without some parts of its state, and with others."""
    kept = {name: value for name, value in content["state"].items() if name not in names}
    return {**content, "state": {**kept, **(state or {})}}


def test_a_whole_state_gives_the_detector_back(two, tmp_path):
    """All parts are those of the file, without the optimiser's, and the epoch is set."""
    assert set(two["state"]) == {"first", "second", "centre"} == set(two["parts"])
    found = opened(two, tmp_path)
    assert found.epoch == 1
    assert torch.equal(found.second.weight, two["state"]["second"]["weight"])
    assert torch.equal(found.centre, torch.full((3,), 0.25))


@pytest.mark.parametrize("version", ["new", "0.1"])
@pytest.mark.parametrize("name", ["first", "second"])
def test_a_state_without_a_part_is_refused(two, tmp_path, name, version):
    """A missing part would stay random: there are no metrics, with or without a list of parts in the file."""
    content = without(two, name)
    if version == "0.1":
        del content["parts"]
    with pytest.raises(CheckpointError, match=rf"a\.pt, 'state': found no '{name}', wanted .*'first', 'second'"):
        opened(content, tmp_path)


def test_a_part_that_fit_makes_is_missed_too(two, tmp_path):
    """The file lists its parts, so a part that a new detector doesn't have yet can't go missing."""
    with pytest.raises(CheckpointError, match="found no 'centre'"):
        opened(without(two, "centre"), tmp_path)


def test_an_unknown_part_is_refused(two, tmp_path):
    """Someone added a part that the file doesn't list."""
    with pytest.raises(CheckpointError, match="found also 'third', wanted 'centre', 'first', 'second'"):
        opened(without(two, state={"third": torch.ones(1)}), tmp_path)


def test_a_method_that_loads_by_itself_has_its_own_say(two, tmp_path):
    """A method may load parts under the names of an older version, if the file is complete."""
    renamed = without(two, "second", state={"old": two["state"]["second"]})
    renamed["parts"] = list(renamed["state"])
    found = opened(renamed, tmp_path, OwnLoader)
    assert torch.equal(found.second.weight, two["state"]["second"]["weight"])
    with pytest.raises(CheckpointError, match="found no 'first'"):
        opened(without(two, "first"), tmp_path, OwnLoader)


@pytest.mark.parametrize("names", [("second",), ("first", "second")])
def test_an_authors_state_without_a_part_is_refused(two, tmp_path, names):
    """A foreign file must have the parts of a new detector."""
    state = {name: value for name, value in two["state"].items() if name in ("first", "second")}
    assert opened(state, tmp_path).epoch == 0
    for name in names:
        del state[name]
    with pytest.raises(CheckpointError, match=r"wanted the parts of a Two \('first', 'second'\)"):
        opened(state, tmp_path)


def test_an_authors_state_of_another_model_is_refused(two, tmp_path):
    """Tensors with other names don't become attributes."""
    state = {name: value for name, value in two["state"].items() if name != "centre"}
    with pytest.raises(CheckpointError, match=r"found .*'conv\.weight'"):
        opened({**state, "conv.weight": torch.ones(1)}, tmp_path)


@pytest.mark.parametrize("odd", [{"first": 3}, {"first": {"weight": 3}}, {"first": torch.ones(2)}, {"first": None}])
def test_a_part_of_another_kind_is_the_checkpoints_fault(two, tmp_path, odd):
    """Any error of loading is reported as a checkpoint that doesn't fit."""
    with pytest.raises(CheckpointError, match=r"a\.pt.*does not fit Two"):
        opened(without(two, state=odd), tmp_path)


def test_a_score_that_uses_the_epoch_is_the_runs(tiny_data, tmp_path):
    """``adbench test`` sets the detector's epoch to that of the run when it scored."""

    def fit(detector, images):
        for number in (1, 2, 3):
            yield Epoch(number, 3)

    def score(detector, batch):
        found = brightness(batch)
        return found if detector.epoch == 3 else Scores(-found.image, -found.map)

    method = made_method(fit, score)
    job = job_for(method, tiny_data, tmp_path)
    result, folder = run_one(method, job)
    again = trial.run(job, registry_of(method), checkpoint.read(folder.checkpoint("last")))
    assert result.metrics.image_auroc == 1
    assert again.metrics == result.metrics


def test_a_file_without_a_state_is_not_read_as_one(tiny_data, tmp_path):
    """A method that needs no state scores from an empty one."""
    method = made_method(one_epoch)
    result, folder = run_one(method, job_for(method, tiny_data, tmp_path))
    again = trial.run(job_for(method, tiny_data, tmp_path), registry_of(method),
                      checkpoint.read(folder.checkpoint("last")))  # fmt: skip
    assert again.metrics == result.metrics
