//! `espseal serve` as a process of its own.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use espseal_twin::https::{HttpsClient, HttpsTransport};

/// A running server; stops when dropped.
pub(crate) struct Server {
    process: Child,
    base: String,
    client: HttpsClient,
}

impl Server {
    /// Starts `espseal serve` for a repository with the project's development certificate.
    pub(crate) fn start(
        espseal: &Path,
        project: &Path,
        repository: &Path,
        database: &Path,
    ) -> Result<Self> {
        let authority = project.join("ca/ca.pem");
        let roots = std::fs::read(&authority)
            .with_context(|| format!("cannot read {}", authority.display()))?;
        let mut process = Command::new(espseal)
            .arg("serve")
            .arg("--project")
            .arg(project)
            .arg("--repository")
            .arg(repository)
            .arg("--database")
            .arg(database)
            .args(["--listen", "127.0.0.1:0", "--log-format", "json"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} did not start", espseal.display()))?;
        let log = process.stderr.take().context("the server has no log")?;
        let mut log = BufReader::new(log);
        let mut line = String::new();
        log.read_line(&mut line)
            .context("cannot read the server's log")?;
        let Some(port) = port(&line) else {
            let _ = process.kill();
            let _ = process.wait();
            bail!("the server did not start: {}", line.trim());
        };
        // Read on, or the server would wait for room in the pipe.
        std::thread::spawn(move || log.lines().for_each(drop));
        Ok(Self {
            process,
            base: format!("https://localhost:{port}"),
            client: HttpsClient::new(&roots)?,
        })
    }

    /// A way to the server for one device.
    pub(crate) fn connect(&self) -> Result<HttpsTransport> {
        Ok(HttpsTransport::new(self.client.clone(), &self.base)?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The port in the first line of the log.
fn port(line: &str) -> Option<u16> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    line.get("address")?
        .as_str()?
        .rsplit_once(':')?
        .1
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_read_from_the_line_that_serve_writes_first() {
        let line =
            r#"{"level":"INFO","message":"listening","address":"127.0.0.1:4711","tls":true}"#;
        assert_eq!(port(line), Some(4711));
        assert_eq!(port("error: the port is taken"), None);
    }
}
