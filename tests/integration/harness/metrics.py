"""Prometheus' text format, read strictly."""

import math
import re

_SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$')
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"(?:,|$)')


class Metrics:
    """samples: {(name, ((label, value), ...)): number}; types and helps by family."""

    def __init__(self, text):
        self.samples, self.types, self.helps = {}, {}, {}
        assert text.endswith("\n"), "the last line has no end"
        for line in text.splitlines():
            if line.startswith("# HELP "):
                _, _, name, text = line.split(" ", 3)
                assert name not in self.helps, f"two HELP for {name}"
                self.helps[name] = text
            elif line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                assert name not in self.types, f"two TYPE for {name}"
                assert kind in ("counter", "gauge", "histogram"), line
                self.types[name] = kind
            elif line and not line.startswith("#"):
                self._sample(line)

    def _sample(self, line):
        fits = _SAMPLE.match(line)
        assert fits, f"not a sample: {line!r}"
        name, labels, number = fits.groups()
        pairs, at = [], 0
        while labels and at < len(labels):
            label = _LABEL.match(labels, at)
            assert label, f"not a label at {at}: {line!r}"
            pairs.append(label.groups())
            at = label.end()
        family = name if name in self.types else re.sub(r"_(bucket|sum|count)$", "", name)
        assert family in self.types, f"no TYPE before {line!r}"
        assert family in self.helps, f"no HELP before {line!r}"
        key = (name, tuple(sorted(pairs)))
        assert key not in self.samples, f"twice: {line!r}"
        self.samples[key] = float(number)
        assert not math.isnan(self.samples[key]), line

    def value(self, name, **labels):
        """The sum over all samples of that name which have these labels; 0 where there is none."""
        wanted = {(key, str(value)) for key, value in labels.items()}
        return sum(number for (sample, pairs), number in self.samples.items()
                   if sample == name and wanted <= set(pairs))

    def names(self):
        return {name for name, _ in self.samples}

    def label_values(self, name, label):
        return {dict(pairs)[label] for sample, pairs in self.samples if sample == name and label in dict(pairs)}
