//! Engines of a chip in place of software: what goes through them, and that their word counts.

use espseal_agent::agent::{Agent, Parts, UpdateOutcome};
use espseal_agent::crypto::{
    Crypto, EcdsaP192, EcdsaP256, EcdsaP384, Rsa3072, Scheme, SoftwareCrypto, sha256_of,
};
use espseal_agent::error::{AgentError, BodyError};
use espseal_agent::platform::Slot;
use espseal_agent::workspace::Workspace;
use espseal_crypto::content::{BodyKeystream, ContentKey, Iv};
use espseal_format::read::ReadAt;
use espseal_format::sha256::Sha256;
use espseal_format::signature_block::{ImageDigests, SignatureBlock};
use espseal_format::units::{Digest, SECTOR_SIZE};

use crate::support::World;

/// Software that counts, and that can be told to refuse every signature.
#[derive(Default)]
struct Engine {
    software: SoftwareCrypto,
    hashes: u32,
    decrypted: usize,
    verified: u32,
    refuses: bool,
}

impl Crypto for Engine {
    type Sha256<'c> = Sha256;
    type ImageDigest = Digest;
    type Keystream = BodyKeystream;

    fn sha256(&mut self) -> Sha256 {
        self.hashes += 1;
        self.software.sha256()
    }

    fn image_digest<R: ReadAt>(
        &mut self,
        image: &mut R,
        length: u32,
        scratch: &mut [u8; SECTOR_SIZE],
    ) -> Result<Digest, R::Error> {
        sha256_of(image, length, self, scratch)
    }

    fn keystream(&mut self, key: &ContentKey, iv: &Iv) -> BodyKeystream {
        self.software.keystream(key, iv)
    }

    fn apply(&mut self, keystream: &BodyKeystream, byte_offset: u32, stretch: &mut [u8]) {
        self.decrypted += stretch.len();
        self.software.apply(keystream, byte_offset, stretch);
    }

    fn verify_block(&mut self, block: &SignatureBlock<'_>, image: &Digest) -> bool {
        self.verified += 1;
        !self.refuses && self.software.verify_block(block, image)
    }
}

fn update(world: &mut World, engine: &mut Engine) -> Result<UpdateOutcome, AgentError> {
    let mut workspace = Box::new(Workspace::new());
    let parts = Parts {
        flash: &mut world.flash,
        transport: &mut world.maker.repository,
        key: &mut world.device,
        platform: &mut world.chip,
        observer: &mut world.diary,
    };
    Agent::with_crypto(parts, engine, &world.config, &mut workspace)
        .unwrap()
        .update()
}

#[test]
fn every_chunk_and_the_signature_go_through_the_engine() {
    let mut world = World::new();
    let mut engine = Engine::default();
    let slot = Slot::Ota(1);
    assert_eq!(
        update(&mut world, &mut engine),
        Ok(UpdateOutcome::RestartToBoot { slot })
    );
    let chunks = world.new.len().div_ceil(4096);
    assert!(engine.decrypted >= world.new.len(), "{}", engine.decrypted);
    assert!(engine.hashes as usize > chunks, "{}", engine.hashes);
    assert_eq!(engine.verified, 1);
}

#[test]
fn image_whose_signature_the_engine_refuses_is_never_activated() {
    let mut world = World::new();
    let mut engine = Engine {
        refuses: true,
        ..Engine::default()
    };
    assert_eq!(
        update(&mut world, &mut engine),
        Err(BodyError::UnknownSigner.into())
    );
    assert_eq!(engine.verified, 1);
}

/// Blocks that espsecure made over one image, see `vectors/secure-boot/README.md`.
#[test]
fn each_scheme_verifies_its_own_blocks_alone() {
    let image: Vec<_> = (0..4096_usize)
        .map(|i| (7 * i + 3).to_le_bytes()[0])
        .collect();
    let (image, other) = (ImageDigests::of(&image), ImageDigests::of(b"other"));
    let lines = include_str!("../../../../vectors/secure-boot/ecdsa.txt");
    let mut seen = [0; 4];
    for line in lines.lines().filter(|line| !line.starts_with('#')) {
        let mut fields = line.split(' ');
        let curve = fields.next().unwrap();
        let block = hex::decode(fields.next().unwrap()).unwrap();
        let block = SignatureBlock::parse(block.as_slice().try_into().unwrap()).unwrap();
        let of_scheme = ["ecdsa192", "ecdsa256", "ecdsa384", "rsa"].map(|name| curve == name);
        let verified = |image: &ImageDigests| {
            [
                EcdsaP192::verify(&block, &image.sha256),
                EcdsaP256::verify(&block, &image.sha256),
                EcdsaP384::verify(&block, &image.sha384),
                Rsa3072::verify(&block, &image.sha256),
            ]
        };
        assert_eq!(verified(&image), of_scheme, "{curve}");
        assert_eq!(verified(&other), [false; 4], "{curve}");
        let counts = seen.iter_mut().zip(of_scheme);
        counts.for_each(|(seen, own)| *seen += u32::from(own));
    }
    assert!(seen[..3].iter().all(|seen| *seen > 0), "{seen:?}");
}
