"""Makes a replica with the real Litestream 0.5.17, and restores states of it with Litestream too.

usage: litestream_ltx.py LITESTREAM_05 FOLDER PAGE_SIZE [compacted]

Leaves in FOLDER: replica/ (with LTX files of levels 0 to 3 and 9), source.db (the database itself, checkpointed),
expected.db (the newest state as Litestream restores it), txid-<TXID>.db for some transactions, time-<RFC 3339>.db for
some times, litestream.yml (the configuration). The workload shrinks the database, deletes and lets it grow again. With
"compacted", Litestream removes files soon after it has merged them, so that only what is newest can be restored.
"""
import datetime
import glob
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

litestream, folder, page_size = sys.argv[1], sys.argv[2], int(sys.argv[3])
database, replica = os.path.join(folder, "app.db"), os.path.join(folder, "replica")
config = os.path.join(folder, "litestream.yml")
compacted = sys.argv[4:] == ["compacted"]
retention = "1s" if compacted else "1h"
with open(config, "w") as file:
    file.write(
        "levels:\n  - interval: 1s\n  - interval: 2s\n  - interval: 3s\n"
        f"l0-retention: {retention}\nl0-retention-check-interval: 1s\n"
        f"snapshot:\n  interval: 4s\n  retention: {retention}\n"
        f"dbs:\n  - path: {database}\n    monitor-interval: 50ms\n    min-checkpoint-page-count: 50\n"
        f"    replica:\n      type: file\n      path: {replica}\n      sync-interval: 50ms\n"
    )
log = open(os.path.join(folder, "log"), "w")


def run(*arguments):
    subprocess.run([litestream, *arguments], check=True, stdout=log, stderr=log)


def levels():
    return {int(os.path.basename(os.path.dirname(path))) for path in glob.glob(f"{replica}/ltx/*/*.ltx")}


def removed():
    """Whether the first files of level 0 are gone."""
    return not glob.glob(f"{replica}/ltx/0/*-0000000000000002.ltx")


def goes_on():
    return not {0, 1, 2, 3, 9} <= levels() or (compacted and not removed())


connection = sqlite3.connect(database, isolation_level=None, timeout=10)
connection.execute(f"pragma page_size = {page_size}")
connection.execute("pragma journal_mode = wal")
connection.execute("create table t (id integer primary key, v blob)")
process = subprocess.Popen([litestream, "replicate", "-config", config], stdout=log, stderr=log)
time.sleep(0.5)
deadline, n = time.monotonic() + 60, 0
while n < 60 or (goes_on() and time.monotonic() < deadline):
    connection.execute("begin immediate")
    for _ in range(n % 7 + 1):
        connection.execute("insert into t (v) values (randomblob(?))", (n * 97 % 5000,))
    connection.execute("commit")
    if n % 10 == 9:
        connection.execute("delete from t where id % 3 = ?", (n % 3,))
    if n % 40 == 35:
        connection.execute("vacuum")
    n += 1
    time.sleep(0.05)
connection.execute("delete from t where id % 4 <> 0")
connection.execute("vacuum")
time.sleep(0.7)
process.send_signal(signal.SIGTERM)
process.wait(30)
connection.execute("pragma wal_checkpoint(truncate)")
connection.close()
os.rename(database, os.path.join(folder, "source.db"))
url = f"file://{replica}"
run("restore", "-o", os.path.join(folder, "expected.db"), url)
if compacted:
    sys.exit()
files = json.loads(subprocess.check_output([litestream, "ltx", "-level", "0", "-json", url]))
txids = sorted({file["max_txid"] for file in files})
for txid in [txids[0], txids[len(txids) // 3], txids[len(txids) // 2], txids[-2]]:
    run("restore", "-txid", txid, "-o", os.path.join(folder, f"txid-{txid}.db"), url)
times = sorted(os.path.getmtime(path) for path in glob.glob(f"{replica}/ltx/0/*.ltx"))
for number in [len(times) // 4, len(times) // 2, len(times) - 3]:
    # Between two files, because Litestream takes a file of the very millisecond for too new.
    middle = (times[number] + times[number + 1]) / 2
    stamp = datetime.datetime.fromtimestamp(middle, datetime.timezone.utc).isoformat(timespec="milliseconds")
    stamp = stamp.replace("+00:00", "Z")
    run("restore", "-timestamp", stamp, "-o", os.path.join(folder, f"time-{stamp}.db"), url)
