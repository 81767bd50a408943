//! Ctrl-C, failing writes and rivals: nothing is lost, nothing half-written, nothing visible early.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;

use espseal_format::chip::ChipId;
use espseal_publish::authority::{Authority, AuthorityError};
use espseal_publish::blame::Blame;
use espseal_publish::creation::{self, CreationError, NewProject, SecureBootSource};
use espseal_publish::files::TEMPORARY_PREFIX;
use espseal_publish::observer::{Observer, Stage, Unwatched};

use crate::support::{Bench, TIME, Trusting, app, request};

const C3: ChipId = ChipId::Esp32C3;

/// Presses Ctrl-C when a stage begins.
struct StopAt {
    stage: Stage,
    pressed: Cell<bool>,
}

impl Observer for StopAt {
    fn begin(&self, stage: Stage, _: u64) {
        if stage == self.stage {
            self.pressed.set(true);
        }
    }

    fn advance(&self, _: u64) {}

    fn is_interrupted(&self) -> bool {
        self.pressed.get()
    }
}

#[test]
fn interruption_at_any_stage_leaves_the_old_release_visible_and_the_next_run_succeeds() {
    let bench = Bench::new();
    let device = bench.enrol_agent(C3, "production");
    let image = app(C3);
    bench.release(&image);
    let now = bench.now();
    let path = bench.path("app.bin");
    for stage in [
        Stage::Checking,
        Stage::Sealing,
        Stage::Rehearsing,
        Stage::Wrapping,
        Stage::Storing,
        Stage::Signing,
    ] {
        let observer = StopAt {
            stage,
            pressed: Cell::new(false),
        };
        let error = bench
            .authority()
            .publish(&request(&path), TIME, &Trusting, &observer)
            .unwrap_err();
        assert_eq!(error.blame(), Blame::Interrupted, "{stage:?}: {error}");
        assert_eq!(bench.now(), now, "{stage:?}");
        assert_eq!(
            bench.open_as(&device, C3).as_deref(),
            Some(image.as_slice())
        );
    }
    bench.release(&app(C3));
    assert_eq!(bench.now().position.version, now.position.version + 1);
    assert!(bench.open_as(&device, C3).is_some());
}

/// Puts a folder where `now.cose` belongs, when everything else is on the disk.
struct BlockNow(PathBuf);

impl Observer for BlockNow {
    fn begin(&self, stage: Stage, _: u64) {
        if stage == Stage::Signing {
            fs::create_dir(&self.0).unwrap();
            fs::write(self.0.join("in-the-way"), b"x").unwrap();
        }
    }

    fn advance(&self, _: u64) {}

    fn is_interrupted(&self) -> bool {
        false
    }
}

#[test]
fn failure_of_the_very_last_write_shows_nothing_and_only_uses_up_numbers() {
    let bench = Bench::new();
    let path = bench.write("app.bin", &app(C3));
    let now = bench.project().join("repository/now.cose");
    let error = bench
        .authority()
        .publish(&request(&path), TIME, &Trusting, &BlockNow(now.clone()))
        .unwrap_err();
    assert_eq!(error.blame(), Blame::Io, "{error}");
    fs::remove_dir_all(&now).unwrap();
    let published = bench.publish(&request(&path)).unwrap();
    assert_eq!(
        published.position.version, 2,
        "seq 1 was signed, so it is gone"
    );
    assert_eq!(published.signed.now.version, 2);
    assert_eq!(bench.releases().position.version, 2);
    assert_eq!(
        bench.releases().previous,
        None,
        "the first was never published"
    );
}

#[test]
fn store_that_fails_midway_signs_nothing() {
    let bench = Bench::new();
    let path = bench.write("app.bin", &app(C3));
    let manifests = bench.project().join("repository/manifests");
    fs::write(&manifests, b"a file where a folder belongs").unwrap();
    let log = fs::read(bench.project().join("state/releases.log")).unwrap();
    let error = bench.publish(&request(&path)).unwrap_err();
    assert_eq!(error.blame(), Blame::Io, "{error}");
    assert_eq!(
        fs::read(bench.project().join("state/releases.log")).unwrap(),
        log
    );
    assert!(!bench.project().join("repository/now.cose").exists());
    fs::remove_file(&manifests).unwrap();
    bench.publish(&request(&path)).unwrap();
}

#[test]
fn leftovers_of_a_killed_run_are_cleared() {
    let bench = Bench::new();
    let leftover = bench
        .project()
        .join(format!("repository/{TEMPORARY_PREFIX}x"));
    fs::write(&leftover, b"half").unwrap();
    drop(bench.authority());
    assert!(!leftover.exists());
}

#[test]
fn second_authority_waits_for_the_first() {
    let bench = Bench::new();
    let first = bench.authority();
    let impatient = StopAt {
        stage: Stage::WaitingForLock,
        pressed: Cell::new(false),
    };
    let second = Authority::open(&bench.project(), &impatient);
    assert!(matches!(second, Err(AuthorityError::Interrupted)));
    drop(first);
    Authority::open(&bench.project(), &Unwatched).unwrap();
}

#[test]
fn init_refuses_a_folder_with_contents_and_leaves_nothing_behind_on_failure() {
    let folder = tempfile::tempdir().unwrap();
    let new = NewProject {
        name: "Lamp".into(),
        chips: vec![C3],
        channels: vec!["production".into()],
        base_url: "https://localhost:8443/".into(),
        secure_boot: SecureBootSource::ExistingKey(folder.path().join("none.pem")),
        root_keys: 1,
        root_threshold: 1,
    };
    let target = folder.path().join("lamp");
    let failed = creation::create(&target, &new, TIME, &Unwatched);
    assert!(matches!(failed, Err(CreationError::Key(_))));
    assert!(!target.exists(), "the folder was not there before");
    fs::create_dir(&target).unwrap();
    creation::create(&target, &new, TIME, &Unwatched).unwrap_err();
    assert_eq!(fs::read_dir(&target).unwrap().count(), 0);

    let stopped = StopAt {
        stage: Stage::Checking,
        pressed: Cell::new(true),
    };
    let open = NewProject {
        secure_boot: SecureBootSource::None,
        ..new.clone()
    };
    let failed = creation::create(&target, &open, TIME, &stopped);
    assert!(matches!(failed, Err(CreationError::Interrupted)));
    assert_eq!(fs::read_dir(&target).unwrap().count(), 0);

    fs::write(target.join("notes.txt"), b"mine").unwrap();
    let failed = creation::create(&target, &open, TIME, &Unwatched);
    assert!(matches!(failed, Err(CreationError::NotEmpty { .. })));
    assert_eq!(fs::read_dir(&target).unwrap().count(), 1);
    fs::remove_file(target.join("notes.txt")).unwrap();
    creation::create(&target, &open, TIME, &Unwatched).unwrap();
}

#[cfg(unix)]
#[test]
fn private_files_of_a_new_project_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::new();
    bench.release(&app(C3));
    let private = bench.snapshot().into_keys().filter(|path| {
        path.starts_with(bench.project().join("keys"))
            || path.extension().is_some_and(|extension| extension == "key")
    });
    let mut count = 0;
    for path in private {
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", path.display());
        count += 1;
    }
    assert_eq!(
        count,
        5 + 1 + 1 + 2,
        "5 role keys, secure boot, epoch, 2 of the CA"
    );
    let releases = bench.project().join("keys/releases.pem");
    fs::set_permissions(&releases, fs::Permissions::from_mode(0o644)).unwrap();
    let path = bench.path("app.bin");
    let error = bench.publish(&request(&path)).unwrap_err();
    assert_eq!(error.blame(), Blame::Usage);
    assert!(error.to_string().contains("0600"), "{error}");
}
