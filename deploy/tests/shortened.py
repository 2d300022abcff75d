"""The alert rules with shortened times, so that a day passes in two minutes."""

import copy
import re

FACTOR = 720

# Seconds that no time becomes shorter than. keysweep's own periods stay as they are: it reads its history and its queues
# every five seconds.
LEAST = 6

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(count):
    """Shortened seconds."""
    return max(count / FACTOR, LEAST)


def duration(text):
    """A shortened duration, such as `15m`."""
    return f"{seconds(int(text[:-1]) * UNITS[text[-1]]):g}s"


def expression(text):
    """An expression with shortened ranges and offsets, and a shortened age that it compares."""
    text = re.sub(r"\b\d+[smhd]\b", lambda found: duration(found[0]), text)
    return re.sub(r"(?<=> )\d+$", lambda found: f"{seconds(int(found[0])):g}", text) if "time()" in text else text


def rules(file):
    """The rules of a file, shortened."""
    file = copy.deepcopy(file)
    for group in file["groups"]:
        for rule in group["rules"]:
            rule["expr"] = expression(rule["expr"])
            if "for" in rule:
                rule["for"] = duration(rule["for"])
    return file
