"""Looks into auxiliary data, and builds each configuration of a method once, before anything is decoded or trained."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..api import requirements
from ..util.errors import WeightsError
from .failures import free_frames
from .job import Job
from .resolved import ResolvedJob

if TYPE_CHECKING:
    from .identity import Identifier


class Builds:
    """Shows faults early that are no fault of the images, which may take many minutes to decode.

    Only building shows weights that don't fit, or an option that the method refuses.

    Args:
        identifier: knows the methods.
        jobs: all of the command.
        say: receives lines about auxiliary data.
    """

    def __init__(self, identifier: Identifier, jobs: Sequence[Job], say: Callable[[str], None]) -> None:
        self._identifier, self._jobs, self._say = identifier, jobs, say
        self._is_examined = False
        self._tried: dict[str, WeightsError | None] = {}

    def require(self, resolved: ResolvedJob) -> None:
        """Build a detector and drop it, unless another job's with the same options was built.

        The first call looks into the auxiliary data of all jobs; where all results are stored, nobody does.

        Raises:
            AuxiliaryError: auxiliary data of any job can't be used.
            WeightsError: the weights can't be used, for this job or an earlier one with the same options.
            BaseException: whatever else building raises.
        """
        from ..util.memory import free

        if not self._is_examined:
            self._examine()
        job, registry = resolved.job, self._identifier.registry
        key = repr((job.method, resolved.options, job.auxiliary))
        if key not in self._tried:
            self._identifier.about_to_import(job.method)
            try:
                context = registry.offering(resolved.context, resolved.options)
                registry.method(job.method).make(resolved.options, context)
            except WeightsError as error:
                self._tried[key] = error
                free_frames(error)
            else:
                self._tried[key] = None
            gc.collect()  # a detector may hold itself, and the next one shall not come on top of it
            free()
        if (problem := self._tried[key]) is not None:
            raise problem

    def _examine(self) -> None:
        for job in {repr((job.method, job.options, job.auxiliary)): job for job in self._jobs}.values():
            self._identifier.about_to_import(job.method)
            needs = self._identifier.registry.method(job.method).requirements
            for line in requirements.examine(needs, job.options, dict(job.auxiliary)):
                self._say(line)
        self._is_examined = True
