"""Figures for papers as SVG and PDF, drawn with Matplotlib (the extra ``figures``), which is imported only for that.

They take stored results and images handed in, and never score anything themselves.
"""
