"""Trackers are told of a run, can't move its numbers, and can't end it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from made_trackers import Recorder, entry
from runs import Notes, curve_of, job_for, made_method, registry_of, resolve, scores_of

from adbench import Epoch, UsageError
from adbench.api import Package
from adbench.api.registry import Registry
from adbench.api.scores import METRIC_NAMES
from adbench.results.records import Result
from adbench.results.store import RunFolder
from adbench.run import calibrate, engine, overlay, tracker_runs, tracking
from adbench.run.plan import run_here
from adbench.run.tracking import Trackers
from adbench.util.errors import PluginError, UnknownNameError


def run_tracked(method, job, *recorders, watch=None):
    """Run a job with these trackers, named "recorder", "recorder1" and so on; return its results and folder."""
    watch = watch or Notes()
    names = [f"recorder{number or ''}" for number in range(len(recorders))]
    trackers = Trackers([entry(each, name) for each, name in zip(recorders, names, strict=True)], watch)
    resolved = resolve(method, replace(job, track=tuple(names)))
    return engine.run(resolved, registry_of(method), watch=watch, trackers=trackers), resolved.folder


def warnings_in(watch):
    return [note for note in watch.notes if note.startswith("Warning")]


# ---------------------------------------------------------------- what they are told


@dataclass(frozen=True)
class Logged:
    """A run of four epochs, evaluated after the second and the fourth, and what its tracker heard."""

    heard: Recorder
    watch: Notes
    result: Result
    folder: RunFolder
    results: Path


@pytest.fixture(scope="module")
def logged(tiny, tiny_data, tmp_path_factory) -> Logged:
    heard, watch, results = Recorder(), Notes(), tmp_path_factory.mktemp("logged")
    job = job_for(tiny, tiny_data, results, seed=3, amp="off", command="adbench x")
    (result,), folder = run_tracked(tiny, job, heard, watch=watch)
    return Logged(heard, watch, result, folder, results)


def test_a_run_is_told_from_its_start_to_its_end(logged):
    """A tracker hears the start with all options, each epoch, and the end; the user hears where to look."""
    assert logged.heard.names == ["run_started", "epoch", "epoch", "epoch", "epoch", "finished"]
    (run,) = logged.heard.of("run_started")
    assert run.title == "tiny · folder/bolts · seed 3"
    assert run.path == f"folder/bolts/tiny/{logged.folder.run}"
    assert (run.earlier, run.epoch, run.store) == ("", 0, (logged.results / "tracking").absolute())
    facts = run.facts()
    assert (facts["options.lr"], facts["options.epochs"], facts["command"]) == (0.05, 4, "adbench x")
    assert (facts["protocol.size"], facts["protocol.precision"]) == ("64x64", "off")
    assert facts["environment.packages.torch"] == logged.result.environment.packages["torch"]
    assert logged.watch.notes == ["recorder: a place"]


def test_epochs_are_told_with_loss_and_metrics(logged):
    """The numbers are those of the stored curve; metrics are there where the run evaluated."""
    seconds = 0.0
    for epoch, row in zip(logged.heard.of("epoch"), curve_of(logged.folder), strict=True):
        seconds += float(row["seconds"])
        assert (epoch.number, epoch.total) == (int(row["number"]), 4)
        values = epoch.values()
        assert values.pop("fit_seconds") == pytest.approx(seconds)
        assert values == {name: float(row[name]) for name in ("loss", "learning_rate", *METRIC_NAMES) if row[name]}
    assert [bool(epoch.classes) for epoch in logged.heard.of("epoch")] == [False, True, False, True]


def test_the_end_has_the_table_the_frontier_and_the_checkpoint(logged):
    """The tracker gets the stored metrics, each evaluated epoch by its time, and where the model lies."""
    (end,), result = logged.heard.of("finished"), logged.result
    assert end.metrics == result.metrics
    (row,) = end.classes
    assert (row.name, row.metrics, row.last_epoch, row.fit_seconds) == ("bolts", result.metrics, 4, result.timing.fit)
    epochs = {epoch.number: epoch for epoch in logged.heard.of("epoch")}
    assert [point.epoch for point in end.frontier] == [2, 4]
    for point in end.frontier:
        assert point.fit_seconds == pytest.approx(epochs[point.epoch].fit_seconds)
        assert point.image_auroc == epochs[point.epoch].metrics.image_auroc
    assert end.checkpoint == (logged.folder.path / "last.pt").absolute()
    assert end.checkpoint.is_file()
    assert (end.facts["protocol.aupro_map"], end.facts["parameters"]) == ("anomaly map", 8)


def test_maps_are_drawn_over_a_few_images(logged):
    """Worst misses and false alarms come with their stored scores, as pictures of the input's size."""
    images = logged.heard.of("finished")[0].images
    assert {image.label for image in images} == {0, 1}
    assert {image.heading.partition(":")[0] for image in images} == {"Worst misses", "Worst false alarms"}
    assert all(image.pixels.shape == (64, 64, 3) and image.pixels.std() > 0 for image in images)
    rows = {line.split(",")[0]: line.split(",")[-1] for line in scores_of(logged.folder).splitlines()[1:]}
    assert [float(rows[image.path]) for image in images] == [image.score for image in images]


def test_a_model_of_several_classes_tells_each(tiny, tiny_data, tmp_path):
    """The classes of one model are one run with their means, a row and maps of each."""
    heard = Recorder()
    job = replace(
        job_for(tiny, tiny_data, tmp_path, epochs=2), class_name="", classes=("bolts", "nuts"), setting="multi-class"
    )
    results, _ = run_tracked(tiny, job, heard)
    (run,), (end,) = heard.of("run_started"), heard.of("finished")
    assert run.classes == ("bolts", "nuts")
    assert [row.metrics for row in end.classes] == [result.metrics for result in results]
    assert end.metrics.image_auroc == pytest.approx(sum(result.metrics.image_auroc for result in results) / 2)
    assert {image.class_name for image in end.images} == {"bolts", "nuts"}
    assert {"image_auroc", "bolts/image_auroc", "nuts/image_auroc"} <= set(heard.of("epoch")[-1].values())


def test_the_class_table_grows_over_the_classes_of_a_command(tiny, tiny_data, tmp_path):
    """The last class of a method has the whole table; another seed has a table of its own."""
    heard, job = Recorder(), job_for(tiny, tiny_data, tmp_path, epochs=1, track=("recorder",))
    jobs = [replace(job, class_name=name, classes=(), seed=seed) for name in ("bolts", "nuts") for seed in (0, 1)]
    registry = replace(registry_of(tiny), trackers={"recorder": entry(heard)})
    assert [outcome.error for outcome in run_here(jobs, registry)] == [None] * 4
    tables = [[row.name for row in end.classes] for end in heard.of("finished")]
    assert tables == [["bolts"], ["bolts"], ["bolts", "nuts"], ["bolts", "nuts"]]
    heard.events.clear()
    assert all(outcome.reused for outcome in run_here(jobs, registry))
    assert heard.events == []  # nothing is trained, and so nothing logged


def test_the_end_waits_for_a_cross_validated_threshold(tiny, tiny_data, tmp_path):
    """A run's end is told after its folds, once, with the threshold that its result has; the folds tell nothing."""
    heard = Recorder()
    job = job_for(tiny, tiny_data, tmp_path, epochs=1, track=("recorder",), target_false_alarms=0.2, folds=2)
    registry = replace(registry_of(tiny), trackers={"recorder": entry(heard)})
    (outcome,) = run_here([job], registry)
    assert heard.names == ["run_started", "epoch", "finished"]
    facts, threshold = heard.of("finished")[0].facts, outcome.result.threshold
    assert (facts["threshold.value"], facts["threshold.promise.folds"]) == (threshold.value, 2)
    assert (facts["threshold.rule"], facts["threshold.pixel.value"]) == (threshold.rule, threshold.pixel.value)


def test_a_run_whose_cross_validation_breaks_off_has_ended_all_the_same(tiny, tiny_data, tmp_path, monkeypatch):
    """Its results are stored: trackers hear of them, with the threshold that they have now."""
    heard = Recorder()

    def broken(*_, **__):
        raise UsageError("a fold", found="a fault")

    monkeypatch.setattr(calibrate, "calibrate", broken)
    job = job_for(tiny, tiny_data, tmp_path, epochs=1, track=("recorder",), target_false_alarms=0.2)
    (outcome,) = run_here([job], replace(registry_of(tiny), trackers={"recorder": entry(heard)}))
    assert outcome.error is not None
    assert heard.names == ["run_started", "epoch", "finished"]
    assert "threshold.promise.folds" not in heard.of("finished")[0].facts


# ---------------------------------------------------------------- they move no number


def test_no_number_moves(tiny, tiny_data, tmp_path):
    """Scores, curve and weights are the same to the last bit, even if a tracker seeds every random generator."""
    heard = Recorder(disturbs=True)
    _, tracked = run_tracked(tiny, job_for(tiny, tiny_data, tmp_path / "tracked", epochs=2, eval_every=1), heard)
    _, plain = run_tracked(tiny, job_for(tiny, tiny_data, tmp_path / "plain", epochs=2, eval_every=1))
    assert len(heard.events) == 4
    assert scores_of(tracked) == scores_of(plain)
    both = [[{k: row[k] for k in row if k != "seconds"} for row in curve_of(each)] for each in (tracked, plain)]
    assert both[0] == both[1]
    models = [each.load_checkpoint("last")["state"]["model"] for each in (tracked, plain)]
    assert all(torch.equal(value, models[1][name]) for name, value in models[0].items())


def test_the_time_of_trackers_does_not_count(tiny, tiny_data, tmp_path, monkeypatch):
    """By a clock that is 1000 seconds ahead after each call, a run takes so much less for start, epoch and maps."""

    class Clock:
        now = 0.0

        def monotonic(self):
            self.now += 1000.0
            return self.now

    job, heard = job_for(tiny, tiny_data, tmp_path, epochs=1), Recorder()
    plain, _ = run_tracked(tiny, replace(job, seed=1))
    monkeypatch.setattr(tracking, "time", Clock())
    tracked, _ = run_tracked(tiny, job, heard)
    assert plain[0].timing.total > 0
    assert tracked[0].timing.total == pytest.approx(-3000, abs=500)  # the call after the result came too late


# ---------------------------------------------------------------- they end no run


@pytest.mark.parametrize(
    ("event", "error", "calls"),
    [
        ("run_started", RuntimeError("no server"), 1),
        ("epoch", RuntimeError("no server"), 2),
        ("epoch", SystemExit(1), 2),
        ("finished", RuntimeError("no server"), 4),
    ],
)
def test_a_tracker_that_fails_warns_once_and_is_left_out(tiny, tiny_data, tmp_path, event, error, calls):
    """The run goes on and is stored, there is one warning, and the other tracker hears everything."""
    broken, other, watch = Recorder(fails_in=event, error=error), Recorder(), Notes()
    (result,), folder = run_tracked(tiny, job_for(tiny, tiny_data, tmp_path, epochs=2), broken, other, watch=watch)
    assert folder.read_result() == result
    assert len(broken.events) == calls
    assert len(other.events) == 4
    (warning,) = warnings_in(watch)
    assert warning.startswith("Warning: the tracker recorder failed and logs no more (")
    assert ("RuntimeError: no server" in warning) != ("sys.exit" in warning)


def test_maps_that_cannot_be_drawn_end_no_run(tiny, tiny_data, tmp_path, monkeypatch):
    """There is a warning, and the tracker gets the rest."""

    def fail(*_):
        raise MemoryError("too large")

    monkeypatch.setattr(overlay, "overlay", fail)
    heard, watch = Recorder(), Notes()
    run_tracked(tiny, job_for(tiny, tiny_data, tmp_path, epochs=1), heard, watch=watch)
    assert heard.of("finished")[0].images == ()
    assert ["too large" in warning for warning in warnings_in(watch)] == [True]


def test_a_run_that_fails_is_told(tiny_data, tmp_path):
    """The tracker hears why, and the error is the task's as without a tracker."""

    def fit(detector, images):
        yield Epoch(1, 3)
        raise ValueError("singular matrix")

    method, heard = made_method(fit), Recorder(fails_in="failed")
    with pytest.raises(ValueError, match="singular matrix"):
        run_tracked(method, job_for(method, tiny_data, tmp_path), heard)
    assert heard.names == ["run_started", "epoch", "failed"]
    assert heard.of("failed")[0].reason == "ValueError: singular matrix"
    assert not heard.of("failed")[0].stopped


# ---------------------------------------------------------------- after a break


def stopped(tiny, job, *recorders):
    with pytest.raises(KeyboardInterrupt):
        run_tracked(tiny, job, *recorders)


def test_a_resumed_run_goes_on_in_the_same_run_of_the_tracker(tiny, tiny_data, tmp_path, monkeypatch):
    """The tracker gets the id back that it gave before the break, and hears only the epochs that were missing."""
    job, before, after = job_for(tiny, tiny_data, tmp_path, stop_at=3, eval_every=1), Recorder(), Recorder(id="")
    stopped(tiny, job, before)
    assert before.names == ["run_started", "epoch", "epoch", "failed"]
    assert before.of("failed")[0].stopped
    monkeypatch.setenv("TINY_SURVIVES", "1")
    heard = Recorder()
    _, folder = run_tracked(tiny, job, heard)
    (run,) = heard.of("run_started")
    assert (run.earlier, run.epoch) == ("id1", 2)
    assert [epoch.number for epoch in heard.of("epoch")] == [3, 4]
    assert [point.epoch for point in heard.of("finished")[0].frontier] == [1, 2, 3, 4]
    assert tracker_runs.read(folder)["recorder"].id == "id1"
    run_tracked(tiny, replace(job, force=True), after)
    assert after.of("run_started")[0].earlier == ""  # another run


@pytest.mark.parametrize("seen", [True, False], ids=["cannot go on", "new"])
def test_a_tracker_that_has_not_seen_the_first_epochs_is_told_of_them(tiny, tiny_data, tmp_path, monkeypatch, seen):
    """One that can't go on in its earlier run, or joins after a break, gets the whole curve."""
    job = job_for(tiny, tiny_data, tmp_path, epochs=2, stop_at=2, eval_every=1)
    stopped(tiny, job, *([Recorder(id="")] if seen else []))
    monkeypatch.setenv("TINY_SURVIVES", "1")
    heard = Recorder(id="")
    run_tracked(tiny, job, heard)
    assert [epoch.number for epoch in heard.of("epoch")] == [1, 2]
    assert all(epoch.metrics for epoch in heard.of("epoch"))


def test_a_run_that_must_start_again_is_a_new_one(tiny_data, tmp_path):
    """A method that can't resume starts again, and its tracker hears a failure and a new start."""
    stopping = [True]

    def fit(detector, images):
        for epoch in range(3):
            if epoch == 2 and stopping:
                raise KeyboardInterrupt
            yield Epoch(epoch + 1, 3, milestone=False)

    method, heard = made_method(fit), Recorder()
    job = job_for(method, tiny_data, tmp_path)
    stopped(method, job, Recorder())
    stopping.clear()
    run_tracked(method, job, heard)
    assert heard.names == ["run_started", "failed", "run_started", "epoch", "epoch", "epoch", "finished"]
    assert [run.earlier for run in heard.of("run_started")] == ["id1", ""]


# ---------------------------------------------------------------- what is missing


def test_a_package_that_is_missing_is_an_error_before_anything_is_looked_at(tiny, tmp_path):
    """The message has the line that installs all that is missing; no image is looked for."""
    packages = (
        Package("torch", "torch", "is here"),
        Package("no_such_a", "a>=1", "logs"),
        Package("no_such_b", "b", ""),
    )
    registry = Registry({"tiny": tiny}, {}, trackers={"recorder": entry(Recorder(), packages=packages)})
    job = replace(job_for(tiny, tmp_path, tmp_path), track=("recorder",))
    with pytest.raises(
        UsageError, match=r'^--track recorder needs the package no_such_a: .* pip install "a>=1" "b"\.$'
    ):
        next(run_here([job], registry))


def test_a_tracker_that_cannot_be_made(tiny, tiny_data, tmp_path):
    """A library that doesn't import, or adbench's own error, ends the command; another error is a warning."""

    def broken(error):
        def make():
            raise error

        return replace(entry(Recorder(), packages=[Package("torch", "torch>=2", "")]), make=make)

    with pytest.raises(UsageError, match=r'--track recorder: found ImportError: no DLL. .* pip install "torch>=2"'):
        Trackers([broken(ImportError("no DLL"))], Notes())
    with pytest.raises(PluginError, match="set a server"):
        Trackers([broken(PluginError("set a server"))], Notes())
    watch = Notes()
    trackers = Trackers([broken(OSError("no server"))], watch)
    assert len(warnings_in(watch)) == 1
    resolved = resolve(tiny, job_for(tiny, tiny_data, tmp_path, epochs=1, track=("recorder",)))
    assert engine.run(resolved, registry_of(tiny), watch=watch, trackers=trackers)
    assert len(watch.notes) == 1


def test_an_unknown_tracker_is_an_error(tiny, tiny_data, tmp_path):
    """The nearest name is offered."""
    registry = replace(registry_of(tiny), trackers={"recorder": entry(Recorder())})
    with pytest.raises(UnknownNameError, match=r"unknown tracker 'recoder'.* Did you mean 'recorder'"):
        next(run_here([job_for(tiny, tiny_data, tmp_path, track=("recoder",))], registry))


def test_only_the_trackers_that_a_job_names_log_it(tiny, tiny_data, tmp_path):
    """A job without trackers is logged by none, whatever the other jobs of the command name."""
    heard = Recorder()
    registry = replace(registry_of(tiny), trackers={"recorder": entry(heard)})
    jobs = [job_for(tiny, tiny_data, tmp_path, epochs=1, seed=seed, track=("recorder",) * seed) for seed in (0, 1)]
    assert len(list(run_here(jobs, registry))) == 2
    assert [run.seed for run in heard.of("run_started")] == [1]
    assert len(list(tmp_path.rglob("tracking.json"))) == 1
