"""Reads a directory of events as other programs do: read.py DIRECTORY view|glob|pyarrow|clickhouse.

Prints a JSON array for each event: timestamp in microseconds, request_id, source, query and its encoding, headers and
their encoding, body in hexadecimal.
"""
import glob
import json
import sys

COLUMNS = "request_id, source, query, query_encoding, headers, header_encoding"


def view(directory):
    import duckdb
    db = duckdb.connect()
    for statement in duckdb.extract_statements(open(directory + "/_pillarbox/duckdb.sql").read()):
        db.execute(statement)
    return db.execute(f"SELECT epoch_us(timestamp), {COLUMNS}, hex(body) FROM events").fetchall()


def everything(directory):
    import duckdb
    files = "read_parquet('" + directory.replace("'", "''") + "/**/*.parquet', hive_partitioning = true)"
    return duckdb.execute(f"SELECT epoch_us(timestamp), {COLUMNS}, hex(body) FROM {files}").fetchall()


def pyarrow(directory):
    import pyarrow.compute as pc
    import pyarrow.dataset as ds
    table = ds.dataset(directory, format="parquet", partitioning="hive").to_table()
    times = pc.cast(table["timestamp"], "int64").to_pylist()
    columns = [table[name.strip()].to_pylist() for name in COLUMNS.split(",")]
    return list(zip(times, *columns, [body.hex() for body in table["body"].to_pylist()]))


def clickhouse(directory):
    import chdb
    files = "file('" + directory.replace("'", "\\'") + "/source=*/day=*/hour=*/*.parquet', Parquet)"
    answer = chdb.query(f"SELECT toUnixTimestamp64Micro(timestamp), {COLUMNS}, hex(body) FROM {files} "
                        "SETTINGS use_hive_partitioning = 0", "JSONCompactEachRow")
    rows = [json.loads(line) for line in str(answer).splitlines()]
    return [[int(row[0])] + row[1:] for row in rows]


HOW = {"view": view, "glob": everything, "pyarrow": pyarrow, "clickhouse": clickhouse}

if __name__ == "__main__":
    if sys.argv[1] == "has":  # which libraries are there
        for library in sys.argv[2:]:
            __import__(library)
        sys.exit()
    rows = []
    # An empty directory is no mistake, and most readers take it for one.
    if sys.argv[2] == "view" or glob.glob(sys.argv[1] + "/source=*/*/*/*.parquet"):
        rows = HOW[sys.argv[2]](sys.argv[1])
    for row in rows:
        row = list(row)
        row[7] = row[7].lower()
        print(json.dumps(row))
