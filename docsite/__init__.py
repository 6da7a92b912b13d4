"""The pages of the documentation's site that are made from the code, and the hook that hands them to MkDocs.

``mkdocs build --strict`` in the root builds the site from ``docs/``, the files beside README, and these pages: one for
each command, method and data set, one for the hooks, and one on how to cite. Nothing of it is committed.
"""
