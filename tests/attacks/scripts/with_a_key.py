# On the host: a session keyring of its own with a key in it, and a program as its child, told the key's serial number.
import ctypes, os, platform, subprocess, sys

libc = ctypes.CDLL(None, use_errno=True)
KEYCTL, ADD_KEY = {"x86_64": (250, 248), "aarch64": (219, 217)}[platform.machine()]


def word(number):
    return ctypes.c_long(number)


if libc.syscall(word(KEYCTL), word(1), None) < 0:  # KEYCTL_JOIN_SESSION_KEYRING, without a name: a new one
    sys.exit("no keyrings here: " + os.strerror(ctypes.get_errno()))
secret = b"secret-of-a-host-key"
key = libc.syscall(word(ADD_KEY), b"user", b"attack", secret, word(len(secret)), word(-3))
# All that its user may do with it: KEYCTL_SETPERM.
libc.syscall(word(KEYCTL), word(5), word(key), word(0x3F3F0000))
# A program may leave the session keyring; those of the user stay. The key is linked into none of them.
sys.exit(subprocess.run([*sys.argv[1:], str(key)]).returncode)
