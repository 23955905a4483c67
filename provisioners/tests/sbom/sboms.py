"""SBOMs, checked by the tools of those who made the formats. Prints the package URLs, a line each.

    sboms.py cyclonedx FILE
    sboms.py spdx FILE
"""

import json
import sys

from packageurl import PackageURL


def cyclonedx(path):
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = open(path).read()
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    assert error is None, error
    return [component["purl"] for component in json.loads(text)["components"]]


def spdx(path):
    from spdx_tools.spdx.parser.parse_anything import parse_file
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    document = parse_file(path)
    messages = validate_full_spdx_document(document)
    assert not messages, messages[:5]
    return [reference.locator for package in document.packages for reference in package.external_references]


for purl in {"cyclonedx": cyclonedx, "spdx": spdx}[sys.argv[1]](sys.argv[2]):
    assert PackageURL.from_string(purl).to_string() == purl, (PackageURL.from_string(purl).to_string(), purl)
    print(purl)
