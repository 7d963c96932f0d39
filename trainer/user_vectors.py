"""`python -m trainer.user_vectors`: what a retrieval model says of each user, as a table for a dataset.yaml to join."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tfrec.command_line import ArgumentParser, run_command

if TYPE_CHECKING:  # these load TensorFlow, and --help should not
    import numpy as np
    import pyarrow as pa

    from tfrec.dataset.records import Arrays
    from tfrec.models.base import Recommender
    from trainer.data import JobData

BATCH = 4096  # users at once
SUFFIXES = (".csv", ".parquet")
EXAMPLE = """\
example: python -m trainer.user_vectors --job-dir JOB --output LOGS/users.parquet
         python -m trainer.user_vectors --job-dir JOB --join LOGS/users.csv --output LOGS/users_with_vectors.csv

Writes a row for each user: the id and the vector of the user tower. Ranking models read it as a feature of kind vector.
"""


def main(arguments: list[str]) -> None:
    flags = ArgumentParser(prog="python -m trainer.user_vectors", example=EXAMPLE)
    flags.add_argument("--job-dir", required=True, help="a job of a retrieval model with a user tower")
    flags.add_argument("--output", required=True, help="a .parquet or .csv file; an existing one is replaced")
    flags.add_argument("--join", help="a users table (.csv with a header, .parquet) whose columns are kept beside")
    flags.add_argument("--column", default="user_vector", help="name of the column")
    flags.add_argument(
        "--history",
        choices=("training", "latest"),
        default="training",
        help="what a vector reads: training events alone, for models that are tested; or all, for models that serve",
    )
    chosen = flags.parse(arguments)
    output = Path(chosen.output)
    if output.suffix not in SUFFIXES:
        flags.error(f"--output {output}: unknown kind of file; allowed: {', '.join(SUFFIXES)}")

    import pyarrow as pa

    from trainer.job import JobDirectory
    from trainer.model import load_model

    model, data, config = load_model(JobDirectory(chosen.job_dir))
    vectors = user_vectors(model, data, config.model_name, is_latest=chosen.history == "latest")
    key = data.schema.features[data.schema.user_id].column or data.schema.user_id
    ids = [user.decode() for user in data.user_ids]
    table = pa.table({key: ids})
    if chosen.join:
        table = joined(Path(chosen.join), key, ids)
        order = {user: row for row, user in enumerate(ids)}
        rows = [order.get(user) for user in table.column(key).to_pylist()]
    else:
        rows = list(range(len(ids)))
    write_table(table, chosen.column, [None if row is None else vectors[row].tolist() for row in rows], output)
    print(f"wrote {output}: {len(rows):,} users. Say in dataset.yaml:", file=sys.stderr)
    print(snippet(output, chosen.column, vectors.shape[1]), file=sys.stderr)


def user_vectors(model: Recommender, data: JobData, name: str, *, is_latest: bool) -> np.ndarray:
    """Vectors by user index, float32 [num_users, dim].

    Args:
        model: trained.
        data: of its job.
        name: of the model, for errors.
        is_latest: the history is all that the dataset has; otherwise it ends before the user's first held-out event.

    Raises:
        ConfigError: the model has no user tower.

    """
    import numpy as np
    import tensorflow as tf

    from tfrec.errors import ConfigError
    from tfrec.models.base import RetrievalModel

    towers = model.embeddings() if isinstance(model, RetrievalModel) else None
    if towers is None:
        raise ConfigError(
            f"{name} has no vectors of users; name a job of a retrieval model with two towers, such as two_tower, gmf "
            "or a sequence model"
        )
    features = _user_features(model, data, is_latest=is_latest)
    rows = data.dataset.rows("users")
    parts = []
    for start in range(0, rows, BATCH):
        batch = {column: tf.constant(values[start : start + BATCH]) for column, values in features.items()}
        parts.append(towers.embed_users(batch).numpy())
    return np.concatenate(parts)


def _user_features(model: Recommender, data: JobData, *, is_latest: bool) -> Arrays:
    """Of each user what the model reads; features of role context are missing, as in a request without them."""
    import numpy as np

    from tfrec.dataset.records import read_part
    from tfrec.schema import EVENT_POSITION, USER_INDEX, SequenceFeature

    schema, needed = data.schema, sorted(model.required_features)
    users = read_part(data.dataset, "users")
    order = np.argsort(users[USER_INDEX], kind="stable")
    found = {name: users[name][order] for name in needed if name in users}
    sequences = [name for name in needed if isinstance(schema.features.get(name), SequenceFeature)]
    for name in needed:
        if name not in found:
            empty = data.columns("test", [name])[name]
            found[name] = np.zeros((len(order), *empty.shape[1:]), empty.dtype)
    if not is_latest and sequences:
        columns = [USER_INDEX, EVENT_POSITION, *sequences]
        parts = [data.columns(split, columns) for split in ("validation", "test")]
        held_out = {name: np.concatenate([part[name] for part in parts]) for name in columns}
        in_time = np.lexsort((held_out[EVENT_POSITION], held_out[USER_INDEX]))
        who, first = np.unique(held_out[USER_INDEX][in_time], return_index=True)
        for name in sequences:
            found[name] = found[name].copy()
            found[name][who] = held_out[name][in_time[first]]
    return found


def joined(path: Path, key: str, ids: list[str]) -> pa.Table:
    """The users table as it stands, all cells of a CSV as text.

    Raises:
        ConfigError: it cannot be read, has no column of user ids, or none of the job's users.

    """
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    from tfrec.errors import ConfigError

    try:
        if path.suffix == ".parquet":
            table = pyarrow.parquet.read_table(path)
        else:
            with path.open(encoding="utf-8") as file:
                names = next(pyarrow.csv.open_csv(path)).schema.names if file.read(1) else []
            as_text = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
            table = pyarrow.csv.read_csv(path, convert_options=as_text)
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise ConfigError(f"--join {path}: cannot be read ({str(error).splitlines()[0]})") from None
    if key not in table.column_names:
        raise ConfigError(f"--join {path}: has no column {key!r} of user ids; there: {', '.join(table.column_names)}")
    table = table.set_column(table.column_names.index(key), key, table.column(key).cast(pa.string()))
    if not set(table.column(key).to_pylist()) & set(ids):
        raise ConfigError(f"--join {path}: {key} names none of the users of the job; give the table of its dataset")
    return table


def write_table(table: pa.Table, column: str, vectors: list[list[float] | None], path: Path) -> None:
    """Write the table with one more column: a list in Parquet, numbers divided by spaces in CSV; empty for nobody's."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    from tfrec.errors import ConfigError

    if column in table.column_names:
        raise ConfigError(f"--column {column}: the users table has such a column; name another")
    temporary = path.with_name(path.name + ".tmp")
    try:
        if path.suffix == ".parquet":
            values = pa.array(vectors, pa.list_(pa.float32()))
            pyarrow.parquet.write_table(table.append_column(column, values), temporary)
        else:
            cells = ["" if one is None else " ".join(f"{value:.9g}" for value in one) for one in vectors]
            pyarrow.csv.write_csv(table.append_column(column, pa.array(cells)), temporary)
        temporary.replace(path)
    except OSError as error:
        raise ConfigError(f"--output {path}: cannot be written ({error.strerror}); name another file") from None


def snippet(path: Path, column: str, length: int) -> str:
    """Lines of a dataset.yaml that read the file."""
    is_parquet = path.suffix == ".parquet"
    table = f"users: {{files: {path.name}{', format: parquet' if is_parquet else ''}}}"
    form = "list: true" if is_parquet else 'separator: " "'
    return f"{table}\nfeatures:\n  {column}: {{role: user, kind: vector, length: {length}, {form}}}"


if __name__ == "__main__":
    sys.exit(run_command(main))
