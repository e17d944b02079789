"""An SFTP server (asyncssh) that lets the user "backup" in with the password "SECRETOFTEST".

usage: password_sftp_server.py FOLDER [--ask]

Serves FOLDER on a port of loopback, and writes its host key to FOLDER/../password_host_key.pub. With --ask it asks for
the password (keyboard-interactive) instead of taking it. Says "port N" when it listens, and ends with the process that
started it.
"""

import asyncio
import ctypes
import signal
import sys

import asyncssh

PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

folder, asks = sys.argv[1], "--ask" in sys.argv


def is_right(user, password):
    return (user, password) == ("backup", "SECRETOFTEST")


class Server(asyncssh.SSHServer):
    def begin_auth(self, username):
        return True

    def password_auth_supported(self):
        return not asks

    def validate_password(self, username, password):
        return is_right(username, password)

    def kbdint_auth_supported(self):
        return asks

    def get_kbdint_challenge(self, username, lang, submethods):
        self.user = username
        return "", "", "", [("Your name: ", True), ("Password: ", False)]

    def validate_kbdint_response(self, username, responses):
        return is_right(username, responses[1])


async def serve():
    host_key = asyncssh.generate_private_key("ssh-ed25519")
    with open(f"{folder}/../password_host_key.pub", "wb") as file:
        file.write(host_key.export_public_key())
    sftp = lambda channel: asyncssh.SFTPServer(channel, chroot=folder)
    options = {"server_factory": Server, "server_host_keys": [host_key], "sftp_factory": sftp}
    server = await asyncssh.listen("127.0.0.1", 0, **options)
    print(f"port {server.sockets[0].getsockname()[1]}", flush=True)
    await asyncio.Event().wait()


asyncio.run(serve())
