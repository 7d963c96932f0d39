"""From a served log to users: formats, folding, windows, and what is refused."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from tfrec.errors import ConfigError, DataError
from tfrec.experiment import LogColumns, Metric, parse_metric, read_log, users_of
from tfrec.experiment.metric import Part

DAY = 86_400_000
ROWS = {
    "user": ["a", "a", "b", "c", "c", "c"],
    "variant": ["new", "new", "control", "new", "new", "new"],
    "clicks": [1, 0, 2, 0, 1, 1],
    "bought": [True, False, False, False, False, None],
    "before": [3.0, 3.0, None, 5.0, 5.0, 5.0],
    "time": [5 * DAY, 6 * DAY, 4 * DAY, DAY, 2 * DAY, 9 * DAY],
}


def folded(rows, *texts, covariates=(), **keywords):
    metrics = [parse_metric(text) for text in texts]
    return users_of(pa.table(rows), LogColumns(**keywords), metrics, covariates)


def numbers(users, part):
    return dict(zip(users.variant.tolist(), users.parts[part].tolist()))


@pytest.mark.parametrize(
    ("text", "metric"),
    [
        ("clicks", Metric("clicks", Part("clicks"))),
        ("buyers=max(bought)", Metric("buyers", Part("bought", "max"))),
        ("ctr = clicks / rows", Metric("ctr", Part("clicks"), Part("rows"))),
        ("mean(rating)/sum(hours)", Metric("mean(rating)/sum(hours)", Part("rating", "mean"), Part("hours"))),
    ],
)
def test_a_metric_is_a_total_a_fold_or_a_ratio(text, metric):
    assert parse_metric(text) == metric


@pytest.mark.parametrize("text", ["", "a/b/c", "median(a)", "=a", "sum(a", "sum()", "a/"])
def test_a_metric_written_in_another_way_is_refused(text):
    with pytest.raises(ConfigError, match="allowed: "):
        parse_metric(text)


def test_rows_are_folded_by_user():
    users = folded(ROWS, "clicks", "m=mean(clicks)/rows", "max(bought)", covariates=["before"])
    assert users.variants == ("control", "new")
    assert users.variant.tolist() == [1, 0, 1]  # a, b, c
    assert users.parts[Part("clicks")].tolist() == [1, 2, 2]
    assert users.parts[Part("clicks", "mean")] == pytest.approx([0.5, 2, 2 / 3])
    assert users.parts[Part("rows")].tolist() == [2, 1, 3]
    assert users.parts[Part("bought", "max")].tolist() == [1, 0, 0]
    np.testing.assert_array_equal(users.covariates["before"], [3, np.nan, 5])
    assert (users.rows, users.crossed, users.incomplete, users.grows) == (6, 0, 0, True)


def test_folding_many_rows_is_what_a_loop_does():
    rng = np.random.default_rng(0)
    user = rng.integers(0, 200, 3000)
    value = np.where(rng.random(3000) < 0.3, np.nan, rng.normal(size=3000))
    table = {"user": user, "variant": (user % 3).astype(str), "x": pa.array(value, from_pandas=True)}
    users = folded(table, "x", "mean(x)", "max(x)")
    of_user = {}
    for u, x in zip(user.tolist(), value.tolist()):
        of_user.setdefault(u, []).extend([] if np.isnan(x) else [x])
    for fold, plain in (("sum", sum), ("mean", np.mean), ("max", max)):
        expected = [plain(xs) if xs else np.nan for xs in of_user.values()]  # in the order of the first row
        np.testing.assert_allclose(users.parts[Part("x", fold)], expected)
    assert users.variant.tolist() == [u % 3 for u in of_user]


def test_a_user_whose_values_are_all_null_has_none():
    users = folded({"user": [1, 1, 2], "variant": ["a", "a", "b"], "x": pa.array([None, None, 2.0])}, "x", "max(x)")
    for part in users.parts.values():
        np.testing.assert_array_equal(part, [np.nan, 2])


def test_users_of_several_variants_are_left_out_up_to_the_allowed_share():
    rows = {"user": [*range(200), 0], "variant": ["a", "b"] * 100 + ["b"], "x": np.arange(201)}
    users = folded(rows, "x")
    assert users.crossed == 1
    assert len(users.variant) == 199
    with pytest.raises(DataError, match=r"1 of 200 users \(0.5%\) are in several variants"):
        folded(rows, "x", max_crossed=0.001)


def test_with_times_users_stand_in_the_order_of_their_first_row():
    users = folded(ROWS, "clicks", time="time")
    assert users.known_ms.tolist() == [DAY, 4 * DAY, 5 * DAY]
    assert users.parts[Part("clicks")].tolist() == [2, 2, 1]


def test_a_window_counts_the_rows_within_it_and_only_users_who_were_watched_to_its_end():
    users = folded(ROWS, "clicks", time="time", window_days=4)
    assert users.known_ms.tolist() == [5 * DAY, 8 * DAY, 9 * DAY]
    assert users.parts[Part("clicks")].tolist() == [1, 2, 1]  # c's row of day 9 is too late
    assert (users.rows, users.incomplete, users.grows) == (5, 0, False)
    assert folded(ROWS, "clicks", time="time", window_days=1).rows == 3  # the window's end belongs to it no more
    shorter = {name: column[:5] for name, column in ROWS.items()}
    users = folded(shorter, "clicks", time="time", window_days=2)
    assert users.incomplete == 1  # a came on day 5, and the log ends on day 6
    with pytest.raises(DataError, match="shorter window"):
        folded(ROWS, "clicks", time="time", window_days=30)


@pytest.mark.parametrize(
    "times",
    [
        pa.array([1_700_000_000_000, 1_700_000_060_000], pa.timestamp("ms")),
        pa.array([1_700_000_000_000_000, 1_700_000_060_000_000], pa.timestamp("us", tz="UTC")),
        pa.array(["2023-11-14T22:13:20", "2023-11-14 22:14:20"]),
        pa.array([1_700_000_000_000, 1_700_000_060_000]),
    ],
)
def test_times_are_timestamps_texts_or_milliseconds(times):
    users = folded({"user": [1, 2], "variant": ["a", "b"], "x": [1, 1], "t": times}, "x", time="t")
    assert users.known_ms.tolist() == [1_700_000_000_000, 1_700_000_060_000]


@pytest.mark.parametrize(
    ("column", "values", "says"),
    [
        ("user", [1, None], "'user': 1 of 2 rows have none"),
        ("variant", [None, "a"], "'variant': 1 of 2 rows have none"),
        ("x", ["1", "2"], "'x': got string; allowed: numbers"),
        ("x", [1.0, np.inf], "1 values are infinite"),
        ("t", [1.5, 2.5], "'t': got double"),
        ("t", ["yesterday", "today"], "'t': not a time"),
        ("t", [1, None], "1 nulls"),
    ],
)
def test_columns_that_cannot_be_used_are_named(column, values, says):
    rows = {"user": [1, 2], "variant": ["a", "b"], "x": [1, 1], "t": [1, 2], column: pa.array(values)}
    with pytest.raises(DataError, match=says):
        folded(rows, "x", time="t")


def test_a_log_without_rows_is_refused():
    with pytest.raises(DataError, match="no rows"):
        folded(
            {"user": pa.array([], pa.int64()), "variant": pa.array([], pa.string()), "x": pa.array([], pa.int64())}, "x"
        )


def write(path, table):
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    elif path.suffix in (".csv", ".gz"):
        with pa.CompressedOutputStream(path, "gzip") if path.suffix == ".gz" else open(path, "wb") as file:
            pa_csv.write_csv(table, file)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))


@pytest.mark.parametrize("name", ["log.parquet", "log.csv", "log.csv.gz", "log.jsonl", "log.ndjson"])
def test_every_format_gives_the_same_columns(tmp_path, name):
    table = pa.table({"user": [1, 2, 3], "variant": ["a", "b", "a"], "x": [0.5, None, 2.0], "unused": [1, 2, 3]})
    write(tmp_path / name, table)
    for path in (tmp_path / name, tmp_path):  # the file, and the directory
        found = read_log(path, {"x": pa.float64(), "user": None})
        assert found.column_names == ["x", "user"]
        assert found.to_pydict() == {"x": [0.5, None, 2.0], "user": [1, 2, 3]}


def test_the_files_of_a_directory_are_one_log(tmp_path):
    for part in range(3):
        (tmp_path / "day").mkdir(exist_ok=True)
        write(tmp_path / "day" / f"{part}.csv", pa.table({"user": [part], "x": [part * 2]}))
    (tmp_path / "README.md").write_text("not a log")
    assert read_log(tmp_path, {"x": None})["x"].to_pylist() == [0, 2, 4]


@pytest.mark.parametrize("name", ["log.csv", "log.jsonl"])
def test_what_a_text_looks_like_at_the_files_beginning_decides_nothing(tmp_path, name):
    """Arrow looks at the first megabyte; a total that becomes 0.5 and a user that becomes 'x7' stand behind it."""
    rows = 30_000
    table = pa.table(
        {
            "user": pa.array([f"{n:04}" for n in range(rows - 1)] + ["x7"]),
            "variant": pa.array(["1", "2"] * (rows // 2)),
            "spent": pa.array([0.0] * (rows - 1) + [0.5]),
            "never": pa.array([None] * (rows - 1) + [1.0]),
            "page": pa.array(["x" * 60] * rows),
        }
    )
    path = tmp_path / name
    if name == "log.csv":
        lines = (",".join(map(str, row)) for row in zip(*(column.to_pylist() for column in table.columns)))
        text = "user,variant,spent,never,page\n" + "\n".join(lines).replace(",0.0,", ",0,").replace("None", "")
    else:
        text = "\n".join(map(json.dumps, table.to_pylist())).replace(": 0.0", ": 0")
    path.write_text(text + "\n")
    columns = LogColumns()
    metrics = [parse_metric("spent"), parse_metric("never")]
    found = read_log(path, columns.needed(metrics, ()))
    assert found["user"].to_pylist()[:: rows - 1] == ["0000", "x7"]
    assert found["spent"].to_pylist()[-2:] == [0.0, 0.5]
    assert found["never"].null_count == rows - 1
    assert len(users_of(found, columns, metrics).variant) == rows


def test_an_empty_user_of_a_csv_is_none(tmp_path):
    (tmp_path / "log.csv").write_text("user,variant,x\n1,a,1\n,b,2\n")
    found = read_log(tmp_path / "log.csv", LogColumns().needed([parse_metric("x")], ()))
    with pytest.raises(DataError, match="'user': 1 of 2 rows have none"):
        users_of(found, LogColumns(), [parse_metric("x")])


def test_logs_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_log(tmp_path / "absent.csv", {"x": None})
    with pytest.raises(DataError, match="got no log file"):
        read_log(tmp_path, {"x": None})
    (tmp_path / "log.xlsx").write_text("x")
    with pytest.raises(DataError, match=r"got \.xlsx; allowed: files of one format"):
        read_log(tmp_path / "log.xlsx", {"x": None})
    (tmp_path / "log.parquet").write_text("torn")
    with pytest.raises(DataError, match="cannot be read"):
        read_log(tmp_path / "log.parquet", {"x": None})
    write(tmp_path / "log.csv", pa.table({"clicks": [1]}))
    with pytest.raises(DataError, match=r"no column 'click'; did you mean 'clicks'\?"):
        read_log(tmp_path / "log.csv", {"click": None})
    with pytest.raises(DataError, match=r"got .csv, .parquet"):
        read_log(tmp_path, {"x": None})
