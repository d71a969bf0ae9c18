"""Certificates made on the fly: a CA, a server and a client certificate.

Private keys are written with mode 0600 into the folder given, and only there.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import trustme

NODE_HOSTS = tuple(f"127.0.1.{number}" for number in range(1, 41))
"""Loopback addresses of nodes that have one of their own."""

SERVER_IDENTITIES = (
    *("localhost", "127.0.0.1", "::1"),
    *NODE_HOSTS,
    "*.loadprobe.test",
)
_LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)
_EXPIRED_SINCE = datetime(2002, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """A certificate and its private key, PEM.

    Args:
        certificate: the certificate.
        key: its private key.
    """

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class CertificateSet:
    """What one cluster needs.

    Args:
        ca: the CA certificate, PEM; clients and servers trust it.
        server: for localhost, the addresses of nodes, and the names of endpoints.
        client: for clients of a server that asks for certificates.
    """

    ca: Path
    server: CertificateFiles
    client: CertificateFiles


class Authority:
    """A certificate authority that lives as long as this object.

    Args:
        folder: where files are written.
        name: prefix of the CA's file, so that several can share a folder.
    """

    def __init__(self, folder: Path, *, name: str = "ca") -> None:
        self._folder = folder
        self._ca = trustme.CA(organization_name=f"loadprobe local {name}")
        self.ca_file = folder / f"{name}.pem"
        self._ca.cert_pem.write_to_path(self.ca_file)

    def issue(
        self, name: str, identities: Sequence[str] = SERVER_IDENTITIES
    ) -> CertificateFiles:
        """Write ``name.crt`` and ``name.key``, valid now, for the identities given."""
        return self._written(name, self._ca.issue_cert(*identities))

    def issue_expired(
        self, name: str, identities: Sequence[str] = SERVER_IDENTITIES
    ) -> CertificateFiles:
        """Write a certificate that expired in 2002."""
        leaf = self._ca.issue_cert(
            *identities, not_before=_LONG_AGO, not_after=_EXPIRED_SINCE
        )
        return self._written(name, leaf)

    def _written(self, name: str, leaf: trustme.LeafCert) -> CertificateFiles:
        files = CertificateFiles(
            self._folder / f"{name}.crt", self._folder / f"{name}.key"
        )
        files.key.touch(mode=0o600)
        leaf.private_key_pem.write_to_path(files.key)
        files.certificate.write_bytes(
            b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
        )
        return files


def copy_certificates(files: CertificateSet, folder: Path) -> CertificateSet:
    """Copy the files of another cluster: whoever trusts that one trusts this one."""

    def copied(path: Path) -> Path:
        return Path(shutil.copy2(path, folder))

    def both(pair: CertificateFiles) -> CertificateFiles:
        return CertificateFiles(copied(pair.certificate), copied(pair.key))

    return CertificateSet(
        ca=copied(files.ca), server=both(files.server), client=both(files.client)
    )


def write_certificates(folder: Path) -> CertificateSet:
    """Make a new CA and write the files of one cluster."""
    authority = Authority(folder)
    return CertificateSet(
        ca=authority.ca_file,
        server=authority.issue("server"),
        client=authority.issue("client", ["client.loadprobe.test"]),
    )
