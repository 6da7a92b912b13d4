"""Builds each configuration of a method once before anything is decoded or trained, so that faults show early."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from ..util.errors import WeightsError
from .failures import free_frames
from .job import ResolvedJob

if TYPE_CHECKING:
    from .identity import Identifier


class Builds:
    """Builds each configuration of a method once before images are decoded, which may take many minutes.

    Only building shows weights that don't fit, or an option that the method refuses.
    """

    def __init__(self, identifier: Identifier) -> None:
        self._identifier = identifier
        self._tried: dict[str, WeightsError | None] = {}

    def require(self, resolved: ResolvedJob) -> None:
        """Build a detector and drop it, unless another job's with the same options was built.

        Raises:
            WeightsError: the weights can't be used, for this job or an earlier one with the same options.
            BaseException: whatever else building raises.
        """
        from ..util.memory import free

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
