"""Azure's storage emulator on a free port of loopback, with everything in memory: Azurite, which tests/setup installs.

usage: azure_server.py AZURITE_BLOB

Makes the container "bucket", says "port N" when it is there, and ends with the process that started it.
"""

import base64
import ctypes
import datetime
import hashlib
import hmac
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

PR_SET_PDEATHSIG = 1
ACCOUNT = "devstoreaccount1"
# learn.microsoft.com/azure/storage/common/storage-use-azurite: every emulator has this account and this key.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
PATIENCE_SECONDS = 60


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def make_container(port, name):
    date, version = datetime.datetime.now(datetime.timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT"), "2021-08-06"
    lines = ["PUT"] + [""] * 11 + [f"x-ms-date:{date}", f"x-ms-version:{version}"]
    lines += [f"/{ACCOUNT}/{ACCOUNT}/{name}", "restype:container"]
    signed = hmac.new(base64.b64decode(KEY), "\n".join(lines).encode(), hashlib.sha256).digest()
    headers = {"x-ms-date": date, "x-ms-version": version, "Content-Length": "0"}
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(signed).decode()}"
    url = f"http://127.0.0.1:{port}/{ACCOUNT}/{name}?restype=container"
    urllib.request.urlopen(urllib.request.Request(url, method="PUT", headers=headers)).close()


die_with_parent()
port = free_port()
command = [sys.argv[1], "--silent", "--disableTelemetry", "--inMemoryPersistence", "--skipApiVersionCheck"]
command += ["--blobHost", "127.0.0.1", "--blobPort", str(port)]
server = subprocess.Popen(command, stdout=sys.stderr, preexec_fn=die_with_parent)
since = time.monotonic()
while True:
    try:
        make_container(port, "bucket")
        break
    except urllib.error.URLError as error:
        if isinstance(error, urllib.error.HTTPError) or time.monotonic() - since > PATIENCE_SECONDS:
            sys.exit(f"cannot make a container: {error}")
        time.sleep(0.1)
print(f"port {port}", flush=True)
sys.stdout.close()
sys.exit(server.wait())
