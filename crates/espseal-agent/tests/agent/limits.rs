//! Endless, overlong and short answers: cut off, and named.

use espseal_agent::error::{AgentError, Document, ServerError};
use espseal_format::repository::Resource;

use crate::metadata::denial;
use crate::support::{Delivery, World, app};

fn path_of(world: &World, part: &str) -> String {
    let mut paths = world
        .maker
        .repository
        .files
        .keys()
        .filter(|path| path.contains(part));
    let path = paths.next().unwrap().clone();
    assert!(paths.next().is_none(), "several files like {part}");
    path
}

/// The path of the `releases` on offer; older ones stay in the repository.
fn releases_path(world: &World) -> String {
    Resource::Releases(&world.maker.now.releases)
        .path()
        .as_str()
        .into()
}

#[test]
fn endless_documents_are_cut_off_at_their_limit() {
    let cases = [
        ("now.cose", Document::Now, 1024),
        ("releases", Document::Releases, 2048),
        ("manifests/", Document::Manifest, 2048),
        (".shard", Document::Shard, 65_536),
        (".kw", Document::Wrap, 40),
        (".pages", Document::Page { page: 0 }, 6 * 32),
    ];
    for (part, document, limit) in cases {
        let mut world = World::new();
        let path = match part {
            "releases" => releases_path(&world),
            _ => path_of(&world, part),
        };
        world.maker.repository.endless = Some(path);
        let refused = match denial(&mut world) {
            // What an endless server sends is not what it says it is, either.
            AgentError::Body(_) => continue,
            other => other,
        };
        assert_eq!(
            refused,
            ServerError::TooLong { document, limit }.into(),
            "{part}"
        );
    }
}

#[test]
fn endless_root_is_cut_off() {
    let mut world = World::without_offer(Delivery::Ota0Valid);
    world.maker.root.version = 2;
    world.maker.publish_root();
    world.maker.now.root_version = 2;
    world.maker.publish();
    world.maker.repository.endless = Some("root/2.cose".into());
    let document = Document::Root { version: 2 };
    assert_eq!(
        denial(&mut world),
        ServerError::TooLong {
            document,
            limit: 2048
        }
        .into()
    );
}

#[test]
fn one_byte_more_than_asked_for_is_an_error_that_names_the_file() {
    for (part, document, limit) in [
        (".kw", Document::Wrap, 40),
        (".pages", Document::Page { page: 0 }, 6 * 32),
        (".bin", Document::Body, 4096),
    ] {
        let mut world = World::new();
        world.maker.repository.overlong = Some(path_of(&world, part));
        assert_eq!(
            denial(&mut world),
            ServerError::TooLong { document, limit }.into(),
            "{part}"
        );
    }
}

#[test]
fn short_answers_are_an_error_that_names_the_file() {
    let mut world = World::new();
    world.maker.repository.file(".kw").truncate(39);
    let (document, expected, found) = (Document::Wrap, 40, 39);
    assert_eq!(
        denial(&mut world),
        ServerError::TooShort {
            document,
            expected,
            found
        }
        .into()
    );

    let mut world = World::new();
    let shard = world.maker.repository.file(".shard");
    shard.truncate(shard.len() - 1);
    let (document, expected, found) = (Document::Shard, 145, 144);
    assert_eq!(
        denial(&mut world),
        ServerError::TooShort {
            document,
            expected,
            found
        }
        .into()
    );
}

#[test]
fn shard_in_order_is_cut_off_at_its_limit_too() {
    let mut world = World::new();
    let entries = (0..452_u32).flat_map(|number| {
        let mut entry = [0; 145];
        entry[..4].copy_from_slice(&number.to_be_bytes());
        entry
    });
    *world.maker.repository.file(".shard") = entries.collect();
    let (document, limit) = (Document::Shard, 65_536);
    assert_eq!(
        denial(&mut world),
        ServerError::TooLong { document, limit }.into()
    );
}

#[test]
fn missing_files_are_named() {
    for (part, document) in [
        ("manifests/", Document::Manifest),
        (".shard", Document::Shard),
        (".kw", Document::Wrap),
        (".pages", Document::Page { page: 0 }),
        (".bin", Document::Body),
    ] {
        let mut world = World::with(Delivery::Ota0Valid, &app("2.0"));
        let path = path_of(&world, part);
        world.maker.repository.files.remove(&path);
        assert_eq!(
            denial(&mut world),
            ServerError::NotFound { document }.into()
        );
    }
}
