#!/bin/sh
# Cargo's RUSTC_WRAPPER: gives our own crates the coverage counters that libFuzzer steers by, on stable
# Rust. Dependencies go without: their branches are not what is looked for, and they are faster so.
case "${CARGO_PKG_NAME:-}" in
espseal-fuzz | espseal-proofs) exec "$@" ;;
espseal-* | fuzz-targets)
	# The flags are cargo-fuzz's.
	exec "$@" -Cpasses=sancov-module \
		-Cllvm-args=-sanitizer-coverage-level=4 \
		-Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
		-Cllvm-args=-sanitizer-coverage-pc-table \
		-Cllvm-args=-sanitizer-coverage-trace-compares \
		-Cllvm-args=-simplifycfg-branch-fold-threshold=0
	;;
*) exec "$@" ;;
esac
