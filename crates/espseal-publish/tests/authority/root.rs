//! The chain of roots.

use std::fs;

use espseal_crypto::cose::{verify_sign1, verify_threshold};
use espseal_format::chip::ChipId;
use espseal_format::cose::{Role, Sign, Sign1};
use espseal_format::metadata::root::Root;
use espseal_format::repository::Resource;
use espseal_format::units::Position;
use espseal_publish::authority::AuthorityError;
use espseal_publish::metadata_signing::SigningError;
use espseal_publish::observer::Unwatched;
use espseal_publish::root_renewal::{RoleChange, RootRequest};

use crate::support::{Bench, TIME, app};

const C3: ChipId = ChipId::Esp32C3;

fn keys(bench: &Bench, numbers: &[u8]) -> RootRequest {
    let path = |number| bench.project().join(format!("keys/root-{number}.pem"));
    RootRequest {
        root_keys: numbers.iter().map(path).collect(),
        ..RootRequest::default()
    }
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
    // The failed attempt used up nothing: the same payload may be signed.
    bench
        .authority()
        .renew_root(&keys(&bench, &[2, 3]), TIME, &Unwatched)
        .unwrap();
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
