"""What a worker of this machine answers over HTTP: it is asked directly, whatever proxy the environment names."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def asked(http: str, path: str, patience_s: float) -> dict[str, Any]:
    """The JSON object that `http` (host:port) answers at a path.

    Raises:
        OSError: It does not answer, not in time (`TimeoutError`), or not with 200 (`urllib.error.HTTPError`).
        ValueError: It answers something else.
    """
    with _DIRECT.open(f"http://{http}{path}", timeout=patience_s) as answer:
        found: dict[str, Any] = json.loads(answer.read())
    return found
