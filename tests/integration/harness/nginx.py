"""nginx in front of a scripted expert: HTTP/2 over TLS on one side, HTTP/1.1 in clear on the other."""

import pathlib
import shutil
import socket
import subprocess
import tempfile

from .waiting import PATIENCE, eventually

CONFIG = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log notice;
events {{ worker_connections 512; }}
http {{
  log_format served '$server_protocol $status $connection $request_uri'; access_log {folder}/access.log served;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; client_max_body_size 64m;
  server {{
    listen 127.0.0.1:{port} ssl http2;
    ssl_certificate {cert}; ssl_certificate_key {key}; ssl_protocols TLSv1.3 TLSv1.2; {more}
    location / {{
      proxy_pass http://127.0.0.1:{upstream}; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
      proxy_request_buffering off;
    }}
  }}
}}
"""


class Http2:
    """`url` is an expert's endpoint; `served()` are the requests so far, as [protocol, status, connection, path]."""

    def __init__(self, expert, pair, more=""):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="frugal-nginx-"))
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = sock.getsockname()[1]
        (self.folder / "nginx.conf").write_text(CONFIG.format(
            folder=self.folder, port=self.port, cert=pair[0], key=pair[1], upstream=expert.port, more=more))
        self.process = subprocess.Popen(["nginx", "-p", self.folder, "-c", self.folder / "nginx.conf", "-e", self.folder / "start.log"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.url = f"https://127.0.0.1:{self.port}/v1"

    def _accepts(self):
        assert self.process.poll() is None, (self.folder / "start.log").read_text()
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0

    def served(self):
        path = self.folder / "access.log"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def __enter__(self):
        eventually(self._accepts, "nginx accepts")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(PATIENCE)
        shutil.rmtree(self.folder, ignore_errors=True)
