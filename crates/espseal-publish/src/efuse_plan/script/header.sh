#!/usr/bin/env bash
#
# Burns the eFuses of an @TITLE@ as an espseal plan has them. What is burnt stays burnt.
#
# Run it again after an interruption: it reads the chip and goes on where the chip stands. It stops at a
# chip that is neither before nor after any of its steps.

set -euo pipefail
umask 077

usage() {
    cat <<'END'
usage: SCRIPT [--status] [--steps N] [--yes]

  --status   only say how far the chip has come
  --steps N  burn at most N steps, then stop
  --yes      do not ask before the first step

Environment:
  ESPEFUSE                 the espefuse program (espefuse)
  ESPEFUSE_PORT            serial port; espefuse looks for one when it is not set
  ESPEFUSE_VIRTUAL         file of a virtual chip (espefuse --virt --path-efuse-file), to rehearse
  ESPSEAL_FLASH_KEY, ESPSEAL_DEVICE_KEY, ESPSEAL_JTAG_KEY, ESPSEAL_BOOTLOADER_KEY
                           key files, instead of those that were planned with

Exit codes: 0 done, 1 refused or failed, 2 usage
END
}

TITLES=()
SILENT_AFTER=none
