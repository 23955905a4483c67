#!/usr/bin/env python3
"""How long `validate` and `version` take, beside Debian's packer (`apt-get install packer`) in the same run: the contestants take turns.

    benches/validate.py [--bin target/release/bakelite] [--peer packer] [--rounds 20]

Prints the median of the time that passes and of the processor's time, and the ratio of the two programs. Without the peer only our own
figures; a template that the peer cannot read has none either. Exits with 1 when a limit of ours is not met in processor time, which
other programs on the machine do not spoil.
"""

import argparse
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

WEB_SERVER = pathlib.Path(__file__).parent.parent / "tests/templates/web-server/web-server.pkr.hcl"
VARIABLES = ["-var", "app_version=1.0", "-var", "base_ami=ami-0123456789abcdef0"]


def generated(count):
    """That many variables and as many locals that refer to each other, and a tenth as many sources that one build uses."""
    lines = []
    for index in range(count):
        lines.append(f'variable "v{index}" {{\n  type    = string\n  default = "value {index}"\n}}\n')
    lines.append("locals {")
    for index in range(count):
        before = f"${{local.l{index - 1}}}" if index % 50 else "first"
        lines.append(f'  l{index} = "{before}-${{var.v{index}}}-${{length(var.v{index})}}"')
    lines.append("}\n")
    sources = count // 10
    for index in range(sources):
        lines.append(
            f'source "file" "s{index}" {{\n  content = "${{local.l{index * 10}}} ${{var.v{index}}}"\n  target  = "out/{index}"\n}}\n'
        )
    names = ", ".join(f'"source.file.s{index}"' for index in range(sources))
    lines.append(f"build {{\n  sources = [{names}]\n}}\n")
    return "\n".join(lines)


def run(command, directory):
    """Seconds that passed, seconds of the processor, and whether it went well."""
    environment = dict(os.environ, CHECKPOINT_DISABLE="1", PACKER_NO_COLOR="1")
    started = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, cwd=directory)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime, child.returncode == 0


def contest(ours, peer, rounds, directory):
    times = {"ours": [], "peer": []}
    failed = set()
    for _ in range(rounds):
        for name, command in (("ours", ours), ("peer", peer)):
            if command is None or name in failed:
                continue
            wall, processor, well = run(command, directory)
            if not well:
                failed.add(name)
            times[name].append((wall, processor))
    medians = {
        name: tuple(statistics.median(column) * 1000 for column in zip(*values))
        for name, values in times.items()
        if values and name not in failed
    }
    return medians


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="target/release/bakelite")
    parser.add_argument("--peer", default="packer")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    ours, peer = os.path.abspath(options.bin), shutil.which(options.peer)
    directory = pathlib.Path(tempfile.mkdtemp())
    # The file that the web server's template uploads.
    (directory / "build").mkdir()
    (directory / "build/app-1.0.tar.gz").touch()
    sizes = {}
    for count in (50, 5000, 10000):
        sizes[count] = directory / f"{count}.pkr.hcl"
        sizes[count].write_text(generated(count))
    # Debian's packer is older than `required_plugins`, and takes minutes for thousands of variables.
    plain = directory / "web-server.pkr.hcl"
    plain.write_text(re.sub(r"(?ms)\Apacker \{.*?(?=^variable)", "", WEB_SERVER.read_text()))
    cases = [
        ("version", ["version"], 5, True),
        ("validate web-server", ["validate", *VARIABLES, str(WEB_SERVER)], 10, False),
        ("  without required_plugins", ["validate", *VARIABLES, str(plain)], 10, True),
        ("validate 50 + 50 + 5", ["validate", str(sizes[50])], None, True),
        ("validate 5,000 + 5,000 + 500", ["validate", str(sizes[5000])], 250, False),
        ("validate 10,000 + 10,000 + 1,000", ["validate", str(sizes[10000])], 500, False),
    ]
    print(f"{'':34} {'wall':>9} {'processor':>10} {'limit':>7} {'peer wall':>10} {'peer proc.':>11} {'ratio':>7}")
    met = True
    for name, arguments, limit, with_peer in cases:
        rival = [peer, *arguments] if peer and with_peer else None
        medians = contest([ours, *arguments], rival, options.rounds, directory)
        if "ours" not in medians:
            print(f"{name:34} failed: {' '.join([ours, *arguments])}")
            met = False
            continue
        wall, processor = medians["ours"]
        line = f"{name:34} {wall:6.1f} ms {processor:7.1f} ms {f'{limit} ms' if limit else '':>7}"
        if "peer" in medians:
            peer_wall, peer_processor = medians["peer"]
            line += f" {peer_wall:7.1f} ms {peer_processor:8.1f} ms {peer_wall / wall:6.1f}x"
        print(line)
        met = met and (limit is None or processor <= limit)
    shutil.rmtree(directory)
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
