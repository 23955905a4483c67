# Another user of the machine: every call of the API, with every key that one could come by. Says what was let through.
# The fake keys are tried with signatures that are right for them, so that it is the key that is refused.
KEYS = {
    "no signature": None,
    "the keys of the documentation": ("local", "local"),
    "the keys of everyone's tests": ("test", "test"),
    "keys of its own": ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    "the owner's key id without the secret": (os.environ["KEY_ID"], "local"),
    "no secret at all": (os.environ["KEY_ID"], ""),
    "no key at all": ("", ""),
}
CALLS = [
    ("ec2", "DescribeInstances", {}),
    ("ec2", "DescribeImages", {}),
    ("ec2", "CreateKeyPair", {"KeyName": "intruder"}),
    ("ec2", "RunInstances", {"ImageId": os.environ.get("IMAGE", "ami-1"), "MinCount": "1", "MaxCount": "1", "UserData": os.environ.get("USER_DATA", "")}),
    ("sts", "GetCallerIdentity", {}),
    ("ssm", "DescribeInstanceInformation", {}),
    ("ssm", "StartSession", {"Target": "i-00000000000000001"}),
    ("secretsmanager", "ListSecrets", {}),
    ("secretsmanager", "GetSecretValue", {"SecretId": "db"}),
    ("secretsmanager", "CreateSecret", {"Name": "intruder", "SecretString": "x"}),
]


# What AWS answers who shows no right to ask, whatever is asked.
NO_RIGHT = ("AuthFailure", "MissingAuthenticationToken", "SignatureDoesNotMatch", "IncompleteSignature", "InvalidClientTokenId",
            "UnrecognizedClientException", "InvalidSignatureException", "AccessDenied", "InvalidAccessKeyId", "UnauthorizedAccess", "OptInRequired")


def attempt(what, answer):
    # Let through is whatever is not refused for who asks: an error about what is asked too.
    status, text = answer
    refused = status in (0, 401, 403) or status == 400 and any(code in text for code in NO_RIGHT)
    print("refused" if refused else "LET THROUGH", what, status, " ".join(text.split())[:300])


for service, action, parameters in CALLS:
    headers, body = request(service, action, parameters)
    for name, keys in KEYS.items():
        attempt(f"{service} {action} with {name}", send(headers if keys is None else signed(service, headers, body, keys), body))
    fake = f"AWS4-HMAC-SHA256 Credential={os.environ['KEY_ID']}/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
    attempt(f"{service} {action} with a signature that is none", send(dict(headers, Authorization=fake), body))
print("tried")
