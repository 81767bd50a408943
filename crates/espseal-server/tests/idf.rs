//! The path of unmodified ESP-IDF devices.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests"
)]

#[path = "support/site.rs"]
mod support;

use std::fs;

use espseal_format::chip::ChipId;
use espseal_format::cohort::{self, Membership, Ppm};
use espseal_format::metadata::now::Hold;
use espseal_format::metadata::releases::OfferState;
use espseal_format::repository::Resource;
use espseal_format::units::{ChannelName, DeviceId, Digest};
use espseal_server::clock::Clock;
use support::{CHIP, DEVICE, Folder, Release, noise, seconds};

fn latest() -> String {
    format!("/idf/{DEVICE}/latest")
}

/// The answer to `latest` for a release that was changed before it was published.
fn offered(change: impl FnOnce(&mut Release)) -> u16 {
    let folder = Folder::new();
    let mut release = Release::new();
    change(&mut release);
    release.publish(&folder);
    folder.serve().get(&latest(), &[]).status
}

#[test]
fn latest_redirects_to_a_short_absolute_https_address() {
    let folder = Folder::new();
    let mut release = Release::new();
    release.publish(&folder);
    let host = "ota.example.com:8443";
    let site = folder.serve_with(|config| config.public_host = Some(host.parse().unwrap()));
    for method in ["GET", "HEAD"] {
        let response = site.send(method, &latest(), &["Host: elsewhere.example"]);
        assert_eq!((response.status, response.length()), (302, 0), "{method}");
        let location = response.header("location").unwrap();
        assert_eq!(
            location,
            format!("https://{host}/idf/{DEVICE}/{}.bin", release.digest())
        );
        assert!("Location: \r\n".len() + location.len() < 512);
        assert_eq!(response.header("cache-control"), Some("no-store"));
    }
}

#[test]
fn without_a_public_host_the_redirect_stays_on_the_host_that_was_asked() {
    let folder = Folder::new();
    let mut release = Release::new();
    release.publish(&folder);
    let site = folder.serve();
    let response = site.get(&latest(), &["Host: 192.168.1.2:8443"]);
    let expected = format!(
        "https://192.168.1.2:8443/idf/{DEVICE}/{}.bin",
        release.digest()
    );
    assert_eq!(response.header("location"), Some(expected.as_str()));
    let long = format!("Host: {}", "a".repeat(256));
    for host in [
        "Host: a/b",
        "Host: user@elsewhere.example",
        "Host: a?b",
        &long,
    ] {
        let response = site.get(&latest(), &[host]);
        assert_eq!(response.status, 400, "{host}");
        assert_eq!(response.header("location"), None);
    }
}

#[test]
fn image_is_the_device_s_header_before_the_common_body() {
    let folder = Folder::new();
    let mut release = Release::new();
    release.publish(&folder);
    let site = folder.serve();
    let path = format!("/idf/{DEVICE}/{}.bin", release.digest());
    let whole = [release.header.as_slice(), &release.body].concat();
    let response = site.get(&path, &["Accept-Encoding: gzip"]);
    assert_eq!((response.status, response.length()), (200, whole.len()));
    assert!(response.body == whole);
    assert_eq!(
        response.header("cache-control"),
        Some("public, max-age=31536000, immutable")
    );
    for headers in [&[][..], &["Range: bytes=0-15"]] {
        let head = site.send("HEAD", &path, headers);
        assert_eq!((head.status, head.length()), (200, whole.len()));
    }
    assert_eq!(site.send("POST", &path, &[]).status, 405);
}

#[test]
fn ranges_count_header_and_body_and_are_always_partial() {
    let folder = Folder::new();
    let mut release = Release::new();
    release.publish(&folder);
    let site = folder.serve();
    let path = format!("/idf/{DEVICE}/{}.bin", release.digest());
    let whole = [release.header.as_slice(), &release.body].concat();
    let total = whole.len();
    let mut connection = site.connect();
    for (range, part) in [
        ("0-".to_owned(), 0..total),
        ("0-1023".to_owned(), 0..1024),
        ("0-511".to_owned(), 0..512),
        ("511-512".to_owned(), 511..513),
        ("512-".to_owned(), 512..total),
        ("100-200".to_owned(), 100..201),
        ("40000-99999".to_owned(), 40_000..100_000),
        (format!("150000-{}", total + 5000), 150_000..total),
        (format!("{}-", total - 1), total - 1..total),
        ("-16".to_owned(), total - 16..total),
    ] {
        let response = connection.exchange("GET", &path, &[&format!("Range: bytes={range}")], &[]);
        assert_eq!(response.status, 206, "{range}");
        let expected = format!("bytes {}-{}/{total}", part.start, part.end - 1);
        assert_eq!(response.header("content-range"), Some(expected.as_str()));
        assert!(response.body == whole[part], "{range}");
    }
    let past = format!("Range: bytes={total}-");
    let refused = [
        "Range: bytes=0-1,4-5",
        "Range: bytes=5-2",
        "Range: bytes=",
        "Range: x=0-1",
    ];
    for range in refused.into_iter().chain([past.as_str()]) {
        let response = connection.exchange("GET", &path, &[range], &[]);
        assert_eq!(response.status, 416, "{range}");
        assert_eq!(
            response.header("content-range"),
            Some(format!("bytes */{total}").as_str())
        );
    }
}

#[test]
fn image_too_short_for_esp_https_ota_is_not_served() {
    for (body, header, status) in [
        (512, 512, 200),
        (511, 512, 500),
        (5000, 511, 500),
        (5000, 513, 500),
        (5000, 0, 500),
    ] {
        let folder = Folder::new();
        let mut release = Release::of(noise(body));
        release.header = noise(header);
        release.publish(&folder);
        let path = format!("/idf/{DEVICE}/{}.bin", release.digest());
        assert_eq!(
            folder.serve().get(&path, &[]).status,
            status,
            "{body} and {header}"
        );
    }
}

#[test]
fn image_of_another_device_or_body_is_not_there() {
    let folder = Folder::new();
    let mut release = Release::new();
    release.publish(&folder);
    let site = folder.serve();
    let other = DeviceId([0xD2; 32]);
    assert_eq!(
        site.get(&format!("/idf/{other}/{}.bin", release.digest()), &[])
            .status,
        404
    );
    assert_eq!(
        site.get(&format!("/idf/{DEVICE}/{DEVICE}.bin"), &[]).status,
        404
    );
    assert_eq!(site.get(&format!("/idf/{other}/latest"), &[]).status, 404);
    fs::remove_file(folder.file(&Resource::Body(&release.digest()))).unwrap();
    assert_eq!(
        site.get(&format!("/idf/{DEVICE}/{}.bin", release.digest()), &[])
            .status,
        404
    );
}

#[test]
fn offer_that_fits_is_found() {
    assert_eq!(offered(|_| {}), 302);
}

#[test]
fn other_channel_or_chip_gets_nothing() {
    assert_eq!(
        offered(|all| all.subscription.channel = ChannelName::new("beta").unwrap()),
        404
    );
    assert_eq!(offered(|all| all.subscription.chip = ChipId::Esp32), 404);
    assert_eq!(offered(|all| all.releases.offers.clear()), 404);
}

#[test]
fn held_offer_gets_nothing() {
    assert_eq!(
        offered(|all| all.releases.offers[0].state = OfferState::Held),
        404
    );
    assert_eq!(offered(|all| all.releases.offers[0].ppm = Ppm::NONE), 404);
}

fn hold(seq: u64, ppm: Ppm) -> Hold {
    Hold {
        channel: ChannelName::new("stable").unwrap(),
        chip: CHIP,
        seq,
        ppm,
    }
}

#[test]
fn now_narrows_an_offer_but_not_another() {
    assert_eq!(
        offered(|all| all.now.holds.push(hold(1, Ppm::NONE)).unwrap()),
        404
    );
    assert_eq!(
        offered(|all| all.now.holds.push(hold(2, Ppm::NONE)).unwrap()),
        302
    );
    assert_eq!(
        offered(|all| all.now.holds.push(hold(1, Ppm::ALL)).unwrap()),
        302
    );
}

#[test]
fn cohort_decides_by_device_id() {
    let salt = Release::new().releases.offers[0].salt;
    let inside = |ppm| cohort::includes(&salt, &DEVICE, Ppm::new(ppm).unwrap());
    let edge = (1..=1_000_000)
        .find(|ppm| inside(*ppm) == Membership::Inside)
        .unwrap();
    assert!(edge > 1, "the device is not in the first millionth");
    let with = |ppm| offered(|all| all.releases.offers[0].ppm = Ppm::new(ppm).unwrap());
    assert_eq!((with(edge - 1), with(edge)), (404, 302));
    let held = |ppm| offered(|all| all.now.holds.push(hold(1, Ppm::new(ppm).unwrap())).unwrap());
    assert_eq!((held(edge - 1), held(edge)), (404, 302));
}

#[test]
fn expired_documents_offer_nothing() {
    let past = seconds() - 1;
    assert_eq!(offered(|all| all.now.expires = past), 404);
    assert_eq!(offered(|all| all.releases.expires = past), 404);
    assert_eq!(offered(|all| all.manifest.expires = past), 404);
}

#[test]
fn clock_that_jumps_ahead_withholds_and_offers_again_once_it_is_right() {
    let folder = Folder::new();
    Release::new().publish(&folder);
    let clock = Clock::default();
    let site = folder.serve_with(|config| config.clock = clock.clone());
    let status = || site.get(&latest(), &[]).status;
    assert_eq!(status(), 302);
    clock.jump(4000);
    assert_eq!(status(), 404, "everything has expired by this clock");
    clock.jump(-4000);
    assert_eq!(status(), 302);
}

#[test]
fn clock_that_was_set_back_revives_nothing_that_had_expired_when_now_was_signed() {
    let status_in_1970 = |change: fn(&mut Release)| {
        let folder = Folder::new();
        let mut release = Release::new();
        change(&mut release);
        release.publish(&folder);
        let clock = Clock::default();
        let site = folder.serve_with(|config| config.clock = clock.clone());
        clock.jump(i64::MIN);
        site.get(&latest(), &[]).status
    };
    assert_eq!(status_in_1970(|_| {}), 302);
    let manifest = |all: &mut Release| all.manifest.expires = all.now.time;
    let releases = |all: &mut Release| all.releases.expires = all.now.time;
    assert_eq!(status_in_1970(manifest), 404);
    assert_eq!(status_in_1970(releases), 404);
}

#[test]
fn documents_other_than_named_offer_nothing() {
    let check = |what: &str, change: &dyn Fn(&Folder, &mut Release)| {
        let folder = Folder::new();
        let mut release = Release::new();
        release.publish(&folder);
        change(&folder, &mut release);
        assert_eq!(folder.serve().get(&latest(), &[]).status, 404, "{what}");
    };
    let named = |release: &Release| (release.now.releases, release.releases.offers[0].manifest);
    check("no now", &|folder, _| {
        fs::remove_file(folder.file(&Resource::Now)).unwrap()
    });
    check("now is noise", &|folder, _| {
        folder.write(&Resource::Now, &noise(100))
    });
    check("no releases", &|folder, release| {
        fs::remove_file(folder.file(&Resource::Releases(&named(release).0))).unwrap();
    });
    check("no manifest", &|folder, release| {
        fs::remove_file(folder.file(&Resource::Manifest(&named(release).1))).unwrap();
    });
    check("no header for the device", &|folder, release| {
        let body = release.digest();
        let header = Resource::IdfHeader {
            device: &DEVICE,
            body: &body,
        };
        fs::remove_file(folder.file(&header)).unwrap();
    });
    check("no body", &|folder, release| {
        fs::remove_file(folder.file(&Resource::Body(&release.digest()))).unwrap();
    });
    check("a body of another length", &|folder, release| {
        folder.write(&Resource::Body(&release.digest()), &release.body[1..]);
    });
    check("a subscription of another device", &|folder, release| {
        release.subscription.device = DeviceId([0xD2; 32]);
        let mut out = [0; 128];
        let len = release.subscription.encode(&mut out).unwrap();
        folder.write(&Resource::IdfSubscription(&DEVICE), &out[..len]);
    });
    // Valid documents of another publication, under the names of these.
    check("other releases", &|folder, release| {
        let mut other = release.releases.clone();
        other.position.version = 2;
        let mut out = [0; 2048];
        let len = other.encode(&mut out).unwrap();
        let name = Resource::Releases(&release.now.releases);
        folder.write(&name, &support::envelope(&out[..len]));
    });
    check("another manifest", &|folder, release| {
        let mut other = release.manifest.clone();
        other.min_seq = 1;
        let mut out = [0; 2048];
        let len = other.encode(&mut out).unwrap();
        folder.write(
            &Resource::Manifest(&release.releases.offers[0].manifest),
            &out[..len],
        );
    });
}

/// Puts a file of the device's own in the place of its header; returns its digest.
fn own_file(folder: &Folder, release: &Release, bytes: &[u8]) -> Digest {
    let (device, body, file) = (&DEVICE, &release.digest(), &Digest::of(bytes));
    fs::remove_file(folder.file(&Resource::IdfHeader { device, body })).unwrap();
    folder.write(&Resource::IdfLink { device, body }, &file.0);
    folder.write(&Resource::IdfFile { device, file }, bytes);
    *file
}

#[test]
fn own_file_of_a_device_is_found_through_its_link_and_served_whole() {
    let folder = Folder::new();
    let mut release = Release::new();
    release.publish(&folder);
    let whole = noise(70_001);
    let digest = own_file(&folder, &release, &whole);
    let site = folder.serve();
    let path = format!("/idf/{DEVICE}/{digest}.bin");
    for method in ["GET", "HEAD"] {
        let response = site.send(method, &latest(), &["Host: ota.example.com"]);
        let expected = format!("https://ota.example.com{path}");
        assert_eq!(response.status, 302);
        assert_eq!(response.header("location"), Some(expected.as_str()));
        assert!("Location: \r\n".len() + expected.len() < 512);
    }
    let response = site.get(&path, &["Accept-Encoding: gzip"]);
    assert_eq!((response.status, response.length()), (200, whole.len()));
    assert!(response.body == whole);
    assert_eq!(
        response.header("cache-control"),
        Some("public, max-age=31536000, immutable")
    );
    assert_eq!(
        response.header("etag"),
        Some(format!("\"{digest}\"").as_str())
    );
    let head = site.send("HEAD", &path, &[]);
    assert_eq!((head.status, head.length()), (200, whole.len()));
    let total = whole.len();
    for (range, part) in [
        ("0-".to_owned(), 0..total),
        ("0-1023".to_owned(), 0..1024),
        ("511-512".to_owned(), 511..513),
        ("4096-8191".to_owned(), 4096..8192),
        (format!("65536-{}", total + 9999), 65_536..total),
        (format!("{}-", total - 1), total - 1..total),
    ] {
        let response = site.get(&path, &[&format!("Range: bytes={range}")]);
        assert_eq!(response.status, 206, "{range}");
        let expected = format!("bytes {}-{}/{total}", part.start, part.end - 1);
        assert_eq!(response.header("content-range"), Some(expected.as_str()));
        assert!(response.body == whole[part], "{range}");
    }
    for range in ["bytes=0-1,4-5", "bytes=5-2", &format!("bytes={total}-")] {
        let response = site.get(&path, &[&format!("Range: {range}")]);
        assert_eq!(response.status, 416, "{range}");
    }
    assert_eq!(site.send("POST", &path, &[]).status, 405);
    let other = DeviceId([0xD2; 32]);
    let elsewhere = site.get(&format!("/idf/{other}/{digest}.bin"), &[]);
    assert_eq!(elsewhere.status, 404, "another device has no such file");
}

#[test]
fn own_file_follows_holds_states_cohorts_and_damage_as_headers_do() {
    let status = |change: &dyn Fn(&mut Release), damage: &dyn Fn(&Folder, &Release, Digest)| {
        let folder = Folder::new();
        let mut release = Release::new();
        change(&mut release);
        release.publish(&folder);
        let digest = own_file(&folder, &release, &noise(5000));
        damage(&folder, &release, digest);
        folder.serve().get(&latest(), &["Host: a.example"]).status
    };
    let nothing = |_: &Folder, _: &Release, _: Digest| {};
    assert_eq!(status(&|_| {}, &nothing), 302);
    let held = |all: &mut Release| all.releases.offers[0].state = OfferState::Held;
    assert_eq!(status(&held, &nothing), 404);
    let nobody = |all: &mut Release| all.releases.offers[0].ppm = Ppm::new(0).unwrap();
    assert_eq!(status(&nobody, &nothing), 404);
    let over = |all: &mut Release| all.manifest.expires = 1;
    assert_eq!(status(&over, &nothing), 404);
    let device = &DEVICE;
    assert_eq!(
        status(&|_| {}, &|folder, _, file| {
            let file = &file;
            fs::remove_file(folder.file(&Resource::IdfFile { device, file })).unwrap();
        }),
        404,
        "the link names nothing"
    );
    for length in [0, 31] {
        assert_eq!(
            status(&|_| {}, &|folder, release, file| {
                let body = &release.digest();
                folder.write(&Resource::IdfLink { device, body }, &file.0[..length]);
            }),
            404,
            "a link of {length} bytes"
        );
    }
    assert_eq!(
        status(&|_| {}, &|folder, _, _| {
            fs::remove_file(folder.file(&Resource::IdfSubscription(device))).unwrap();
        }),
        404,
        "revoked"
    );
}

#[test]
fn own_file_too_short_for_esp_https_ota_is_not_served() {
    for (length, status) in [(1024, 200), (1023, 500), (0, 500)] {
        let folder = Folder::new();
        let mut release = Release::new();
        release.publish(&folder);
        let digest = own_file(&folder, &release, &noise(length));
        let path = format!("/idf/{DEVICE}/{digest}.bin");
        assert_eq!(folder.serve().get(&path, &[]).status, status, "{length}");
    }
}
