"""llama.cpp's server with a tiny random model, as the tools beside the data start it.

The model speaks gibberish. What makes it say something that can be checked is a grammar, which the server makes of a
JSON schema or of tools; and since it would first say anything at all, the template below has calls begin with a bare
bracket, and `CALL` bends the first token that way.
"""

import glob
import os
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.request

import pytest

from harness import eventually

PREPARE_SECONDS = 1500

# Written as models of today write theirs; a call is a JSON object of its own.
TEMPLATE = r"""{%- if tools %}
    {{- '<|im_start|>system\nYou may call these functions:' }}
    {%- for tool in tools %}
        {{- "\n" }}{{- tool | tojson }}
    {%- endfor %}
    {{- "\nA call is {\"name\": <function-name>, \"arguments\": <args-json-object>}<|im_end|>\n" }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == "user" or message.role == "system" or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}{{- '\n' + message.content }}{%- endif %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function is defined %}{%- set tool_call = tool_call.function %}{%- endif %}
            {{- '\n{"name": "' }}{{- tool_call.name }}{{- '", "arguments": ' }}
            {{- tool_call.arguments | tojson }}{{- '}' }}
        {%- endfor %}
        {{- '<|im_end|>\n' }}
    {%- elif message.role == "tool" %}
        {{- '<|im_start|>user\n<tool_response>\n' }}{{- message.content }}{{- '\n</tool_response><|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}
"""
# The model's token of '{': wherever the grammar lets it, it comes.
CALL = {"logit_bias": {"126": 100}}


def debian_mirror():
    """Where this machine's own packages come from."""
    for path in ["/etc/apt/sources.list", *sorted(glob.glob("/etc/apt/sources.list.d/*"))]:
        try:
            found = re.search(r"https?://\S+/debian(?=[\s/])", open(path).read())
        except OSError:
            continue
        if found:
            return found[0]
    return "http://deb.debian.org/debian"


class Installed:
    """The script that starts a server, and what it needs; skips where it cannot be made."""

    def __init__(self, script):
        if not script.exists():
            pytest.skip(f"no {script}: llama.cpp's server cannot be started")
        self.script = script
        self.env = {**os.environ, "DEBIAN_MIRROR": os.environ.get("DEBIAN_MIRROR") or debian_mirror(),
                    "LLAMA_ARG_CHAT_TEMPLATE": TEMPLATE}
        prepared = subprocess.run(["bash", str(script), "--prepare"], env=self.env, stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, timeout=PREPARE_SECONDS)
        if prepared.returncode == 77:
            pytest.skip("llama.cpp's server cannot be made here (no root, or no debootstrap)")
        assert prepared.returncode == 0, prepared.stderr[-2000:]

    def start(self):
        return Llama(self)


class Llama:
    """One running server. The script becomes the server, so its pid is the server's."""

    def __init__(self, installed):
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        self.root = f"http://127.0.0.1:{port}"
        self.url = self.root + "/v1"
        self._process = subprocess.Popen(["bash", str(installed.script), str(port)], env=installed.env,
                                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        try:
            eventually(lambda: self._process.poll() is not None or self._healthy(), "llama.cpp's server is healthy", 60)
            assert self._process.poll() is None, "llama.cpp's server ended"
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_):
        self.kill()

    def _healthy(self):
        try:
            return urllib.request.urlopen(f"{self.root}/health", timeout=5).status == 200
        except (urllib.error.URLError, OSError):
            return False

    def hold(self):
        """It takes connections, as its kernel does, and says nothing."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def kill(self):
        self._process.kill()
        self._process.wait(20)
