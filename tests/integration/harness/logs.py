"""The daemon's log: logfmt lines, read as they are written."""

import threading
import time

from .waiting import PATIENCE


class Line(dict):
    """One line's fields; `raw` is the line itself."""

    raw = ""


def parse_logfmt(text):
    """key=value pairs; a value in double quotes has backslash escapes. Anything else is an AssertionError."""
    line = Line()
    line.raw = text
    at, end = 0, len(text)
    while at < end:
        if text[at] == " ":
            at += 1
            continue
        equals = text.find("=", at)
        assert equals > at, f"not logfmt at column {at}: {text!r}"
        key = text[at:equals]
        assert " " not in key and '"' not in key, f"not logfmt at column {at}: {text!r}"
        at = equals + 1
        if at < end and text[at] == '"':
            value, at = _quoted(text, at + 1)
        else:
            stop = text.find(" ", at)
            stop = end if stop < 0 else stop
            value, at = text[at:stop], stop
        line[key] = value
    return line


_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def _quoted(text, at):
    out = []
    while True:
        assert at < len(text), f"a quote never ends: {text!r}"
        char = text[at]
        if char == '"':
            return "".join(out), at + 1
        if char == "\\":
            at += 1
            char = text[at]
            if char in "xu":
                width = 2 if char == "x" else 4
                out.append(chr(int(text[at + 1:at + 1 + width], 16)))
                at += width + 1
                continue
            char = _ESCAPES.get(char, char)
        out.append(char)
        at += 1


class LogBook:
    """Collects the lines of a stream in a thread; wait() blocks until one fits."""

    def __init__(self, stream):
        self._lines = []
        self._changed = threading.Condition()
        self._closed = False
        self._stream = stream
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        for raw in self._stream:
            text = raw.decode("utf-8", "backslashreplace").rstrip("\n")
            with self._changed:
                self._lines.append(text)
                self._changed.notify_all()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def text(self):
        with self._changed:
            return "\n".join(self._lines)

    def close(self):
        self._thread.join(PATIENCE)
        self._stream.close()

    def lines(self, **fields):
        """All lines so far that have these fields."""
        with self._changed:
            return [line for line in map(_lenient, self._lines) if _fits(line, fields)]

    def wait(self, count=1, patience=PATIENCE, **fields):
        """The first line with these fields (or the count-th), waiting for it."""
        until = time.monotonic() + patience
        with self._changed:
            while True:
                found = [line for line in map(_lenient, self._lines) if _fits(line, fields)]
                if len(found) >= count:
                    return found[count - 1]
                left = until - time.monotonic()
                if self._closed or left <= 0:
                    why = "the log ended" if self._closed else f"after {patience:.0f} s"
                    raise AssertionError(
                        f"{why}: {len(found)} of {count} lines with {fields} in the log:\n"
                        + "\n".join(self._lines))
                self._changed.wait(left)


def _lenient(text):
    """A sanitizer's report is not logfmt; it must not hide the lines around it."""
    try:
        return parse_logfmt(text)
    except (AssertionError, IndexError, ValueError):
        line = Line()
        line.raw = text
        return line


def _fits(line, fields):
    return all(line.get(key) == str(value) for key, value in fields.items())
