//! What a release puts into the repository, and how an offer changes afterwards.

use std::fs;

use espseal_format::chip::ChipId;
use espseal_format::cohort::Ppm;
use espseal_format::metadata::releases::OfferState;
use espseal_format::repository::Resource;
use espseal_format::units::Digest;
use espseal_publish::authority::AuthorityError;
use espseal_publish::observer::Unwatched;
use espseal_publish::release::PublishRequest;
use espseal_publish::rollout::{NowRequest, RolloutRequest};

use crate::support::{App, Bench, TIME, app, request};

const C3: ChipId = ChipId::Esp32C3;

fn widen(ppm: Option<u32>, state: Option<OfferState>) -> RolloutRequest {
    RolloutRequest {
        channel: "production".into(),
        chip: None,
        ppm: ppm.and_then(Ppm::new),
        state,
    }
}

#[test]
fn now_tells_when_what_it_names_expires_and_names_nothing_that_has() {
    const DAY: u64 = 24 * 3600;
    let bench = Bench::new();
    bench.configure("manifest-days = 3650", "manifest-days = 300");
    bench.release(&app(C3));
    let expires = bench.releases().expires;
    assert_eq!(expires, TIME + 365 * DAY);
    let now = |time| {
        let mut authority = bench.authority();
        authority.sign_now(&NowRequest::default(), time, &Unwatched)
    };
    let early = now(TIME + 200 * DAY).unwrap();
    assert_eq!(
        (early.signed.releases_expire, early.expiring.len()),
        (expires, 0)
    );
    let late = now(TIME + 299 * DAY).unwrap();
    assert_eq!(late.expiring, [(bench.offer(C3), TIME + 300 * DAY)]);
    let before = bench.now();
    let error = now(expires).unwrap_err();
    assert!(
        matches!(error, AuthorityError::ReleasesExpired { expired } if expired == expires),
        "{error}"
    );
    assert_eq!(bench.now(), before);
    let change = widen(Some(1), None);
    let mut authority = bench.authority();
    let renewed = authority.roll_out(&change, expires, &Unwatched).unwrap();
    assert_eq!(renewed.signed.releases_expire, expires + 365 * DAY);
    assert_eq!(renewed.expiring.len(), 1);
}

#[test]
fn release_describes_the_image_and_chains_to_the_one_before() {
    let bench = Bench::new();
    let image = App {
        version: "2.3.4",
        secure_version: 5,
        length: 600_000,
        ..App::new(C3)
    }
    .signed();
    let first = bench.release(&image);
    assert_eq!(bench.releases().previous, None);
    let digest = bench.now().releases;
    let offer = bench.offer(C3);
    assert_eq!(
        (offer.seq, offer.ppm, offer.state),
        (1, Ppm::ALL, OfferState::Active)
    );
    let manifest = bench.manifest(&offer);
    assert_eq!(
        (manifest.version.as_str(), manifest.secure_version.get()),
        ("2.3.4", 5)
    );
    assert_eq!(manifest.component.plaintext, Digest::of(&image));
    let body = bench.stored(Resource::Body(&first.body)).unwrap();
    let pages = bench.stored(Resource::Pages(&first.body)).unwrap();
    assert_eq!(body.len(), image.len());
    assert_eq!(Digest::of(&body), manifest.component.body);
    assert_eq!(pages.len(), body.len().div_ceil(4096) * 32);
    for (index, chunk) in body.chunks(4096).enumerate() {
        assert_eq!(Digest::of(chunk).0, pages[32 * index..32 * (index + 1)]);
    }
    let page_digests: Vec<_> = pages.chunks(4096).map(Digest::of).collect();
    assert!(page_digests.len() > 1);
    assert_eq!(manifest.component.pages.as_slice(), page_digests.as_slice());
    let second = bench.release(&app(ChipId::Esp32));
    assert_eq!(second.position.version, 2);
    assert_eq!(bench.releases().previous, Some(digest));
    assert_eq!(bench.offer(C3), offer, "the other chip's offer stays");
}

#[test]
fn plaintext_and_private_keys_stay_out_of_the_repository() {
    let bench = Bench::new();
    bench.enrol_agent(C3, "production");
    let image = app(C3);
    bench.release(&image);
    let below = |folder: &str| -> Vec<_> {
        let folder = bench.project().join(folder);
        let files = bench.snapshot().into_keys();
        let files = files.filter(|path| path.starts_with(&folder));
        files.map(|path| (fs::read(&path).unwrap(), path)).collect()
    };
    let all = below("repository");
    assert!(all.len() >= 8);
    let mut windows: Vec<_> = below("keys/epochs")
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    assert_eq!(windows.len(), 1);
    let distinct = |window: &&[u8]| window.iter().any(|byte| *byte != window[0]);
    windows.extend(image.chunks(32).filter(distinct).map(<[u8]>::to_vec));
    for (bytes, path) in &all {
        for window in &windows {
            let found = bytes.windows(32).any(|part| part == window.as_slice());
            assert!(!found, "{}", path.display());
        }
    }
}

#[test]
fn every_release_gets_a_body_of_its_own_even_for_one_image() {
    let bench = Bench::new();
    let one = bench.release(&app(C3));
    let two = bench.release(&app(C3));
    assert_ne!(one.body, two.body);
    assert_ne!(one.manifest, two.manifest);
    assert_eq!((one.epoch, two.epoch), (1, 2));
}

#[test]
fn widening_keeps_release_seq_and_cohorts() {
    let bench = Bench::new();
    let path = bench.write("app.bin", &app(C3));
    let narrow = PublishRequest {
        ppm: Ppm::new(1000).unwrap(),
        state: OfferState::Held,
        ..request(&path)
    };
    bench.publish(&narrow).unwrap();
    let before = bench.offer(C3);
    assert_eq!((before.ppm.get(), before.state), (1000, OfferState::Held));
    let mut authority = bench.authority();
    let change = widen(Some(500_000), Some(OfferState::Active));
    authority.roll_out(&change, TIME + 1, &Unwatched).unwrap();
    let after = bench.offer(C3);
    assert_eq!(
        (after.ppm.get(), after.state),
        (500_000, OfferState::Active)
    );
    assert_eq!(
        (after.manifest, after.seq, after.salt),
        (before.manifest, before.seq, before.salt)
    );
    assert_eq!(bench.releases().position.version, 2);
}

#[test]
fn rollout_of_a_channel_that_offers_nothing_is_refused() {
    let bench = Bench::new();
    let mut authority = bench.authority();
    let nothing = authority.roll_out(&widen(Some(1), None), TIME, &Unwatched);
    assert!(matches!(nothing, Err(AuthorityError::NothingPublished)));
    drop(authority);
    bench.release(&app(C3));
    let mut authority = bench.authority();
    let beta = RolloutRequest {
        channel: "beta".into(),
        ..widen(Some(1), None)
    };
    let nothing = authority.roll_out(&beta, TIME, &Unwatched);
    assert!(matches!(nothing, Err(AuthorityError::NoOffer { .. })));
    let esp32 = RolloutRequest {
        chip: Some(ChipId::Esp32),
        ..widen(Some(1), None)
    };
    let nothing = authority.roll_out(&esp32, TIME, &Unwatched);
    assert!(matches!(nothing, Err(AuthorityError::NoOffer { .. })));
}

#[test]
fn hold_stays_in_every_later_now_until_it_is_lifted() {
    let bench = Bench::new();
    bench.release(&app(C3));
    let sign = |hold: &[&str], lift: &[&str], time| {
        let names = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        let request = NowRequest {
            hold: names(hold),
            lift: names(lift),
        };
        bench
            .authority()
            .sign_now(&request, time, &Unwatched)
            .unwrap();
        bench.now()
    };
    let releases = bench.now().releases;
    let held = sign(&["production"], &[], TIME + 1);
    assert_eq!(held.effective_ppm(&bench.offer(C3)), Ppm::NONE);
    let cron = sign(&[], &[], TIME + 2);
    assert_eq!(cron.effective_ppm(&bench.offer(C3)), Ppm::NONE);
    assert_eq!(cron.position.version, held.position.version + 1);
    assert_eq!(cron.expires, TIME + 2 + 72 * 3600);
    assert_eq!(cron.releases, releases, "only `now` changed");
    let lifted = sign(&[], &["production"], TIME + 3);
    assert_eq!(lifted.effective_ppm(&bench.offer(C3)), Ppm::ALL);
    let again = sign(&["production"], &[], TIME + 4);
    assert_eq!(again.holds.len(), 1);
    let mut authority = bench.authority();
    let path = bench.path("app.bin");
    authority
        .publish(
            &request(&path),
            TIME + 5,
            &crate::support::Trusting,
            &Unwatched,
        )
        .unwrap();
    assert!(
        bench.now().holds.is_empty(),
        "a new release is not held by an old hold"
    );
}

#[test]
fn cron_needs_no_key_but_that_of_now() {
    let bench = Bench::new();
    bench.release(&app(C3));
    let keys = bench.project().join("keys");
    for name in [
        "releases.pem",
        "root-1.pem",
        "root-2.pem",
        "root-3.pem",
        "secure-boot.pem",
    ] {
        fs::remove_file(keys.join(name)).unwrap();
    }
    fs::remove_dir_all(keys.join("epochs")).unwrap();
    bench
        .authority()
        .sign_now(&NowRequest::default(), TIME + 1, &Unwatched)
        .unwrap();
    assert_eq!(bench.now().position.version, 2);
}

#[test]
fn channel_taken_out_of_the_project_leaves_the_releases() {
    let bench = Bench::new();
    let path = bench.write("app.bin", &app(C3));
    let beta = PublishRequest {
        channel: "beta".into(),
        ..request(&path)
    };
    bench.publish(&beta).unwrap();
    bench.release(&app(C3));
    assert_eq!(bench.releases().offers.len(), 2);
    let text = fs::read_to_string(bench.project().join("espseal.toml")).unwrap();
    let without = text.split("\n[[channel]]\nname = \"beta\"").next().unwrap();
    fs::write(bench.project().join("espseal.toml"), without).unwrap();
    bench.release(&app(C3));
    assert_eq!(
        (bench.releases().offers.len(), bench.releases().epochs.len()),
        (1, 1)
    );
}
