//! One process of a vendor's tool that answers many calls, for comparing thousands of inputs.
//!
//! Starting Python costs 0.2 s; a call costs what the tool itself needs.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde::{Deserialize, Serialize};

/// A running Python process that holds one tool: `espsecure`, `espefuse`, `esptool`, or a module with a
/// `main`.
#[derive(Debug)]
pub struct Session {
    name: String,
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What a call did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub output: Vec<u8>,
    /// Standard error.
    pub messages: Vec<u8>,
}

impl Answer {
    /// Whether the tool reported success.
    #[must_use]
    pub const fn accepted(&self) -> bool {
        self.code == 0
    }

    /// Everything printed, as text.
    #[must_use]
    pub fn text(&self) -> String {
        let both = [self.output.as_slice(), self.messages.as_slice()].concat();
        String::from_utf8_lossy(&both).into_owned()
    }
}

#[derive(Serialize)]
struct Request<'a> {
    argv: &'a [&'a str],
    folder: &'a Path,
    input: String,
}

#[derive(Deserialize)]
struct Reply {
    code: i32,
    output: String,
    messages: String,
}

impl Session {
    /// Starts a tool of the pinned environment.
    ///
    /// # Panics
    /// When the environment is not installed; the message names the command that installs it.
    #[must_use]
    pub fn open(name: &str) -> Self {
        let mut process = crate::python()
            .args(["-c", include_str!("session.py"), name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} did not start: {error}"));
        let (Some(requests), Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            panic!("{name} started without pipes");
        };
        Self {
            name: name.into(),
            process,
            requests,
            answers: BufReader::new(answers),
        }
    }

    /// Runs the tool once, in `folder`.
    ///
    /// # Panics
    /// When the process died, which no call of a tool may cause.
    pub fn call(&mut self, folder: &Path, argv: &[&str]) -> Answer {
        self.call_with_input(folder, argv, &[])
    }

    /// Runs the tool once, in `folder`, with these bytes on standard input.
    ///
    /// # Panics
    /// As [`Session::call`].
    pub fn call_with_input(&mut self, folder: &Path, argv: &[&str], input: &[u8]) -> Answer {
        let request = Request {
            argv,
            folder,
            input: to_hex(input),
        };
        let died = |what: &dyn std::fmt::Display| -> ! {
            panic!("{} died in {argv:?}: {what}", self.name)
        };
        let line = serde_json::to_string(&request).unwrap_or_else(|error| died(&error));
        if let Err(error) = writeln!(self.requests, "{line}").and_then(|()| self.requests.flush()) {
            died(&error);
        }
        let mut line = String::new();
        if let Err(error) = self.answers.read_line(&mut line) {
            died(&error);
        }
        let reply: Reply = serde_json::from_str(&line).unwrap_or_else(|error| died(&error));
        Answer {
            code: reply.code,
            output: from_hex(&reply.output),
            messages: from_hex(&reply.messages),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It waits for a request that will not come.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_answers_good_and_bad_calls_alike() {
        let folder = std::env::temp_dir();
        let mut session = Session::open("espsecure");
        for _ in 0..3 {
            let good = session.call(&folder, &["--help"]);
            assert!(good.accepted(), "{good:?}");
            assert!(good.text().contains("sign-data"), "{}", good.text());
            let bad = session.call(&folder, &["no-such-command"]);
            assert_eq!(bad.code, 2, "{}", bad.text());
            let missing = session.call(
                &folder,
                &["digest-private-key", "--keyfile", "missing", "out"],
            );
            assert!(!missing.accepted());
        }
    }
}
