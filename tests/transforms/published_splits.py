"""Configs of splits that papers published, with the columns of their files."""

from __future__ import annotations

LENGTH = 20  # of histories
FIRST_TOKEN = 2  # 0 is padding, 1 out of vocabulary

IDS_YAML = f"""\
features:
  user: {{role: user, kind: categorical, id: true}}
  past: {{role: user, kind: sequence, length: {LENGTH}}}
  item: {{role: item, kind: categorical, id: true}}
"""
NCF_YAML = f"""\
name: ncf
events:
  - {{files: ml-1m.train.pairs.tsv, delimiter: "\\t", header: false, columns: [user, item, rating], split: train}}
  - {{files: ml-1m.test.rating, delimiter: "\\t", header: false, columns: [user, item, rating, time], split: test}}
{IDS_YAML}label: {{column: rating}}
split: {{strategy: given}}
"""
TOPN_YAML = f"""\
name: topn
events:
  - {{files: train.tsv, delimiter: "\\t", header: false, columns: [user, item], split: train}}
  - {{files: test.tsv, delimiter: "\\t", header: false, columns: [user, item, stars, time], split: test}}
{IDS_YAML}split: {{strategy: given}}
"""
SEQUENCES_YAML = f"""\
name: sequences
events: {{files: ml-1m.txt, delimiter: " ", header: false, columns: [user, item]}}
{IDS_YAML}split: {{strategy: leave_one_out}}
"""
# Rankings of rows that have neither users nor items: two of their columns are taken for ids.
CENSUS_YAML = """\
name: census
events:
  - {files: adult.data, delimiter: ", ", quote: null, split: train}
  - {files: adult.test, delimiter: ", ", quote: null, split: test}
features:
  occupation: {role: user, kind: categorical, id: true}
  country: {role: item, kind: categorical, id: true, column: native-country}
  age: {role: context, kind: numeric}
  workclass: {role: context, kind: categorical}
label: {column: Y, values: [">50K", ">50K."]}
split: {strategy: given}
"""
CRITEO_COLUMNS = ["label", *(f"I{n}" for n in range(1, 14)), *(f"C{n}" for n in range(1, 27))]
CRITEO_USER, CRITEO_ITEM = "C9", "C14"  # never missing
CRITEO_PARTS = {"train": "criteo_train.csv", "validation": "criteo_dev.csv", "test": "criteo_test.csv"}


def criteo_yaml() -> str:
    columns = ", ".join(CRITEO_COLUMNS)
    features = dict.fromkeys(CRITEO_COLUMNS[1:14], "{role: context, kind: numeric, log: true}")
    features |= dict.fromkeys(CRITEO_COLUMNS[14:], "{role: context, kind: categorical}")
    features[CRITEO_USER] = "{role: user, kind: categorical, id: true}"
    features[CRITEO_ITEM] = "{role: item, kind: categorical, id: true}"
    lines = ["name: criteo", "events:"]
    for split, file in CRITEO_PARTS.items():
        lines.append(f'  - {{files: {file}, delimiter: "\\t", header: false, columns: [{columns}], split: {split}}}')
    lines += ["features:", *(f"  {name}: {feature}" for name, feature in features.items())]
    return "\n".join([*lines, "label: {column: label, threshold: 1}", "split: {strategy: given}", ""])
