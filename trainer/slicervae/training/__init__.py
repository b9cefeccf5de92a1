"""The training engine: one loop for every recipe, with checkpoints that can be resumed exactly."""
