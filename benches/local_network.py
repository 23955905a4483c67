#!/usr/bin/env python3
"""How fast an instance of the local cloud downloads from this machine through its own network, and how many connections it holds.

    benches/local_network.py [--bin target/release/bakelite] [--rounds 3]

A server of this script's sends 1 GiB on a loopback port: to an instance, for which the port is allowed, and to a process of this machine
itself, in turn; the median of each is printed. Then an instance opens 2,000 connections at once, and each of them answers. Exits with 1
below 200 MB/s, or with fewer connections.
"""

import argparse
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import threading

SIZE = 1 << 30
WANTED = 200.0
CONNECTIONS = 2000

DOWNLOAD = """
import socket, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=60)
s.sendall(b"d"); start = time.monotonic(); buffer = bytearray(1 << 20); got = 0
while length := s.recv_into(buffer):
    got += length
print(got / (time.monotonic() - start) / 1e6 if got == %d else 0)
""" % SIZE

CONNECT = """
import resource, socket, sys, time
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
start = time.monotonic()
all = [socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=60) for _ in range(%d)]
for s in all: s.sendall(b"e")
answers = sum(s.recv(1) == b"e" for s in all)
print(answers, time.monotonic() - start)
""" % CONNECTIONS


def answer(connection):
    with connection:
        kind = connection.recv(1)
        if kind == b"d":
            block = memoryview(bytes(1 << 20))
            for _ in range(SIZE // len(block)):
                connection.sendall(block)
        elif kind:
            connection.sendall(kind)
            connection.recv(1)


def serve():
    server = socket.create_server(("127.0.0.1", 0), backlog=4096)

    def accept():
        while True:
            connection, _ = server.accept()
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return server.getsockname()[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, default=pathlib.Path("target/release/bakelite"))
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    port = serve()
    with tempfile.TemporaryDirectory() as state:
        flags = [f"-local-state={state}", f"-local-allow=127.0.0.1:{port}"]
        listed = subprocess.run([arguments.bin, "local", "images", "-all", *flags], capture_output=True, text=True, check=True, timeout=120)
        image = next(word for line in listed.stdout.splitlines() for word in line.split() if word.startswith("ami-"))

        def inside(program):
            command = [arguments.bin, "local", "run", *flags, image, "--", "/usr/bin/python3", "-c", program, "169.254.169.1", str(port)]
            return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout.split()

        def outside(program):
            command = ["/usr/bin/python3", "-c", program, "127.0.0.1", str(port)]
            return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout.split()

        rates = {"in an instance": [], "on this machine": []}
        for _ in range(arguments.rounds):
            rates["in an instance"].append(float(inside(DOWNLOAD)[0]))
            rates["on this machine"].append(float(outside(DOWNLOAD)[0]))
        for name, measured in rates.items():
            print(f"download {name}: {statistics.median(measured):.0f} MB/s")
        answers, seconds = inside(CONNECT)
        print(f"connections: {answers} of {CONNECTIONS} answered, in {float(seconds):.1f} s")
        subprocess.run([arguments.bin, "local", "reset", f"-local-state={state}"], check=True, timeout=120)
    is_enough = statistics.median(rates["in an instance"]) >= WANTED and int(answers) == CONNECTIONS
    sys.exit(0 if is_enough else 1)


if __name__ == "__main__":
    main()
