//! The chain of roots.

use std::fs;

use espseal_crypto::cose::{verify_sign1, verify_threshold};
use espseal_format::chip::ChipId;
use espseal_format::cose::{Role, Sign, Sign1};
use espseal_format::metadata::root::Root;
use espseal_format::repository::Resource;
use espseal_format::units::Position;
use espseal_publish::authority::{Authority, AuthorityError};
use espseal_publish::metadata_signing::SigningError;
use espseal_publish::observer::{Observer, Stage, Unwatched};
use espseal_publish::release::{PublishRequest, RepositoryState};
use espseal_publish::rollout::NowRequest;
use espseal_publish::root_renewal::{RoleChange, RootRenewed, RootRequest};

use crate::support::{Bench, TIME, app, request};

const C3: ChipId = ChipId::Esp32C3;

fn keys(bench: &Bench, numbers: &[u8]) -> RootRequest {
    let path = |number| bench.project().join(format!("keys/root-{number}.pem"));
    RootRequest {
        root_keys: numbers.iter().map(path).collect(),
        ..RootRequest::default()
    }
}

fn replace_releases_key(bench: &Bench, time: u64) -> RootRenewed {
    let request = RootRequest {
        releases: RoleChange::Replace,
        ..keys(bench, &[1, 2])
    };
    let renewed = bench.authority().renew_root(&request, time, &Unwatched);
    renewed.unwrap()
}

#[test]
fn replaced_keys_start_a_new_generation_that_outranks_the_old_one() {
    let bench = Bench::new();
    bench.release(&app(C3));
    let (old_now, offer) = (bench.now(), bench.offer(C3));
    let request = RootRequest {
        releases: RoleChange::Replace,
        now: RoleChange::Replace,
        ..keys(&bench, &[1, 3])
    };
    bench
        .authority()
        .renew_root(&request, TIME + 1, &Unwatched)
        .unwrap();
    assert_eq!(
        bench.now().position,
        Position {
            generation: 2,
            version: 1
        }
    );
    assert!(bench.now().position > old_now.position);
    assert_eq!(bench.now().root_version, 2);
    assert_eq!(
        bench.releases().position,
        Position {
            generation: 2,
            version: 1
        }
    );
    assert_eq!(bench.offer(C3), offer);

    let [one, two] = [1, 2].map(|version| bench.stored(Resource::Root(version)).unwrap());
    let old = Root::parse(Sign::parse(&one).unwrap().payload).unwrap();
    let envelope = Sign::parse(&two).unwrap();
    let new = Root::parse(envelope.payload).unwrap();
    for role in [&old.root, &new.root] {
        verify_threshold(&envelope, &new.product, &role.keys, role.threshold).unwrap();
    }
    let now = bench.stored(Resource::Now).unwrap();
    let now = Sign1::parse(&now).unwrap();
    verify_sign1(&now, Role::Now, &new.product, &new.now.keys).unwrap();
    verify_sign1(&now, Role::Now, &new.product, &old.now.keys).unwrap_err();
    let next = bench.release_at(&app(C3), TIME + 2);
    assert_eq!(
        next.position,
        Position {
            generation: 2,
            version: 2
        }
    );
}

#[test]
fn root_below_its_threshold_is_not_signed() {
    let bench = Bench::new();
    let result = bench
        .authority()
        .renew_root(&keys(&bench, &[2]), TIME, &Unwatched);
    assert!(matches!(
        result,
        Err(AuthorityError::Signing(SigningError::Threshold {
            threshold: 2,
            ..
        }))
    ));
    let twice = bench
        .authority()
        .renew_root(&keys(&bench, &[2, 2]), TIME, &Unwatched);
    assert!(matches!(
        twice,
        Err(AuthorityError::Signing(SigningError::Threshold { .. }))
    ));
    assert!(!bench.project().join("roots/2.cose").exists());
    // Failed attempts used up nothing: another payload, since later, may have the version.
    let renewed = bench
        .authority()
        .renew_root(&keys(&bench, &[2, 3]), TIME + 3600, &Unwatched)
        .unwrap();
    assert_eq!(renewed.version, 2);
    let renewed = bench
        .authority()
        .renew_root(&keys(&bench, &[1, 2]), TIME + 7200, &Unwatched)
        .unwrap();
    assert_eq!(renewed.version, 3);
}

#[test]
fn root_that_was_kept_when_the_power_went_is_written_down_later_and_a_lost_one_is_named() {
    let bench = Bench::new();
    let log = bench.project().join("state/releases.log");
    let before = fs::read(&log).unwrap();
    let renew = |time| {
        let request = keys(&bench, &[1, 2]);
        bench.authority().renew_root(&request, time, &Unwatched)
    };
    renew(TIME).unwrap();
    let after = fs::read(&log).unwrap();
    assert!(after.len() > before.len());
    fs::write(&log, &before).unwrap();
    drop(bench.authority());
    assert_eq!(fs::read(&log).unwrap(), after);

    let root = bench.project().join("roots/2.cose");
    let bytes = fs::read(&root).unwrap();
    fs::remove_file(&root).unwrap();
    let lost = Authority::open(&bench.project(), &Unwatched).unwrap_err();
    assert!(
        matches!(
            lost,
            AuthorityError::RootMissing {
                found: 1,
                logged: 2
            }
        ),
        "{lost}"
    );
    fs::write(&root, bytes).unwrap();
    assert_eq!(renew(TIME + 1).unwrap().version, 3);
}

#[test]
fn new_keys_get_their_place_after_the_power_went_between_the_renames() {
    let bench = Bench::new();
    bench.release(&app(C3));
    replace_releases_key(&bench, TIME + 1);
    let in_keys = |name: &str| bench.project().join("keys").join(name);
    let new = fs::read(in_keys("releases.pem")).unwrap();
    // Before the first rename, and between the two.
    for old_is_there in [true, false] {
        fs::rename(in_keys("releases.pem"), in_keys("releases-next.pem")).unwrap();
        if old_is_there {
            let kept = in_keys("releases-until-root-1.pem");
            fs::rename(kept, in_keys("releases.pem")).unwrap();
        }
        bench.release_at(&app(C3), TIME + 2);
        assert_eq!(fs::read(in_keys("releases.pem")).unwrap(), new);
        assert!(!in_keys("releases-next.pem").exists());
        assert!(in_keys("releases-until-root-1.pem").exists());
    }
}

/// Puts a file in the way of the new root, once everything but it has been checked.
struct InTheWay(std::path::PathBuf);

impl Observer for InTheWay {
    fn begin(&self, _: Stage, _: u64) {}
    fn advance(&self, _: u64) {}

    fn is_interrupted(&self) -> bool {
        fs::write(&self.0, b"in the way").unwrap();
        false
    }
}

#[test]
fn now_after_a_renewal_that_stopped_half_way_names_releases_that_the_new_root_believes() {
    let bench = Bench::new();
    bench.release(&app(C3));
    let (offer, blocked) = (
        bench.offer(C3),
        bench.project().join("repository/root/2.cose"),
    );
    let request = RootRequest {
        releases: RoleChange::Replace,
        ..keys(&bench, &[1, 2])
    };
    let stopped = bench
        .authority()
        .renew_root(&request, TIME + 1, &InTheWay(blocked.clone()));
    assert!(
        matches!(stopped, Err(AuthorityError::Store(_))),
        "{stopped:?}"
    );
    assert!(bench.project().join("roots/2.cose").exists());
    fs::remove_file(blocked).unwrap();

    let hold = NowRequest {
        hold: vec!["production".into()],
        lift: Vec::new(),
    };
    let mut authority = bench.authority();
    authority.sign_now(&hold, TIME + 2, &Unwatched).unwrap();
    let (root, now) = (authority.root(), bench.now());
    let bytes = bench.stored(Resource::Releases(&now.releases)).unwrap();
    let signed = Sign1::parse(&bytes).unwrap();
    verify_sign1(&signed, Role::Releases, &root.product, &root.releases.keys).unwrap();
    assert_eq!((root.version, now.root_version), (2, 2));
    assert_eq!(bench.releases().position.generation, 2);
    assert_eq!(bench.offer(C3), offer);
    assert_eq!(now.holds.len(), 1);
}

#[test]
fn replaced_releases_key_says_what_has_to_be_published_anew() {
    let bench = Bench::new();
    bench.release(&app(C3));
    let path = bench.write("app.bin", &app(C3));
    let least = PublishRequest {
        min_seq: 1,
        ..request(&path)
    };
    bench.publish(&least).unwrap();
    let replace = |time| replace_releases_key(&bench, time).out_of_reach;
    assert_eq!(replace(TIME + 1), [bench.offer(C3)]);
    bench.release_at(&app(C3), TIME + 2);
    assert_eq!(replace(TIME + 3), []);
}

#[test]
fn first_release_of_a_new_generation_excludes_nobody() {
    let bench = Bench::new();
    let path = bench.write("app.bin", &app(C3));
    // Devices may leave the factory with a place of their own: the first generation has no earlier one.
    let least = PublishRequest {
        min_seq: 1,
        seq: Some(5),
        ..request(&path)
    };
    bench.publish(&least).unwrap();
    fs::remove_dir_all(bench.project().join("repository")).unwrap();
    fs::create_dir(bench.project().join("repository")).unwrap();
    let lost = PublishRequest {
        repository: RepositoryState::New,
        seq: None,
        ..least.clone()
    };
    bench.publish(&lost).unwrap();
    replace_releases_key(&bench, TIME);
    // Carried into the new generation: seq 6 has a place in it.
    bench
        .publish(&PublishRequest {
            seq: Some(9),
            ..least.clone()
        })
        .unwrap();
    // With nothing to carry, the first release is the first.
    let bench = Bench::new();
    bench.release(&app(C3));
    bench.configure("name = \"production\"", "name = \"other\"");
    replace_releases_key(&bench, TIME);
    let path = bench.write("app.bin", &app(C3));
    let error = bench.publish(&PublishRequest {
        app: path,
        channel: "other".into(),
        ..least
    });
    assert!(
        matches!(
            error,
            Err(AuthorityError::NewGeneration { generation: 2, .. })
        ),
        "{error:?}"
    );
}

#[test]
fn key_that_root_does_not_name_signs_nothing() {
    let bench = Bench::new();
    bench.release(&app(C3));
    let keys = bench.project().join("keys");
    fs::copy(keys.join("root-1.pem"), keys.join("now.pem")).unwrap();
    let before = bench.snapshot();
    let result = bench
        .authority()
        .sign_now(&Default::default(), TIME + 1, &Unwatched);
    assert!(matches!(
        result,
        Err(AuthorityError::Signing(SigningError::NotInRoot {
            role: Role::Now,
            ..
        }))
    ));
    assert_eq!(bench.snapshot(), before);
}

#[test]
fn root_that_its_predecessor_did_not_sign_is_not_believed() {
    let bench = Bench::new();
    let foreign = Bench::new();
    foreign
        .authority()
        .renew_root(&keys(&foreign, &[1, 2]), TIME, &Unwatched)
        .unwrap();
    fs::copy(
        foreign.project().join("roots/2.cose"),
        bench.project().join("roots/2.cose"),
    )
    .unwrap();
    let error = espseal_publish::authority::Authority::open(&bench.project(), &Unwatched);
    assert!(matches!(error, Err(AuthorityError::DamagedRoot { .. })));
}
