//! Devices report and poll, the maker publishes, and all the while server and maker are killed.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use espseal_format::cose::Sign1;
use espseal_format::metadata::manifest::Manifest;
use espseal_format::metadata::now::Now;
use espseal_format::metadata::releases::Releases;
use espseal_format::repository::Resource;
use espseal_format::units::Digest;

use crate::client::Client;
use crate::fleet::{Fleet, PUBLISH, free_address, kill, succeeds};

/// Devices; each has a thread of its own.
const DEVICES: usize = 6;

/// What everybody sees and counts.
#[derive(Default)]
struct Storm {
    over: AtomicBool,
    /// Reports that were answered 204, by device and counter.
    acknowledged: Mutex<HashMap<(usize, u64), Vec<u8>>>,
    /// Reports whose answer was lost and that the server then knew already.
    recovered: AtomicU64,
    answers: AtomicU64,
    polls: AtomicU64,
    releases_seen: AtomicU64,
    maker_kills: AtomicU64,
    published: AtomicU64,
}

/// Kills the server `kills` times, and the maker now and then.
pub(crate) fn run(kills: u32) {
    let begun = Instant::now();
    let fleet = Fleet::new(DEVICES);
    let (address, database) = (free_address(), fleet.path("reports.db"));
    let storm = Storm::default();
    let mut server = fleet.serve(address, &database).spawn().unwrap();
    thread::scope(|scope| {
        for device in 0..DEVICES {
            let (fleet, storm) = (&fleet, &storm);
            scope.spawn(move || storm.report(fleet, address, device));
        }
        scope.spawn(|| storm.poll(&fleet, address));
        scope.spawn(|| storm.publish(&fleet));
        let calm = Calm(&storm);
        let mut chance = Chance(0x5EED);
        for _ in 0..kills {
            storm.wait_for_answers();
            thread::sleep(Duration::from_millis(chance.below(80)));
            kill(&mut server);
            server = fleet.serve(address, &database).spawn().unwrap();
        }
        storm.wait_for_answers();
        drop(calm);
    });
    kill(&mut server);
    let kept = storm.check(&fleet, &database);
    println!(
        "{kills} kills of the server, {} of the maker; {} reports acknowledged, {kept} of them kept, {} whose answer was lost; \
         {} polls, {} whole releases seen, {} published; integrity ok; {:.0} s",
        storm.maker_kills.load(Ordering::Relaxed),
        storm.acknowledged.lock().unwrap().len(),
        storm.recovered.load(Ordering::Relaxed),
        storm.polls.load(Ordering::Relaxed),
        storm.releases_seen.load(Ordering::Relaxed),
        storm.published.load(Ordering::Relaxed),
        begun.elapsed().as_secs_f64()
    );
}

/// Ends the storm, also when a check fails.
struct Calm<'a>(&'a Storm);

impl Drop for Calm<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
    }
}

impl Storm {
    fn goes_on(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }

    /// Waits until the server has answered a few times since it was started.
    fn wait_for_answers(&self) {
        let (before, begun) = (self.answers.load(Ordering::Relaxed), Instant::now());
        while self.answers.load(Ordering::Relaxed) < before + 3 {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "the server does not start again"
            );
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// One device reports as fast as it can; a report without an answer is sent again.
    fn report(&self, fleet: &Fleet, address: SocketAddr, device: usize) {
        let _calm = Calm(self);
        let mut client = Client::new(address);
        let mut counter = 1;
        let mut signed = fleet.report(device, counter);
        let mut uncertain = false;
        while self.goes_on() {
            let Ok(answer) = client.post("v1/report", &signed) else {
                uncertain = true;
                thread::sleep(Duration::from_millis(5));
                continue;
            };
            self.answers.fetch_add(1, Ordering::Relaxed);
            match answer.status {
                204 => {
                    let mut acknowledged = self.acknowledged.lock().unwrap();
                    acknowledged.insert((device, counter), signed.clone());
                }
                409 if uncertain => {
                    self.recovered.fetch_add(1, Ordering::Relaxed);
                }
                503 => continue,
                status => panic!("a report is answered {status}"),
            }
            uncertain = false;
            counter += 1;
            signed = fleet.report(device, counter);
        }
    }

    /// Polls, and follows every `now` down to the body.
    fn poll(&self, fleet: &Fleet, address: SocketAddr) {
        let _calm = Calm(self);
        let mut client = Client::new(address);
        let poll = fleet.poll(0);
        while self.goes_on() {
            let whole = client
                .post("v1/poll", &poll)
                .and_then(|answer| follow(&mut client, &answer.body));
            match whole {
                Ok(()) => {
                    self.polls.fetch_add(1, Ordering::Relaxed);
                    self.releases_seen.fetch_add(1, Ordering::Relaxed);
                }
                Err(_) => thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Publishes again and again, and is killed now and then; the next run always succeeds.
    fn publish(&self, fleet: &Fleet) {
        let _calm = Calm(self);
        let mut chance = Chance(0xCAFE);
        while self.goes_on() {
            let arguments = if chance.below(3) == 0 {
                &["now"]
            } else {
                PUBLISH
            };
            let mut maker = fleet.maker(arguments);
            if chance.below(2) == 0 {
                let stdio = std::process::Stdio::null;
                let mut child = maker.stdout(stdio()).stderr(stdio()).spawn().unwrap();
                thread::sleep(Duration::from_millis(chance.below(1500)));
                kill(&mut child);
                self.maker_kills.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            succeeds(&maker.output().unwrap());
            self.published.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Every acknowledged report stands in the database as it was signed; gives how many.
    fn check(&self, fleet: &Fleet, database: &Path) -> usize {
        let connection = rusqlite::Connection::open(database).unwrap();
        assert_eq!(integrity(&connection), "ok");
        let mut query = connection
            .prepare("SELECT signed FROM reports WHERE device = ?1 AND counter = ?2")
            .unwrap();
        let acknowledged = self.acknowledged.lock().unwrap();
        assert!(
            acknowledged.len() > 10,
            "{} reports are no load",
            acknowledged.len()
        );
        let kept = acknowledged.iter().filter(|((device, counter), signed)| {
            let device = fleet.devices[*device].device_id().0;
            let found: Option<Vec<u8>> = query
                .query_row((device, counter.to_be_bytes()), |row| row.get(0))
                .ok();
            found.as_ref() == Some(*signed)
        });
        let kept = kept.count();
        assert_eq!(kept, acknowledged.len(), "acknowledged reports are lost");
        kept
    }
}

/// `PRAGMA integrity_check`.
pub(crate) fn integrity(connection: &rusqlite::Connection) -> String {
    connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap()
}

/// Follows `now` to `releases`, the manifests and the bodies; only a lost connection is an excuse.
fn follow(client: &mut Client, now: &[u8]) -> std::io::Result<()> {
    let now = Now::parse(Sign1::parse(now).unwrap().payload).unwrap();
    let mut fetch = |resource: Resource<'_>, digest: Option<&Digest>| -> std::io::Result<Vec<u8>> {
        let answer = client.get(&resource.path())?;
        assert_eq!(answer.status, 200, "{resource} is missing");
        assert!(
            digest.is_none_or(|digest| Digest::of(&answer.body) == *digest),
            "{resource} is another file"
        );
        Ok(answer.body)
    };
    fetch(Resource::Root(now.root_version), None)?;
    let releases = fetch(Resource::Releases(&now.releases), Some(&now.releases))?;
    let releases = Releases::parse(Sign1::parse(&releases).unwrap().payload).unwrap();
    for offer in &releases.offers {
        let manifest = fetch(Resource::Manifest(&offer.manifest), Some(&offer.manifest))?;
        let component = Manifest::parse(&manifest).unwrap().component;
        fetch(Resource::Body(&component.body), Some(&component.body))?;
        fetch(Resource::Pages(&component.body), component.pages.first())?;
        for terms in &releases.epochs {
            let (group, epoch) = (terms.group, terms.epoch);
            let body = &component.body;
            fetch(Resource::BodyWrap { body, group, epoch }, None)?;
        }
    }
    Ok(())
}

/// Reproducible chance: an LCG with Knuth's constants.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}
