# Somebody who sees or makes requests of the owner's and changes them: what is changed after signing is refused.
now = datetime.datetime.now(datetime.timezone.utc)
minutes = lambda count: datetime.timedelta(minutes=count)


def show(what, answer):
    print("LET THROUGH" if answer[0] == 200 else "refused", what, answer[0], " ".join(answer[1].split())[:200])


succeeds("secretsmanager", "CreateSecret", {"Name": "db", "SecretString": "x"})
for service, action, parameters in (
    ("ec2", "DescribeInstances", {}),
    ("sts", "GetCallerIdentity", {}),
    ("ssm", "DescribeInstanceInformation", {}),
    ("secretsmanager", "GetSecretValue", {"SecretId": "db"}),
):
    headers, body = request(service, action, parameters)
    right = signed(service, headers, body, OWNER)
    status, text = send(right, body)
    print("works" if status == 200 else "BROKEN", service, status, text[:200] if status != 200 else "")
    show(f"{service} with another body", send(right, body + (b" " if service in JSON else b"&MaxResults=5")))
    show(f"{service} signed for another service", send(signed("s3", headers, body, OWNER), body))
    show(f"{service} of yesterday", send(signed(service, headers, body, OWNER, now - minutes(24 * 60)), body))
    show(f"{service} of tomorrow", send(signed(service, headers, body, OWNER, now + minutes(24 * 60)), body))
    show(f"{service} with another date", send(dict(right, **{"X-Amz-Date": (now - minutes(3)).strftime("%Y%m%dT%H%M%SZ")}), body))
    show(f"{service} at another path", send(right, body, "/other"))
    show(f"{service} without the last digit", send(dict(right, Authorization=right["Authorization"][:-1]), body))
    digit = "0" if right["Authorization"][-1] != "0" else "1"
    show(f"{service} with another last digit", send(dict(right, Authorization=right["Authorization"][:-1] + digit), body))
    if service in JSON:
        changed = dict(right, **{"X-Amz-Target": JSON[service] + (".CreateSecret" if service != "ssm" else ".DescribeSessions")})
        show(f"{service} with another target", send(changed, body))
print("tried")
