# Another user who knows a session's id and guesses its token.
import uuid

SESSION = os.environ["SESSION"]


def frame(text):
    data = text.encode()
    head = struct.pack(">BB", 0x81, 0x80 | (len(data) if len(data) < 126 else 126)) + (struct.pack(">H", len(data)) if len(data) >= 126 else b"")
    return head + b"\0\0\0\0" + data


for token in ("", "guess", SESSION, "local", "null", "0" * 64, os.environ["KEY_ID"]):
    made = socket.create_connection((AT.hostname, AT.port), timeout=20)
    made.sendall(
        f"GET /v1/data-channel/{SESSION}?role=publish_subscribe HTTP/1.1\r\nHost: {AT.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    opening = {"MessageSchemaVersion": "1.0", "RequestId": str(uuid.uuid4()), "TokenValue": token, "ClientId": str(uuid.uuid4()), "ClientVersion": "1.2.0.0"}
    got = b""
    try:
        head = made.recv(4096)
        if b" 101 " in head:
            made.sendall(frame(json.dumps(opening)))
            got = made.recv(4096)
    except OSError:
        pass
    # Nothing, or a frame that closes (0x88): no message of an agent.
    print("refused" if not got or got[0] == 0x88 else "LET THROUGH", repr(token), head[:40], got[:60])
    made.close()
print("tried")
