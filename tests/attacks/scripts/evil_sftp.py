# An SFTP server (version 3) that says whatever harms its client.
import stat, struct, sys

MODE, TARGET = "@MODE@", "@TARGET@"
INIT, OPEN, CLOSE, READ, LSTAT, FSTAT, OPENDIR, READDIR, REALPATH, STAT, READLINK = 1, 3, 4, 5, 7, 8, 11, 12, 16, 17, 19
STATUS, HANDLE, DATA, NAME, ATTRS = 101, 102, 103, 104, 105
DIRECTORY, FILE, LINK = stat.S_IFDIR | 0o755, stat.S_IFREG | 0o644, stat.S_IFLNK | 0o777
NAMES = [f"{TARGET}/outside/evil.log", f"{TARGET}/outside/precious.log", "x/../../outside/evil.log", "../evil.log", "../outside/evil.log", "a/b.log", "..", ".", "", "/", "nul\0.log", "../../../../../../../../../tmp/bakelite-evil.log"]
seen, listed = {}, {}


def text(value):
    data = value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")
    return struct.pack(">I", len(data)) + data


def attributes(mode):
    return struct.pack(">IQI", 0x05, 5 if stat.S_ISREG(mode) else 0, mode)


def kind(path, follow):
    """What it says a path is, which need not be what it said before."""
    path = path.rstrip("/")
    name = path.rsplit("/", 1)[-1]
    count = seen[path, follow] = seen.get((path, follow), 0) + 1
    if MODE == "twice":
        if path.endswith(("/sub/l", "/sub/l/k", "/first", "/first/way")) and not follow:
            return LINK if count == 1 else DIRECTORY
        return FILE if name.startswith("evil") else DIRECTORY
    if MODE == "names-with-escapes":
        return DIRECTORY if name == "src" else stat.S_IFIFO | 0o644 if name.startswith("b") else FILE
    if MODE == "modes":
        return DIRECTORY if name == "src" else stat.S_IFREG | 0o6777
    if MODE == "names":
        return DIRECTORY if name in ("src", "log", "remote", "var", "x", "") else FILE
    return DIRECTORY


def entries(path):
    name = path.rstrip("/").rsplit("/", 1)[-1]
    if MODE == "twice":
        return {"src": ["sub", "first", "first"], "sub": ["l", "l"], "l": ["k", "k"], "k": ["evil"], "first": ["way", "way", "evil"], "way": ["evil"]}.get(name, [])
    if MODE == "names":
        return NAMES if name in ("src", "log", "") else []
    if MODE == "modes":
        return ["open"] if name == "src" else []
    if MODE == "names-with-escapes":
        return ["a\x1b]0;owned\x07", "b\x1b[2J", "c\x9b2J\u202e", "d/\x1b[2J"] if name == "src" else []
    if MODE == "endless-depth":
        return ["d" * 200]
    return []


def read(count):
    got = sys.stdin.buffer.read(count)
    if len(got) < count:
        sys.exit(0)
    return got


def reply(what, request, body):
    packet = struct.pack(">BI", what, request) + body
    sys.stdout.buffer.write(struct.pack(">I", len(packet)) + packet)
    sys.stdout.buffer.flush()


def status(request, code):
    reply(STATUS, request, struct.pack(">I", code) + text("") + text(""))


def first(data):
    """The text that a request begins with, and what follows it."""
    size = struct.unpack(">I", data[:4])[0]
    return data[4 : 4 + size].decode("utf-8", "surrogateescape"), data[4 + size :]


def flood(request):
    out = sys.stdout.buffer
    if MODE == "long-packet":
        out.write(struct.pack(">IBI", 1 << 30, NAME, request))
        for _ in range(200):
            out.write(b"\0" * (1 << 20))
        out.flush()


while True:
    size = struct.unpack(">I", read(4))[0]
    packet = read(size)
    what, rest = packet[0], packet[1:]
    if what == INIT:
        sys.stdout.buffer.write(struct.pack(">IBI", 5, 2, 3))
        sys.stdout.buffer.flush()
        continue
    request, rest = struct.unpack(">I", rest[:4])[0], rest[4:]
    path, rest = first(rest)
    if MODE == "message":
        reply(STATUS, request, struct.pack(">I", 4) + text(b"\x1b]0;owned\x07\x1b[2J\x1bP\x9b2J\xc2\x9b\xe2\x80\xae says the server") + text(b"en\x1b]0;\x07"))
        continue
    if what == REALPATH:
        reply(NAME, request, struct.pack(">I", 1) + text(path) + text(path) + attributes(DIRECTORY))
    elif what in (STAT, LSTAT):
        reply(ATTRS, request, attributes(kind(path, what == STAT)))
    elif what == FSTAT:
        reply(ATTRS, request, attributes(kind(path, True)))
    elif what == READLINK:
        to = "../.." if path.endswith(("/k", "/way")) else ".."
        reply(NAME, request, struct.pack(">I", 1) + text(to) + text(to) + attributes(LINK))
    elif what in (OPEN, OPENDIR):
        reply(HANDLE, request, text(path))
    elif what == READDIR:
        if MODE == "long-packet":
            flood(request)
            sys.exit(0)
        count = listed[path] = listed.get(path, 0) + 1
        names = entries(path) if count == 1 else []
        if not names:
            status(request, 1)
            continue
        body = b"".join(text(name) + text("long " + name) + attributes(FILE if MODE in ("names", "modes") else DIRECTORY) for name in names)
        reply(NAME, request, struct.pack(">I", len(names)) + body)
    elif what == READ:
        offset = struct.unpack(">Q", rest[:8])[0]
        reply(DATA, request, text("EVIL\n")) if offset == 0 else status(request, 1)
    else:
        status(request, 0)
