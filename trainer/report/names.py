"""How figures and names are written for people."""

from __future__ import annotations

import math
import re

_PLAIN = {
    "ndcg": "NDCG",
    "recall": "recall",
    "precision": "precision",
    "hit_rate": "hit rate",
    "map": "MAP",
    "map_n": "MAP/k",
    "mrr": "MRR",
    "auc": "AUC",
    "gauc": "GAUC",
    "pr_auc": "PR-AUC",
    "request_ndcg": "request NDCG",
    "log_loss": "log loss",
    "rmse": "RMSE",
    "mae": "MAE",
}
_SETS = {
    "validation": "validation",
    "test": "test",
    "test_training_history": "test, training history",
    "test_cold_users": "test, cold users",
    "test_cold_items": "test, cold items",
    "test_sampled": "test, sampled negatives",
}
_BYTES = ("bytes", "KB", "MB", "GB", "TB")


def metric_name(metric: str) -> str:
    """`ndcg_at_10` → `NDCG@10`; of a task `watch_time_rmse` → `watch time RMSE`."""
    base, at, k = metric.partition("_at_")
    words = _PLAIN.get(base)
    if words is None:
        task, _, own = base.rpartition("_")
        words = f"{task} {_PLAIN[own]}" if own in ("auc", "rmse", "mae") else base
    return words.replace("_", " ") + (f"@{k}" if at else "")


def set_name(name: str) -> str:
    """`test_cold_users` → `test, cold users`."""
    window = re.fullmatch(r"test_window_(\d+)", name)
    return f"test, window {window[1]}" if window else _SETS.get(name, name.replace("_", " "))


def number(value: float | None, digits: int = 4) -> str:
    """`0.1234`; a dash where there is no figure."""
    if value is None or not math.isfinite(value):
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if not float(text) else text  # no "-0.000"


def signed(value: float, digits: int = 4) -> str:
    """`+0.1234`, for differences; `0.0000` where nothing of it is seen."""
    text = number(value, digits)
    return f"+{text}" if value > 0 and text.strip("0.,") else text


def interval(low: float | None, high: float | None, digits: int = 4) -> str:
    """`[0.1200, 0.1300]`, or nothing."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"[{number(low, digits)}, {number(high, digits)}]"


def range_text(low: float | None, high: float | None) -> str:
    """`25 to below 37`, `below 25` without a lower end, `from 15,024` without an upper one."""
    first, last = (None if end is None else f"{end:,.0f}" if abs(end) >= 1000 else f"{end:.4g}" for end in (low, high))
    if first is None or last is None:
        return f"below {last}" if last is not None else "any" if first is None else f"from {first}"
    return f"{first} to below {last}"


def p_value(p: float) -> str:
    """`p = 0.012`, or `p < 0.001`."""
    if not math.isfinite(p):
        return "p unknown"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def bytes_text(count: float) -> str:
    """`12.3 MB`, by thousands."""
    power = 0
    while count >= 1000 and power < len(_BYTES) - 1:
        count, power = count / 1000, power + 1
    return f"{count:.0f} bytes" if not power else f"{count:.1f} {_BYTES[power]}"


def seconds_text(seconds: float) -> str:
    """`42.0 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 120:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
