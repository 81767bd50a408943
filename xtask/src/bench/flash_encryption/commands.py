"""Runs a command several times: prints the fastest in seconds and the peak memory in KiB."""

import os
import sys
import time

runs, *command = sys.argv[1:]
fastest, memory = float("inf"), 0
for _ in range(int(runs)):
    started = time.perf_counter()
    quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    process = os.posix_spawn(command[0], command, os.environ, file_actions=quiet)
    _, status, usage = os.wait4(process, 0)
    fastest = min(fastest, time.perf_counter() - started)
    memory = max(memory, usage.ru_maxrss)
    if status != 0:
        sys.exit(f"{command} failed")
print(fastest, memory)
