//! `espefuse` on virtual chips: its command lines, on the files of `espefuse --virt`.
//!
//! [`run`] takes one command line, several commands chained in it included, so that provisioning
//! scripts are rehearsed unchanged. Files and exit codes are espefuse's; messages are our own.
//!
//! Source: `espefuse --help` of 5.6.0 and its behaviour observed with `--virt`.

mod arguments;
mod data;
mod dump;
mod efuse_file;
mod error;
mod fields;
mod keys;
mod purposes;
mod session;
mod summary;
mod table;
mod value;

use std::ffi::OsString;
use std::io::{BufRead, Write};
use std::path::Path;

use arguments::{COMMANDS, Call, Effect, Request};
pub use error::{EspefuseError, NoKey};
use session::{Burnt, Force, Session, When};
use zeroize::Zeroizing;

/// Reads the keys that commands take in PEM format.
pub trait PemKeys {
    /// Digest of a secure boot v2 key, private or public, as burnt in eFuse; `path` is for messages.
    fn secure_boot_digest(&self, path: &Path, file: &[u8]) -> Option<[u8; 32]>;

    /// Private scalar of an ECDSA key, big-endian, as long as its curve asks for.
    fn ecdsa_scalar(&self, path: &Path, file: &[u8]) -> Option<Zeroizing<Vec<u8>>>;
}

/// No keys in PEM format: commands that take them fail.
#[derive(Clone, Copy, Debug)]
pub struct NoPemKeys;

impl PemKeys for NoPemKeys {
    fn secure_boot_digest(&self, _: &Path, _: &[u8]) -> Option<[u8; 32]> {
        None
    }

    fn ecdsa_scalar(&self, _: &Path, _: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        None
    }
}

/// Runs one command line of espefuse, without the program's name, on the eFuse file that it names.
///
/// `input` answers the question before a burn (the word `BURN`) unless `--do-not-confirm` is given.
/// `output` takes what espefuse prints on standard output. With several burning commands, all burns
/// happen at the end, or none.
///
/// # Errors
/// [`EspefuseError`]; [`EspefuseError::exit_code`] says what the program ends with.
pub fn run(
    arguments: &[OsString],
    input: &mut dyn BufRead,
    output: &mut dyn Write,
    keys: &dyn PemKeys,
) -> Result<(), EspefuseError> {
    let line = match arguments::parse(arguments)? {
        Call::Help(command) => return Ok(help(command, output)?),
        Call::Work(line) => line,
    };
    let burns = line
        .requests
        .iter()
        .filter(|request| request.command.effect == Effect::Burns)
        .count();
    let when = match burns {
        0 | 1 => When::AtOnce,
        _ => When::AtTheEnd,
    };
    let mut session = Session::open(&line, when, input, output, keys)?;
    let (mut later, mut force) = (Vec::new(), Force::No);
    for request in &line.requests {
        match request.command.effect {
            Effect::Reads if when == When::AtTheEnd => later.push(request),
            _ => perform(&mut session, request)?,
        }
        // Given with one command, it holds for the burn of all.
        if fields::force(request) == Force::Always {
            force = Force::Always;
        }
    }
    if when == When::AtTheEnd && session.burn(force)? == Burnt::Declined {
        return Ok(());
    }
    later
        .into_iter()
        .try_for_each(|request| perform(&mut session, request))
}

/// Does one command.
fn perform(session: &mut Session<'_>, request: &Request) -> Result<(), EspefuseError> {
    if request.has("--show-token") {
        return Err(EspefuseError::Token);
    }
    let no_words = |done: Result<(), EspefuseError>| match request.words.first() {
        Some(word) => Err(EspefuseError::UnknownCommand(
            word.to_string_lossy().into_owned(),
        )),
        None => done,
    };
    match request.command.name {
        "summary" => summary::summary(session, request),
        "dump" => no_words(Ok(())).and_then(|()| dump::dump(session, request)),
        "get-custom-mac" => no_words(Ok(())).and_then(|()| summary::get_custom_mac(session)),
        "adc-info" => no_words(Ok(())).and_then(|()| summary::adc_info(session)),
        "burn-efuse" => fields::burn_efuse(session, request),
        "burn-bit" => data::burn_bit(session, request),
        "burn-block-data" => data::burn_block_data(session, request),
        "burn-key" => keys::burn_key(session, request),
        "burn-key-digest" => keys::burn_key_digest(session, request),
        "read-protect-efuse" => fields::read_protect(session, request),
        "write-protect-efuse" => fields::write_protect(session, request),
        "burn-custom-mac" => fields::burn_custom_mac(session, request),
        "set-flash-voltage" => fields::set_flash_voltage(session, request),
        // The twin's silicon makes no coding errors.
        _ => no_words(Ok(writeln!(session.output, "No errors detected.")?)),
    }
}

/// Prints what there is.
fn help(command: Option<&str>, output: &mut dyn Write) -> std::io::Result<()> {
    if command.is_none() {
        writeln!(
            output,
            "espefuse on virtual chips\n\n\
             Usage: espefuse --chip CHIP --path-efuse-file FILE [--do-not-confirm] COMMAND... [COMMAND...]...\n\n\
             --port, --baud, --before, --after, --virt, --postpone and --debug are taken and change nothing.\n\
             Without --path-efuse-file (with --virt), the chip is blank and forgotten afterwards.\n"
        )?;
    }
    COMMANDS
        .iter()
        .filter(|known| command.is_none_or(|name| name == known.name))
        .try_for_each(|known| writeln!(output, "  {} {}", known.name, known.about))
}
