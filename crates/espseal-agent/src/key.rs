//! From the device's key to the body's: shard, epoch key, key wrap, content key.
//!
//! Neither shard nor wrap is signed: what makes their content trustworthy are the two commitments,
//! one in `releases`, one in the manifest. Nothing in flash is touched before both have held.

use espseal_crypto::content::{self, ContentKey, Iv};
use espseal_crypto::epoch::EpochKey;
use espseal_format::metadata::releases::Epoch;
use espseal_format::repository::Resource;
use espseal_format::units::ChunkIndex;
use espseal_format::wrap::{BodyWrap, ShardEntry, ShardError, ShardFinder, ShardPrefix};

use crate::agent::Agent;
use crate::crypto::Crypto;
use crate::device_key::DeviceKey;
use crate::error::{AgentError, BodyError, Document, ServerError};
use crate::fetch;
use crate::flash::Flash;
use crate::medium::SECTOR;
use crate::metadata::VerifiedManifest;
use crate::observer::{Event, Observer};
use crate::platform::Platform;
use crate::transport::Transport;

/// The opened content key of a verified manifest's body; the only way to decrypt a chunk.
pub(crate) struct OpenedBody<Y>(Y);

impl<Y> OpenedBody<Y> {
    /// Decrypts or encrypts chunk `index` in place: in counter mode the two are the same.
    pub(crate) fn apply<C: Crypto<Keystream = Y>>(
        &self,
        crypto: &mut C,
        index: ChunkIndex,
        chunk: &mut [u8],
    ) {
        crypto.apply(&self.0, index.get().saturating_mul(SECTOR), chunk);
    }
}

impl<F, T, K, P, O, C> Agent<'_, F, T, K, P, O, C>
where
    F: Flash,
    T: Transport,
    K: DeviceKey,
    P: Platform,
    O: Observer,
    C: Crypto,
{
    /// Fetches, opens and checks everything that leads to the body's content key.
    #[inline(never)]
    pub(crate) fn open_body(
        &mut self,
        manifest: &VerifiedManifest<'_>,
        epoch: &Epoch,
    ) -> Result<OpenedBody<C::Keystream>, AgentError> {
        let epoch_key = self.epoch_key(epoch)?;
        let content_key = self.content_key(manifest, epoch, &epoch_key)?;
        self.medium.event(&Event::KeyCommitted);
        let iv = Iv(manifest.component().iv);
        Ok(OpenedBody(self.crypto.keystream(&content_key, &iv)))
    }

    #[inline(never)]
    fn epoch_key(&mut self, epoch: &Epoch) -> Result<EpochKey, AgentError> {
        let product = &self.config.product;
        let entry = self.shard_entry(epoch)?;
        let key = self
            .key
            .open_epoch_key(product, epoch.group, epoch.epoch, &entry)
            .map_err(|_| BodyError::ShardEntry)?;
        key.verify_commitment(&epoch.commitment, product, epoch.group, epoch.epoch)
            .map_err(|_| BodyError::EpochCommitment)?;
        Ok(key)
    }

    /// Streams the shard through the sector buffer, looking for this device's entry.
    #[inline(never)]
    fn shard_entry(&mut self, epoch: &Epoch) -> Result<ShardEntry, AgentError> {
        let device = self.key.device_id();
        let Epoch {
            group,
            epoch,
            shard_nibbles,
            ..
        } = *epoch;
        let prefix = ShardPrefix::of(&device, shard_nibbles);
        let resource = Resource::EpochShard {
            group,
            epoch,
            prefix,
        };
        fetch::open(&mut self.transport, resource, None, Document::Shard)?;
        let mut finder = ShardFinder::new(device);
        loop {
            let buffer = &mut self.workspace.sector;
            let read = fetch::fill(&mut self.transport, Document::Shard, buffer)?;
            if read == 0 {
                break;
            }
            finder
                .push(buffer.get(..read).unwrap_or_default())
                .map_err(refused)?;
        }
        let entry = finder.finish().map_err(refused)?;
        Ok(entry.ok_or(BodyError::NotARecipient { group, epoch })?)
    }

    #[inline(never)]
    fn content_key(
        &mut self,
        manifest: &VerifiedManifest<'_>,
        epoch: &Epoch,
        epoch_key: &EpochKey,
    ) -> Result<ContentKey, AgentError> {
        let component = manifest.component();
        let body = &component.body;
        let resource = Resource::BodyWrap {
            body,
            group: epoch.group,
            epoch: epoch.epoch,
        };
        let mut wrap = [0; BodyWrap::LEN];
        fetch::open(&mut self.transport, resource, None, Document::Wrap)?;
        fetch::exact(&mut self.transport, Document::Wrap, &mut wrap)?;
        fetch::end(
            &mut self.transport,
            Document::Wrap,
            fetch::bytes(wrap.len()),
        )?;
        let kek = epoch_key.kek(&self.config.product, epoch.group, epoch.epoch, body);
        let key = kek
            .unwrap_key(&BodyWrap(wrap))
            .map_err(|_| BodyError::Wrap)?;
        content::verify_commitment(&component.commitment, body, &key)
            .map_err(|_| BodyError::KeyCommitment)?;
        Ok(key)
    }
}

/// Says who is to blame for a shard that breaks its format.
fn refused(error: ShardError) -> AgentError {
    let document = Document::Shard;
    match error {
        ShardError::TooLong { limit, .. } => ServerError::TooLong {
            document,
            limit: fetch::bytes(limit),
        }
        .into(),
        ShardError::Truncated { expected, found } => ServerError::TooShort {
            document,
            expected: fetch::bytes(expected),
            found: fetch::bytes(found),
        }
        .into(),
        _ => BodyError::ShardFormat.into(),
    }
}
