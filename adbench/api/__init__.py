"""The API for plugins: methods, options, detectors, scores, data sets, hooks."""
