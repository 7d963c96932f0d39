"""Models → metrics, after every epoch and at the end."""
