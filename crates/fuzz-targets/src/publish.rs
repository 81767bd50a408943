//! Texts that a maker writes, and keys.

use std::cell::OnceCell;
use std::fs;
use std::path::Path;

use espseal_publish::data_signing::{Padding, SignedData};
use espseal_publish::enrolment::Device;
use espseal_publish::pkcs11::{HsmConfig, Pin};
use espseal_publish::project::{PROJECT_FILE, Project};
use espseal_publish::release_log::ReleaseLog;
use espseal_publish::secure_boot_key::{
    ImageSigner as _, SecureBootKey, encode_public_key, read_public_key,
};

use crate::seeds;

thread_local! {
    static FOLDER: OnceCell<tempfile::TempDir> = const { OnceCell::new() };
}

/// Runs with a folder of this thread's own, in memory where the system has such a place.
fn in_folder<T>(work: impl FnOnce(&Path) -> T) -> T {
    FOLDER.with(|folder| {
        let folder = folder.get_or_init(|| {
            let memory = Path::new("/dev/shm");
            let made = match memory.is_dir() {
                true => tempfile::tempdir_in(memory),
                false => tempfile::tempdir(),
            };
            made.expect("a temporary folder")
        });
        work(folder.path())
    })
}

/// `espseal.toml`, and after a NUL the partition table of its chips.
pub(crate) fn project(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let text = parts.next().unwrap_or_default();
    let table = parts.next().unwrap_or(seeds::PARTITIONS.as_bytes());
    in_folder(|folder| {
        let partitions = folder.join("partitions");
        fs::create_dir_all(&partitions).expect("a folder");
        for chip in ["esp32", "esp32c3", "esp32s3"] {
            fs::write(partitions.join(format!("{chip}.csv")), table).expect("a file");
        }
        fs::write(folder.join(PROJECT_FILE), text).expect("a file");
        match Project::open(folder) {
            Ok(project) => {
                assert!(!project.fleets.is_empty() && !project.channels.is_empty());
                for channel in &project.channels {
                    assert!(project.channel(channel.name.as_str()).is_ok());
                    assert!(
                        channel
                            .chips
                            .iter()
                            .all(|chip| project.fleet(*chip).is_some())
                    );
                    let same = project
                        .channels
                        .iter()
                        .filter(|other| other.group == channel.group);
                    assert_eq!(same.count(), 1, "two channels share a group");
                }
                for fleet in &project.fleets {
                    assert!(fleet.smallest_slot() > 0);
                }
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
}

/// A device's record is kept as it was understood.
pub(crate) fn device_record(data: &[u8]) {
    in_folder(|folder| {
        let home = folder.join("devices-of");
        if !home.join(PROJECT_FILE).exists() {
            fs::create_dir_all(home.join("partitions")).expect("a folder");
            for chip in ["esp32", "esp32c3"] {
                let table = home.join(format!("partitions/{chip}.csv"));
                fs::write(table, seeds::PARTITIONS).expect("a file");
            }
            fs::write(home.join(PROJECT_FILE), seeds::PROJECT).expect("a file");
        }
        let project = Project::open(&home).expect("the project is as it should be");
        let path = folder.join("device.toml");
        fs::write(&path, data).expect("a file");
        let Ok(device) = Device::load(&path, &project) else {
            return;
        };
        fs::write(&path, device.to_toml()).expect("a file");
        let again = Device::load(&path, &project).expect("its own record");
        assert_eq!((again.id, again.chip), (device.id, device.chip));
        assert_eq!(again.recipient, device.recipient);
        assert_eq!(again.standing, device.standing);
    });
}

/// What `Debug` shows of a configuration does not depend on the PIN in it.
pub(crate) fn hsm_config(data: &[u8]) {
    if let Ok(mut config) = HsmConfig::parse(Path::new("hsm.ini"), data) {
        let shown = format!("{config:?}");
        if let Pin::Here(pin) = &mut config.pin {
            *pin = String::from("another PIN").into();
            assert_eq!(format!("{config:?}"), shown, "the PIN is shown");
        }
    }
}

/// A torn last line is cut off, and then the log opens again and says the same.
pub(crate) fn release_log(data: &[u8]) {
    in_folder(|folder| {
        let path = folder.join("releases.log");
        fs::write(&path, data).expect("a file");
        let Ok(log) = ReleaseLog::open(&path) else {
            return;
        };
        let kept = fs::read(&path).expect("a file");
        assert!(data.starts_with(&kept) && (kept.is_empty() || kept.ends_with(b"\n")));
        let again = ReleaseLog::open(&path).expect("what was kept");
        for generation in 0..3 {
            assert_eq!(log.next_seq(generation), again.next_seq(generation));
        }
        assert_eq!(log.newest_published(), again.newest_published());
    });
}

/// A key that is read signs what its public half verifies, and is written as it is read.
pub(crate) fn pem_key(data: &[u8]) {
    let path = Path::new("key.pem");
    if let Ok(public) = read_public_key(path, data) {
        let text = encode_public_key(&public).expect("DER of a short key");
        let again = read_public_key(path, text.as_bytes()).expect("its own PEM");
        assert_eq!(again.digest(), public.digest());
    }
    // A file may hold a public key of its own, and that is the one to read then.
    let label = b"BEGIN PUBLIC KEY";
    let has_public = data.windows(label.len()).any(|window| window == label);
    if let Ok(private) = SecureBootKey::from_pem(path, data)
        && !has_public
    {
        let public = read_public_key(path, data).expect("the public half of a private key");
        assert_eq!(private.public_key().digest(), public.digest());
        assert_eq!(private.digest(), public.digest());
    }
}

pub(crate) fn signed_data(data: &[u8]) {
    for padding in [Padding::ToSector, Padding::None] {
        if let Ok(signed) = SignedData::parse(data, padding) {
            assert_eq!(signed.signed_len() + 4096, data.len() as u64);
            assert!(signed.blocks().count() <= 3);
            assert!(signed.leading_blocks().count() <= signed.blocks().count());
            let _ = signed.check_digests();
        }
    }
}
