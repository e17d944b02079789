"""An S3 server on a free port of loopback, with everything in memory: moto, which tests/setup installs.

Says "port N" when it listens, and ends with the process that started it.
"""

import ctypes
import signal
import sys

PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server


class Quiet(WSGIRequestHandler):
    # Connections are kept, as real stores keep them.
    protocol_version = "HTTP/1.1"

    def log(self, *_):
        pass


app = DomainDispatcherApplication(create_backend_app)
server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
print(f"port {server.server_port}", flush=True)
sys.stdout.close()
server.serve_forever()
