"""tfrec: recommenders from interaction logs to TF Serving, on one schema.

Importing this package loads no TensorFlow. It only pins the Keras generation: TensorFlow Recommenders and
ParameterServerStrategy need Keras 2 (`tf-keras`), which TensorFlow picks when `TF_USE_LEGACY_KERAS=1` is set before
TensorFlow is first imported.
"""

import os
import sys

from tfrec.errors import ConfigError

__version__ = "0.1.0"

if "keras" in sys.modules and getattr(sys.modules["keras"], "__version__", "2").startswith("3"):
    raise ConfigError(
        "Keras 3 is already loaded in this process, and tfrec needs Keras 2 (tf-keras); "
        "import tfrec before TensorFlow, or start the process with TF_USE_LEGACY_KERAS=1"
    )
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
# Without a GPU TensorFlow logs a failed CUDA start as an error; set it to 0 to see its log.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
