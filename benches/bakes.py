#!/usr/bin/env python3
"""Whole bakes beside Debian's packer (`apt-get install packer`), in one run: time, calls, memory and processes, against Moto and OpenSSH
with states that take as long as EC2's and with quick ones; the local cloud; the start of the program.

    benches/bakes.py [--bin target/release/bakelite] [--peer packer] [--quick] [--write]

Takes what `tests/prepare` installs, and OpenSSH's server. `--quick` leaves out the states of EC2, which take five minutes. `--write`
replaces docs/reference/benchmarks.md, its chart and benches/bakes.json, from which the next run tells what has changed.
"""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

from validate import contest

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOOLS = ROOT / "target/test-tools"
RESULTS = ROOT / "benches/bakes.json"
PAGE = ROOT / "docs/reference/benchmarks.md"
CHART = ROOT / "docs/reference/benchmarks.svg"
# Seconds: until an instance runs, until it is stopped, until an image is available, until an instance is terminated.
EC2, QUICK, NONE = (12, 20, 75, 25), (3, 3, 3, 3), (0, 0, 0, 0)

SOURCE = """
source "amazon-ebs" "web{index}" {{
  region                      = "us-east-1"
  instance_type               = "t3.micro"
  ami_name                    = "web-{run}-{index}"
  ssh_username                = "root"
  {ssh}
  skip_credential_validation  = true
  source_ami_filter {{
    filters     = {{ name = "amzn2-ami-hvm-*", root-device-type = "ebs", virtualization-type = "hvm" }}
    owners      = ["amazon"]
    most_recent = true
  }}
  tags = {{ Base = "{{{{ .SourceAMIName }}}}" }}
}}
"""
BUILD = """
build {{
  sources = [{sources}]
  provisioner "shell" {{
    inline = ["echo hello from $(hostname)", "mkdir -p /tmp/app"]
  }}
  provisioner "file" {{
    source      = "{file}"
    destination = "/tmp/app/page"
  }}
  provisioner "shell" {{
    environment_vars = ["APP_VERSION=1"]
    inline           = ["ls -l /tmp/app"]
  }}
  post-processor "manifest" {{
    output = "{directory}/manifest.json"
  }}
}}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port, process):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    sys.exit(f"nothing listens on port {port}")


class Rig:
    """Moto with states that take so long, and an OpenSSH server that every key pair of Moto's opens."""

    def __init__(self, seconds, directory):
        self.directory = pathlib.Path(directory)
        self.calls = self.directory / "calls"
        keys = self.directory / "authorized"
        keys.write_text("")
        keys.chmod(0o600)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.directory / "host"], check=True)
        self.ssh_port, self.port = free_port(), free_port()
        options = {
            "Port": self.ssh_port, "ListenAddress": "127.0.0.1", "HostKey": self.directory / "host", "AuthorizedKeysFile": keys,
            "PermitRootLogin": "yes", "StrictModes": "no", "UsePAM": "no", "PasswordAuthentication": "no", "PidFile": "none",
            "Subsystem": "sftp internal-sftp", "MaxStartups": "1000", "MaxSessions": "1000", "PubkeyAcceptedAlgorithms": "+ssh-rsa",
        }
        config = self.directory / "sshd_config"
        config.write_text("".join(f"{name} {value}\n" for name, value in options.items()))
        pathlib.Path("/run/sshd").mkdir(exist_ok=True)
        names = dict(zip("PSAT", map(str, seconds)), AUTHORIZED_KEYS=str(keys), CALLS=str(self.calls))
        server = [TOOLS / "bin/python", ROOT / "tests/support/moto_server.py", "-p", str(self.port)]
        log = open(self.directory / "log", "wb")
        self.processes = [
            subprocess.Popen(["/usr/sbin/sshd", "-D", "-f", config], stdout=log, stderr=log),
            subprocess.Popen(server, env=dict(os.environ, **names), stdout=log, stderr=log),
        ]
        wait_for(self.ssh_port, self.processes[0])
        wait_for(self.port, self.processes[1])
        self.environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true", "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1",
        }

    def template(self, name, count):
        ssh = f'ssh_host = "127.0.0.1"\n  ssh_port = {self.ssh_port}'
        # packer 1.6.6 takes the endpoint from the template alone.
        ssh += f'\n  custom_endpoint_ec2 = "{self.environment["AWS_ENDPOINT_URL"]}"'
        return template(self.directory, name, count, ssh)

    def taken(self):
        """The calls since the last time that this was asked."""
        calls = self.calls.read_text().split() if self.calls.exists() else []
        self.calls.write_text("")
        return len(calls)

    def end(self):
        for process in self.processes:
            process.terminate()
            process.wait()


def template(directory, name, count, ssh):
    (directory / "page").write_text("<h1>page</h1>\n" * 100)
    sources = [SOURCE.format(index=index, run=name, ssh=ssh) for index in range(count)]
    names = ", ".join(f'"source.amazon-ebs.web{index}"' for index in range(count))
    path = directory / f"{name}.pkr.hcl"
    path.write_text("".join(sources) + BUILD.format(sources=names, file=directory / "page", directory=directory))
    return path


def tree(pid):
    """The process and all that it has started."""
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{one}/task"):
                found += map(int, pathlib.Path(f"/proc/{one}/task/{thread}/children").read_text().split())
    return found


def megabytes(pid):
    """Memory in proportion to who shares it."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        return int(text.split("Pss:")[1].split()[0]) / 1024
    return 0.0


def measure(command, environment, directory):
    """Seconds, megabytes and processes at their most, and whether it went well."""
    environment = dict(os.environ, CHECKPOINT_DISABLE="1", PACKER_NO_COLOR="1", HOME=str(directory), **environment)
    output = open(directory / "output", "wb")
    started = time.perf_counter()
    child = subprocess.Popen(command, env=environment, cwd=directory, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
    most = {"megabytes": 0.0, "processes": 0}
    ended = threading.Event()

    def watch():
        while not ended.wait(0.1):
            processes = tree(child.pid)
            most["megabytes"] = max(most["megabytes"], sum(map(megabytes, processes)))
            most["processes"] = max(most["processes"], len(processes))

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = child.wait()
    seconds = time.perf_counter() - started
    ended.set()
    watcher.join()
    if code != 0:
        print((directory / "output").read_text()[-3000:], file=sys.stderr)
    return {"seconds": round(seconds, 2), "megabytes": round(most["megabytes"], 1), "processes": most["processes"], "ok": code == 0}


def on_moto(row, seconds, count, programs, rows):
    with tempfile.TemporaryDirectory() as directory:
        rig = Rig(seconds, directory)
        try:
            for name, program in programs.items():
                path = rig.template(f"{name}-{int(time.time())}", count)
                rig.taken()
                figures = measure([program, "build", path], rig.environment, rig.directory)
                figures["calls"] = rig.taken()
                note(rows, row, name, figures)
        finally:
            rig.end()


def on_local_cloud(row, count, arguments, program, rows):
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        path = template(directory, "local", count, "")
        command = [program, "build", "-local", *arguments, path]
        if count == 1:
            # The base image is made once.
            measure(command, {}, directory)
            path = template(directory, "again", count, "")
            command[-1] = path
        note(rows, row, "ours", measure(command, {}, directory))


def start(row, arguments, programs, rows):
    """The median of 20 starts, in turn. A program that refuses the arguments has no figure."""
    commands = [[programs[name], *arguments] if name in programs else None for name in ("ours", "peer")]
    for name, (wall, _) in contest(*commands, 20, ROOT).items():
        note(rows, row, name, {"seconds": round(wall / 1000, 4)})


def note(rows, row, name, figures):
    rows.setdefault(row, {})[name] = figures
    print(f"{row}: {name}: {figures}", flush=True)


def machine():
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    memory = int(next(line.split()[1] for line in open("/proc/meminfo") if line.startswith("MemTotal"))) // 1024 // 1024
    return f"{os.cpu_count()} processors ({model}), {memory} GiB, Linux {platform.release()}"


def shown(figures):
    if not figures:
        return "–"
    parts = [f"{figures['seconds']:g} s" if figures["seconds"] >= 1 else f"{figures['seconds'] * 1000:.3g} ms"]
    if "calls" in figures:
        parts.append(f"{figures['calls']} calls")
    if "megabytes" in figures:
        parts.append(f"{figures['megabytes']:.0f} MB")
        parts.append("1 process" if figures["processes"] == 1 else f"{figures['processes']} processes")
    return ", ".join(parts) if figures.get("ok", True) else "fails"


def page(results, before):
    lines = [
        "# Benchmarks", "",
        "Made by `benches/bakes.py --write`, in one run on one machine: " + results["machine"] + f"; {results['peer']}.", "",
        "![Seconds of each row](benchmarks.svg)", "",
        "| | bakelite | Packer | bakelite, the last time |", "| --- | --- | --- | --- |",
    ]
    for row, programs in results["rows"].items():
        last = before.get("rows", {}).get(row, {}).get("ours")
        lines.append(f"| {row} | {shown(programs.get('ours'))} | {shown(programs.get('peer'))} | {shown(last)} |")
    lines += [
        "",
        "Packer is Debian's, which is older than what bakelite is compatible with: later releases have more processes, not fewer. Memory is",
        "that of all processes together, shared pages counted once. States of Moto take the seconds given: until an instance runs, until it is",
        "stopped, until an image is available, until an instance is terminated; the first, the second and the third of them pass in any bake.", "",
    ]
    return "\n".join(lines)


def chart(rows):
    """Bars of seconds, each row by its own scale."""
    height, lines = 34, []
    for number, (row, programs) in enumerate(rows.items()):
        longest = max(figures["seconds"] for figures in programs.values()) or 1
        top = number * height + 10
        lines.append(f'<text x="0" y="{top + 14}">{row}</text>')
        for place, (name, colour) in enumerate((("ours", "#2a7ab0"), ("peer", "#b0682a"))):
            if name in programs:
                width = 300 * programs[name]["seconds"] / longest
                lines.append(f'<rect x="420" y="{top + place * 12}" width="{width:.1f}" height="10" fill="{colour}"/>')
                lines.append(f'<text x="{426 + width:.1f}" y="{top + 9 + place * 12}">{programs[name]["seconds"]:g} s</text>')
    size = f'width="800" height="{len(rows) * height + 20}"'
    style = "<style>text { font: 11px sans-serif; fill: #888 }</style>"
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{style}\n' + "\n".join(lines) + "\n</svg>\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default=ROOT / "target/release/bakelite", type=pathlib.Path)
    parser.add_argument("--peer", default="packer")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    programs = {"ours": str(arguments.bin.resolve())}
    if peer := shutil.which(arguments.peer):
        programs["peer"] = peer
    version = subprocess.run([peer, "version"], capture_output=True, text=True, env=dict(os.environ, CHECKPOINT_DISABLE="1")).stdout if peer else ""
    ours, rows = programs["ours"], {}
    start("`version`", ["version"], programs, rows)
    start("`validate -syntax-only` of a web server's template", ["validate", "-syntax-only", str(ROOT / "tests/templates/web-server/web-server.pkr.hcl")], programs, rows)
    on_moto("a bake, no state takes time", NONE, 1, programs, rows)
    on_moto("a bake, states of 3 s", QUICK, 1, programs, rows)
    on_moto("30 bakes at once, states of 3 s", QUICK, 30, programs, rows)
    if not arguments.quick:
        on_moto("a bake, states of 12, 20, 75 and 25 s", EC2, 1, programs, rows)
    on_local_cloud("a bake on the local cloud", 1, [], ours, rows)
    on_local_cloud("30 bakes on the local cloud, states of 3 s", 30, ["-latency", "instance=3,stop=3,image=3,terminate=3"], ours, rows)
    on_local_cloud("300 bakes on the local cloud", 300, [], ours, rows)
    if not arguments.quick:
        on_local_cloud("300 bakes on the local cloud with `-latency ec2`", 300, ["-latency", "ec2"], ours, rows)
    results = {"machine": machine(), "peer": version.split("\n")[0] or "without Packer", "rows": rows}
    before = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    print(page(results, before))
    if arguments.write:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        PAGE.write_text(page(results, before))
        CHART.write_text(chart(rows))


if __name__ == "__main__":
    main()
