"""Every recommender, one file each, on the contract of `base.py`; `registry.py` knows them by name."""
