"""Whether a stored result is still what the present images and the present code would give.

A result is *current* if all of its identity is the same here, and *stale* if a part is known to differ. It is
*unchecked* if its images or its method's code are not on this machine. Stale results stay on disk but don't count;
unchecked ones count and are marked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..api.data import Dataset, EvalSize, Task
from ..api.data_options import split
from ..api.levels import Levels
from ..api.marking import AUTO
from ..api.options import option_text
from ..api.registry import Registry
from ..results.records import Identity, Protocol, Result
from ..results.store import RunFolder
from ..results.variants import Names
from ..util import numerics
from ..util.digests import Digests
from ..util.errors import PLUGIN_ERRORS, AdbenchError, ResultError
from ..util.files import cache_folder
from ..util.text import plural
from . import rules
from .identity import BACKBONE, Identifier, backbone_codes, data_digest, file_code_digest
from .job import Job
from .places import named_in, of_data

State = Literal["current", "stale", "unchecked"]

Place = tuple[str, str, Path, str | None, str]
"""Possible place of a task: data set, class, root, test split and options of the reader."""

IMAGES, CODE, CORE = "images or masks changed", "the method's code changed", "adbench's own numerics changed"
RULE = "adbench's rule changed: {}"
BACKBONE_CODE, NO_BACKBONE = "the backbone's code changed", "its backbone is not at hand"
OLDER = "identity unknown: made by an older adbench"
NO_IMAGES, NO_CODE = "its images are not at hand", "its method is not at hand"
UNREAD = "its images have not been read here yet"

READ_AT_MOST = 4_000_000_000
"""Most bytes of new or changed images that are read to check the results of one class."""

NAMED = 4
"""Up to this many variants, a remark lists their names."""


@dataclass(frozen=True)
class Standing:
    """The standing of a result; ``reasons`` say why it is stale or unchecked."""

    state: State
    reasons: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """All reasons in one line."""
        return ", ".join(self.reasons)


@dataclass(frozen=True)
class Inspected:
    """A stored result with its standing."""

    result: Result
    standing: Standing


@dataclass(frozen=True)
class Sorted:
    """Results that count, stale results, and remarks about both for each data set's tables."""

    results: tuple[Result, ...]
    stale: tuple[Result, ...]
    remarks: Mapping[str, tuple[str, ...]]
    names: Names


class Inspector:
    """Compares stored results with the images and the code of this machine.

    Args:
        registry: finds methods and data sets.
        roots: possible folders of a data set, besides the one where a run found it.
        show: called with the class that is being checked.
        results: the folder of all results: if it moved together with the data, these are found beside it.
    """

    def __init__(
        self,
        registry: Registry,
        roots: Sequence[Path] = (),
        show: Callable[[str], None] | None = None,
        *,
        results: Path | None = None,
    ) -> None:
        self.registry, self.roots, self.results = registry, tuple(roots), results
        self.show = show or (lambda _: None)
        self.digests = Digests()
        self._identifier = Identifier(registry, self.digests)
        self._tasks: dict[Place, Task | None] = {}
        self._data: dict[Place, str | None] = {}
        self._file_code: dict[Path, str] = {}

    def standing(self, result: Result) -> Standing:
        """Determine whether a result is current, stale or unchecked, and why."""
        made, codes = result.identity, self._codes(result)
        if made is None:
            tasks = [task for _, task in self._found(result, result.class_name)]
            return self._standing_of_older(result, bool(codes), tasks)
        trained_on = made.classes or {result.class_name: made.data}
        images = {self._state_of_images(result, name, digest) for name, digest in trained_on.items()}
        there, here = _backbones(made), backbone_codes(self.registry, result.options)
        changed = any(there.get(key) != code for key, code in here.items())
        stale = (
            *_reasons(made, codes), *([BACKBONE_CODE] if changed else []), *self._other_rules(result, made),
            *([IMAGES] if IMAGES in images else []),
        )  # fmt: skip
        if stale:
            return Standing("stale", stale)
        missing = {code for key, code in there.items() if key not in here} - self._codes_of_files(result)
        unknown = [*([] if codes else [NO_CODE]), *([NO_BACKBONE] if missing else [])]
        unknown += [state for state in (UNREAD, NO_IMAGES) if state in images]
        return Standing("unchecked", tuple(unknown)) if unknown else Standing("current")

    def _state_of_images(self, result: Result, class_name: str, made: str) -> str | None:
        """Difference of one class's images from those of a result; None if they are the same."""
        data = {self._data_of(key, task) for key, task in self._found(result, class_name)}
        if made in data:
            return None
        return NO_IMAGES if not data else UNREAD if None in data else IMAGES

    def _other_rules(self, result: Result, made: Identity) -> list[str]:
        """What is said of rules that such a run would have now and this one lacks; nothing without its images."""
        names = made.classes or (result.class_name,)
        tasks = [task for name in names for _, task in self._found(result, name)]
        return _missing_rules(made, rules.of(tasks, result.protocol))

    def _standing_of_older(self, result: Result, has_code: bool, tasks: Sequence[Task]) -> Standing:
        """Standing of a result of adbench 0.1, which has only names and lengths of its files."""
        if tasks and all(task.fingerprint != result.fingerprint for task in tasks):
            return Standing("stale", (IMAGES, OLDER))
        if tasks and has_code:
            return Standing("stale", (OLDER,))
        missing = [*([] if has_code else [NO_CODE]), *([] if tasks else [NO_IMAGES])]
        return Standing("unchecked", (OLDER, *missing))

    def inspect(self, results: Sequence[Result]) -> list[Inspected]:
        """The standing of several results."""
        return [Inspected(result, self.standing(result)) for result in results]

    # -- what is here now

    def _codes(self, result: Result) -> set[str]:
        """Digests of the present code of a result's method; none if it is not on this machine."""
        if result.method in self.registry.methods:
            return {self._identifier.code(result.method)}
        return self._codes_of_files(result)

    def _codes_of_files(self, result: Result) -> set[str]:
        """Digests of the present plugin files of a result's command."""
        files = [Path(name) for name in named_in(result.command, "--plugin")]
        return {self._code_of_file(file) for file in files if file.is_file()}

    def _code_of_file(self, file: Path) -> str:
        if file not in self._file_code:
            self._file_code[file] = file_code_digest(file)
        return self._file_code[file]

    def _found(self, result: Result, class_name: str) -> Iterator[tuple[Place, Task]]:
        """The places of a result's class on this machine, with its images."""
        try:
            reader = reader_of(result, self.registry)
        except AdbenchError:  # it is not here, or has no such options now
            return
        roots = (*self.roots, *of_data(result, self.results)) if reader.needs_root else (cache_folder(),)
        for root in dict.fromkeys(roots):
            key = (
                result.dataset,
                class_name,
                root,
                result.protocol.test,
                repr((result.protocol.reading, marking_of(result.protocol))),
            )
            if key not in self._tasks:
                self.show(f"looking at {result.dataset}/{class_name}")
                try:
                    self._tasks[key] = reader.load(root, class_name).with_test(result.protocol.test)
                except PLUGIN_ERRORS:  # missing there, or an error of a plugin's reader
                    self._tasks[key] = None
            task = self._tasks[key]
            if task is not None:
                yield key, task

    def _data_of(self, key: Place, task: Task) -> str | None:
        """Digest of a class's images; None if too much would have to be read."""
        if key not in self._data:
            paths = [path for _, sample in task.used() for path in sample.files]
            too_much = self.digests.bytes_to_read(paths) > READ_AT_MOST
            self._data[key] = None if too_much else data_digest(task, self.digests)
        return self._data[key]


def reader_of(result: Result, registry: Registry) -> Dataset:
    """The data set of a result, read as then.

    Raises:
        UnknownNameError: there is no such data set.
        UsageError: its reader has no such options now.
    """
    reading = result.protocol.reading
    return registry.reader(result.dataset, {**(reading.options if reading else {}), **marking_of(result.protocol)})


def marking_of(how: Protocol) -> dict[str, Any]:
    """What a result's masks count as defect, as options of its data set; where its ignore mask lies is unknown."""
    return {"mask_rule": how.mask_rule or AUTO, "min_defect_area": how.min_defect_area}


@dataclass(frozen=True)
class _Asked:
    """What a run was asked for, of which a job and a stored result say the same."""

    method: str
    dataset: str
    class_name: str
    preset: str
    overrides: Mapping[str, Any]
    seed: int
    holdout: float
    setting: str
    shots: int | None
    classes: tuple[str, ...]
    test: str | None
    reading: tuple[str, ...]
    mask_rule: str | None
    min_defect_area: int
    has_ignore_mask: bool
    levels: Levels | None
    eval_size: EvalSize | None
    segf1_target: float | None

    @classmethod
    def of_job(cls, job: Job) -> _Asked:
        """What a job asks for, of its first class: jointly trained classes are stale together."""
        marking, reading = split(dict(job.data_options))
        return cls(
            method=job.method,
            dataset=job.dataset,
            class_name=job.classes[0],
            preset=job.preset,
            overrides=dict(job.overrides),
            seed=job.seed,
            holdout=job.holdout,
            setting=job.setting,
            shots=job.shots,
            classes=job.classes if job.setting == "multi-class" else (),
            test=job.test,
            reading=tuple(f"{key}={option_text(key, value)}" for key, value in reading.items()),
            mask_rule=marking.get("mask_rule"),
            min_defect_area=marking.get("min_defect_area", 0),
            has_ignore_mask=marking.get("ignore_mask") is not None,
            levels=job.levels,
            eval_size=job.eval_size,
            segf1_target=job.segf1_target,
        )

    @classmethod
    def of_result(cls, result: Result) -> _Asked:
        """What a stored result was asked for."""
        how = result.protocol
        return cls(
            method=result.method,
            dataset=result.dataset,
            class_name=result.class_name,
            preset=result.preset,
            overrides=dict(result.overrides),
            seed=result.seed,
            holdout=how.holdout,
            setting=how.setting,
            shots=how.shots,
            classes=how.classes,
            test=how.test,
            reading=how.reading_words,
            mask_rule=how.mask_rule,
            min_defect_area=how.min_defect_area,
            has_ignore_mask=how.ignore_mask is not None,
            levels=how.levels_given,
            eval_size=how.mask_size if how.map_resampling else None,
            segf1_target=how.segf1_target,
        )


def predecessor(job: Job, now: Identity) -> tuple[Result, Standing] | None:
    """The newest stale run of the same job, and why it is stale; None if there is none.

    Args:
        job: the job.
        now: the identity of what it would compute.
    """
    asked, found = _Asked.of_job(job), []
    folder = RunFolder(job.results, job.dataset, asked.class_name, job.method, "any").path.parent
    for path in folder.glob("*/result.json"):
        try:
            run = RunFolder(job.results, job.dataset, asked.class_name, job.method, path.parent.name).read_result()
        except ResultError:
            continue
        reasons = _reasons(run.identity, {now.code})
        if run.identity and _backbones(run.identity) != _backbones(now):
            reasons = (*reasons, BACKBONE_CODE)
        if run.identity:
            reasons = (*reasons, *_missing_rules(run.identity, now.rules))
        if run.identity and (run.identity.classes or run.identity.data) != (now.classes or now.data):
            reasons = (*reasons, IMAGES)
        if reasons and _Asked.of_result(run) == asked:
            found.append((run, Standing("stale", reasons)))
    return max(found, key=lambda each: each[0].finished, default=None)


def _backbones(identity: Identity) -> dict[str, str]:
    """The code of backbones in an identity."""
    return {key: code for key, code in identity.files.items() if key.startswith(BACKBONE)}


def _missing_rules(made: Identity, now: Mapping[str, str]) -> list[str]:
    """What is said of present rules that an identity lacks."""
    return [RULE.format(name) for name, rule in now.items() if made.rules.get(name) != rule]


def _reasons(made: Identity | None, codes: set[str]) -> tuple[str, ...]:
    """Differences from the present code; an empty set means that there is none on this machine."""
    if made is None:
        return (OLDER,)
    found = []
    if codes and made.code not in codes:
        found.append(CODE)
    if made.numerics != numerics.NUMERICS:
        found.append(CORE)
    return tuple(found)


# ---------------------------------------------------------------- said


def sort(inspected: Sequence[Inspected], stored: Iterable[Result] = ()) -> Sorted:
    """Separate stale results from those that count.

    Args:
        inspected: the results with their standing.
        stored: other results, which count for the names of variants.

    Raises:
        ResultError: there are results, but all of them are stale.
    """
    stale = [each for each in inspected if each.standing.state == "stale"]
    counting = [each for each in inspected if each.standing.state != "stale"]
    if stale and not counting:
        raise ResultError(
            "there is no result to show", found=f"{plural(len(stale), 'stale run')} ({_summary(stale)})",
            hint="Compute them again with the same command, or look at them with adbench list runs",
        )  # fmt: skip
    remarks: dict[str, tuple[str, ...]] = {}
    names = Names([*stored, *(each.result for each in inspected)], [each.result for each in counting])
    for name in dict.fromkeys(each.result.dataset for each in inspected):
        found = tuple(_remarks([each for each in inspected if each.result.dataset == name], names))
        if found:
            remarks[name] = found
    return Sorted(tuple(each.result for each in counting), tuple(each.result for each in stale), remarks, names)


def _remarks(inspected: Sequence[Inspected], names: Names) -> Iterator[str]:
    """The remarks under the tables of one data set."""
    stale = [each for each in inspected if each.standing.state == "stale"]
    if stale:
        them = "it" if len(stale) == 1 else "them"
        yield (
            f"{plural(len(stale), 'stale run')} left out ({_summary(stale)}). "
            f"The same command computes {them} again; adbench results stale shows {them}."
        )
    unchecked = [each for each in inspected if each.standing.state == "unchecked"]
    if unchecked:
        labels = list(dict.fromkeys(names.of(each.result) for each in unchecked))
        whose = ", ".join(labels) if len(labels) <= NAMED else f"{len(labels)} variants"
        yield f"{plural(len(unchecked), 'run')} unchecked: {whose} ({_summary(unchecked)})."


def _summary(inspected: Sequence[Inspected]) -> str:
    """The reasons, with the number of runs if there are several: "images or masks changed (2), ..."."""
    counts: dict[str, int] = {}
    for each in inspected:
        if each.standing.reasons:
            counts[each.standing.reason] = counts.get(each.standing.reason, 0) + 1
    if len(counts) == 1:
        return next(iter(counts))
    return "; ".join(f"{reason} ({count})" for reason, count in counts.items())
