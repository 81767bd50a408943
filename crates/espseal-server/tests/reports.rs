//! Polls and signed reports.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests"
)]

#[path = "support/site.rs"]
mod support;

use std::fs;

use espseal_format::cose::Role;
use espseal_format::report::Poll;
use espseal_format::repository::Resource;
use espseal_format::units::{ChannelName, DeviceId, KeyId, Position, Product};
use espseal_server::clock::Clock;
use espseal_server::serve::{ServeError, Server, StoreError};
use support::{Agent, CHIP, Folder, PRODUCT, Release, eventually};

const REPORT: &str = "/v1/report";

/// A repository in which something has been published.
fn published() -> Folder {
    let folder = Folder::new();
    Release::new().publish(&folder);
    folder
}

#[test]
fn acknowledged_report_is_in_the_database_at_once_with_its_signed_bytes() {
    let folder = published();
    let agent = Agent::enroll(&folder, 1);
    let site = folder.serve();
    let mut report = agent.report(u64::MAX);
    report.manifest = None;
    let signed = agent.sign(&report);
    assert_eq!(site.post(REPORT, &signed).status, 204);
    let query =
        "SELECT counter, event, gen, seq, manifest, code, signed FROM reports WHERE device = ?1";
    folder
        .database()
        .query_row(query, [agent.device.0], |row| {
            assert_eq!(row.get::<_, [u8; 8]>(0)?, u64::MAX.to_be_bytes());
            assert_eq!((row.get::<_, u8>(1)?, row.get::<_, u32>(2)?), (0, 1));
            assert_eq!(row.get::<_, [u8; 8]>(3)?, u64::MAX.to_be_bytes());
            assert_eq!(row.get::<_, Option<Vec<u8>>>(4)?, None);
            assert_eq!(
                (row.get::<_, u16>(5)?, row.get::<_, Vec<u8>>(6)?),
                (7, signed.clone())
            );
            Ok(())
        })
        .unwrap();
}

#[test]
fn counter_has_to_rise_for_each_device() {
    let folder = published();
    let (one, two) = (Agent::enroll(&folder, 1), Agent::enroll(&folder, 2));
    let site = folder.serve();
    let send = |agent: &Agent, counter| {
        site.post(REPORT, &agent.sign(&agent.report(counter)))
            .status
    };
    assert_eq!(send(&one, 255), 204);
    assert_eq!(send(&one, 255), 409, "replayed");
    assert_eq!(send(&one, 254), 409, "older");
    assert_eq!(send(&one, 256), 204);
    assert_eq!(send(&one, 0), 409);
    assert_eq!(send(&two, 0), 204, "devices count apart");
    assert_eq!(send(&two, 0), 409);
    assert_eq!(folder.count("reports"), 3);
}

#[test]
fn counter_has_to_rise_across_a_restart() {
    let folder = published();
    let agent = Agent::enroll(&folder, 1);
    let signed = agent.sign(&agent.report(5));
    let site = folder.serve();
    assert_eq!(site.post(REPORT, &signed).status, 204);
    site.running.stop();
    assert_eq!(folder.serve().post(REPORT, &signed).status, 409);
    assert_eq!(folder.count("reports"), 1);
}

#[test]
fn only_the_device_s_own_signature_counts() {
    let folder = published();
    let (agent, other) = (Agent::enroll(&folder, 1), Agent::enroll(&folder, 2));
    let site = folder.serve();
    let report = agent.report(1);
    let kid = KeyId::of(&agent.public_key());
    let status = |signed: &[u8]| site.post(REPORT, signed).status;

    let mut flipped = agent.sign(&report);
    *flipped.last_mut().unwrap() ^= 1;
    assert_eq!(status(&flipped), 403, "a flipped bit");
    let forged = other.sign_as(&report, Role::Report, &PRODUCT, kid);
    assert_eq!(status(&forged), 403, "another device's key");
    let renamed = agent.sign_as(&report, Role::Report, &PRODUCT, KeyId([0; 8]));
    assert_eq!(status(&renamed), 403, "another key's name");
    let repurposed = agent.sign_as(&report, Role::Now, &PRODUCT, kid);
    assert_eq!(status(&repurposed), 403, "a signature for another role");
    let moved = agent.sign_as(&report, Role::Report, &Product([1; 16]), kid);
    assert_eq!(status(&moved), 403, "a signature for another product");
    assert_eq!(folder.count("reports"), 0);
    assert_eq!(status(&agent.sign(&report)), 204);
}

#[test]
fn report_about_another_product_is_refused() {
    let folder = published();
    let agent = Agent::enroll(&folder, 1);
    let mut report = agent.report(1);
    report.product = Product([1; 16]);
    assert_eq!(
        folder.serve().post(REPORT, &agent.sign(&report)).status,
        403
    );
}

#[test]
fn report_of_a_device_without_a_record_of_its_own_is_refused() {
    let folder = published();
    let site = folder.serve();
    let (stranger, moved) = (Agent::new(1), Agent::new(2));
    assert_eq!(
        site.post(REPORT, &stranger.sign(&stranger.report(1)))
            .status,
        403
    );
    moved.record(&folder, DeviceId([3; 32]));
    assert_eq!(
        site.post(REPORT, &moved.sign(&moved.report(1))).status,
        403,
        "another's record"
    );
    folder.write(&Resource::Device(&stranger.device), b"noise");
    assert_eq!(
        site.post(REPORT, &stranger.sign(&stranger.report(1)))
            .status,
        403,
        "no record"
    );
}

#[test]
fn malformed_and_oversize_bodies_are_refused() {
    let folder = published();
    let agent = Agent::enroll(&folder, 1);
    let site = folder.serve();
    let signed = agent.sign(&agent.report(1));
    for (path, least) in [(REPORT, 256), ("/v1/poll", 128)] {
        assert_eq!(site.post(path, b"noise").status, 400, "{path}");
        assert_eq!(site.post(path, &[]).status, 400, "{path}");
        assert_eq!(
            site.post(path, &signed[..signed.len() - 1]).status / 100,
            4,
            "{path}"
        );
        assert_eq!(site.post(path, &vec![0; least]).status, 400, "{path}");
        assert_eq!(site.post(path, &vec![0; least + 1]).status, 413, "{path}");
        let mut announced = site.connect();
        let head = format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
        announced.write(head.as_bytes());
        assert_eq!(
            announced.response(false).status,
            413,
            "{path} before the body comes"
        );
        let mut chunked = site.connect();
        let head = format!("POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
        chunked.write(format!("{head}200\r\n{}\r\n0\r\n\r\n", "a".repeat(512)).as_bytes());
        assert_eq!(
            chunked.response(false).status,
            413,
            "{path} without a length"
        );
    }
    assert_eq!(folder.count("reports"), 0);
}

#[test]
fn before_anything_is_published_reports_wait() {
    let folder = Folder::new();
    let agent = Agent::enroll(&folder, 1);
    let site = folder.serve();
    let signed = agent.sign(&agent.report(1));
    assert_eq!(site.post(REPORT, &signed).status, 503);
    Release::new().publish(&folder);
    assert_eq!(site.post(REPORT, &signed).status, 204);
}

#[test]
fn concurrent_reports_are_all_kept_and_each_counter_once() {
    let folder = published();
    let site = folder.serve();
    let agents: Vec<_> = (0..16)
        .map(|number| Agent::enroll(&folder, number))
        .collect();
    std::thread::scope(|scope| {
        for agent in &agents {
            // Two clients of each device race for the same counters.
            let racers = [(); 2].map(|()| {
                scope.spawn(|| {
                    let mut connection = site.connect();
                    let statuses = (1..=10).map(|counter| {
                        let signed = agent.sign(&agent.report(counter));
                        connection.exchange("POST", REPORT, &[], &signed).status
                    });
                    statuses.collect::<Vec<_>>()
                })
            });
            scope.spawn(move || {
                let [one, two] = racers.map(|racer| racer.join().unwrap());
                assert!(
                    one.iter()
                        .chain(&two)
                        .all(|status| [204, 409].contains(status))
                );
                let kept = one
                    .iter()
                    .zip(&two)
                    .filter(|pair| *pair.0 == 204 && *pair.1 == 204);
                assert_eq!(kept.count(), 0, "no counter is taken twice");
            });
        }
    });
    let query = "SELECT count(*), max(counter) FROM reports WHERE device = ?1";
    for agent in &agents {
        let (count, highest): (i64, [u8; 8]) = folder
            .database()
            .query_row(query, [agent.device.0], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        assert_eq!(u64::from_be_bytes(highest), 10);
        assert!(count <= 10);
    }
}

#[test]
fn report_that_the_database_does_not_take_is_not_acknowledged() {
    let folder = published();
    let agent = Agent::enroll(&folder, 1);
    let site = folder.serve();
    let other = folder.database();
    other.execute_batch("DROP TABLE reports").unwrap();
    assert_eq!(site.post(REPORT, &agent.sign(&agent.report(1))).status, 503);
}

fn poll(device: DeviceId) -> Vec<u8> {
    let poll = Poll {
        product: PRODUCT,
        device,
        channel: ChannelName::new("stable").unwrap(),
        chip: CHIP,
        installed: Position {
            generation: 2,
            version: 9,
        },
    };
    let mut out = vec![0; 128];
    let len = poll.encode(&mut out).unwrap();
    out.truncate(len);
    out
}

#[test]
fn poll_brings_now_and_is_kept_for_enrolled_devices_only() {
    let folder = published();
    let agent = Agent::enroll(&folder, 1);
    let site = folder.serve();
    let now = fs::read(folder.file(&Resource::Now)).unwrap();
    for device in [agent.device, agent.device, DeviceId([0xFE; 32])] {
        let response = site.post("/v1/poll", &poll(device));
        assert_eq!((response.status, &response.body), (200, &now));
        assert_eq!(response.header("cache-control"), Some("no-store"));
    }
    site.running.stop();
    let query = "SELECT device, channel, chip, gen, seq, count FROM polls";
    let kept = folder.database().query_row(query, [], |row| {
        Ok((
            row.get(0)?,
            row.get(1)?,
            row.get(2)?,
            row.get(3)?,
            row.get(4)?,
            row.get(5)?,
        ))
    });
    let expected = (
        agent.device.0,
        "stable".to_owned(),
        5,
        2,
        9_u64.to_be_bytes(),
        2,
    );
    assert_eq!(kept, Ok(expected));
    assert_eq!(folder.count("polls"), 1);
}

#[test]
fn clock_that_jumps_loses_no_report_no_poll_and_no_connection() {
    const YEARS: i64 = 20 * 365 * 86_400;
    let folder = published();
    let agent = Agent::enroll(&folder, 1);
    let clock = Clock::default();
    let site = folder.serve_with(|config| config.clock = clock.clone());
    // Reports and polls share connections that were opened under another time, and sessions too.
    let mut open = site.connect();
    for (counter, jump) in [0, YEARS, -YEARS, -2 * YEARS, i64::MIN, YEARS]
        .into_iter()
        .enumerate()
    {
        clock.jump(jump);
        let signed = agent.sign(&agent.report(counter as u64 + 1));
        assert_eq!(
            open.exchange("POST", REPORT, &[], &signed).status,
            204,
            "{jump}"
        );
        assert_eq!(site.post(REPORT, &signed).status, 409, "{jump}: told twice");
        assert_eq!(
            site.post("/v1/poll", &poll(agent.device)).status,
            200,
            "{jump}"
        );
    }
    assert_eq!(folder.count("reports"), 6);
    let received = "SELECT count(*) FROM reports WHERE received < 0 OR received IS NULL";
    let impossible: i64 = folder
        .database()
        .query_row(received, [], |row| row.get(0))
        .unwrap();
    assert_eq!(impossible, 0);
    site.running.stop();
    let query = "SELECT count FROM polls";
    let polls: i64 = folder
        .database()
        .query_row(query, [], |row| row.get(0))
        .unwrap();
    assert_eq!(polls, 6);
}

#[test]
fn polls_are_written_while_the_server_runs() {
    let folder = published();
    let agent = Agent::enroll(&folder, 1);
    let site = folder.serve();
    assert_eq!(site.post("/v1/poll", &poll(agent.device)).status, 200);
    eventually("the poll is written", || folder.count("polls") == 1);
}

#[test]
fn poll_before_anything_is_published_finds_nothing() {
    let folder = Folder::new();
    assert_eq!(
        folder
            .serve()
            .post("/v1/poll", &poll(DeviceId([1; 32])))
            .status,
        404
    );
}

#[test]
fn database_that_is_none_of_ours_is_refused_in_one_sentence() {
    let refused = |prepare: &dyn Fn(&Folder)| {
        let folder = Folder::new();
        prepare(&folder);
        let error = Server::bind(folder.config()).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("reports.db") && text.contains("--database"),
            "{text}"
        );
        assert!(!text.contains('\n'), "{text}");
        error
    };
    refused(&|folder| fs::create_dir(folder.path("reports.db")).unwrap());
    refused(&|folder| fs::write(folder.path("reports.db"), "x".repeat(5000)).unwrap());
    let later = refused(&|folder| {
        folder
            .database()
            .pragma_update(None, "user_version", 2)
            .unwrap();
    });
    assert!(matches!(
        later,
        ServeError::Store(StoreError::Layout { found: 2, .. })
    ));
}
