"""A WebDAV server (wsgidav) on a port of loopback.

usage: webdav_server.py FOLDER PORT [--replace]

Serves FOLDER to the user "backup" with the password "SECRETOFTEST", below /dav. PORT may be 0. Says "port N" when it
listens, and ends with the process that started it. With --replace it moves files over others even if it is told not to,
as servers do that ignore the header Overwrite.
"""

import ctypes
import signal
import socket
import sys

from cheroot import wsgi
from wsgidav.wsgidav_app import WsgiDAVApp

PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

folder, port = sys.argv[1], int(sys.argv[2])
app = WsgiDAVApp(
    {
        "provider_mapping": {"/dav": folder},
        "simple_dc": {"user_mapping": {"*": {"backup": {"password": "SECRETOFTEST"}}}},
        "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
        "logging": {"enable_loggers": []},
        "verbose": 0,
    }
)


def serve(environ, start_response):
    if "--replace" in sys.argv:
        environ.pop("HTTP_OVERWRITE", None)
    return app(environ, start_response)


if port == 0:
    # cheroot lets a port be used again, when the server was killed, only if it was chosen beforehand.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
server = wsgi.Server(("127.0.0.1", port), serve, numthreads=10)
server.prepare()
print(f"port {port}", flush=True)
server.serve()
