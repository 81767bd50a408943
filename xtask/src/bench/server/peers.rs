//! The two servers, started on free ports and stopped when dropped.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// A repository with one body, and a certificate for it.
pub(super) struct Site {
    folder: PathBuf,
    pub(super) certificate: PathBuf,
    key: PathBuf,
    /// Path of the body in a URL.
    pub(super) path: String,
    pub(super) body: Vec<u8>,
}

impl Site {
    pub(super) fn make(folder: &Path, len: usize) -> Result<Self> {
        let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        fs::write(&certificate, signed.cert.pem())?;
        fs::write(&key, signed.signing_key.serialize_pem())?;
        // Ciphertext looks random; xorshift does too, and is the same in every run.
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        let body: Vec<u8> = std::iter::repeat_with(&mut next)
            .flatten()
            .take(len)
            .collect();
        // The server takes the name as it stands; any 64 digits do.
        let path = format!("/bodies/{}.bin", "5e".repeat(32));
        let repository = folder.join("repository");
        fs::create_dir_all(repository.join("bodies"))?;
        fs::write(repository.join(&path[1..]), &body)?;
        Ok(Self {
            folder: folder.to_owned(),
            certificate,
            key,
            path,
            body,
        })
    }

    fn repository(&self) -> PathBuf {
        self.folder.join("repository")
    }
}

/// A running server.
pub(super) struct Peer {
    process: Child,
    pub(super) port: u16,
}

impl Peer {
    /// Starts `espseal serve`.
    pub(super) fn espseal(program: &Path, site: &Site) -> Result<Self> {
        let port = free_port()?;
        let database = site.folder.join(format!("reports-{port}.db"));
        let log = fs::File::create(site.folder.join(format!("espseal-{port}.log")))?;
        let mut command = Command::new(program);
        command
            .arg("serve")
            .arg("--listen")
            .arg(format!("127.0.0.1:{port}"));
        command
            .arg("--repository")
            .arg(site.repository())
            .arg("--database")
            .arg(database);
        command
            .arg("--cert")
            .arg(&site.certificate)
            .arg("--key")
            .arg(&site.key);
        command.stderr(log);
        Self::start(command, port)
    }

    /// Starts Debian's nginx with one worker, an access log, and the rest as Debian sets it.
    pub(super) fn nginx(site: &Site) -> Result<Self> {
        let port = free_port()?;
        let folder = site.folder.display();
        let config = site.folder.join("nginx.conf");
        let owner = if is_root()? { "user root;" } else { "" };
        let text = format!(
            "{owner} daemon off; worker_processes 1; pid {folder}/nginx.pid; \
             error_log {folder}/nginx-error.log; events {{ worker_connections 1024; }} \
             http {{ access_log {folder}/nginx-access.log; sendfile on; tcp_nopush on; \
             keepalive_requests 1000000; client_body_temp_path {folder}/nginx-body; \
             proxy_temp_path {folder}/nginx-proxy; fastcgi_temp_path {folder}/nginx-fastcgi; \
             uwsgi_temp_path {folder}/nginx-uwsgi; scgi_temp_path {folder}/nginx-scgi; \
             server {{ listen 127.0.0.1:{port} ssl; ssl_protocols TLSv1.3; \
             ssl_certificate {}; ssl_certificate_key {}; root {}; }} }}\n",
            site.certificate.display(),
            site.key.display(),
            site.repository().display(),
        );
        fs::write(&config, text)?;
        let mut command = Command::new("nginx");
        command
            .arg("-p")
            .arg(&site.folder)
            .arg("-c")
            .arg(&config)
            .stderr(Stdio::null());
        Self::start(command, port).context(
            "the benchmark compares with nginx: install it (Debian: `apt install nginx-light`)",
        )
    }

    fn start(mut command: Command, port: u16) -> Result<Self> {
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let mut peer = Self { process, port };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Some(status) = peer.process.try_wait()? {
                bail!("{command:?} ended with {status}");
            }
            ensure!(Instant::now() < deadline, "{command:?} does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(peer)
    }

    /// CPU time that all processes of the server have used.
    pub(super) fn cpu_milliseconds(&self) -> Result<f64> {
        let mut ticks = 0;
        for id in self.processes()? {
            let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
            // The name in parentheses may hold blanks; utime and stime are fields 14 and 15.
            let (_, rest) = stat
                .rsplit_once(')')
                .context("/proc/<pid>/stat without a name")?;
            let fields = rest.split_whitespace().skip(11).take(2);
            ticks += fields.map(str::parse::<u64>).sum::<Result<u64, _>>()?;
        }
        Ok(ticks as f64 * MILLISECONDS_A_TICK)
    }

    /// Peak memory of the server's first process.
    pub(super) fn peak_mebibytes(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kibibytes: f64 = kibibytes
            .context("/proc/<pid>/status without VmHWM")?
            .parse()?;
        Ok(kibibytes / 1024.0)
    }

    /// The process and its children.
    fn processes(&self) -> Result<Vec<u32>> {
        let id = self.process.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        let children = children.split_whitespace().map(str::parse);
        Ok(std::iter::once(Ok(id))
            .chain(children)
            .collect::<Result<_, _>>()?)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // SIGTERM lets nginx end its worker; the standard library knows SIGKILL alone.
        let id = self.process.id().to_string();
        let _sent = Command::new("kill").arg(id).status();
        let _ended = self.process.wait();
    }
}

/// Length of the kernel's clock tick as programs see it: `USER_HZ` is 100 on every Linux.
const MILLISECONDS_A_TICK: f64 = 10.0;

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn is_root() -> Result<bool> {
    let id = Command::new("id").arg("-u").output()?;
    Ok(id.stdout.trim_ascii() == b"0")
}
