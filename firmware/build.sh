#!/bin/sh
# Rebuilds the demo firmware: firmware/images/<chip>-release-<n>.bin.
#
# usage: firmware/build.sh [--check] [--into DIR] [CHIP...]
#   --check     builds into a scratch folder and compares with the committed images
#   --into DIR  builds into this folder
#   CHIP        esp32c3, esp32 or esp32c3-wifi (the same app over Wi-Fi, not among the committed
#               images); the first two when none is named
#
# ESPTOOL names an installed esptool of the pinned version; ESPSEAL_PRODUCT, the project whose
# firmware it is (see firmware/esp32c3/build.rs).
#
# Needs rustup (or a cargo 1.95.0 with the riscv32imc target), and installs what else is missing:
# the pinned esptool into a Python environment, Debian's gcc-xtensa-lx106 when run as root. The
# same tools give the same bytes in a checkout at the same path, wherever cargo's folders are; elsewhere
# symbols have other names, since cargo puts the paths of the crates beside this workspace into them.
set -eu

ESPTOOL_VERSION=5.6.0
ESPTOOL_OPTIONS="--flash-mode dio --flash-size 4MB --secure-pad-v2 --elf-sha256-offset 0xb0"

here=$(cd "$(dirname "$0")" && pwd)
scratch=${CARGO_TARGET_DIR:-$here/../target/firmware}
mkdir -p "$scratch"
scratch=$(cd "$scratch" && pwd)
images=$here/images
check=
chips=
while [ $# -gt 0 ]; do
    case "$1" in
        --check) check=yes; images=$scratch/check ;;
        --into) shift; images=${1:?--into needs a folder} ;;
        esp32c3 | esp32c3-wifi | esp32) chips="$chips $1" ;;
        *) echo "usage: firmware/build.sh [--check] [--into DIR] [esp32c3] [esp32] [esp32c3-wifi]" >&2; exit 2 ;;
    esac
    shift
done
chips=${chips:-esp32c3 esp32}
mkdir -p "$images"
images=$(cd "$images" && pwd)

install_esptool() {
    esptool=${ESPTOOL:-$scratch/venv/bin/esptool}
    if [ "$("$esptool" version 2>/dev/null | tail -n 1)" != "$ESPTOOL_VERSION" ]; then
        esptool=$scratch/venv/bin/esptool
        python3 -m venv "$scratch/venv"
        "$scratch/venv/bin/pip" install --quiet "esptool==$ESPTOOL_VERSION"
    fi
}

install_xtensa_gcc() {
    if ! command -v xtensa-lx106-elf-gcc >/dev/null; then
        if [ "$(id -u)" != 0 ]; then
            echo "xtensa-lx106-elf-gcc is missing: install Debian's package gcc-xtensa-lx106" >&2
            exit 1
        fi
        apt-get update
        apt-get install --yes --no-install-recommends gcc-xtensa-lx106
    fi
}

# compile_esp32c3 FEATURES TARGETS...: with the flags of .cargo/config.toml, plus fixed names for folders that
# would otherwise stand in panic messages
compile_esp32c3() {
    cargo_home=${CARGO_HOME:-$HOME/.cargo}
    separator=$(printf '\037')
    flags="-C${separator}link-arg=-Tlinkall.x${separator}-C${separator}force-frame-pointers"
    for cipher in aes sha2; do
        flags="$flags${separator}--cfg${separator}${cipher}_backend=\"soft\""
        flags="$flags${separator}--cfg${separator}${cipher}_backend_soft=\"compact\""
    done
    for registry in "$cargo_home"/registry/src/*; do
        flags="$flags${separator}--remap-path-prefix=$registry=/cargo"
    done
    flags="$flags${separator}--remap-path-prefix=$scratch=/target"
    flags="$flags${separator}--remap-path-prefix=$(dirname "$here")=/espseal"
    (
        cd "$here/esp32c3"
        CARGO_TARGET_DIR=$scratch CARGO_ENCODED_RUSTFLAGS=$flags \
            cargo build --quiet --release --locked --features "$@"
    )
}

# make_esp32c3 NAME PROGRAM
make_esp32c3() {
    # shellcheck disable=SC2086
    "$esptool" --chip esp32c3 elf2image $ESPTOOL_OPTIONS --flash-freq 80m \
        --min-rev-full 3 --max-rev-full 199 --output "$images/$1.bin" \
        "$scratch/riscv32imc-unknown-none-elf/release/$2"
}

# build_esp32c3 RELEASE FEATURES
build_esp32c3() {
    compile_esp32c3 "$2" --bin espseal-esp32c3 --examples
    make_esp32c3 "esp32c3-release-$1" espseal-esp32c3
}

# build_esp32c3_wifi RELEASE FEATURES
build_esp32c3_wifi() {
    compile_esp32c3 "$2" --bin espseal-esp32c3-wifi
    make_esp32c3 "esp32c3-wifi-release-$1" espseal-esp32c3-wifi
}

# build_esp32 RELEASE SOURCES
build_esp32() {
    mkdir -p "$scratch/esp32"
    (
        cd "$here/esp32"
        # shellcheck disable=SC2086
        xtensa-lx106-elf-gcc -std=c11 -Os -DRELEASE="$1" -Wall -Wextra -Werror \
            -ffreestanding -nostdlib -mlongcalls -mtext-section-literals -fno-jump-tables \
            -ffunction-sections -fdata-sections -Wl,--gc-sections,--build-id=none,--strip-all \
            -T link.ld -o "$scratch/esp32/release-$1.elf" $2
    )
    # shellcheck disable=SC2086
    "$esptool" --chip esp32 elf2image $ESPTOOL_OPTIONS --flash-freq 40m \
        --min-rev-full 300 --max-rev-full 399 --output "$images/esp32-release-$1.bin" \
        "$scratch/esp32/release-$1.elf"
}

install_esptool
for chip in $chips; do
    case $chip in
        esp32c3)
            (cd "$here/esp32c3" && cargo fetch --quiet --locked)
            build_esp32c3 1 ""
            build_esp32c3 2 release-2
            ;;
        esp32c3-wifi)
            (cd "$here/esp32c3" && cargo fetch --quiet --locked)
            build_esp32c3_wifi 1 wifi
            build_esp32c3_wifi 2 wifi,release-2
            ;;
        esp32)
            install_xtensa_gcc
            sources="src/start.S src/main.c src/chip.c src/app_desc.c"
            build_esp32 1 "$sources"
            build_esp32 2 "$sources src/self_test.c"
            ;;
    esac
done

cd "$images"
for chip in $chips; do
    sha256sum "./$chip"-release-?.bin
done
if [ -n "$check" ]; then
    for chip in $chips; do
        for release in 1 2; do
            cmp "$chip-release-$release.bin" "$here/images/$chip-release-$release.bin"
        done
    done
    echo "the rebuilt images are the committed ones, byte for byte"
fi
