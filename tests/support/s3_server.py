"""An S3 server on a free port of loopback, with everything in memory: moto, which tests/setup installs.

Says "port N" when it listens, and ends with the process that started it.
"""

import ctypes
import datetime
import signal
import sys

PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

from moto.s3 import models, responses
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server


class Quiet(WSGIRequestHandler):
    # Connections are kept, as real stores keep them.
    protocol_version = "HTTP/1.1"

    def log(self, *_):
        pass


def tell_when_uploads_were_begun():
    """When their metadata say, else when they were; moto says 2010 of all of them."""
    init, serialized = models.FakeMultipart.__init__, responses.S3Response.serialized

    def begin(upload, *arguments, **named):
        init(upload, *arguments, **named)
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        upload.begun = upload.metadata.get("x-amz-meta-begun", now)

    def with_times(response, answer):
        uploads = answer.result.get("Uploads", []) if isinstance(answer.result, dict) else []
        for upload in uploads:
            known = response.backend.list_multipart_uploads(response.bucket_name)
            upload["Initiated"] = known[upload["UploadId"]].begun
        return serialized(response, answer)

    models.FakeMultipart.__init__, responses.S3Response.serialized = begin, with_times


tell_when_uploads_were_begun()
app = DomainDispatcherApplication(create_backend_app)
server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
print(f"port {server.server_port}", flush=True)
sys.stdout.close()
server.serve_forever()
