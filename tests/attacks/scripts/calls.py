# In an instance, as its root: system calls of the kernel's interfaces that namespaces do not divide. Prints what each answers.
import ctypes, errno, os, platform, socket

libc = ctypes.CDLL(None, use_errno=True)
# Names and numbers: x86-64, 64-bit ARM.
NUMBERS = {
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218), "bpf": (321, 280),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "userfaultfd": (323, 282), "perf_event_open": (298, 241), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "kexec_load": (246, 104), "kexec_file_load": (320, 294), "clock_settime": (227, 112),
    "settimeofday": (164, 170), "clock_adjtime": (305, 266), "adjtimex": (159, 171), "swapon": (167, 224),
    "swapoff": (168, 225), "reboot": (169, 142), "acct": (163, 89), "open_by_handle_at": (304, 265),
    "lookup_dcookie": (212, 18), "quotactl": (179, 60), "syslog": (103, 116), "move_pages": (279, 239),
}
ARCHITECTURE = {"x86_64": 0, "aarch64": 1}[platform.machine()]


def number(name):
    return NUMBERS[name][ARCHITECTURE]


def answer(result):
    return "works" if result >= 0 else errno.errorcode[ctypes.get_errno()]


def syscall(name, *arguments):
    words = [a if isinstance(a, (bytes, ctypes.Array)) else ctypes.c_long(a) for a in arguments]
    return libc.syscall(ctypes.c_long(number(name)), *words)


def buffer(size, *words):
    made = ctypes.create_string_buffer(size)
    for at, word in enumerate(words):
        ctypes.memmove(ctypes.addressof(made) + 4 * at, word.to_bytes(4, "little"), 4)
    return made


# Arguments that would do something where the call is let through: harmless, and each time something of the instance's own.
CALLS = {
    "keyctl": lambda: (0, -3, 1),  # KEYCTL_GET_KEYRING_ID of the session's
    "add_key": lambda: (b"user", b"attack", b"x", 1, -3),
    "request_key": lambda: (b"user", b"attack-that-is-nowhere", b"", -3),
    "bpf": lambda: (0, buffer(72, 2, 4, 8, 1), 72),  # BPF_MAP_CREATE of an array
    "io_uring_setup": lambda: (4, buffer(120)),
    "io_uring_enter": lambda: (-1, 0, 0, 0, 0, 0),
    "io_uring_register": lambda: (-1, 0, 0, 0),
    "userfaultfd": lambda: (0x80000,),
    "perf_event_open": lambda: (buffer(112, 1, 112, 1, 0), 0, -1, -1, 0),  # a software counter of its own
    "init_module": lambda: (b"", 0, b""),
    "finit_module": lambda: (-1, b"", 0),
    "delete_module": lambda: (b"attack_that_is_nowhere", 0),
    "kexec_load": lambda: (0, 0, 0, 0),
    "kexec_file_load": lambda: (-1, -1, 0, b"", 0),
    "clock_settime": lambda: (0, buffer(16, 1)),
    "settimeofday": lambda: (0, 0),
    "clock_adjtime": lambda: (0, buffer(208, 0x0002)),
    "adjtimex": lambda: (buffer(208, 0x0002),),
    "swapon": lambda: (b"/var/tmp/attack-that-is-nowhere", 0),
    "swapoff": lambda: (b"/var/tmp/attack-that-is-nowhere",),
    "reboot": lambda: (0, 0, 0, 0),  # without the magic numbers: it could do nothing
    "acct": lambda: (b"/var/tmp/attack-that-is-nowhere",),
    "open_by_handle_at": lambda: (-100, buffer(136, 8, 1), 0),
    "lookup_dcookie": lambda: (1, buffer(8), 8),
    "quotactl": lambda: (-1, b"", 0, 0),
    "syslog": lambda: (3, buffer(4096), 4096),
}
for name, arguments in CALLS.items():
    print(name, answer(syscall(name, *arguments())))

for name, family, kind in (("AF_VSOCK", 40, socket.SOCK_STREAM), ("AF_PACKET", 17, socket.SOCK_RAW), ("AF_ALG", 38, 5), ("AF_KEY", 15, 3),
                           ("AF_RDS", 21, 5), ("AF_TIPC", 30, 1), ("AF_BLUETOOTH", 31, 3), ("AF_CAN", 29, 3), ("AF_X25", 9, 5), ("AF_XDP", 44, 3)):
    try:
        socket.socket(family, kind).close()
        print(name, "works")
    except OSError as error:
        print(name, errno.errorcode[error.errno])

for kind in ("cgroup", "cgroup2", "debugfs", "tracefs", "securityfs", "bpf", "devtmpfs", "configfs", "efivarfs", "pstore"):
    os.makedirs("/mnt/" + kind)
    data = b"freezer" if kind == "cgroup" else b""
    print("mount-" + kind, answer(libc.mount(b"none", ("/mnt/" + kind).encode(), kind.encode(), 0, data)))
