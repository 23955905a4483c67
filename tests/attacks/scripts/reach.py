# Run as root of an instance: tries to reach services of the host at all addresses that might be the host's. Prints what was reached.
import socket, sys

port, udp, own = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
places = ["127.0.0.1", "169.254.169.1", "169.254.169.253", "127.64.0.1", "127.41.0.1", "127.200.0.1", "0.0.0.0", *own]
for place in places:
    for at in (port, udp):
        try:
            socket.create_connection((place, at), timeout=5).close()
            print("REACHED", place, at)
        except OSError:
            pass
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            try:
                datagrams.sendto(b"x", (place, at))
            except OSError:
                pass
for place in ("::1", "fe80::1%eth0", "::ffff:127.0.0.1"):
    try:
        socket.create_connection((place, port), timeout=5).close()
        print("REACHED", place)
    except OSError:
        pass
# The same by packets of its own making: an opening segment to the host's loopback, out of the interface.
try:
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
    for place in places:
        head = bytes([0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0]) + socket.inet_aton("127.64.0.9") + socket.inet_aton(place)
        segment = (4000).to_bytes(2, "big") + port.to_bytes(2, "big") + bytes(8) + bytes([0x50, 2, 255, 255, 0, 0, 0, 0])
        raw.sendto(head + segment, (place, 0))
except OSError:
    pass
print("tried")
