"""Makes a replica with the real Litestream 0.3.13, and restores it with Litestream too.

usage: litestream_replica.py LITESTREAM FOLDER PAGE_SIZE [AGE]

Leaves in FOLDER: replica/ (as Litestream wrote it), expected.db (as Litestream restores it).
AGE is what the configuration says of encryption. The workload has transactions of all sizes, checkpoints that begin
new WALs, deletes, a VACUUM and growth after it.
"""
import os
import signal
import sqlite3
import subprocess
import sys
import time

litestream, folder, page_size = sys.argv[1], sys.argv[2], int(sys.argv[3])
age = f"        age: {sys.argv[4]}\n" if len(sys.argv) > 4 else ""
database, replica = os.path.join(folder, "app.db"), os.path.join(folder, "replica")
config = os.path.join(folder, "litestream.yml")
with open(config, "w") as file:
    file.write(
        f"dbs:\n  - path: {database}\n    monitor-interval: 50ms\n    checkpoint-interval: 300ms\n"
        "    min-checkpoint-page-count: 20\n"
        f"    replicas:\n      - path: {replica}\n        sync-interval: 50ms\n        snapshot-interval: 1500ms\n{age}"
    )
connection = sqlite3.connect(database, isolation_level=None, timeout=10)
connection.execute(f"pragma page_size = {page_size}")
connection.execute("pragma journal_mode = wal")
connection.execute("create table t (id integer primary key, v blob)")
log = open(os.path.join(folder, "log"), "w")
process = subprocess.Popen([litestream, "replicate", "-config", config], stdout=log, stderr=log)
time.sleep(0.5)
for n in range(60):
    connection.execute("begin immediate")
    for _ in range(n % 7 + 1):
        connection.execute("insert into t (v) values (randomblob(?))", (n * 97 % 5000,))
    connection.execute("commit")
    if n % 10 == 9:
        connection.execute("delete from t where id % 3 = ?", (n % 3,))
    if n == 35:
        connection.execute("vacuum")
    time.sleep(0.05)
time.sleep(0.5)
process.send_signal(signal.SIGTERM)
process.wait(20)
expected = os.path.join(folder, "expected.db")
subprocess.run([litestream, "restore", "-o", expected, "-config", config, database], check=True, stdout=log, stderr=log)
