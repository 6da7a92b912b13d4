"""The report: stored results as one HTML page, by Jinja2 templates and charts drawn as inline SVG.

It gets galleries handed in (``run.gallery.of_results``) and never scores an image itself.
"""

from .document import PAGE, write

__all__ = ["PAGE", "write"]
