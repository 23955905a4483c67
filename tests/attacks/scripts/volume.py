"""Tries to make more of a volume than a device of its own bytes; prints a word for each way, and `tried`."""

import ctypes
import errno
import fcntl
import os

libc = ctypes.CDLL(None, use_errno=True)
DEVICE = "/dev/xvdf"
# LOOP_SET_FD, LOOP_CLR_FD, LOOP_SET_STATUS, LOOP_SET_STATUS64, LOOP_CHANGE_FD, LOOP_SET_DIRECT_IO, LOOP_CONFIGURE, and partitions: BLKPG, BLKRRPART
REQUESTS = [0x4C00, 0x4C01, 0x4C02, 0x4C04, 0x4C06, 0x4C08, 0x4C0A, 0x1269, 0x125F]


def report(name, attempt):
    try:
        attempt()
        print("DONE", name)
    except OSError as error:
        print("refused", name, errno.errorcode.get(error.errno, error.errno))


def call(result):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def make_file_system(kind):
    context = libc.syscall(430, kind, 0)  # fsopen
    call(context)
    call(libc.syscall(431, context, 1, b"source", DEVICE.encode(), 0))  # fsconfig: the source, and then to read it
    call(libc.syscall(431, context, 6, None, None, 0))


device = os.open(DEVICE, os.O_RDWR)
for request in REQUESTS:
    report(f"ioctl-{request:x}", lambda: fcntl.ioctl(device, request, bytearray(512)))
os.makedirs("/tmp/place", exist_ok=True)
os.system(f"mkfs.ext4 -q -F {DEVICE}")
for kind in (b"ext4", b"xfs", b"btrfs", b"vfat", b"iso9660"):
    report(f"mount-{kind.decode()}", lambda: call(libc.mount(DEVICE.encode(), b"/tmp/place", kind, 0, None)))
    report(f"fsopen-{kind.decode()}", lambda: make_file_system(kind))
for number in range(4):
    report(f"mknod-{number}", lambda: os.mknod(f"/tmp/node{number}", 0o60600, os.makedev(7, number)))
report("control", lambda: os.open("/dev/loop-control", os.O_RDWR))
os.lseek(device, 0, os.SEEK_SET)
end = os.lseek(device, 0, os.SEEK_END)
print("size", end)
if os.path.exists("/dev/.volumes/nodes"):
    print("DONE nodes", os.listdir("/dev/.volumes/nodes"))
print("tried")
