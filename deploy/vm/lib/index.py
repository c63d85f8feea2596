"""Asks the package index as a build would: `ok`, `authority NAME` where somebody else answers for it, or what went wrong.

Run inside the base image by ./stack: the standard library and pip are all there is, and pip knows where the index is.
"""

import os
import re
import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from pip._internal.models.index import PyPI

INDEX = f"{os.environ.get('PIP_INDEX_URL') or PyPI.simple_url}/pip/"
AUTHORITY = Path("/authority.pem")
SECONDS = 10


def ask() -> str:
    """What the index answers, in one line."""
    context = ssl.create_default_context()
    if AUTHORITY.exists():
        context.load_verify_locations(AUTHORITY)
    try:
        urllib.request.urlopen(INDEX, timeout=SECONDS, context=context).close()
    except urllib.error.HTTPError:
        return "ok"
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            return f"authority {issuer(urlsplit(INDEX).hostname or '')}"
        return str(error.reason)
    except OSError as error:
        return str(error)
    return "ok"


def issuer(host: str) -> str:
    """Who signed what is shown for a host, without trusting it: the names in its certificate, issuer first."""
    try:
        certificate = ssl.PEM_cert_to_DER_cert(
            ssl.get_server_certificate((host, 443), timeout=SECONDS)
        )
    except OSError:
        return "an authority that the images do not know"
    # A common name is marked by the bytes of its kind (2.5.4.3), and is a text of so many bytes.
    names = re.finditer(rb"\x06\x03\x55\x04\x03[\x0c\x13\x14](.)", certificate, re.DOTALL)
    told = [certificate[found.end() : found.end() + found[1][0]] for found in names]
    return told[0].decode(errors="replace") if told else "an authority without a name"


if __name__ == "__main__":
    sys.stdout.write(f"{ask()}\n")
