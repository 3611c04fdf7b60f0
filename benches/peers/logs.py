"""Logs made of others: with lines that come too late, and with one odd line."""

import heapq
import re
import zlib

LATENESS_MS = 5_000
LATE_SHARE = 0.01
# A late line comes up to so much later than it might.
LATER_MS_MAX = 30_000
# Before an odd line its pod is silent for so long.
SILENT_MS = 120_000
TIME = re.compile(rb'"ts":(\d+)')
POD = re.compile(rb'"entity":"([^"]*)"')


def write_late(log, out):
    """Puts one line in a hundred back behind the lateness; returns how many that are.

    Which lines, and how late they come, follows from their bytes, so that the file is the same
    everywhere. A line stays where it is if the log ends before it would come.
    """
    held = []
    moved = 0
    clock = 0
    with open(log, "rb") as lines, open(out, "wb") as file:
        end = max(time_of(line) for line in lines)
        lines.seek(0)
        for number, line in enumerate(lines):
            time = time_of(line)
            bits = zlib.crc32(line)
            due = time + LATENESS_MS + 1 + (bits >> 16) % LATER_MS_MAX
            if bits % 10_000 < LATE_SHARE * 10_000 and due <= end:
                heapq.heappush(held, (due, number, line))
                moved += 1
                continue
            file.write(line)
            clock = max(clock, time)
            while held and held[0][0] <= clock:
                file.write(heapq.heappop(held)[2])
        while held:
            file.write(heapq.heappop(held)[2])
    return moved


def time_of(line):
    return int(TIME.search(line).group(1))


# What real logs hold as well: {now} is the clock, {pod} an entity that has been ready for long by then.
# Each would end that episode, and begin one, if it were taken for what it is not.
UNREADY = '"entity":"{pod}","kind":"readiness","state":"unready","seq":9001'
ODD_LINES = {
    "cut off": '{"ts":{now},"entity":"{pod}","kind":"readiness","state":"unready","seq":9001',
    "no JSON": "connection reset by peer",
    "something behind it": '{"ts":{now},' + UNREADY + "} ok",
    "not UTF-8": '{"ts":{now},' + UNREADY + ',"message":"\udcff"}',
    "no time": "{" + UNREADY + "}",
    "a time in words": '{"ts":"soon",' + UNREADY + "}",
    "the time twice": '{"ts":{now},"ts":{now},' + UNREADY + "}",
    "a time in 2099": '{"ts":4070908800000,' + UNREADY + "}",
    "a minute late": '{"ts":{minute_ago},' + UNREADY + "}",
    "no state": '{"ts":{now},"entity":"{pod}","kind":"readiness","seq":9001}',
    "an unknown state": '{"ts":{now},"entity":"{pod}","kind":"readiness","state":"starting","seq":9001}',
    "another kind": '{"ts":{now},"entity":"{pod}","kind":"liveness","state":"unready","seq":9001}',
    "no entity": '{"ts":{now},"kind":"readiness","state":"unready","seq":9001}',
}


def write_odd(log, out, odd):
    """A log with an odd line in its middle, about a pod that is silent before and heard of no more."""
    with open(log, "rb") as file:
        lines = file.readlines()
    middle = len(lines) // 2
    now = max(map(time_of, lines[:middle]))
    known = [line for line in lines[:middle] if time_of(line) < now - SILENT_MS]
    last = {POD.search(line).group(1): line for line in sorted(known, key=time_of)}
    pod = next(pod for pod, line in last.items() if b'"state":"ready"' in line)
    text = odd.replace("{now}", str(now)).replace("{minute_ago}", str(now - 60_000))
    text = text.replace("{pod}", pod.decode()).encode(errors="surrogateescape") + b"\n"

    def kept(line):
        return time_of(line) < now - SILENT_MS or POD.search(line).group(1) != pod

    with open(out, "wb") as file:
        file.writelines(filter(kept, lines[:middle]))
        file.write(text)
        file.writelines(filter(kept, lines[middle:]))
