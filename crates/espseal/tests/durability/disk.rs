//! A database on a small disk of its own, which fills up; and one in a folder that is read-only.
//!
//! The disk is a tmpfs in a mount namespace that only the server sees; where the system grants no
//! namespaces, this says so and proves nothing.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::fleet::{Fleet, free_address, kill};
use crate::storm::integrity;

/// Mounts the disk at `$1` and becomes the rest of the line.
const MOUNT: &str = "mount -t tmpfs -o size=512k tmpfs \"$1\" && shift && exec \"$@\"";

/// Makes the folder `$1` read-only and becomes the rest of the line.
const READ_ONLY: &str =
    "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && shift && exec \"$@\"";

/// Fills the disk and frees it; starts over a read-only folder, and over the same one writable.
pub(crate) fn run() {
    let granted = unshare().arg("true").output();
    if !granted.is_ok_and(|output| output.status.success()) {
        println!("NOT TESTED: this system grants no mount namespaces");
        return;
    }
    let fleet = Fleet::new(1);
    let (address, folder) = (free_address(), fleet.path("disk"));
    fs::create_dir(&folder).unwrap();
    let mut server = within(MOUNT, &fleet, address, &folder).spawn().unwrap();
    let mut client = Client::new(address);
    let mut report = |counter| post(&mut client, &fleet.report(0, counter));
    assert_eq!(report(1), 204);

    let disk = seen_by(&server, &folder);
    let filler = disk.join("filler");
    fill(&filler);
    // What is left of the write-ahead log takes a few more.
    let last = (2..2000)
        .find(|counter| report(*counter) != 204)
        .expect("the disk never fills up");
    assert_eq!(report(last), 503);
    assert_eq!(report(last), 503, "and it stays that way");
    assert_eq!(Client::new(address).get("now.cose").unwrap().status, 200);
    fs::remove_file(&filler).unwrap();
    assert_eq!(report(last), 204, "there is room again");

    let copy = fleet.path("copy.db");
    for suffix in ["", "-wal"] {
        let from = disk.join(format!("reports.db{suffix}"));
        fs::copy(from, format!("{}{suffix}", copy.display())).unwrap();
    }
    kill(&mut server);
    let connection = rusqlite::Connection::open(copy).unwrap();
    assert_eq!(integrity(&connection), "ok");
    let kept: i64 = connection
        .query_row("SELECT count(*) FROM reports", [], |row| row.get(0))
        .unwrap();
    let kept = u64::try_from(kept).unwrap();
    assert_eq!(kept, last, "as many as were acknowledged");
    println!("{kept} reports acknowledged and kept around a full disk");
    drop(connection);
    read_only(&fleet, last);
}

fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "--"]);
    command
}

/// A server in a read-only folder says so and ends; the reports are there when it is writable.
fn read_only(fleet: &Fleet, last: u64) {
    let (address, folder) = (free_address(), fleet.path("folder"));
    fs::create_dir(&folder).unwrap();
    fs::rename(fleet.path("copy.db"), folder.join("reports.db")).unwrap();
    let output = within(READ_ONLY, fleet, address, &folder)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("cannot use the database"), "{text}");
    let database = folder.join("reports.db");
    let mut server = fleet.serve(address, &database).spawn().unwrap();
    let mut client = Client::new(address);
    let known = post(&mut client, &fleet.report(0, last));
    assert_eq!(known, 409, "known already");
    assert_eq!(post(&mut client, &fleet.report(0, last + 1)), 204);
    kill(&mut server);
    let connection = rusqlite::Connection::open(database).unwrap();
    assert_eq!(integrity(&connection), "ok");
}

/// The server's program in a mount namespace of its own.
fn within(script: &str, fleet: &Fleet, address: std::net::SocketAddr, folder: &Path) -> Command {
    let serve = fleet.serve(address, &folder.join("reports.db"));
    let mut command = unshare();
    command.args(["sh", "-c", script, "sh"]).arg(folder);
    command.arg(serve.get_program()).args(serve.get_args());
    command.current_dir(serve.get_current_dir().unwrap());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// The folder as the server sees it.
fn seen_by(server: &Child, folder: &Path) -> PathBuf {
    let root = PathBuf::from(format!("/proc/{}/root", server.id()));
    root.join(folder.strip_prefix("/").unwrap())
}

fn fill(filler: &Path) {
    let mut file = fs::File::create(filler).unwrap();
    while file.write_all(&[0x55; 512]).is_ok() {}
}

/// Posts a report; waits for the server to come up.
fn post(client: &mut Client, report: &[u8]) -> u16 {
    let begun = Instant::now();
    loop {
        match client.post("v1/report", report) {
            Ok(answer) => return answer.status,
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(60), "{error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
