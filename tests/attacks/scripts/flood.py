# One who asks for as much as can be asked: connections that say nothing more, headers without an end, names with many parts.
import threading

WHAT = sys.argv[1]


def connections(count, opening):
    made = []
    for _ in range(count):
        try:
            one = socket.create_connection((AT.hostname, AT.port), timeout=5)
            one.sendall(opening)
            one.setblocking(False)
            made.append(one)
        except OSError:
            break
    return made


def is_closed(one):
    try:
        while True:
            if not one.recv(65536):
                return True
    except BlockingIOError:
        return False
    except OSError:
        return True


def all_closed(made, seconds):
    end = time.time() + seconds
    while time.time() < end:
        for one in made:
            try:
                one.send(b"X")  # Never a whole header.
            except OSError:
                pass
        if all([is_closed(one) for one in made]):
            return True
        time.sleep(0.5)
    return False


HALF = b"POST / HTTP/1.1\r\nHost: " + AT.netloc.encode() + b"\r\nX-Slow: "
if WHAT == "slow":
    for name, opening in (("half a header", HALF), ("nothing", b""), ("half a body", HALF + b"1\r\nContent-Length: 1000\r\n\r\na")):
        made = connections(10, opening)
        print("closed" if all_closed(made, 45) else "STILL OPEN", name)
elif WHAT == "many":
    made = connections(400, HALF)
    print("opened", len(made))
    print("ready", flush=True)
    time.sleep(float(sys.argv[2]))
elif WHAT == "names":
    # 1 MB of names with many parts each; signed by the owner where there is one, else not at all.
    body = b"&".join(b"%x.1.2.3.4.5.6.7.8.9" % number for number in range(60000))[:1000000]
    headers = {"Host": AT.netloc, "Content-Type": "application/x-www-form-urlencoded"}
    if OWNER[0]:
        headers = signed("ec2", headers, body, OWNER)
    else:
        headers["Authorization"] = "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=0"
    threads = [threading.Thread(target=send, args=(headers, body)) for _ in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
print("tried")
