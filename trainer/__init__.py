"""Training, evaluation and export: a dataset directory becomes a job directory."""

import tfrec  # noqa: F401  (chooses the Keras generation before anything here loads TensorFlow)
