"""Makes a certificate for this machine's names and addresses: `python certs/make_dev_certificate.py`.

For trying Tollroom from other devices in the house. Browsers warn about it, since nobody vouches for it.
"""

import datetime as dt
import ipaddress
import os
import socket
import sys
from pathlib import Path

import ifaddr
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

FOLDER = Path(__file__).parent
VALID_DAYS = 365


def names() -> list[x509.GeneralName]:
    """localhost, this machine's name and every address it has."""
    addresses = {
        ip.ip if isinstance(ip.ip, str) else ip.ip[0]
        for adapter in ifaddr.get_adapters()
        for ip in adapter.ips
    }
    found: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.DNSName(socket.gethostname())]
    return found + [x509.IPAddress(ipaddress.ip_address(a)) for a in sorted(addresses | {"127.0.0.1", "::1"})]


def make(folder: Path = FOLDER) -> tuple[Path, Path]:
    """Writes dev.pem and dev.key (readable by its owner only); tells where."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Tollroom development")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName(names()), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, key_path = folder / "dev.pem", folder / "dev.key"
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key_path.unlink(missing_ok=True)
    with os.fdopen(os.open(key_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(text)
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return pem, key_path


if __name__ == "__main__":
    sys.stdout.write("made {} and {}\n".format(*make()))
