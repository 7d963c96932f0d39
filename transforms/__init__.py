"""Apache Beam pipelines: interaction logs become a dataset directory."""
