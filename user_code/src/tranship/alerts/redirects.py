"""Asks the web without following redirects: they would carry a message or a secret to who knows where."""

import urllib.request
from typing import Any

from typing_extensions import override


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    @override
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


OPENER = urllib.request.build_opener(_NoRedirects)
