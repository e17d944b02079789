"""Serves a folder with one file, that cannot be written, as a FUSE file system: fuse_folder.py FOLDER FILE. Needs root.
With a third argument it only tries to.

It speaks just enough of the protocol (linux/fuse.h) to be looked at and to be read.
"""

import ctypes
import errno
import os
import struct
import sys

LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, INIT, BATCH_FORGET = 1, 2, 3, 14, 15, 17, 26, 42
SIMPLE = {18, 25, 27, 28, 29, 34}  # release, flush, opendir, readdir, releasedir, access

folder, path = sys.argv[1], sys.argv[2]
name, content = os.path.basename(path).encode(), open(path, "rb").read()
device = os.open("/dev/fuse", os.O_RDWR)
mount = ctypes.CDLL(None, use_errno=True).mount
options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
if mount(b"test", folder.encode(), b"fuse.test", 0, options) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
if len(sys.argv) > 3:
    sys.exit()


def attributes(node):
    mode, size = (0o40755, 0) if node == 1 else (0o100644, len(content))
    return struct.pack("<QQQQQQIIIIIIIIII", node, size, size // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


while True:
    try:
        request = os.read(device, 1 << 20)
    except OSError as error:
        if error.errno == errno.EINTR:
            continue
        break
    _, operation, unique, node = struct.unpack_from("<IIQQ", request)
    body, error, answer = request[40:], 0, b""
    if operation in (FORGET, BATCH_FORGET):
        continue
    if operation == INIT:
        major, minor, ahead, _ = struct.unpack_from("<IIII", body)
        answer = struct.pack("<IIIIHHIIHHI28x", 7, 31, ahead, 0, 16, 12, 1 << 17, 1, 32, 0, 0)
    elif operation == LOOKUP:
        if body.rstrip(b"\0") == name:
            answer = struct.pack("<QQQQII", 2, 0, 0, 0, 0, 0) + attributes(2)
        else:
            error = errno.ENOENT
    elif operation == GETATTR:
        answer = struct.pack("<QII", 0, 0, 0) + attributes(node)
    elif operation == OPEN:
        answer = struct.pack("<QII", 0, 0, 0)
    elif operation == READ:
        _, at, count = struct.unpack_from("<QQI", body)
        answer = content[at:at + count]
    elif operation == STATFS:
        answer = struct.pack("<QQQQQIIII24x", 1000, 1000, 1000, 10, 10, 4096, 255, 4096, 0)
    elif operation in SIMPLE:
        answer = struct.pack("<QII", 0, 0, 0) if operation == 27 else b""
    else:
        error = errno.ENOSYS
    os.write(device, struct.pack("<IiQ", 16 + len(answer), -error, unique) + answer)
