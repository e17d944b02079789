"""Cuts the power of the disk that is mounted at a folder: what was not synced is lost. Needs root, and ext4 or xfs.

    power_cut.py FOLDER
"""

import fcntl
import os
import struct
import sys

# FS_IOC_SHUTDOWN (linux/fs.h), and its flag for not even writing what the journal has in memory.
SHUTDOWN, WITHOUT_JOURNAL = 0x8004587D, 2

folder = os.open(sys.argv[1], os.O_RDONLY)
fcntl.ioctl(folder, SHUTDOWN, struct.pack("I", WITHOUT_JOURNAL))
