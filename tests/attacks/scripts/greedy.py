# In an instance, as its root: takes as much as there is of one thing, to a bound, and says how much that was.
import errno, os, signal, sys, time

WHAT, BOUND, HOLD = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def processes():
    made = []
    try:
        while len(made) < BOUND:
            child = os.fork()
            if child == 0:
                signal.pause()
                os._exit(0)
            made.append(child)
        return len(made), "no end"
    except OSError as error:
        return len(made), errno.errorcode[error.errno]
    finally:
        for child in made:
            os.kill(child, signal.SIGKILL)
        for child in made:
            os.waitpid(child, 0)


def memory():
    """Said as it goes: the end comes without notice."""
    held = []
    for mebibytes in range(16, BOUND + 1, 16):
        held.append(b"\1" * (16 << 20))
        print("memory", mebibytes, flush=True)
    return BOUND, "no end"


def files(directory):
    """What is written stays for a while: room may be counted now and then."""
    written = 0
    try:
        for number in range(BOUND // 8):
            with open(f"{directory}/greedy{number}", "wb", 0) as file:
                for _ in range(8):
                    written += file.write(b"\1" * (1 << 20)) >> 20
            print(WHAT, written, flush=True)
    except OSError as error:
        return written, errno.errorcode[error.errno]
    time.sleep(HOLD)
    return written, "no end"


print(WHAT, *({"processes": processes, "memory": memory}.get(WHAT) or (lambda: files(WHAT)))())
