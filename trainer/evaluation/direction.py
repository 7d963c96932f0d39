"""Which metrics are better when they are lower, and of which neither more nor less is better."""

LOWER_IS_BETTER = ("log_loss", "task_loss", "rmse", "mae", "normalised_entropy", "expected_calibration_error")
_NEITHER = ("coverage", "gini", "novelty", "popularity", "diversity")  # what names begin with
_NEITHER_OF_TASKS = ("calibration_ratio", "prediction_bias")


def lower_is_better(metric: str) -> bool:
    """Of a metric, or of one of a task: `log_loss`, `like_log_loss`."""
    return _is_one_of(metric, LOWER_IS_BETTER)


def neither_is_better(metric: str) -> bool:
    """Whether a metric only describes, or is best somewhere between."""
    return metric.startswith(_NEITHER) or _is_one_of(metric.partition("_by_")[0], _NEITHER_OF_TASKS)


def _is_one_of(metric: str, names: tuple[str, ...]) -> bool:
    return metric in names or metric.endswith(tuple(f"_{name}" for name in names))
