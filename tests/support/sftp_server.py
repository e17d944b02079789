"""OpenSSH's SFTP server on a port of loopback, for the user that runs this, with keys made for the occasion.

usage: sftp_server.py FOLDER [--port PORT] [--host-key NAME] [ARGUMENT of sftp-server]...

Makes what is missing of FOLDER/key (to log in with), FOLDER/NAME.pub (the host's, by default host_key)
and FOLDER/root. Says "port N" when it listens, and ends with the process that started it. SIGTERM ends connections too.
"""

import argparse
import ctypes
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1
PATIENCE_SECONDS = 30


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def make_key(path, kind):
    if not os.path.exists(path):
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", path], check=True)


def descendants(of):
    """Processes that `of` has started, and theirs."""
    parents = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as stat:
                parents[int(pid)] = int(stat.read().rpartition(")")[2].split()[1])
        except OSError:
            pass
    found = [of]
    for pid in found:
        found.extend(child for child, parent in parents.items() if parent == pid)
    return found[1:]


def end_everything(*_):
    """What serves a connection outlives the server."""
    for pid in descendants(os.getpid()):
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
    os._exit(0)


die_with_parent()
parser = argparse.ArgumentParser()
parser.add_argument("folder", type=os.path.abspath)
parser.add_argument("--port", type=int, default=0)
parser.add_argument("--host-key", default="host_key")
options, sftp_arguments = parser.parse_known_args()
port = options.port or free_port()
path = lambda name: os.path.join(options.folder, name)
os.makedirs(path("root"), exist_ok=True)
make_key(path("key"), "ed25519")
make_key(path(options.host_key), "rsa" if "rsa" in options.host_key else "ed25519")
shutil.copy(path("key.pub"), path("authorized_keys"))
if os.getuid() == 0:
    os.makedirs("/run/sshd", exist_ok=True)
config = f"""Port {port}
ListenAddress 127.0.0.1
HostKey {path(options.host_key)}
AuthorizedKeysFile {path("authorized_keys")}
UsePAM no
StrictModes no
PasswordAuthentication no
PidFile none
Subsystem sftp internal-sftp {" ".join(sftp_arguments)}
AllowUsers {getpass.getuser()}
MaxStartups 100
"""
sshd = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
for line in ["PerSourcePenalties no\n", ""]:
    # What newer versions do to those who fail to log in, and older ones do not know.
    with open(path("sshd_config"), "w") as file:
        file.write(config + line)
    if subprocess.run([sshd, "-t", "-f", path("sshd_config")], stderr=subprocess.DEVNULL).returncode == 0:
        break
log = open(path("sshd.log"), "a")
server = subprocess.Popen([sshd, "-D", "-e", "-f", path("sshd_config")], stderr=log, preexec_fn=die_with_parent)
signal.signal(signal.SIGTERM, end_everything)
since = time.monotonic()
while True:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        break
    except OSError:
        if server.poll() is not None or time.monotonic() - since > PATIENCE_SECONDS:
            sys.exit("sshd did not start")
        time.sleep(0.05)
print(f"port {port}", flush=True)
sys.exit(server.wait())
