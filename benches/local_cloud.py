#!/usr/bin/env python3
"""What the local cloud takes of time, memory and disk, with a limit for each: downloads and connections through an instance's network, the
time from a launch to SSH, a hundred instances at once, and twenty bakes of one large root.

    benches/local_cloud.py [--bin target/release/bakelite] [--rounds 5] [--only network,launch,hundred,bakes]

The best of the rounds counts: what else this machine does only makes things slower. A download is compared with one by a process of this machine itself,
from the same server over loopback. Exits with 1 if a limit is missed.
"""

import argparse
import contextlib
import datetime
import hashlib
import hmac
import http.client
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

DOWNLOAD, CONNECTIONS, INSTANCES, BAKES, ROOT = 1 << 30, 2000, 100, 20, 500 << 20
# Instances of one call.
MOST_OF_CALL = 20

DOWNLOADER = """
import socket, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=60)
s.sendall(b"d"); start = time.monotonic(); buffer = bytearray(1 << 20); got = 0
while length := s.recv_into(buffer):
    got += length
print(got / (time.monotonic() - start) / 1e6 if got == %d else 0)
""" % DOWNLOAD

CONNECTOR = """
import resource, socket, sys, time
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
start = time.monotonic()
all = [socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=60) for _ in range(%d)]
for s in all: s.sendall(b"e")
answers = sum(s.recv(1) == b"e" for s in all)
print(answers, time.monotonic() - start)
""" % CONNECTIONS

TEMPLATE = """
variable "number" { type = string }
source "amazon-ebs" "large" {
  region        = "us-east-1"
  instance_type = "t3.micro"
  ami_name      = "large-${var.number}"
  ssh_username  = "root"
  source_ami    = "ami-0123456789abcdef0"
}
build {
  sources = ["source.amazon-ebs.large"]
  provisioner "shell" { inline = ["dd if=/dev/urandom of=/root/changed bs=1024 count=1024 2> /dev/null"] }
}
"""


class Table:
    """Lines of what was measured, and whether all of it is within its limits."""

    def __init__(self):
        self.is_good = True
        print(f"{'':44} {'measured':>12} {'limit':>12}  beside")

    def line(self, name, value, limit=None, unit="", beside="", least=False):
        is_good = limit is None or (value >= limit if least else value <= limit)
        self.is_good &= is_good
        bound = "" if limit is None else f"{'≥' if least else '≤'} {limit:g} {unit}"
        print(f"{name:44} {f'{value:.4g} {unit}':>12} {bound:>12}  {beside}{'' if is_good else '  MISSED'}", flush=True)


def answer(connection):
    with connection:
        kind = connection.recv(1)
        if kind == b"d":
            block = memoryview(bytes(1 << 20))
            for _ in range(DOWNLOAD // len(block)):
                connection.sendall(block)
        elif kind:
            connection.sendall(kind)
            connection.recv(1)


def serve_bytes():
    server = socket.create_server(("127.0.0.1", 0), backlog=4096)

    def accept():
        while True:
            connection, _ = server.accept()
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return server.getsockname()[1]


class Cloud:
    """A `local serve`, called with the standard library alone."""

    def __init__(self, binary, state):
        flags = ["-local-state", state, "-listen", "127.0.0.1:0", "-ssh-port", "0"]
        self.process = subprocess.Popen([binary, "local", "serve", *flags], stdout=subprocess.PIPE, text=True)
        exports = {}
        while not {"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} <= exports.keys():
            line = self.process.stdout.readline()
            if not line:
                raise SystemExit("`local serve` ended")
            exports.update(re.findall(r"(AWS_\w+)=(\S+)", line))
        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        self.at = urllib.parse.urlsplit(exports["AWS_ENDPOINT_URL"])
        self.keys = exports["AWS_ACCESS_KEY_ID"], exports["AWS_SECRET_ACCESS_KEY"]

    def call(self, action, **parameters):
        body = urllib.parse.urlencode({"Action": action, "Version": "2016-11-15", **parameters}).encode()
        stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        headers = {"content-type": "application/x-www-form-urlencoded", "host": self.at.netloc, "x-amz-date": stamp}
        names, lines = ";".join(headers), [f"{name}:{value}" for name, value in headers.items()]
        canonical = "\n".join(["POST", "/", "", *lines, "", names, hashlib.sha256(body).hexdigest()])
        scope = f"{stamp[:8]}/us-east-1/ec2/aws4_request"
        key = ("AWS4" + self.keys[1]).encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={self.keys[0]}/{scope}, SignedHeaders={names}, Signature={signature}"
        connection = http.client.HTTPConnection(self.at.hostname, self.at.port, timeout=120)
        connection.request("POST", "/", body, headers)
        response = connection.getresponse()
        text = response.read().decode()
        if response.status != 200:
            raise SystemExit(f"{action}: {text}")
        return text

    def launch(self, image, count, key):
        """Launches instances; answers their ids."""
        launched = self.call("RunInstances", ImageId=image, MinCount=count, MaxCount=count, KeyName=key)
        return re.findall("<instanceId>(i-[^<]+)", launched)

    def reach(self, ids, deadline=300):
        """Waits until the SSH servers of all these instances greet."""
        waiting, end = set(ids), time.monotonic() + deadline
        while waiting and time.monotonic() < end:
            described = self.call("DescribeInstances", **{f"InstanceId.{index + 1}": one for index, one in enumerate(sorted(waiting))})
            for item in described.split("<instanceId>")[1:]:
                instance = item.split("<", 1)[0]
                address = re.search("<privateIpAddress>([^<]+)", item)
                port = re.search("<key>bakelite:ssh-port</key><value>([0-9]+)", item)
                if "<name>running</name>" in item and address and greets(address[1], int(port[1]) if port else 22):
                    waiting.discard(instance)
        return not waiting

    def end(self):
        self.process.terminate()
        self.process.wait(60)


def greets(address, port):
    try:
        with socket.create_connection((address, port), timeout=5) as connection:
            return connection.recv(8).startswith(b"SSH-2.0-")
    except OSError:
        return False


def memory_of(process):
    """Bytes of a process and its descendants, shared pages divided among those who share them."""
    children = {}
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    total, waiting = 0, [process]
    while waiting:
        one = waiting.pop()
        waiting.extend(children.get(one, []))
        with contextlib.suppress(OSError):
            found = re.search(r"^Pss:\s+(\d+)", pathlib.Path(f"/proc/{one}/smaps_rollup").read_text(), re.M)
            total += int(found[1]) * 1024 if found else 0
    return total


def image_of(binary, flags):
    listed = subprocess.run([binary, "local", "images", "-all", *flags], capture_output=True, text=True, check=True, timeout=120).stdout
    # One that this machine stands in for, if it is not the machine's own.
    lines = [line for line in listed.splitlines() if "debian-12-amd64" in line] or listed.splitlines()
    return next(word for line in lines for word in line.split() if word.startswith("ami-"))


def network(table, binary, rounds, state):
    port = serve_bytes()
    flags = ["-local-state", state, "-local-allow", f"127.0.0.1:{port}"]
    image = image_of(binary, flags)

    def measure(command, address, program):
        words = [*command, "/usr/bin/python3", "-c", program, address, str(port)]
        return subprocess.run(words, capture_output=True, text=True, check=True, timeout=300).stdout.split()

    inside = [binary, "local", "run", *flags, image, "--"], "169.254.169.1"
    rates = [(float(measure(*inside, DOWNLOADER)[0]), float(measure([], "127.0.0.1", DOWNLOADER)[0])) for _ in range(rounds)]
    best, own = max(rate for rate, _ in rates), max(rate for _, rate in rates)
    table.line("download in an instance", best, 200, "MB/s", f"{own:.4g} MB/s without it, {own / best:.1f} times", least=True)
    answers, seconds = measure(*inside, CONNECTOR)
    table.line("connections at once", int(answers), CONNECTIONS, "", f"in {float(seconds):.1f} s", least=True)


def launch(table, binary, rounds, state):
    image = image_of(binary, ["-local-state", state])
    cloud = Cloud(binary, state)
    try:
        cloud.call("CreateKeyPair", KeyName="bench")
        times = []
        for _ in range(rounds + 1):
            start = time.monotonic()
            ids = cloud.launch(image, 1, "bench")
            if not cloud.reach(ids):
                raise SystemExit("no SSH")
            times.append(time.monotonic() - start)
            cloud.call("TerminateInstances", **{"InstanceId.1": ids[0]})
        # The first one makes the root.
        table.line("launch to SSH", min(times[1:]) * 1000, 150, "ms", f"{times[0] * 1000:.0f} ms for the first, which makes the root")
    finally:
        cloud.end()


def hundred(table, binary, _, state):
    image = image_of(binary, ["-local-state", state])
    cloud = Cloud(binary, state)
    try:
        cloud.call("CreateKeyPair", KeyName="bench")
        ids = cloud.launch(image, 1, "bench")
        cloud.reach(ids)
        before, start = memory_of(cloud.process.pid), time.monotonic()
        ids = [one for _ in range(INSTANCES // MOST_OF_CALL) for one in cloud.launch(image, MOST_OF_CALL, "bench")]
        is_there = cloud.reach(ids)
        seconds = time.monotonic() - start
        table.line(f"instances of {INSTANCES} with SSH", INSTANCES if is_there else 0, INSTANCES, "", "", least=True)
        table.line("  all of them after", seconds, None, "s", f"{seconds / INSTANCES * 1000:.0f} ms each")
        table.line("  memory of each", (memory_of(cloud.process.pid) - before) / INSTANCES / 1e6, None, "MB")
    finally:
        cloud.end()


def minimal_root(directory):
    """A root with a shell, a few programs and much data."""
    for name in ["bin", "etc", "usr/bin", "root", "home", "tmp"]:
        (directory / name).mkdir(parents=True)
    libraries = set()
    for program in ["sh", "cat", "id", "ls", "mkdir", "env", "chmod", "rm", "dd", "uname", "sed", "grep", "mv", "cp", "test", "sync"]:
        path = shutil.which(program, path="/usr/bin:/bin")
        shutil.copy(path, directory / "bin" / program)
        linked = subprocess.run(["ldd", path], capture_output=True, text=True).stdout
        libraries.update(word for word in linked.split() if word.startswith("/"))
    for library in libraries:
        to = directory / library.lstrip("/")
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, to)
    (directory / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (directory / "etc/group").write_text("root:x:0:\n")
    block = os.urandom(1 << 20)
    for number in range(ROOT >> 20):
        (directory / f"usr/data{number}").write_bytes(number.to_bytes(4, "big") + block[4:])


def bakes(table, binary, _, state):
    directory = pathlib.Path(state).parent / "large"
    minimal_root(directory)
    tarball = directory.with_suffix(".tar")
    subprocess.run(["tar", "-C", directory, "-cf", tarball, "."], check=True)
    shutil.rmtree(directory)
    template = pathlib.Path(state).parent / "large.pkr.hcl"
    template.write_text(TEMPLATE)
    flags = ["-local", "-local-state", state, "-local-image", f"ami-0123456789abcdef0=tar:{tarball}"]
    start = time.monotonic()
    for number in range(BAKES):
        baked = subprocess.run([binary, "build", *flags, "-var", f"number={number}", template], capture_output=True, text=True, timeout=300)
        if baked.returncode:
            raise SystemExit(baked.stdout + baked.stderr)
    seconds = time.monotonic() - start
    taken = sum(int(line.split()[0]) for line in subprocess.run(["du", "-sk", state], capture_output=True, text=True, check=True).stdout.splitlines()) / 1024
    # The root, a MiB that each bake writes, and as much again for what a boot writes.
    table.line(f"disk of {BAKES} bakes of a {ROOT >> 20} MiB root", taken, (ROOT >> 20) + 20 + 2 * BAKES, "MiB", f"{seconds / BAKES:.1f} s each")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, default=pathlib.Path("target/release/bakelite"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="network,launch,hundred,bakes")
    arguments = parser.parse_args()
    binary = arguments.bin.resolve()
    table = Table()
    parts = {"network": network, "launch": launch, "hundred": hundred, "bakes": bakes}
    for name in arguments.only.split(","):
        with tempfile.TemporaryDirectory() as directory:
            state = f"{directory}/state"
            try:
                parts[name](table, binary, arguments.rounds, state)
            finally:
                subprocess.run([binary, "local", "reset", "-force", "-local-state", state], capture_output=True, timeout=300)
    sys.exit(0 if table.is_good else 1)


if __name__ == "__main__":
    main()
