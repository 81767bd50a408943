//! `espseal serve` with the certificate of a project, and the pins that do and do not fit it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use embedded_tls::TlsError;
use espseal_agent::transport::{Transport as _, TransportFault as _, TransportFaultKind};
use espseal_format::repository::Resource;
use espseal_https::https::HttpsFault;

use crate::socket::connect;

/// Two projects, one of them served.
struct World {
    folder: tempfile::TempDir,
    server: Child,
    port: u16,
}

impl World {
    /// Serves project `own` with what `chain` makes of its certificate.
    fn new(chain: impl Fn(&Path) -> PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["own", "other"] {
            let made = espseal().arg("init").arg(folder.path().join(name)).output();
            assert!(made.unwrap().status.success());
        }
        let own = folder.path().join("own");
        let repository = folder.path().join("repository");
        std::fs::create_dir(&repository).unwrap();
        std::fs::write(repository.join("now.cose"), [7; 100]).unwrap();
        let mut server = espseal()
            .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json"])
            .arg("--project")
            .arg(&own)
            .arg("--repository")
            .arg(&repository)
            .arg("--cert")
            .arg(chain(&own))
            .arg("--key")
            .arg(own.join("ca/server.key"))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(server.stderr.take().unwrap());
        let mut line = String::new();
        log.read_line(&mut line).unwrap();
        let address = line
            .split("\"address\":\"")
            .nth(1)
            .unwrap_or_else(|| panic!("{line}"));
        let address = address.split('"').next().unwrap();
        let port = address.rsplit(':').next().unwrap().parse().unwrap();
        std::thread::spawn(move || log.lines().for_each(drop));
        Self {
            folder,
            server,
            port,
        }
    }

    /// The certificate authority of a project, in DER.
    fn authority(&self, project: &str) -> Vec<u8> {
        let pem = self.folder.path().join(project).join("ca/ca.pem");
        let pem = std::fs::read_to_string(pem).unwrap();
        let lines: String = pem.lines().filter(|line| !line.starts_with("--")).collect();
        base64(&lines)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn espseal() -> Command {
    Command::new(std::env::var_os("ESPSEAL").expect("ESPSEAL names the built espseal"))
}

fn own_certificate(project: &Path) -> PathBuf {
    project.join("ca/server.pem")
}

fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for digit in text.bytes().filter(|byte| *byte != b'=') {
        bits = bits << 6 | DIGITS.find(char::from(digit)).unwrap() as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

#[test]
fn files_ranges_and_refusals_come_over_one_connection() {
    let world = World::new(own_certificate);
    let mut https = connect(world.port, "localhost", &world.authority("own")).unwrap();
    let mut bytes = [0; 200];
    https.open(Resource::Now, None).unwrap();
    // Half is left unread: the next request drops it.
    assert_eq!(https.read(&mut bytes[..50]).unwrap(), 50);
    https.open(Resource::Now, Some(10..30)).unwrap();
    let count = https.read(&mut bytes).unwrap();
    assert_eq!(&bytes[..count], &[7; 20]);
    assert_eq!(https.read(&mut bytes).unwrap(), 0);
    let missing = https.open(Resource::Root(9), None).unwrap_err();
    assert_eq!(missing.kind(), TransportFaultKind::NotFound);
    assert_eq!(https.read(&mut bytes).unwrap(), 0);
    let refused = https.post_report(b"no report").unwrap_err();
    assert!(
        matches!(refused.kind(), TransportFaultKind::Refused { .. }),
        "{refused:?}"
    );
    https.open(Resource::Now, None).unwrap();
}

#[test]
fn server_under_another_authority_is_refused() {
    let world = World::new(own_certificate);
    let refused = connect(world.port, "localhost", &world.authority("other"));
    assert!(refused.is_err());
}

#[test]
fn server_with_another_name_is_refused() {
    let world = World::new(own_certificate);
    let refused = connect(world.port, "ota.example.com", &world.authority("own"));
    let refused = refused.err();
    assert!(
        matches!(refused, Some(HttpsFault::Tls(TlsError::InvalidCertificate))),
        "{refused:?}"
    );
}

/// A server's own certificate is no authority: embedded-tls alone takes it for one.
#[test]
fn certificate_signed_with_another_servers_key_is_refused() {
    let world = World::new(|project| {
        let inside = |name: &str| project.join(name).display().to_string();
        std::fs::write(inside("names"), "subjectAltName=DNS:localhost").unwrap();
        let key = inside("forged.key");
        openssl(&[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-out",
            &key,
        ]);
        let request = inside("forged.csr");
        openssl(&[
            "req",
            "-new",
            "-key",
            &key,
            "-subj",
            "/CN=localhost",
            "-out",
            &request,
        ]);
        let (forged, signer) = (inside("forged.pem"), inside("ca/server.pem"));
        let (signing_key, names) = (inside("ca/server.key"), inside("names"));
        openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            &signer,
            "-CAkey",
            &signing_key,
            "-days",
            "30",
            "-set_serial",
            "7",
            "-sha256",
            "-extfile",
            &names,
            "-out",
            &forged,
        ]);
        let chain = project.join("chain.pem");
        let read = |name: &str| std::fs::read_to_string(name).unwrap();
        std::fs::write(&chain, read(&forged) + &read(&signer)).unwrap();
        std::fs::copy(key, signing_key).unwrap();
        chain
    });
    let refused = connect(world.port, "localhost", &world.authority("own")).err();
    assert!(matches!(refused, Some(HttpsFault::Tls(_))), "{refused:?}");
}

fn openssl(arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
