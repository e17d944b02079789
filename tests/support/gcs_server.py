"""A small fake of Google Cloud Storage's XML API on a free port of loopback, with everything in memory.

It does what cloud.google.com/storage/docs/xml-api says of objects, conditions on their generation, uploads in parts and
listings, as far as Lightship uses it; it asks for no credentials. Says "port N" when it listens, and ends with the
process that started it.
"""

import ctypes
import hashlib
import signal
import sys
import threading
from email.utils import formatdate, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

BUCKET, PAGE, PART_MIN = "bucket", 1000, 5 << 20
lock = threading.Lock()
objects = {}  # key: (content, generation, date)
uploads = {}  # id: (key, {number: content})
counter = 0


def next_number():
    global counter
    counter += 1
    return counter


def etag(content):
    return f'"{hashlib.md5(content).hexdigest()}"'


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if not (status == 204 or self.command == "HEAD" and "Content_Length" in headers):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def xml(self, root, inner):
        body = f"<?xml version='1.0' encoding='UTF-8'?><{root}>{inner}</{root}>".encode()
        self.answer(200, body, Content_Type="application/xml")

    def refuse(self, status, code):
        body = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()
        self.answer(status, body, Content_Type="application/xml")

    def handle_request(self):
        url = urlsplit(self.path)
        bucket, _, key = url.path[1:].partition("/")
        query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with lock:
            if unquote(bucket) != BUCKET:
                self.refuse(404, "NoSuchBucket")
            elif not key:
                self.list(query)
            elif "uploads" in query or "uploadId" in query:
                self.upload(unquote(key), query, body)
            else:
                getattr(self, "object_" + self.command.lower())(unquote(key), body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_request

    def store(self, key, content):
        objects[key] = (content, next_number(), formatdate(usegmt=True))
        return {"ETag": etag(content), "x_goog_generation": str(objects[key][1])}

    def object_put(self, key, body):
        wanted = self.headers.get("x-goog-if-generation-match")
        if wanted is not None and int(wanted) != (objects[key][1] if key in objects else 0):
            return self.refuse(412, "PreconditionFailed")
        self.answer(200, **self.store(key, body))

    def object_get(self, key, _):
        if key not in objects:
            return self.refuse(404, "NoSuchKey")
        content, generation, date = objects[key]
        headers = {"ETag": etag(content), "x_goog_generation": str(generation), "Last_Modified": date}
        asked = self.headers.get("Range")
        if self.command == "HEAD" or not asked:
            if self.command == "HEAD":
                headers["Content_Length"] = str(len(content))
            return self.answer(200, content, **headers)
        first, last = asked.removeprefix("bytes=").split("-")
        start = int(first) if first else max(len(content) - int(last), 0)
        end = min(int(last) + 1, len(content)) if first and last else len(content)
        if start >= len(content):
            return self.refuse(416, "InvalidRange")
        headers["Content_Range"] = f"bytes {start}-{end - 1}/{len(content)}"
        self.answer(206, content[start:end], **headers)

    object_head = object_get

    def object_delete(self, key, _):
        if objects.pop(key, None) is None:
            return self.refuse(404, "NoSuchKey")
        self.answer(204)

    def upload(self, key, query, body):
        if "uploads" in query:
            number = str(next_number())
            uploads[number] = (key, {})
            inner = f"<Bucket>{BUCKET}</Bucket><Key>{escape(key)}</Key><UploadId>{number}</UploadId>"
            return self.xml("InitiateMultipartUploadResult", inner)
        number = query["uploadId"]
        if number not in uploads:
            return self.refuse(404, "NoSuchUpload")
        parts = uploads[number][1]
        if self.command == "PUT":
            parts[int(query["partNumber"])] = body
            self.answer(200, ETag=etag(body))
        elif self.command == "DELETE":
            del uploads[number]
            self.answer(204)
        else:
            wanted = [int(e.text) for e in ElementTree.fromstring(body).iter() if e.tag.endswith("PartNumber")]
            if any(len(parts[part]) < PART_MIN for part in wanted[:-1]):
                return self.refuse(400, "EntityTooSmall")
            del uploads[number]
            tag = self.store(key, b"".join(parts[part] for part in wanted))["ETag"]
            self.xml("CompleteMultipartUploadResult", f"<ETag>{escape(tag)}</ETag>")

    def list(self, query):
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        after = query.get("continuation-token") or query.get("start-after") or ""
        found, folders, last, more = [], [], "", False
        for key in sorted(objects, key=str.encode):
            if not key.startswith(prefix) or key.encode() <= after.encode():
                continue
            if len(found) + len(folders) >= int(query.get("max-keys", PAGE)):
                more = True
                break
            rest = key[len(prefix):]
            if delimiter and delimiter in rest:
                folder = prefix + rest.split(delimiter)[0] + delimiter
                if folder not in folders:
                    folders.append(folder)
                # Nothing of this folder is to come again.
                after = last = folder + "\U0010ffff"
                continue
            content, generation, _ = objects[key]
            found.append(
                f"<Contents><Key>{escape(key)}</Key><Size>{len(content)}</Size><ETag>{escape(etag(content))}</ETag>"
                f"<Generation>{generation}</Generation><LastModified>{self.stamp(key)}</LastModified></Contents>"
            )
            last = key
        prefixes = [f"<CommonPrefixes><Prefix>{escape(f)}</Prefix></CommonPrefixes>" for f in folders]
        inner = "".join(found) + "".join(prefixes)
        token = f"<NextContinuationToken>{escape(last)}</NextContinuationToken>" if more else ""
        truncated = f"<IsTruncated>{str(more).lower()}</IsTruncated>"
        self.xml("ListBucketResult", f"<Name>{BUCKET}</Name>{inner}{truncated}{token}")

    def stamp(self, key):
        return parsedate_to_datetime(objects[key][2]).strftime("%Y-%m-%dT%H:%M:%S.000Z")


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
print(f"port {server.server_port}", flush=True)
sys.stdout.close()
server.serve_forever()
