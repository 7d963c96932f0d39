"""Training, evaluation and export: a dataset directory becomes a job directory."""
