#!/usr/bin/python3
# A `tar` that sends whatever harms its reader.
import os, sys

MODE, TARGET = "@MODE@", "@TARGET@"
if not any(word.startswith(("-c", "c", "--create")) for word in sys.argv[1:]):
    os.execv("/usr/bin/tar", sys.argv)
if MODE == "twice":
    sys.exit(127)
out = sys.stdout.buffer
FILE, HARD, LINK, DIRECTORY = b"0", b"1", b"2", b"5"


def number(value, size):
    if value >= 8 ** (size - 1):
        return b"\x80" + value.to_bytes(size - 1, "big")
    return b"%0*o\0" % (size - 1, value)


def header(name, kind=FILE, size=0, link="", mode=0o644):
    block = bytearray(512)
    for at, field in ((0, name.encode()[:100]), (100, number(mode, 8)), (108, number(0, 8)), (116, number(0, 8)), (124, number(size, 12)),
                      (136, number(1, 12)), (148, b" " * 8), (156, kind), (157, link.encode()[:100]), (257, b"ustar  \0")):
        block[at : at + len(field)] = field
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def member(name, data=b"EVIL\n", **more):
    return header(name, size=len(data), **more) + data + b"\0" * (-len(data) % 512)


try:
    if MODE == "names":
        # No name is longer than a header has room for.
        out.write(member("ok") + member("./ok2") + member("src/ok3"))
        for name in ("../evil", "x/../../evil", "../outside/precious", f"{TARGET}/evil", "./../evil"):
            out.write(member(name))
        out.write(header("l", LINK, link="..") + member("l/evil") + header("a", LINK, link=TARGET) + member("a/evil"))
        out.write(header("d", DIRECTORY, mode=0o755) + header("d", LINK, link="..") + member("d/evil"))
        out.write(header("h", HARD, link=f"{TARGET}/outside/precious") + member("h"))
        out.write(header("r", HARD, link="../outside/precious") + member("r"))
        out.write(header("c", LINK, link="x") + header("x/y", LINK, link="..") + header("c/y/z", LINK, link="..") + member("c/y/z/evil"))
    elif MODE == "names-with-escapes":
        out.write(member("a\x1b]0;owned\x07") + header("b\x1b[2J", b"6") + header("c\x1b]0;\x07", LINK, link="/etc/\x1b[2J") + member("../\x1b[2J"))
    elif MODE == "modes":
        out.write(member("open", mode=0o6777))
    elif MODE in ("long-name", "long-link", "extended-header", "global-header"):
        kind = {"long-name": b"L", "long-link": b"K", "extended-header": b"x", "global-header": b"g"}[MODE]
        out.write(header("././@LongLink", kind, size=3 << 30))
        for _ in range(250):
            out.write(b"a" * (1 << 20))
    elif MODE == "many-links":
        for number_ in range(0, 400000, 1000):
            out.write(b"".join(header("y" * 80 + str(one), LINK, link=f"/etc/x{one}") for one in range(number_, number_ + 1000)))
    out.write(b"\0" * 1024)
    out.flush()
except BrokenPipeError:
    os._exit(1)
