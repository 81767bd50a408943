//! `espseal serve` as a process: defaults, exit codes, one sentence for each mistake, signals.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn serve(project: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_espseal"));
    command
        .arg("serve")
        .arg("--project")
        .arg(project)
        .args(arguments)
        .stdin(Stdio::null());
    command
}

/// A folder with an empty repository.
fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("repository")).unwrap();
    folder
}

fn refused(output: &Output, code: i32, part: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(text.starts_with("error: ") && text.contains(part), "{text}");
    assert_eq!(text.trim_end().lines().count(), 1, "{text}");
}

#[test]
fn each_mistake_has_one_sentence_and_an_exit_code() {
    let folder = project();
    let run = |arguments: &[&str]| serve(folder.path(), arguments).output().unwrap();
    refused(&run(&["--http", "--listen", "0.0.0.0:0"]), 2, "--http");
    refused(
        &run(&["--http", "--listen", "127.0.0.1:0", "--repository", "no"]),
        3,
        "repository",
    );
    refused(&run(&["--listen", "127.0.0.1:0"]), 3, "server.pem");
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap().to_string();
    refused(&run(&["--http", "--listen", &taken]), 3, "taken");
    let database = folder.path().to_str().unwrap();
    refused(
        &run(&["--http", "--listen", "127.0.0.1:0", "--database", database]),
        3,
        "--database",
    );
    fs::create_dir(folder.path().join("ca")).unwrap();
    fs::write(folder.path().join("ca/server.pem"), "no certificate").unwrap();
    refused(&run(&["--listen", "127.0.0.1:0"]), 2, "certificate");
    let nowhere = ["--cert", "none.pem", "--key", "none.pem"];
    refused(&run(&nowhere), 3, "--cert takes the certificate chain");
    for usage in [
        &["--cert", "only.pem"][..],
        &["--http", "--cert", "a", "--key", "b"],
    ] {
        assert_eq!(run(usage).status.code(), Some(2));
    }
    assert_eq!(run(&["--public-host", "a/b"]).status.code(), Some(2));
}

#[test]
fn sigterm_ends_the_process_with_success_and_the_log_names_requests() {
    let folder = project();
    let arguments = ["--http", "--listen", "127.0.0.1:0", "--log-format", "json"];
    let mut process = serve(folder.path(), &arguments)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(process.stderr.take().unwrap());
    let mut line = String::new();
    log.read_line(&mut line).unwrap();
    let listening: serde_json::Value = serde_json::from_str(&line).unwrap();
    let address = listening["address"].as_str().unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    client
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\nok"),
        "{answer}"
    );
    line.clear();
    log.read_line(&mut line).unwrap();
    let request: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(request["path"], "/healthz");
    assert_eq!(
        (&request["status"], &request["sent"]),
        (&200.into(), &2.into())
    );
    assert!(
        Command::new("kill")
            .arg(process.id().to_string())
            .status()
            .unwrap()
            .success()
    );
    assert!(process.wait().unwrap().success());
}
