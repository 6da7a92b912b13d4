"""Helpers that all other packages use; they import nothing else of adbench."""
