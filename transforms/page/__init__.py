"""One self-contained HTML page with the statistics of a dataset, or of two."""
