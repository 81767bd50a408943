//! A project with a published release and enrolled devices that report.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use espseal_crypto::cose;
use espseal_crypto::device_key::SoftwareDeviceKey;
use espseal_format::app_desc::AppDescriptor;
use espseal_format::chip::ChipId;
use espseal_format::cose::{Role, Sign1};
use espseal_format::metadata::now::Now;
use espseal_format::report::{Event, MAX_REPORT_LEN, Poll, Report};
use espseal_format::units::{ChannelName, Digest, KeyId, Position, Product, SecurityVersion};
use getrandom::SysRng;
use rand_core::UnwrapErr;

/// The maker's folder and the devices.
pub(crate) struct Fleet {
    folder: tempfile::TempDir,
    pub(crate) devices: Vec<SoftwareDeviceKey>,
    pub(crate) product: Product,
}

impl Fleet {
    pub(crate) fn new(devices: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let draw = |_| SoftwareDeviceKey::generate(&mut UnwrapErr(SysRng));
        let mut fleet = Self {
            folder,
            devices: (0..devices).map(draw).collect(),
            product: Product([0; 16]),
        };
        succeeds(&fleet.command(&["init", "lamp"]).output().unwrap());
        for device in &fleet.devices {
            let record = format!(
                "kind = \"agent\"\nchip = \"esp32c3\"\nchannel = \"production\"\n\
                 encryption-key = \"{}\"\nreport-key = \"{}\"\n",
                device.public_key(),
                device.report_key()
            );
            fs::write(fleet.path("device.toml"), record).unwrap();
            succeeds(
                &fleet
                    .maker(&["device", "enroll", "device.toml"])
                    .output()
                    .unwrap(),
            );
        }
        fs::write(fleet.path("unsigned.bin"), image()).unwrap();
        let sign = ["sign", "unsigned.bin", "--output", "app.bin"];
        succeeds(&fleet.maker(&sign).output().unwrap());
        succeeds(&fleet.maker(PUBLISH).output().unwrap());
        let now = fs::read(fleet.path("lamp/repository/now.cose")).unwrap();
        let now = Now::parse(Sign1::parse(&now).unwrap().payload).unwrap();
        fleet.product = now.product;
        fleet
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.current_dir(self.folder.path()).args(arguments);
        command.stdin(Stdio::null());
        command
    }

    /// The release authority's program, on the project.
    pub(crate) fn maker(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(&["--project", "lamp"]);
        command.args(arguments);
        command
    }

    /// The server's program.
    pub(crate) fn serve(&self, address: SocketAddr, database: &Path) -> Command {
        let mut command = self.maker(&["serve", "--http", "--listen", &address.to_string()]);
        command.arg("--database").arg(database);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// A signed report of one device.
    pub(crate) fn report(&self, device: usize, counter: u64) -> Vec<u8> {
        let key = &self.devices[device];
        let report = Report {
            product: self.product,
            device: key.device_id(),
            counter,
            event: Event::Confirmed,
            release: Position {
                generation: 1,
                version: counter,
            },
            manifest: Some(Digest([0xEE; 32])),
            code: 0,
        };
        let mut payload = [0; MAX_REPORT_LEN];
        let length = report.encode(&mut payload).unwrap();
        let payload = &payload[..length];
        let kid = KeyId::of(&key.report_key());
        let digest = cose::digest1(Role::Report, &self.product, kid, payload);
        let signature = key.sign_report(&digest).unwrap();
        let signed = Sign1 {
            kid,
            payload,
            signature: &signature,
        };
        let mut out = vec![0; 2 * MAX_REPORT_LEN];
        let length = signed.encode(&mut out).unwrap();
        out.truncate(length);
        out
    }

    /// What a device asks with.
    pub(crate) fn poll(&self, device: usize) -> Vec<u8> {
        let poll = Poll {
            product: self.product,
            device: self.devices[device].device_id(),
            channel: ChannelName::new("production").unwrap(),
            chip: ChipId::Esp32C3,
            installed: Position {
                generation: 0,
                version: 0,
            },
        };
        let mut out = vec![0; 512];
        let length = poll.encode(&mut out).unwrap();
        out.truncate(length);
        out
    }
}

/// Publishes the signed image once more.
pub(crate) const PUBLISH: &[&str] = &["publish", "app.bin", "--channel", "production"];

const PROGRAM: &str = env!("CARGO_BIN_EXE_espseal");

/// An address that nobody listens on.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

pub(crate) fn succeeds(output: &Output) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

/// SIGKILL, as sudden as a power cut for a process.
pub(crate) fn kill(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// An image for the ESP32-C3.
fn image() -> Vec<u8> {
    let descriptor = AppDescriptor::new("lamp", "1.0.0", SecurityVersion::new(0));
    let mut rodata = descriptor.unwrap().encode().to_vec();
    rodata.extend(b"lamp".iter().cycle().take(6000));
    let mut image = vec![0xE9, 1, 2, 0x20];
    image.extend(0x4038_0000_u32.to_le_bytes());
    image.extend([0xEE, 0, 0, 0, 5, 0]);
    image.extend([0, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0, 1]);
    image.extend(0x3C00_0020_u32.to_le_bytes());
    image.extend(u32::try_from(rodata.len()).unwrap().to_le_bytes());
    image.extend(&rodata);
    image.resize((image.len() | 15) + 1, 0);
    *image.last_mut().unwrap() = rodata.iter().fold(0xEF, |sum, byte| sum ^ byte);
    let digest = Digest::of(&image);
    image.extend(digest.0);
    image
}
