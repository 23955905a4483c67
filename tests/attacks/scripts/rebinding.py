# A page of another site, after its name has come to mean 127.0.0.1: the browser says the name in `Host` and lets it set all else.
for host in ("attacker.example", f"attacker.example:{AT.port}", "127.0.0.1.attacker.example", f"127.0.0.2:{AT.port}", f"127.0.0.1:{AT.port + 1}", "a b", "", "x/../"):
    headers, body = request("ec2", "DescribeInstances", {})
    headers["Host"] = host
    status, text = send(signed("ec2", headers, body, OWNER), body)
    print("LET THROUGH" if status == 200 else "refused", repr(host), status)
# Two of them, and none.
headers, body = request("ec2", "DescribeInstances", {})
right = signed("ec2", headers, body, OWNER)
lines = "".join(f"{name}: {value}\r\n" for name, value in right.items() if name != "Host") + f"Content-Length: {len(body)}\r\n"
for what, hosts in (("two", f"Host: {AT.netloc}\r\nHost: attacker.example\r\n"), ("two the other way", f"Host: attacker.example\r\nHost: {AT.netloc}\r\n"), ("none", "")):
    with socket.create_connection((AT.hostname, AT.port), timeout=20) as made:
        made.sendall(f"POST / HTTP/1.1\r\n{hosts}{lines}Connection: close\r\n\r\n".encode() + body)
        answer = made.recv(100)
    print("LET THROUGH" if b" 200 " in answer else "refused", what, answer[:30])
status, text = call("ec2", "DescribeInstances", {})
print("works" if status == 200 else "BROKEN", "as it is served", status)
print("tried")
