//! A repository in a temporary folder, a running server before it, and a TLS client.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests"
)]
#![allow(dead_code, reason = "each test file uses a part")]

#[path = "http.rs"]
mod http;

use std::fs;
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use espseal_format::chip::ChipId;
use espseal_format::cohort::{Ppm, Salt};
use espseal_format::cose::{Role, Sign1, to_be_signed1};
use espseal_format::metadata::manifest::{ClassId, Component, ComponentKind, Manifest, VendorId};
use espseal_format::metadata::now::Now;
use espseal_format::metadata::releases::{Offer, OfferState, Releases};
use espseal_format::report::{DeviceRecord, Event, IdfSubscription, Report};
use espseal_format::repository::Resource;
use espseal_format::units::{
    ChannelName, DeviceId, Digest, KeyId, Position, Product, PublicKeyBytes, SecurityVersion,
};
use espseal_server::clock::Clock;
use espseal_server::config::{Access, Config, Limits};
use espseal_server::serve::{Running, Server};
pub(crate) use http::{Connection, Response};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

pub(crate) const PRODUCT: Product = Product([0x50; 16]);
pub(crate) const DEVICE: DeviceId = DeviceId([0xD1; 32]);
pub(crate) const CHIP: ChipId = ChipId::Esp32C3;

/// A folder with a repository, a certificate and a place for the database.
pub(crate) struct Folder {
    folder: tempfile::TempDir,
    certificate: CertificateDer<'static>,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(folder.path().join("cert.pem"), signed.cert.pem()).unwrap();
        fs::write(
            folder.path().join("key.pem"),
            signed.signing_key.serialize_pem(),
        )
        .unwrap();
        fs::create_dir(folder.path().join("repository")).unwrap();
        Self {
            folder,
            certificate: signed.cert.der().clone(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn file(&self, resource: &Resource<'_>) -> PathBuf {
        self.path("repository").join(resource.path().as_str())
    }

    pub(crate) fn write(&self, resource: &Resource<'_>, bytes: &[u8]) {
        let path = self.file(resource);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(crate) fn config(&self) -> Config {
        Config {
            repository: self.path("repository"),
            listen: "127.0.0.1:0".parse().unwrap(),
            access: Access::Https {
                certificate: self.path("cert.pem"),
                key: self.path("key.pem"),
            },
            database: self.path("reports.db"),
            public_host: None,
            limits: Limits::default(),
            clock: Clock::default(),
        }
    }

    pub(crate) fn serve(&self) -> Site<'_> {
        self.serve_with(|_| {})
    }

    pub(crate) fn serve_with(&self, change: impl FnOnce(&mut Config)) -> Site<'_> {
        let mut config = self.config();
        change(&mut config);
        let running = Server::bind(config).unwrap().spawn().unwrap();
        Site {
            folder: self,
            address: running.address(),
            running,
            client: self.client(),
        }
    }

    fn client(&self) -> Arc<ClientConfig> {
        Arc::new(self.client_with(rustls::DEFAULT_VERSIONS))
    }

    pub(crate) fn client_with(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }

    pub(crate) fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path("reports.db")).unwrap()
    }

    pub(crate) fn count(&self, table: &str) -> i64 {
        let query = format!("SELECT count(*) FROM {table}");
        self.database()
            .query_row(&query, [], |row| row.get(0))
            .unwrap()
    }
}

/// A running server and its repository.
pub(crate) struct Site<'a> {
    pub(crate) folder: &'a Folder,
    pub(crate) address: SocketAddr,
    pub(crate) running: Running,
    pub(crate) client: Arc<ClientConfig>,
}

impl Site<'_> {
    pub(crate) fn connect(&self) -> Connection<TcpStream> {
        let socket = TcpStream::connect(self.address).unwrap();
        self.connect_over(&self.client, socket)
    }

    pub(crate) fn connect_over<S: Read + Write>(
        &self,
        client: &Arc<ClientConfig>,
        socket: S,
    ) -> Connection<S> {
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::clone(client), name).unwrap();
        Connection {
            stream: BufReader::new(StreamOwned::new(session, socket)),
        }
    }

    /// One request on a connection of its own; `headers` are whole lines.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[&str]) -> Response {
        self.connect().exchange(method, path, headers, &[])
    }

    pub(crate) fn get(&self, path: &str, headers: &[&str]) -> Response {
        self.send("GET", path, headers)
    }

    pub(crate) fn post(&self, path: &str, body: &[u8]) -> Response {
        self.connect().exchange("POST", path, &[], body)
    }
}

/// Bytes that repeat at no useful distance.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    })
    .take(len)
    .collect()
}

pub(crate) fn seconds() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// One published release with one ESP-IDF device, each part open to change before it is written.
pub(crate) struct Release {
    pub(crate) body: Vec<u8>,
    pub(crate) header: Vec<u8>,
    pub(crate) manifest: Manifest,
    pub(crate) releases: Releases,
    pub(crate) now: Now,
    pub(crate) subscription: IdfSubscription,
}

impl Release {
    pub(crate) fn new() -> Self {
        Self::of(noise(150_000))
    }

    pub(crate) fn of(body: Vec<u8>) -> Self {
        let later = seconds() + 3600;
        let channel = ChannelName::new("stable").unwrap();
        let length = u32::try_from(body.len()).unwrap();
        let pages = body.len().div_ceil(4096 * 128);
        let component = Component {
            kind: ComponentKind::App,
            plaintext_length: length,
            plaintext: Digest([1; 32]),
            body_length: length,
            body: Digest::of(&body),
            iv: [2; 16],
            tag: [3; 16],
            commitment: Digest([4; 32]),
            pages: (0..pages).map(|_| Digest([5; 32])).collect(),
        };
        let manifest = Manifest {
            product: PRODUCT,
            vendor: VendorId([6; 16]),
            class: ClassId([7; 16]),
            chip: CHIP,
            project: "blink".try_into().unwrap(),
            version: "1.0".try_into().unwrap(),
            secure_version: SecurityVersion::new(0),
            min_seq: 0,
            expires: later,
            component,
        };
        let position = Position {
            generation: 1,
            version: 1,
        };
        let offer = Offer {
            channel: channel.clone(),
            chip: CHIP,
            manifest: Digest([0; 32]),
            seq: 1,
            salt: Salt([8; 16]),
            ppm: Ppm::ALL,
            state: OfferState::Active,
        };
        let releases = Releases {
            product: PRODUCT,
            position,
            previous: None,
            expires: later,
            offers: [offer].into_iter().collect(),
            epochs: [].into_iter().collect(),
        };
        let now = Now {
            product: PRODUCT,
            position,
            time: seconds() - 7200,
            expires: later,
            releases: Digest([0; 32]),
            root_version: 1,
            holds: [].into_iter().collect(),
        };
        let subscription = IdfSubscription {
            device: DEVICE,
            channel,
            chip: CHIP,
        };
        Self {
            header: noise(600)[88..].to_vec(),
            body,
            manifest,
            releases,
            now,
            subscription,
        }
    }

    pub(crate) fn digest(&self) -> Digest {
        self.manifest.component.body
    }

    /// Writes everything, each document naming the one below it.
    pub(crate) fn publish(&mut self, folder: &Folder) {
        let body = self.digest();
        folder.write(&Resource::Body(&body), &self.body);
        folder.write(
            &Resource::IdfHeader {
                device: &DEVICE,
                body: &body,
            },
            &self.header,
        );
        let mut out = [0; 2048];
        let len = self.subscription.encode(&mut out).unwrap();
        folder.write(&Resource::IdfSubscription(&DEVICE), &out[..len]);
        let len = self.manifest.encode(&mut out).unwrap();
        let manifest = Digest::of(&out[..len]);
        folder.write(&Resource::Manifest(&manifest), &out[..len]);
        if let Some(offer) = self.releases.offers.first_mut() {
            offer.manifest = manifest;
        }
        let len = self.releases.encode(&mut out).unwrap();
        let releases = envelope(&out[..len]);
        self.now.releases = Digest::of(&releases);
        folder.write(&Resource::Releases(&self.now.releases), &releases);
        let len = self.now.encode(&mut out).unwrap();
        folder.write(&Resource::Now, &envelope(&out[..len]));
    }
}

/// A COSE_Sign1 whose signature nobody here checks.
pub(crate) fn envelope(payload: &[u8]) -> Vec<u8> {
    encode(&Sign1 {
        kid: KeyId([9; 8]),
        payload,
        signature: &[10; 64],
    })
}

fn encode(signed: &Sign1<'_>) -> Vec<u8> {
    let mut out = vec![0; 2048];
    let len = signed.encode(&mut out).unwrap();
    out.truncate(len);
    out
}

/// An enrolled agent with its report key.
pub(crate) struct Agent {
    pub(crate) device: DeviceId,
    key: EcdsaKeyPair,
}

impl Agent {
    pub(crate) fn enroll(folder: &Folder, number: u8) -> Self {
        let agent = Self::new(number);
        agent.record(folder, agent.device);
        agent
    }

    pub(crate) fn new(number: u8) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self {
            device: DeviceId([number; 32]),
            key,
        }
    }

    /// Writes a record about `device` to where this agent's record lies.
    pub(crate) fn record(&self, folder: &Folder, device: DeviceId) {
        let record = DeviceRecord {
            device,
            report_key: self.public_key(),
        };
        let mut out = [0; 128];
        let len = record.encode(&mut out).unwrap();
        folder.write(&Resource::Device(&self.device), &out[..len]);
    }

    pub(crate) fn public_key(&self) -> PublicKeyBytes {
        PublicKeyBytes(self.key.public_key().as_ref().try_into().unwrap())
    }

    pub(crate) fn report(&self, counter: u64) -> Report {
        Report {
            product: PRODUCT,
            device: self.device,
            counter,
            event: Event::Confirmed,
            release: Position {
                generation: 1,
                version: u64::MAX,
            },
            manifest: Some(Digest([0xEE; 32])),
            code: 7,
        }
    }

    pub(crate) fn sign(&self, report: &Report) -> Vec<u8> {
        self.sign_as(
            report,
            Role::Report,
            &report.product,
            KeyId::of(&self.public_key()),
        )
    }

    pub(crate) fn sign_as(
        &self,
        report: &Report,
        role: Role,
        product: &Product,
        kid: KeyId,
    ) -> Vec<u8> {
        let mut payload = [0; 256];
        let len = report.encode(&mut payload).unwrap();
        let payload = &payload[..len];
        let mut message = Vec::new();
        to_be_signed1(role, product, kid, payload, &mut |part| {
            message.extend_from_slice(part)
        });
        let signature = self.key.sign(&SystemRandom::new(), &message).unwrap();
        encode(&Sign1 {
            kid,
            payload,
            signature: signature.as_ref().try_into().unwrap(),
        })
    }
}

/// Waits for something that happens on another thread.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(15);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
