# A client of the cloud's API with Python's standard library alone: it signs as SigV4 says, or wrongly where an attack wants that.
import base64, datetime, hashlib, hmac, http.client, json, os, socket, struct, sys, time, urllib.parse

ENDPOINT = os.environ.get("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
AT = urllib.parse.urlsplit(ENDPOINT)
QUERY = {"ec2": "2016-11-15", "sts": "2011-06-15"}
JSON = {"ssm": "AmazonSSM", "secretsmanager": "secretsmanager"}
OWNER = (os.environ.get("AWS_ACCESS_KEY_ID", ""), os.environ.get("AWS_SECRET_ACCESS_KEY", ""))


def mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signed(service, headers, body, keys, when=None, path="/", query=""):
    """The headers with a signature of these keys."""
    now = when or datetime.datetime.now(datetime.timezone.utc)
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    headers = dict(headers, **{"X-Amz-Date": stamp})
    if os.environ.get("AWS_SESSION_TOKEN") and keys == OWNER:
        headers["X-Amz-Security-Token"] = os.environ["AWS_SESSION_TOKEN"]
    lower = {name.lower(): value.strip() for name, value in headers.items()}
    names = ";".join(sorted(lower))
    canonical = "\n".join(
        ["POST", path, query, *(f"{name}:{lower[name]}" for name in sorted(lower)), "", names, hashlib.sha256(body).hexdigest()]
    )
    scope = f"{day}/us-east-1/{service}/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + keys[1]).encode()
    for part in (day, "us-east-1", service, "aws4_request"):
        key = mac(key, part)
    signature = mac(key, text).hex()
    headers["Authorization"] = f"AWS4-HMAC-SHA256 Credential={keys[0]}/{scope}, SignedHeaders={names}, Signature={signature}"
    return headers


def request(service, action, parameters):
    """Headers and body of a call."""
    if service in QUERY:
        body = urllib.parse.urlencode(dict(parameters, Action=action, Version=QUERY[service])).encode()
        return {"Host": AT.netloc, "Content-Type": "application/x-www-form-urlencoded"}, body
    target = f"{JSON[service]}.{action}"
    return {"Host": AT.netloc, "Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target}, json.dumps(parameters).encode()


def send(headers, body, path="/"):
    """Status and text of the answer; status 0: the connection was closed instead."""
    connection = http.client.HTTPConnection(AT.hostname, AT.port, timeout=20)
    try:
        connection.putrequest("POST", path, skip_host=True, skip_accept_encoding=True)
        for name, value in dict(headers, **{"Content-Length": str(len(body))}).items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")
    except (ConnectionError, http.client.HTTPException) as error:
        return 0, repr(error)
    finally:
        connection.close()


def call(service, action, parameters, keys=OWNER):
    headers, body = request(service, action, parameters)
    return send(signed(service, headers, body, keys), body)


def succeeds(service, action, parameters):
    status, text = call(service, action, parameters)
    if status != 200:
        sys.exit(f"{action}: {status} {text}")
    return text
