#!/usr/bin/env bash
#
# Puts device @NAME@ on its chip, an @CHIP@: writes the flash, burns the eFuses, and then removes the key
# files, which are of no use any more. What is burnt stays burnt.
#
# Run it again after an interruption. These files are for one chip: its address is noted in mac.txt, and
# another chip is refused.

set -euo pipefail
umask 077

usage() {
    cat <<'END'
usage: install.sh [--yes] [--keep-keys]

  --yes        do not ask before the first burn
  --keep-keys  leave the key files where they are

Environment:
  ESPTOOL            the esptool program (esptool)
  ESPEFUSE           the espefuse program (espefuse)
  ESPEFUSE_PORT      serial port of the chip
  ESPEFUSE_VIRTUAL   file of a virtual chip (espefuse --virt): a rehearsal; flash is not written
END
}

keep='' yes=()
while (($#)); do
    case $1 in
        --keep-keys) keep=yes ;;
        --yes) yes=(--yes) ;;
        --help | -h) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
    shift
done
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
fail() {
    printf 'error: %s\n' "$1" >&2
    exit 1
}
remove_keys() {
    local key
    [[ -z $keep ]] || return 0
    for key in @KEYS@; do
        [[ -e $key ]] || continue
        if command -v shred >/dev/null; then shred -u -- "$key"; else rm -f -- "$key"; fi
        printf 'removed %s\n' "$key"
    done
    [[ ! -e keys/jtag-key.bin ]] || printf 'keys/jtag-key.bin opens JTAG again: keep it safe\n'
}
if [[ -e installed ]]; then
    remove_keys
    printf '@NAME@ is installed already, on %s\n' "$(cat mac.txt)"
    exit 0
fi

port=(${ESPEFUSE_PORT:+--port "$ESPEFUSE_PORT"})
if [[ -n ${ESPEFUSE_VIRTUAL:-} ]]; then
    chip=(--virt --path-efuse-file "$ESPEFUSE_VIRTUAL")
else
    chip=(${port[@]+"${port[@]}"})
fi
mac=$("${ESPEFUSE:-espefuse}" --chip @CHIP@ "${chip[@]+"${chip[@]}"}" summary --format value_only MAC |
    grep -ioE '([0-9a-f]{2}:){5}[0-9a-f]{2}' | head -n 1 | tr A-F a-f) || mac=
[[ -n $mac ]] || fail 'espefuse cannot read the address of the chip'
expected=@MAC@
[[ -e mac.txt ]] && expected=$(cat mac.txt)
[[ -z $expected || $expected == "$mac" ]] ||
    fail "these files are for the chip $expected, this one is $mac: every device has keys of its own"
printf '%s\n' "$mac" >mac.txt

if [[ -z ${ESPEFUSE_VIRTUAL:-} && ! -e flashed ]]; then
    "${ESPTOOL:-esptool}" --chip @CHIP@ ${port[@]+"${port[@]}"} write-flash \
        --flash-mode keep --flash-freq keep --flash-size keep 0x0 flash.bin
    : >flashed
fi
bash provision.sh ${yes[@]+"${yes[@]}"}
: >installed
remove_keys
printf 'done: @NAME@ is on %s\n' "$mac"
