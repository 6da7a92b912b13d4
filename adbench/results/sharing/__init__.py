"""Results of several machines: merging folders, archives in one file, and publishing to a git repository."""
