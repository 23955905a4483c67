"""What is in an archive or a compressed file, by the tools of Python and the makers of lz4.

    archives.py tar|zip|file FILE [gz|bgzf|bz2|xz|lz4]
"""

import bz2
import gzip
import io
import json
import lzma
import struct
import sys
import tarfile
import zipfile

import lz4.frame

END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


def blocks(data):
    """The blocks of BGZF by the lengths that they state."""
    assert data.endswith(END), data[-28:]
    text = b""
    while data:
        assert data[:4] == b"\x1f\x8b\x08\x04" and data[12:16] == b"BC\x02\x00"
        length = struct.unpack("<H", data[16:18])[0] + 1
        text += gzip.decompress(data[:length])
        data = data[length:]
    return text


OPEN = {
    "gz": gzip.decompress,
    "bgzf": lambda data: blocks(data) if gzip.decompress(data) == blocks(data) else None,
    "bz2": bz2.decompress,
    "xz": lzma.decompress,
    "lz4": lz4.frame.decompress,
    "": lambda data: data,
}
kind, path = sys.argv[1:3]
data = OPEN[sys.argv[3] if len(sys.argv) > 3 else ""](open(path, "rb").read())
if kind == "tar":
    archive = tarfile.open(fileobj=io.BytesIO(data), mode="r:")
    entries = {
        entry.name: [archive.extractfile(entry).read().decode(), oct(entry.mode), entry.mtime, entry.uname, entry.gname]
        for entry in archive
    }
elif kind == "zip":
    archive = zipfile.ZipFile(io.BytesIO(data))
    assert archive.testzip() is None
    entries = {entry.filename: [archive.read(entry).decode(), entry.compress_type] for entry in archive.infolist()}
else:
    entries = {"": [data.decode()]}
print(json.dumps(entries))
