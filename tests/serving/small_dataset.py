"""A dataset of a few users, whose log is plain to see."""

from tfrec.config_file import parse_config

CONFIG = """
name: small
events: {files: events.csv}
items: {files: items.csv}
features:
  user_id: {role: user, kind: categorical, id: true}
  history: {role: user, kind: sequence, length: 3}
  item_id: {role: item, kind: categorical, id: true}
  title: {role: item, kind: text}
label: {column: rating, threshold: 4}
timestamp: {column: timestamp, unit: s}
split: {strategy: leave_one_out}
"""
ITEMS = [f"i{i}" for i in range(8)]
TITLES = {item: f"<b>Title & {item}</b>" for item in ITEMS}
# Each user's items in the order of their times; ü is a user too.
EVENTS = {
    "u1": ["i1", "i5", "i3", "i2", "i7"],
    "u2": ["i4", "i1", "i0"],
    "ü": ["i6", "i4", "i2", "i1"],
}


def write_small_dataset(root):
    """Write the log and the dataset below `root`; return the dataset's directory."""
    from transforms.dataset import write_dataset
    from transforms.dataset_config import DatasetConfig

    logs = root / "logs"
    logs.mkdir()
    lines = [f"{user},{item},5,{time}" for user, items in EVENTS.items() for time, item in enumerate(items, start=100)]
    (logs / "events.csv").write_text("\n".join(["user_id,item_id,rating,timestamp", *lines]) + "\n", encoding="utf-8")
    lines = [f'{item},"{title}"' for item, title in TITLES.items()]
    (logs / "items.csv").write_text("\n".join(["item_id,title", *lines]) + "\n", encoding="utf-8")
    write_dataset(parse_config(CONFIG, DatasetConfig), str(logs), str(root / "dataset"))
    return root / "dataset"
