#!/usr/bin/env python3
"""How long a bake on the local cloud takes to upload 100 MiB through Session Manager, beside plain SSH in the same run.

    benches/session_manager.py [--bin target/release/bakelite] [--rounds 5]

The contestants take turns; what is printed is the median of each. Only the upload is timed, by a provisioner before and one after it. Exits with 1 below 20 MB/s through Session Manager.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

SIZE = 100 << 20
WANTED = 20.0

TEMPLATE = """
source "amazon-ebs" "x" {
  region               = "us-east-1"
  ami_name             = "upload"
  skip_create_ami      = true
  instance_type        = "t3.micro"
  ssh_username         = "ubuntu"
  iam_instance_profile = "ssm"
  %s
  source_ami_filter {
    filters     = { name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }
    owners      = ["099720109477"]
    most_recent = true
  }
}
build {
  sources = ["source.amazon-ebs.x"]
  provisioner "shell-local" { inline = ["date +%%s.%%N > before"] }
  provisioner "file" {
    source      = "content"
    destination = "/tmp/content"
  }
  provisioner "shell-local" { inline = ["date +%%s.%%N > after"] }
}
"""


def bake(binary, directory, interface):
    line = 'ssh_interface = "session_manager"' if interface == "session_manager" else ""
    (directory / "t.pkr.hcl").write_text(TEMPLATE % line)
    environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "XDG_STATE_HOME": str(directory / "state")}
    ran = subprocess.run([binary, "build", "-local", "t.pkr.hcl"], cwd=directory, env=environment, capture_output=True, text=True)
    if ran.returncode != 0:
        sys.exit(ran.stdout + ran.stderr)
    moments = [float((directory / name).read_text()) for name in ("before", "after")]
    return SIZE / 1e6 / (moments[1] - moments[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", default="target/release/bakelite")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    binary = str(pathlib.Path(arguments.bin).absolute())
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        directory = pathlib.Path(name)
        (directory / "content").write_bytes(os.urandom(SIZE))
        rates = {"session_manager": [], "plain SSH": []}
        for _ in range(arguments.rounds):
            for interface, found in rates.items():
                found.append(bake(binary, directory, interface))
    medians = {interface: statistics.median(found) for interface, found in rates.items()}
    for interface, rate in medians.items():
        print(f"{interface:16} {rate:7.1f} MB/s")
    if medians["session_manager"] < WANTED:
        sys.exit(f"through Session Manager it should be {WANTED} MB/s")


if __name__ == "__main__":
    main()
