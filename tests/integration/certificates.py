"""Certificates as a hospital's PKI makes them, by OpenSSL's own command line."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
RSA_1024 = ["-newkey", "rsa:1024"]


def openssl(*arguments: str) -> None:
    tool = shutil.which("openssl")
    if tool is None:
        pytest.skip("the judge openssl is absent")
    subprocess.run([tool, *arguments], check=True, capture_output=True)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Authority:
    """Signs certificates."""

    folder: Path
    name: str

    @property
    def certificate(self) -> Path:
        return self.folder / f"{self.name}.crt"

    @property
    def key(self) -> Path:
        return self.folder / f"{self.name}.key"

    @classmethod
    def found(cls, folder: Path, name: str = "authority") -> "Authority":
        made = cls(folder, name)
        openssl(
            *("req", "-x509", "-nodes", *CURVE, "-days", "30", "-subj", f"/CN={name}"),
            *("-addext", "basicConstraints=critical,CA:TRUE", "-keyout", str(made.key), "-out", str(made.certificate)),
        )
        return made

    def sign(
        self,
        name: str,
        *,
        days: int = 365,
        names: str = "DNS:localhost,IP:127.0.0.1",
        new_key: list[str] = CURVE,
        usage: str = "serverAuth,clientAuth",
    ) -> Pair:
        """A certificate for that name; ``days`` may be negative."""
        made = Pair(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        request, extensions = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={names}\nextendedKeyUsage={usage}\n")
        openssl(
            *("req", "-new", "-nodes", *new_key, "-subj", f"/CN={name}"),
            *("-keyout", str(made.key), "-out", str(request)),
        )
        openssl(
            *("x509", "-req", "-in", str(request), "-CA", str(self.certificate), "-CAkey", str(self.key)),
            *("-CAcreateserial", "-days", str(days), "-extfile", str(extensions), "-out", str(made.certificate)),
        )
        return made
