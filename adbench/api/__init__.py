"""All that a plugin imports: methods, options, detectors, scores, data sets, hooks."""
