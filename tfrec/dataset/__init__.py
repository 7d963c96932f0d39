"""The dataset directory: what the transforms write and the trainer reads."""
