# Looks for secrets, as they are and as they are written elsewhere, in files and directories. Says what it finds where.
import base64, json, os, sys, urllib.parse

FRAGMENTS = json.load(open(sys.argv[1]))


def forms(secret):
    """A secret as it is, and as formats and programs write it."""
    plain = secret.encode()
    quoted = json.dumps(secret)[1:-1]
    go = quoted.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    yield "as it is", secret
    yield "as JSON", quoted
    yield "as JSON in JSON", json.dumps(quoted)[1:-1]
    yield "as Go's JSON", go
    yield "as Go's JSON in JSON", json.dumps(go)[1:-1]
    yield "in a URL", urllib.parse.quote(secret, safe="")
    yield "in a form", urllib.parse.quote_plus(secret)
    yield "in XML", secret.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    yield "in single quotes", secret.replace("'", "'\\''")
    yield "in hexadecimal", plain.hex()
    yield "in capitals", secret.upper()
    yield "backwards", secret[::-1]
    for offset in range(3):
        text = base64.b64encode(b"\0" * offset + plain).decode().rstrip("=")
        text = text[(0, 2, 3)[offset] :]
        # The last character has bits of what follows.
        yield f"in base64 at {offset}", text[:-1] if (len(plain) + offset) % 3 else text


for place in sys.argv[2:]:
    paths = [place] if os.path.isfile(place) else [os.path.join(directory, name) for directory, _, names in os.walk(place) for name in names]
    for path in paths:
        if os.path.islink(path) or not os.path.isfile(path):
            continue
        text = open(path, "rb").read()
        for name, secret in FRAGMENTS.items():
            found = {what for what, form in forms(secret) if len(form) >= 5 and form.encode() in text}
            if found:
                print("LEAK", name, sorted(found), os.path.basename(path))
print("looked")
