"""Keys as an operator makes them: a secret for the client, a line with its hash for the mounted file."""

import base64
import hashlib
import json
import os


def new_secret():
    return "fg-" + base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")


def key_hash(secret):
    return hashlib.blake2b(secret.encode(), digest_size=32).hexdigest()


def bearer(secret):
    return [("authorization", f"Bearer {secret}")]


class Key:
    """One key of the file; `fields` as in it: experts, day_usd, requests_per_minute..."""

    def __init__(self, ident="team", **fields):
        self.id, self.fields = ident, fields
        self.secret = new_secret()
        self.secrets = [self.secret]

    @property
    def headers(self):
        return bearer(self.secret)

    def entry(self):
        return {"id": self.id, "hash": [key_hash(secret) for secret in self.secrets], **self.fields}


def key_file(*keys):
    return json.dumps({"keys": [key.entry() for key in keys]}, indent=1)
