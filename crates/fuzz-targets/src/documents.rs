//! Documents in CBOR and COSE, shards and paths.
//!
//! All are canonical: bytes that parse are the one encoding of what they say.

use espseal_format::body::BodyLayout;
use espseal_format::cose::{Sign, Sign1};
use espseal_format::metadata::manifest::Manifest;
use espseal_format::metadata::now::Now;
use espseal_format::metadata::releases::Releases;
use espseal_format::metadata::root::Root;
use espseal_format::report::{DeviceRecord, IdfSubscription, Poll, Report};
use espseal_format::repository::Resource;
use espseal_format::units::{ChunkIndex, DeviceId, KeyId};
use espseal_format::wrap::{ShardEntry, ShardFinder, ShardPrefix, find_in_shard};

use crate::input::padded;

macro_rules! canonical {
    ($kind:ty, $data:expr) => {
        if let Ok(value) = <$kind>::parse($data) {
            let mut out = [0; 4096];
            let length = value
                .encode(&mut out)
                .expect("what was read can be written");
            assert_eq!(&out[..length], $data, "another encoding of {value:?}");
            Some(value)
        } else {
            None
        }
    };
}

pub(crate) fn cose(data: &[u8]) {
    let one = canonical!(Sign1<'_>, data);
    let several = canonical!(Sign<'_>, data);
    assert!(one.is_none() || several.is_none(), "it is both");
    if let Some(signed) = several {
        let ids = signed.signatures.windows(2);
        assert!(ids.into_iter().all(|pair| pair[0].kid < pair[1].kid));
    }
}

pub(crate) fn root(data: &[u8]) {
    let Some(root) = canonical!(Root, data) else {
        return;
    };
    for role in [&root.root, &root.releases, &root.now] {
        assert!(role.threshold > 0 && usize::from(role.threshold) <= role.keys.len());
        for (index, key) in role.keys.iter().enumerate() {
            assert!(!role.keys[..index].contains(key), "a key counts twice");
            assert!(role.key(KeyId::of(key)).is_some());
        }
    }
    let mut reused = Root::BLANK;
    assert!(reused.parse_into(data).is_ok() && reused == root);
}

pub(crate) fn releases(data: &[u8]) {
    let Some(releases) = canonical!(Releases, data) else {
        return;
    };
    for offer in &releases.offers {
        assert_eq!(releases.offer(&offer.channel, offer.chip), Some(offer));
    }
    for epoch in &releases.epochs {
        assert_eq!(releases.epoch(epoch.group), Some(epoch));
    }
    let mut reused = Releases::BLANK;
    assert!(reused.parse_into(data).is_ok() && reused == releases);
}

pub(crate) fn now(data: &[u8]) {
    let Some(now) = canonical!(Now, data) else {
        return;
    };
    let mut reused = Now::BLANK;
    assert!(reused.parse_into(data).is_ok() && reused == now);
}

pub(crate) fn manifest(data: &[u8]) {
    let Some(manifest) = canonical!(Manifest, data) else {
        return;
    };
    let layout: BodyLayout = manifest.component.layout();
    assert_eq!(layout.pages() as usize, manifest.component.pages.len());
    let last = ChunkIndex::new(layout.chunks() - 1);
    let range = layout.chunk_range(last).expect("the last chunk");
    assert_eq!(range.end, manifest.component.body_length);
    assert_eq!(layout.chunk_range(ChunkIndex::new(layout.chunks())), None);
}

pub(crate) fn report(data: &[u8]) {
    canonical!(Report, data);
    canonical!(Poll, data);
    canonical!(DeviceRecord, data);
    canonical!(IdfSubscription, data);
}

/// However it comes over the network, a shard says the same.
pub(crate) fn shard(data: &[u8]) {
    let wanted = DeviceId(padded(data, 0));
    for (shard, device) in [
        (data, wanted),
        (data.get(32..).unwrap_or_default(), wanted),
        (
            data,
            DeviceId(padded(data.get(ShardEntry::LEN..).unwrap_or_default(), 0)),
        ),
    ] {
        let whole = find_in_shard(shard, &device);
        let mut finder = ShardFinder::new(device);
        let pushed = shard.chunks(37).try_for_each(|piece| finder.push(piece));
        let streamed = pushed.and_then(|()| finder.finish());
        assert_eq!(whole.is_ok(), streamed.is_ok());
        let Ok(found) = whole else {
            continue;
        };
        assert_eq!(streamed, Ok(found));
        let (entries, rest) = shard.as_chunks::<{ ShardEntry::LEN }>();
        assert!(rest.is_empty());
        let there = entries
            .iter()
            .map(ShardEntry::parse)
            .find(|entry| entry.device == device);
        assert_eq!(found, there);
        for bytes in entries {
            assert_eq!(ShardEntry::parse(bytes).encode(), *bytes);
        }
    }
}

pub(crate) fn repository_path(data: &[u8]) {
    let Ok(path) = str::from_utf8(data) else {
        return;
    };
    if let Some(resource) = Resource::parse(path) {
        assert_eq!(resource.as_resource().path().as_str(), path);
        assert!(!path.contains("..") && !path.starts_with('/') && !path.contains("//"));
    }
    if let Some(prefix) = ShardPrefix::parse(path) {
        assert_eq!(prefix.name().as_str(), path);
    }
}
