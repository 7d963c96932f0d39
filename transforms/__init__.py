"""Apache Beam pipelines: interaction logs become a dataset directory."""

import tfrec  # noqa: F401  (chooses the Keras generation before anything here loads TensorFlow)
