"""Certificates made by openssl for one test: authorities, and what they sign."""

import pathlib
import ssl
import subprocess


def openssl(*arguments):
    ran = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


class Authority:
    """`issue` gives (certificate, key), files in the authority's folder; its own is `cert`."""

    def __init__(self, folder, name="authority"):
        self.folder = pathlib.Path(folder)
        self.name = name
        self.cert, self.key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        self._new_key(self.key)
        openssl("req", "-x509", "-new", "-key", self.key, "-days", 2, "-subj", f"/CN={name}",
                "-addext", "basicConstraints=critical,CA:TRUE", "-out", self.cert)

    @staticmethod
    def _new_key(path, kind="ec"):
        if kind == "ec":
            openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)
        else:
            openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", path)
        path.chmod(0o600)

    def issue(self, name, host="127.0.0.1", usage="serverAuth", days=2, kind="ec", ca=False):
        cert, key, request = (self.folder / f"{name}.{end}" for end in ("pem", "key", "csr"))
        extensions = self.folder / f"{name}.ext"
        extensions.write_text("basicConstraints=critical,CA:TRUE\n" if ca else
                              f"extendedKeyUsage={usage}\nsubjectAltName=IP:{host}\n")
        self._new_key(key, kind)
        openssl("req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", request)
        # -days may be negative: a certificate that has expired.
        openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial",
                "-days", days, "-extfile", extensions, "-out", cert)
        return cert, key

    def intermediate(self, name):
        """Another authority, signed by this one."""
        cert, key = self.issue(name, ca=True)
        other = object.__new__(Authority)
        other.folder, other.name, other.cert, other.key = self.folder, name, cert, key
        return other

    def client_context(self, pair=None):
        """What a client that trusts this authority brings; with a certificate of its own where there is a pair."""
        context = ssl.create_default_context(cafile=str(self.cert))
        if pair is not None:
            context.load_cert_chain(*map(str, pair))
        return context

    def server_context(self, pair, alpn=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*map(str, pair))
        if alpn:
            context.set_alpn_protocols(alpn)
        return context
