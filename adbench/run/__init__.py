"""What runs a method: tasks, checkpoints, scores, and the images that show what a run got wrong."""
