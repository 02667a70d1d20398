"""Certificates for tests, made by openssl."""

import subprocess
from pathlib import Path


class Pki:
    """A certificate authority, and the broker's and a client's certificates, made by openssl."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test ca",
                  "-keyout", "ca.key", "-out", "ca.pem")  # fmt: skip
        self.ca = folder / "ca.pem"
        self.server = self._issue("server", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        self.client = self._issue("client", "subjectAltName=DNS:gateway")

    def _issue(self, name: str, san: str) -> tuple[Path, Path]:
        self._run("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
                  "-keyout", f"{name}.key", "-out", f"{name}.csr")  # fmt: skip
        (self.folder / f"{name}.ext").write_text(san)
        self._run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                  "-days", "2", "-extfile", f"{name}.ext", "-out", f"{name}.pem")  # fmt: skip
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def _run(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True, timeout=60)
