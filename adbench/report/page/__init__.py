"""The report: stored results as one HTML page, with Jinja2 templates and charts as inline SVG.

It takes galleries from ``run.gallery.of_results`` and never scores an image itself.
"""

from .document import PAGE, write

__all__ = ["PAGE", "write"]
