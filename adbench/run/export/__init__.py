"""Exports a trained model as one file from images to scores, maps and verdicts, and proves that it scores alike."""
