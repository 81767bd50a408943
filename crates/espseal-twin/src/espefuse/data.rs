//! `burn-bit` and `burn-block-data`.

use std::path::PathBuf;

use super::EspefuseError;
use super::arguments::Request;
use super::fields::{force, not_twice};
use super::session::{Session, read};
use super::value::decimal;
use crate::efuse::BLOCK_SIZE;

/// `burn-bit`.
pub(super) fn burn_bit(session: &mut Session<'_>, request: &Request) -> Result<(), EspefuseError> {
    let words = request.texts();
    let (Some(name), bits @ [_, ..]) = (words.first(), words.get(1..).unwrap_or_default()) else {
        return Err(EspefuseError::Words {
            command: request.command.name,
            expected: "a block and numbers of bits",
            found: words.len(),
        });
    };
    let block = block(session, name)?;
    let size = session.efuses.block_size(block)?;
    let mut bytes = [0; BLOCK_SIZE];
    for text in bits {
        let bit = decimal(text).ok_or_else(|| EspefuseError::NoNumber(text.clone()))?;
        let place = usize::try_from(bit).ok().filter(|bit| *bit < size * 8);
        match place.and_then(|bit| Some((bytes.get_mut(bit / 8)?, bit % 8))) {
            Some((byte, bit)) => *byte |= 1 << bit,
            None => {
                let block = session.block_name(block);
                let last = (size * 8).saturating_sub(1);
                return Err(EspefuseError::NoSuchBit { block, last, bit });
            }
        }
    }
    let force = force(request);
    session.save_block(block, bytes, force)?;
    session.commit(force).map(drop)
}

/// `burn-block-data`.
pub(super) fn burn_block_data(
    session: &mut Session<'_>,
    request: &Request,
) -> Result<(), EspefuseError> {
    let chunks = request.words.chunks_exact(2);
    if request.words.is_empty() || !chunks.remainder().is_empty() {
        return Err(EspefuseError::Words {
            command: request.command.name,
            expected: "pairs of block and file",
            found: request.words.len(),
        });
    }
    let offset = match request.value("--offset") {
        Some(text) => {
            let text = text.to_string_lossy().into_owned();
            let number = decimal(&text).ok_or_else(|| EspefuseError::NoNumber(text.clone()))?;
            usize::try_from(number).map_err(|_| EspefuseError::NoNumber(text))?
        }
        None => 0,
    };
    let mut names = Vec::new();
    let mut data = Vec::new();
    for chunk in chunks {
        let [name, path] = chunk else { continue };
        let name = name.to_string_lossy().into_owned();
        data.push((block(session, &name)?, read(&PathBuf::from(path))?));
        names.push(name);
    }
    not_twice(&names)?;
    if offset != 0 && data.len() > 1 {
        return Err(EspefuseError::OffsetOfSeveral(data.len()));
    }
    let force = force(request);
    for (block, bytes) in data {
        let size = session.efuses.block_size(block)?;
        let found = bytes.len();
        let end = offset.saturating_add(found);
        if end > size || (offset == 0 && found != size) || offset >= size {
            let block = session.block_name(block);
            return Err(EspefuseError::DataLength {
                block,
                size,
                offset,
                found,
            });
        }
        let mut bits = [0; BLOCK_SIZE];
        bits.iter_mut()
            .skip(offset)
            .zip(bytes.iter())
            .for_each(|(to, from)| *to = *from);
        session.save_block(block, bits, force)?;
    }
    session.commit(force).map(drop)
}

/// The number of a block by its names.
fn block(session: &Session<'_>, name: &str) -> Result<usize, EspefuseError> {
    let blocks = session.efuses.map().blocks;
    let found = blocks.iter().enumerate().position(|(number, block)| {
        name == block.name
            || name == format!("BLOCK{number}")
            || (number == 1 && name == "MAC_SPI_8M_0" && blocks.len() == 11)
    });
    found.ok_or_else(|| EspefuseError::Choice {
        what: "block",
        value: name.into(),
        expected: blocks.iter().map(|block| block.name).collect(),
    })
}
