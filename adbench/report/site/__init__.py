"""The site: any number of results folders as static pages. It never scores anything.

The pages need no server and no network: they work from disk and on any static host.
"""

from .build import Built, build

__all__ = ["Built", "build"]
