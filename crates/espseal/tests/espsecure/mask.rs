//! Signature sectors without what is random in them.

use espseal_format::signature_block::{BLOCK_LEN, SignatureBlock, SignatureSector};

/// Returns a signed file with the signatures and CRCs of its blocks blanked.
pub(crate) fn without_signatures(file: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    let start = file.len() - 4096;
    let sector: [u8; 4096] = file[start..].try_into().unwrap();
    for (number, block) in SignatureSector::parse(&sector).blocks() {
        let signature = match block {
            SignatureBlock::Rsa(_) => 812..1196,
            SignatureBlock::EcdsaP384(_) => 149..245,
            _ => 101..165,
        };
        let place = start + number * BLOCK_LEN;
        file[place..][signature].fill(0);
        file[place..][1196..1200].fill(0);
    }
    file
}
