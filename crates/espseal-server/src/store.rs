//! What the server remembers: signed reports, and when each device was last seen.
//!
//! SQLite in one file. One thread owns the connection; reports that wait at the same time share a
//! transaction, and each is acknowledged after the commit that holds it has reached the disk
//! (`synchronous=FULL`). Polls are advisory: they collect in memory and are written now and then.
//!
//! 64-bit counters are stored as 8 bytes, most significant first, which SQLite compares as numbers;
//! its own integers are signed.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use espseal_format::report::{Poll, Report};
use espseal_format::units::DeviceId;
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use tokio::sync::oneshot;
use tracing::error;

use crate::clock::Clock;

/// The database and the thread that owns it.
#[derive(Debug)]
pub(crate) struct Store {
    /// `None` once the store is closed.
    jobs: Mutex<Option<SyncSender<Job>>>,
    seen: Arc<Mutex<HashMap<DeviceId, Seen>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    clock: Clock,
}

impl Store {
    /// Opens the database, or makes it.
    pub(crate) fn open(path: &Path, clock: Clock) -> Result<Self, StoreError> {
        let connection = prepare(path)?;
        let (jobs, waiting) = sync_channel(WAITING_REPORTS);
        let seen = Arc::default();
        let writer = Writer {
            connection,
            waiting,
            seen: Arc::clone(&seen),
        };
        let thread = std::thread::Builder::new()
            .name("espseal-store".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| StoreError::Thread { source })?;
        Ok(Self {
            jobs: Mutex::new(Some(jobs)),
            seen,
            thread: Mutex::new(Some(thread)),
            clock,
        })
    }

    /// Keeps a report whose signature was verified; returns once it is on the disk.
    ///
    /// # Errors
    /// [`Unavailable`] when it is not kept and the device has to send it again.
    pub(crate) async fn keep(
        &self,
        report: Report,
        signed: Vec<u8>,
    ) -> Result<Recorded, Unavailable> {
        let (done, kept) = oneshot::channel();
        let job = Job {
            report,
            signed,
            received: self.now(),
            done,
        };
        let sent = match lock(&self.jobs).as_ref() {
            Some(jobs) => jobs.try_send(job),
            None => return Err(Unavailable),
        };
        sent.map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => Unavailable,
        })?;
        kept.await.unwrap_or(Err(Unavailable))
    }

    /// Notes that a device asked, and what it says it runs.
    pub(crate) fn note(&self, poll: &Poll) {
        let mut seen = lock(&self.seen);
        if seen.len() >= WAITING_DEVICES && !seen.contains_key(&poll.device) {
            return;
        }
        let entry = seen.entry(poll.device).or_insert_with(|| Seen {
            polls: 0,
            at: 0,
            last: poll.clone(),
        });
        entry.polls = entry.polls.saturating_add(1);
        entry.at = self.now();
        entry.last.clone_from(poll);
    }

    /// Seconds since 1970, as SQLite keeps them.
    fn now(&self) -> i64 {
        i64::try_from(self.clock.seconds()).unwrap_or(i64::MAX)
    }

    /// Whether the thread still runs.
    pub(crate) fn is_running(&self) -> bool {
        lock(&self.thread)
            .as_ref()
            .is_some_and(|thread| !thread.is_finished())
    }

    /// Writes what is left and closes the database.
    pub(crate) fn close(&self) {
        drop(lock(&self.jobs).take());
        if lock(&self.thread)
            .take()
            .is_some_and(|thread| thread.join().is_err())
        {
            error!("the database thread has panicked");
        }
    }
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// It is on the disk.
    Kept,
    /// Its counter is not above the device's last one.
    Stale,
}

/// The report was not kept: the database is full, locked, broken or closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unavailable;

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// SQLite cannot open, read or write the file.
    #[error("cannot use the database {path} ({source}): give a writable file with --database")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The file was written by another program or a later release.
    #[error(
        "the database {path} has layout {found}, expected {SCHEMA}: give another with --database"
    )]
    Layout {
        /// The file.
        path: PathBuf,
        /// `user_version` of the file.
        found: i64,
    },
    /// The system grants no thread.
    #[error("cannot start the database thread ({source})")]
    Thread {
        /// What the system says.
        source: io::Error,
    },
}

/// Version of the layout below, in SQLite's `user_version`.
const SCHEMA: i64 = 1;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS reports (
        device BLOB NOT NULL, counter BLOB NOT NULL, received INTEGER NOT NULL,
        event INTEGER NOT NULL, gen INTEGER NOT NULL, seq BLOB NOT NULL, manifest BLOB,
        code INTEGER NOT NULL, signed BLOB NOT NULL,
        PRIMARY KEY (device, counter)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS polls (
        device BLOB NOT NULL PRIMARY KEY, channel TEXT NOT NULL, chip INTEGER NOT NULL,
        gen INTEGER NOT NULL, seq BLOB NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
        count INTEGER NOT NULL
    ) WITHOUT ROWID;";

/// Reports that wait for the disk; further ones are answered 503.
const WAITING_REPORTS: usize = 1024;
/// Newest reports of one device that are kept, about 1.6 MB: its owner may be hostile, and has the key.
const REPORTS_OF_A_DEVICE: u32 = 4096;
/// Reports in one transaction.
const BATCH: usize = 256;
/// Devices whose polls wait in memory; polls of further ones are not counted.
const WAITING_DEVICES: usize = 65_536;
/// Time for which polls wait in memory.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// Time for which SQLite waits for another program's lock.
const BUSY: Duration = Duration::from_secs(5);

/// Opens the file and proves that it can be written.
fn prepare(path: &Path) -> Result<Connection, StoreError> {
    let unusable = |source| StoreError::Unusable {
        path: path.to_owned(),
        source,
    };
    let mut connection = Connection::open(path).map_err(unusable)?;
    connection.busy_timeout(BUSY).map_err(unusable)?;
    connection
        .pragma_update(None, "journal_mode", "WAL")
        .map_err(unusable)?;
    connection
        .pragma_update(None, "synchronous", "FULL")
        .map_err(unusable)?;
    let found: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(unusable)?;
    if found != 0 && found != SCHEMA {
        return Err(StoreError::Layout {
            path: path.to_owned(),
            found,
        });
    }
    let make = |connection: &mut Connection| {
        let tables = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tables.execute_batch(TABLES)?;
        tables.pragma_update(None, "user_version", SCHEMA)?;
        tables.commit()
    };
    make(&mut connection).map_err(unusable)?;
    Ok(connection)
}

/// A report on its way to the disk.
struct Job {
    report: Report,
    signed: Vec<u8>,
    received: i64,
    done: oneshot::Sender<Result<Recorded, Unavailable>>,
}

/// Polls of one device since the last write.
#[derive(Debug)]
struct Seen {
    polls: i64,
    at: i64,
    last: Poll,
}

/// The thread's side.
struct Writer {
    connection: Connection,
    waiting: Receiver<Job>,
    seen: Arc<Mutex<HashMap<DeviceId, Seen>>>,
}

impl Writer {
    fn run(mut self) {
        let mut due = Instant::now() + POLL_INTERVAL;
        loop {
            let wait = due.saturating_duration_since(Instant::now());
            match self.waiting.recv_timeout(wait) {
                Ok(first) => self.keep(first),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if Instant::now() >= due {
                self.write_polls();
                due = Instant::now() + POLL_INTERVAL;
            }
        }
        self.write_polls();
    }

    /// Writes `first` and what waits behind it in one transaction, then answers them all.
    fn keep(&mut self, first: Job) {
        let mut jobs = vec![first];
        jobs.extend(self.waiting.try_iter().take(BATCH - 1));
        let results = write_reports(&mut self.connection, &jobs).unwrap_or_else(|error| {
            error!(%error, reports = jobs.len(), "cannot keep reports");
            vec![Err(Unavailable); jobs.len()]
        });
        for (job, result) in jobs.into_iter().zip(results) {
            // A client that has gone away sends the report again and learns that it was kept.
            let _gone = job.done.send(result);
        }
    }

    fn write_polls(&mut self) {
        let seen = std::mem::take(&mut *lock(&self.seen));
        if seen.is_empty() {
            return;
        }
        if let Err(error) = write_polls(&mut self.connection, &seen) {
            error!(%error, devices = seen.len(), "cannot write polls");
        }
    }
}

fn write_reports(
    connection: &mut Connection,
    jobs: &[Job],
) -> rusqlite::Result<Vec<Result<Recorded, Unavailable>>> {
    let batch = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let results = jobs
        .iter()
        .map(|job| write_report(&batch, job))
        .collect::<Result<_, _>>()?;
    batch.commit()?;
    Ok(results)
}

fn write_report(
    batch: &Transaction<'_>,
    job: &Job,
) -> rusqlite::Result<Result<Recorded, Unavailable>> {
    let Report {
        device,
        counter,
        event,
        release,
        manifest,
        code,
        ..
    } = &job.report;
    let highest: Option<[u8; 8]> = batch
        .prepare_cached("SELECT max(counter) FROM reports WHERE device = ?1")?
        .query_row(params![device.0], |row| row.get(0))
        .optional()?
        .flatten();
    if highest.is_some_and(|highest| *counter <= u64::from_be_bytes(highest)) {
        return Ok(Ok(Recorded::Stale));
    }
    batch
        .prepare_cached("INSERT INTO reports VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?
        .execute(params![
            device.0,
            counter.to_be_bytes(),
            job.received,
            event.to_u8(),
            release.generation,
            release.version.to_be_bytes(),
            manifest.map(|digest| digest.0),
            code,
            job.signed,
        ])?;
    batch
        .prepare_cached(
            "DELETE FROM reports WHERE device = ?1 AND counter <= (SELECT counter FROM reports \
             WHERE device = ?1 ORDER BY counter DESC LIMIT 1 OFFSET ?2)",
        )?
        .execute(params![device.0, REPORTS_OF_A_DEVICE])?;
    Ok(Ok(Recorded::Kept))
}

fn write_polls(
    connection: &mut Connection,
    seen: &HashMap<DeviceId, Seen>,
) -> rusqlite::Result<()> {
    let batch = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut write = batch.prepare_cached(
            "INSERT INTO polls VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7) \
             ON CONFLICT (device) DO UPDATE SET channel = ?2, chip = ?3, gen = ?4, seq = ?5, \
             last = ?6, count = count + ?7",
        )?;
        for (device, Seen { polls, at, last }) in seen {
            write.execute(params![
                device.0,
                last.channel.as_str(),
                last.chip.to_u16(),
                last.installed.generation,
                last.installed.version.to_be_bytes(),
                at,
                polls,
            ])?;
        }
    }
    batch.commit()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use espseal_format::report::Event;
    use espseal_format::units::{Position, Product};

    use super::*;

    fn job(device: u8, counter: u64) -> Job {
        Job {
            report: Report {
                product: Product([0; Product::LEN]),
                device: DeviceId([device; 32]),
                counter,
                event: Event::Confirmed,
                release: Position::default(),
                manifest: None,
                code: 0,
            },
            signed: vec![device; 8],
            received: 0,
            done: oneshot::channel().0,
        }
    }

    #[test]
    fn device_that_reports_for_ever_fills_its_share_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let mut connection = prepare(&folder.path().join("reports.db")).unwrap();
        let most = u64::from(REPORTS_OF_A_DEVICE);
        let mut jobs = vec![job(1, 1)];
        jobs.extend((1..=most + 10).map(|counter| job(2, counter)));
        let results = write_reports(&mut connection, &jobs).unwrap();
        assert!(results.iter().all(|result| *result == Ok(Recorded::Kept)));
        let kept = |device: u8| -> (i64, [u8; 8], [u8; 8]) {
            let sql = "SELECT count(*), min(counter), max(counter) FROM reports WHERE device = ?1";
            let row = connection.query_row(sql, params![[device; 32]], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            });
            row.unwrap()
        };
        assert_eq!(kept(1).0, 1);
        assert_eq!(
            kept(2),
            (
                i64::from(REPORTS_OF_A_DEVICE),
                11_u64.to_be_bytes(),
                (most + 10).to_be_bytes()
            )
        );
        let stale = write_reports(&mut connection, &[job(2, 5)]).unwrap();
        assert_eq!(stale, [Ok(Recorded::Stale)]);
    }
}
