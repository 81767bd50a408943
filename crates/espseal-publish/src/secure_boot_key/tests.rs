//! Tests of signing keys and their files.
