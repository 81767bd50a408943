"""Runs command lines of espefuse on eFuse files, one JSON line at a time.

A request is {"folder", "argv", "input"}; the answer {"code", "output"}.

espefuse keeps what it learnt about a chip for as long as the process lives, so each command line runs
in a child process. Reading the chips' tables takes most of the time of a call: the parent reads
them once, and its children find them in memory.
"""

import contextlib
import copy
import io
import json
import os
import sys
import tempfile
import traceback

import yaml

load = yaml.safe_load
tables = {}


def load_once(stream):
    text = stream if isinstance(stream, (str, bytes)) else stream.read()
    if text not in tables:
        tables[text] = load(text)
    return copy.deepcopy(tables[text])


yaml.safe_load = load_once
os.environ["COLUMNS"] = "200"

import espefuse  # noqa: E402

CHIPS = "esp32 esp32s2 esp32s3 esp32c2 esp32c3 esp32c5 esp32c6 esp32c61 esp32h2 esp32p4"


def warm():
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        for chip in CHIPS.split():
            file = os.path.join(folder, chip)
            espefuse.init_commands(chip=chip, virt=True, virt_efuse_file=file, do_not_confirm=True)


def child(request, output):
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False)
    sys.stdin = io.StringIO(request["input"])
    os.chdir(request["folder"])
    sys.argv = ["espefuse", *request["argv"]]
    code = 0
    try:
        espefuse._main()
    except SystemExit as exit:
        code = exit.code if isinstance(exit.code, int) else (0 if exit.code is None else 1)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main():
    warm()
    for line in sys.stdin:
        request = json.loads(line)
        with tempfile.TemporaryFile() as output:
            sys.stdout.flush()
            process = os.fork()
            if not process:
                child(request, output)
            code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
            output.seek(0)
            text = output.read().decode(errors="replace")
        print(json.dumps({"code": code, "output": text}), flush=True)


main()
