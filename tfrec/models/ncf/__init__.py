"""Neural collaborative filtering: networks that are asked about one pair of user and item (He et al. 2017)."""
