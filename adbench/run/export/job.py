"""Exports one model: traces it, writes the file, runs both on test images, and keeps the file if they agree."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...api.data import Sample, Size
from ...util import files
from ...util.errors import UsageError, reason
from ..trained import TrainedModel
from . import check, program, runners, writers
from .check import Check
from .facts import SUFFIXES, Facts, Input, Target

Watch = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Plan:
    """What to export, and how.

    Attributes:
        target: the format.
        output: the file; the end of its name is the format's.
        input: type of the images.
        image_size: the only height and width of images that the file takes; None for any.
        class_name: the class whose threshold goes in.
        accept: keep a file that scores otherwise, too.
        threads: that run the file.
    """

    target: Target
    output: Path
    input: Input
    image_size: Size | None
    class_name: str
    accept: bool = False
    threads: int = 1

    def require(self) -> None:
        """Refuse a plan that can't be carried out. Raises ``UsageError``."""
        thing, suffix = f"-o {self.output}", SUFFIXES[self.target]
        if self.output.is_dir():
            raise UsageError(thing, found="a folder", wanted="a file")
        if self.output.suffix.lower() != suffix:
            raise UsageError(thing, found=f"'{self.output.suffix}'", wanted=f"'{suffix}' for {self.target}")
        writers.require_packages(self.target)


@dataclass(frozen=True)
class Exported:
    """An exported file and its proof.

    Attributes:
        files: the file, and what belongs to it; none if it was refused.
        bytes: of all of them.
        facts: its metadata.
        program: what ran it, with its version.
        check: the model and the file on the same images.
    """

    files: tuple[Path, ...]
    bytes: int
    facts: Facts
    program: str
    check: Check


def export(model: TrainedModel, samples: Sequence[Sample], plan: Plan, watch: Watch | None = None) -> Exported:
    """Write a model's file, if it scores as the model does on these images.

    Args:
        model: on the CPU, with ``amp`` off: files compute in float32.
        samples: test images, with labels and masks for metrics where there are any.
        plan: what to write.
        watch: called with the progress.

    Raises:
        UsageError: the plan can't be carried out, or the method can't be exported.
        TaskError: the model can't be traced, or the format lacks an operation of it.
    """
    program.refuse(model)
    plan.require()
    check.of_size(samples, plan.image_size)
    step = watch or (lambda what, done, total: None)
    step("trace", 0, 3)
    traced, facts = program.trace(model, plan.class_name, plan.input, plan.image_size)
    step("write", 1, 3)
    try:
        with files.new_folder(plan.output.absolute()) as folder:
            path = folder / plan.output.name
            writers.write(traced, plan.target, path, facts)
            del traced
            runner = runners.open_file(path, plan.threads, trust=True)  # made here
            found = check.compare(model, runner, samples, eval_size=model.saved.eval_size, watch=watch)
            made = [each for each in writers.parts_of(path) if each.exists()]
            size, version = sum(each.stat().st_size for each in made), runner.program
            del runner  # Windows moves no open file
            if found.problem and not plan.accept:
                return Exported((), size, facts, version, found)
            for each in made:
                os.replace(each, plan.output.with_name(each.name))
    except OSError as error:
        raise UsageError(f"-o {plan.output} can't be written", found=reason(error)) from error
    return Exported(tuple(plan.output.with_name(each.name) for each in made), size, facts, version, found)
