//! A database on a small disk of its own, which fills up and turns read-only.
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

/// Fills the disk, frees it, makes it read-only and writable again.
pub(crate) fn run() {
    let granted = unshare().arg("true").output();
    if !granted.is_ok_and(|output| output.status.success()) {
        println!("NOT TESTED: this system grants no mount namespaces");
        return;
    }
    let fleet = Fleet::new(1);
    let (address, folder) = (free_address(), fleet.path("disk"));
    fs::create_dir(&folder).unwrap();
    let mut server = start(&fleet, address, &folder);
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

    remount(&server, &folder, "ro");
    assert_eq!(report(last + 1), 503);
    assert_eq!(Client::new(address).get("now.cose").unwrap().status, 200);
    remount(&server, &folder, "rw");
    assert_eq!(report(last + 1), 204, "the disk is writable again");

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
    assert_eq!(
        u64::try_from(kept).unwrap(),
        last + 1,
        "as many as were acknowledged"
    );
    println!("{kept} reports acknowledged and kept around a full and a read-only disk");
}

fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "--"]);
    command
}

fn start(fleet: &Fleet, address: std::net::SocketAddr, folder: &Path) -> Child {
    let serve = fleet.serve(address, &folder.join("reports.db"));
    let mut command = unshare();
    command.args(["sh", "-c", MOUNT, "sh"]).arg(folder);
    command.arg(serve.get_program()).args(serve.get_args());
    command.current_dir(serve.get_current_dir().unwrap());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().unwrap()
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

fn remount(server: &Child, folder: &Path, mode: &str) {
    let target = server.id().to_string();
    let mut command = Command::new("nsenter");
    command.args([
        "--target",
        &target,
        "--user",
        "--mount",
        "--preserve-credentials",
    ]);
    command
        .args(["--", "mount", "-o", &format!("remount,{mode}")])
        .arg(folder);
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
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
