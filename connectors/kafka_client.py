"""How to reach a broker, as a value, and the two client libraries' spelling of it."""

from __future__ import annotations

import errno
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

READ = {"isolation_level": "read_committed"}
"""How aiokafka's consumers read events: what a producer's transaction took back has never been."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KafkaClient:
    """Address and credentials of a broker; secrets are kept out of its `repr`."""

    bootstrap: str
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    ssl_cafile: Path | None = None
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    ssl_password: str | None = field(default=None, repr=False)
    ssl_check_hostname: bool = True

    @property
    def servers(self) -> list[str]:
        """The bootstrap servers, one `host:port` each."""
        return [server.strip() for server in self.bootstrap.split(",") if server.strip()]

    def ssl_context(self) -> ssl.SSLContext | None:
        """The TLS context, None where the protocol is not encrypted.

        Raises:
            OSError: A certificate file that cannot be read.
        """
        if not self.security_protocol.endswith("SSL"):
            return None
        for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
            path = getattr(self, name)
            if path is not None and not path.is_file():  # the error of `ssl` would not say which
                raise FileNotFoundError(errno.ENOENT, f"there is no {name}", str(path))
        context = ssl.create_default_context(cafile=self.ssl_cafile)
        context.check_hostname = self.ssl_check_hostname
        if self.ssl_certfile is not None:
            context.load_cert_chain(self.ssl_certfile, self.ssl_keyfile, self.ssl_password)
        return context

    def options(self) -> dict[str, Any]:
        """Keyword arguments that aiokafka and kafka-python share."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.servers,
            "security_protocol": self.security_protocol,
        }
        if self.security_protocol.startswith("SASL"):
            options |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.sasl_username,
                "sasl_plain_password": self.sasl_password,
            }
        context = self.ssl_context()
        if context is not None:
            options["ssl_context"] = context
        return options
