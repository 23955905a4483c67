# In an instance, as its root: looks for the group of the host's process, freezes what is in it, and kills it.
import ctypes, errno, os, sys

GROUP = sys.argv[1]
libc = ctypes.CDLL(None, use_errno=True)


def mounted(kind, options):
    at = f"/mnt/{kind}-{options}"
    os.makedirs(at)
    if libc.mount(b"none", at.encode(), kind.encode(), 0, options.encode()) < 0:
        print("mount", kind, options, errno.errorcode[ctypes.get_errno()])
        return None
    print("mount", kind, options, "works")
    return at


def write(path, text):
    try:
        with open(path, "w") as file:
            file.write(text)
        print("WRITTEN", path)
    except OSError as error:
        print("not written", path, errno.errorcode[error.errno])


places = [mounted("cgroup", "freezer"), mounted("cgroup", "memory"), mounted("cgroup", "pids"), mounted("cgroup2", ""), "/sys/fs/cgroup"]
for place in filter(None, places):
    for directory, directories, files in os.walk(place):
        if GROUP in directories:
            found = os.path.join(directory, GROUP)
            print("SEEN", found)
            write(found + "/freezer.state", "FROZEN")
            write(found + "/cgroup.kill", "1")
            write(found + "/pids.max", "1")
# Whatever of the hierarchy is here is not the host's to change.
print("of", open("/proc/self/cgroup").read().replace("\n", " "))
