"""Runs gen_esp32part.py on many inputs in one process.

Arguments: the script, a file with one JSON object a line: {"argv": [...], "input": "hex"}.
Prints one line for each: the output in hex, or "refused <why>".
"""

import importlib.util
import json
import os
import sys
import tempfile

spec = importlib.util.spec_from_file_location("gen_esp32part", sys.argv[1])
gen = importlib.util.module_from_spec(spec)
spec.loader.exec_module(gen)
folder = tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
source, target = os.path.join(folder, "in"), os.path.join(folder, "out")
sys.stderr = open(os.devnull, "w")

for line in open(sys.argv[2]):
    case = json.loads(line)
    with open(source, "wb") as f:
        f.write(bytes.fromhex(case["input"]))
    if os.path.exists(target):
        os.remove(target)
    # Left over from the call before.
    gen.primary_bootloader_offset = gen.recovery_bootloader_offset = None
    sys.argv = ["gen_esp32part.py", "-q", *case["argv"], source, target]
    try:
        gen.main()
        print(open(target, "rb").read().hex())
    except SystemExit as exit:
        print("refused", "usage", exit.code)
    except Exception as error:
        print("refused", type(error).__name__, str(error).replace("\n", " ")[:100])
for path in (source, target):
    if os.path.exists(path):
        os.remove(path)
os.rmdir(folder)
