"""Runs a program to its end, and says what it has cost as a line of JSON.

    python3 -I -S measure.py SECONDS LOG CPUS PROGRAM [ARGUMENT...]

CPUS is the processors it may use, with commas between, or `all`. What it prints goes to LOG. After
SECONDS it is stopped, with all that it has started.

It is a process of its own because the kernel counts to the peak memory of a program what its parent had
when it started it: this one has as little as can be.
"""

import json
import os
import signal
import sys
import time


def main(seconds, log, cpus, *command):
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        start(log, cpus, command)
    stopped = []

    def stop(signal_number, frame):
        stopped.append(True)
        os.killpg(child, signal.SIGKILL)

    for end in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT):
        signal.signal(end, stop)
    signal.setitimer(signal.ITIMER_REAL, float(seconds))
    _, status, used = os.wait4(child, 0)
    wall = time.monotonic() - started
    signal.setitimer(signal.ITIMER_REAL, 0)
    cost = {
        "status": os.waitstatus_to_exitcode(status),
        "stopped": bool(stopped),
        "seconds": wall,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_bytes": used.ru_maxrss * 1024,
    }
    print(json.dumps(cost))


def start(log, cpus, command):
    try:
        os.setsid()
        if cpus != "all":
            os.sched_setaffinity(0, map(int, cpus.split(",")))
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"{command[0]}: {error}\n".encode())
    os._exit(127)


main(*sys.argv[1:])
