//! One run of the emulated core: QEMU, its flash file, and the bridge to the server.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use emulated::device::{self, Device};
use emulated::frame::{Header, OperationKind, Reply, Request, VERSION, Wire};
use emulated::journey::Journey;
use espseal_agent::transport::{Transport, TransportFault as _, TransportFaultKind};
use espseal_format::repository::{OwnedResource, Resource};
use espseal_format::units::CHUNK_SIZE;
use espseal_twin::https::{HttpsError, HttpsTransport};

/// QEMU, as Debian's package qemu-system-misc has it.
const QEMU: &str = "qemu-system-riscv32";
/// Bytes of the chip that the board carries; the file has to have as many.
pub(crate) const CHIP_SIZE: u64 = 32 << 20;
/// After this long a run has hung; most take a second.
const DEADLINE: Duration = Duration::from_secs(180);

/// How to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// As fast as the host can.
    Free,
    /// One instruction is one nanosecond: counters count instructions.
    Instructions,
}

/// What came of one run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) end: RunEnd,
    /// How often each chunk of the body crossed the bridge whole.
    pub(crate) fetched: BTreeMap<u32, u32>,
    /// Flash operations, if they were watched.
    pub(crate) operations: Vec<(OperationKind, u32)>,
    /// Reports that the server took.
    pub(crate) reports: u32,
}

/// How one run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunEnd {
    /// The firmware was done.
    Done(Journey),
    /// Power went.
    Cut,
}

/// Runs the program on a flash file until it takes its own power away.
pub(crate) fn run(
    program: &Path,
    flash: &Path,
    clock: Clock,
    device: &Device<'_>,
    server: HttpsTransport,
) -> Result<Run> {
    let mut process = start(program, flash, clock)?;
    let mut line = Line {
        input: process.stdout.take().context("QEMU has no output")?,
        output: process.stdin.take().context("QEMU has no input")?,
    };
    let watchdog = Watchdog::over(process);
    let mut host = Host {
        device,
        server,
        body: None,
        end: None,
        run: Run {
            end: RunEnd::Cut,
            fetched: BTreeMap::new(),
            operations: Vec::new(),
            reports: 0,
        },
        said: String::new(),
    };
    let talked = host.talk(&mut line);
    drop(line);
    let messages = watchdog.wait()?;
    talked.with_context(|| format!("{QEMU} says: {messages}"))?;
    ensure!(
        host.said.is_empty(),
        "the program says: {}; {QEMU} says: {messages}",
        host.said
    );
    let Some(end) = host.end else {
        bail!("the program ended without a word; {QEMU} says: {messages}");
    };
    Ok(Run { end, ..host.run })
}

/// Starts QEMU.
///
/// QEMU's block layer keeps overlapping writes in order only where one of them is smaller than the
/// driver's block: blkdebug, with blocks of a sector, makes every page program one of those, so that
/// none overtakes the erase before it on its way to the file.
fn start(program: &Path, flash: &Path, clock: Clock) -> Result<Child> {
    let path = flash.to_str().context("the flash file has no plain name")?;
    let drive = format!(
        "if=mtd,format=raw,file.driver=blkdebug,file.align=4096,\
         file.image.driver=file,file.image.filename={path}"
    );
    let mut qemu = Command::new(QEMU);
    qemu.args(["-M", "sifive_u", "-display", "none", "-serial", "none"])
        .args(["-monitor", "none", "-no-reboot", "-drive", &drive])
        .args(["-semihosting-config", "enable=on,target=native", "-bios"])
        .arg(program);
    if clock == Clock::Instructions {
        qemu.args(["-icount", "shift=0"]);
    }
    qemu.stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{QEMU} did not start"))
}

/// Ends a process that takes too long.
struct Watchdog {
    process: Arc<Mutex<Child>>,
    /// Dropped when the process has ended.
    done: mpsc::Sender<()>,
    thread: std::thread::JoinHandle<bool>,
}

impl Watchdog {
    fn over(process: Child) -> Self {
        let process = Arc::new(Mutex::new(process));
        let (done, ended) = mpsc::channel();
        let watched = Arc::clone(&process);
        let thread = std::thread::spawn(move || {
            let late = ended.recv_timeout(DEADLINE) == Err(RecvTimeoutError::Timeout);
            if late {
                let mut process = watched.lock().unwrap_or_else(PoisonError::into_inner);
                let _ = process.kill();
            }
            late
        });
        Self {
            process,
            done,
            thread,
        }
    }

    /// Waits for the end, and returns what was said on standard error.
    fn wait(self) -> Result<String> {
        let mut messages = String::new();
        let errors = {
            let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
            process.stderr.take()
        };
        if let Some(mut errors) = errors {
            // Ends when the process does: only then may the lock be held for waiting.
            let _ = errors.read_to_string(&mut messages);
        }
        let status = {
            let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
            process.wait().context("QEMU was lost")?
        };
        drop(self.done);
        let late = self.thread.join().unwrap_or(true);
        ensure!(
            !late,
            "{QEMU} hung for {} s: {messages}",
            DEADLINE.as_secs()
        );
        ensure!(status.success(), "{QEMU} failed with {status}: {messages}");
        Ok(messages.trim().to_owned())
    }
}

/// QEMU's standard input and output.
struct Line {
    input: ChildStdout,
    output: ChildStdin,
}

impl Wire for Line {
    type Error = io::Error;

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.write_all(bytes)
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.input.read_exact(buffer)
    }
}

/// The host's end of the bridge.
struct Host<'a> {
    device: &'a Device<'a>,
    server: HttpsTransport,
    /// How far the body has been read, if that is what is open.
    body: Option<u32>,
    end: Option<RunEnd>,
    run: Run,
    said: String,
}

impl Host<'_> {
    /// Answers until the device has gone.
    fn talk(&mut self, line: &mut Line) -> Result<()> {
        let mut payload = Vec::new();
        loop {
            let mut header = [0; Header::LEN];
            match line.receive(&mut header) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                other => other.context("cannot read from the device")?,
            }
            let header = Header::parse(header).context("the device sent no frame")?;
            payload.resize(header.length.into(), 0);
            line.receive(&mut payload).context("the device broke off")?;
            let request = Request::parse(header.kind, &payload)
                .with_context(|| format!("the device sent an unknown frame {header:?}"))?;
            self.answer(&request, line)?;
        }
    }

    fn answer(&mut self, request: &Request<'_>, line: &mut Line) -> Result<()> {
        match request {
            Request::Start { version } => {
                ensure!(*version == VERSION, "the device speaks version {version}");
                let mut block = [0; device::MAX_LEN];
                let length = self.device.encode(&mut block);
                let length = length.context("the device block has no room for the root")?;
                let block = block.get(..length).unwrap_or_default();
                Reply::Device(block).send(line)?;
            }
            Request::Open { path, range } => {
                let resource = Resource::parse(path)
                    .with_context(|| format!("the device asked for `{path}`"))?;
                self.body = match (&resource, range) {
                    (OwnedResource::Body(_), Some(range)) => Some(range.start),
                    _ => None,
                };
                let opened = self.server.open(resource.as_resource(), range.clone());
                status(opened).send(line)?;
            }
            Request::Read { limit } => {
                let mut bytes = vec![0; usize::from(*limit).min(CHUNK_SIZE)];
                match self.server.read(&mut bytes) {
                    Ok(count) => {
                        let bytes = bytes.get(..count).unwrap_or_default();
                        self.passed(count);
                        Reply::Data(bytes).send(line)?;
                    }
                    Err(_) => Reply::Broken.send(line)?,
                }
            }
            Request::Poll(poll) => {
                self.body = None;
                status(self.server.post_poll(poll)).send(line)?;
            }
            Request::Report(report) => {
                self.body = None;
                let posted = self.server.post_report(report);
                self.run.reports += u32::from(posted.is_ok());
                status(posted).send(line)?;
            }
            Request::Operation { kind, at } => self.run.operations.push((*kind, *at)),
            Request::Cut => self.end = Some(RunEnd::Cut),
            Request::End(journey) => {
                let journey = Journey::parse(journey).context("the device's journey")?;
                self.end = Some(RunEnd::Done(journey));
            }
            Request::Log(text) => self.said.push_str(text),
            _ => bail!("a request of a later version"),
        }
        Ok(())
    }

    /// Counts the chunks that are complete with the next bytes; signed images are whole chunks.
    fn passed(&mut self, count: usize) {
        let Some(at) = &mut self.body else {
            return;
        };
        let before = *at;
        *at = before.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        for index in before / CHUNK..*at / CHUNK {
            *self.run.fetched.entry(index).or_default() += 1;
        }
    }
}

/// Bytes of a chunk, as an offset in the body.
const CHUNK: u32 = 4096;
const _: () = assert!(CHUNK as usize == CHUNK_SIZE);

fn status(result: Result<(), HttpsError>) -> Reply<'static> {
    Reply::Status(match result {
        Ok(()) => 200,
        Err(error) => match error.kind() {
            TransportFaultKind::NotFound => 404,
            TransportFaultKind::Refused { status } => status,
            _ => 0,
        },
    })
}

/// A chip's file with these first bytes; what lies behind is never read.
pub(crate) fn write_chip(path: &Path, contents: &[u8]) -> Result<()> {
    let write = || -> io::Result<()> {
        let mut file = std::fs::File::create(path)?;
        file.write_all(contents)?;
        file.set_len(CHIP_SIZE)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// The first bytes of a chip's file.
pub(crate) fn read_chip(path: &Path, length: usize) -> Result<Vec<u8>> {
    let read = || -> io::Result<Vec<u8>> {
        let mut contents = vec![0; length];
        std::fs::File::open(path)?.read_exact(&mut contents)?;
        Ok(contents)
    };
    read().with_context(|| format!("cannot read {}", path.display()))
}
