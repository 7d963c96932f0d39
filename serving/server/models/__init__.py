"""Which models and versions are served: found on disk, loaded, warmed up, named by labels, unloaded."""
