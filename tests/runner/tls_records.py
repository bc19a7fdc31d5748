"""A TLS 1.3 site whose records are made by hand, for what OpenSSL would never send."""

from __future__ import annotations

import hashlib
import hmac
import socket
import ssl
import tempfile
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23  # RFC 8446, B.1
TICKET = b"\x04\x00\x00\x0e" + bytes(8) + b"\x00\x00\x01t\x00\x00"  # NewSessionTicket, as short as it can be; 4.6.1
HELLO_REQUEST = b"\x16\x03\x03\x00\x04\x00\x00\x00\x00"  # RFC 5246, 7.4.1.1
WARNING = b"\x15\x03\x03\x00\x02\x01\x5a"  # user_canceled
CIPHER_CHANGE = b"\x14\x03\x03\x00\x01\x01"


class Records:
    """The site's side of a connection: OpenSSL agrees on the keys and reads one request, and sends nothing more."""

    def __init__(self, sock: socket.socket, certificate: trustme.LeafCert) -> None:
        self._sock = sock
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.num_tickets = 0  # so that the first record is ours
        certificate.configure_cert(context)
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "keys"
            context.keylog_filename = str(log)
            with context.wrap_socket(sock.dup(), server_side=True) as tls:
                tls.recv(65536)
            lines = dict(line.split(" ", 1) for line in log.read_text().splitlines() if not line.startswith("#"))
        self._secret = bytes.fromhex(lines["SERVER_TRAFFIC_SECRET_0"].split(" ")[1])
        self._new_keys()

    def send(self, *records: bytes) -> None:
        """Send them as they are, in one piece."""
        self._sock.sendall(b"".join(records))

    def record(self, content: bytes, kind: int = DATA) -> bytes:
        """The next record. RFC 8446, 5.2."""
        head = b"\x17\x03\x03" + (len(content) + 17).to_bytes(2, "big")
        nonce = (self._iv ^ self._count).to_bytes(12, "big")
        self._count += 1
        return head + self._cipher.encrypt(nonce, content + bytes([kind]), head)

    def key_update(self, *, answered: bool) -> bytes:
        """A record that says that the keys change, and asks for an answer or not. RFC 8446, 4.6.3."""
        record = self.record(b"\x18\x00\x00\x01" + bytes([answered]), HANDSHAKE)
        self._secret = self._expanded(b"traffic upd", 48)
        self._new_keys()
        return record

    def _new_keys(self) -> None:
        self._cipher = AESGCM(self._expanded(b"key", 32))
        self._iv = int.from_bytes(self._expanded(b"iv", 12), "big")
        self._count = 0

    def _expanded(self, label: bytes, length: int) -> bytes:
        """HKDF-Expand-Label for TLS_AES_256_GCM_SHA384, whose hash is never shorter than what is wanted. 7.1."""
        label = b"tls13 " + label
        info = length.to_bytes(2, "big") + bytes([len(label)]) + label + b"\x00"
        return hmac.digest(self._secret, info + b"\x01", hashlib.sha384)[:length]
