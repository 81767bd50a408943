//! The command line: options of the program, then commands with their own options and words.
//!
//! Commands follow one another without a separator; a command's name ends the words of the one
//! before. Options stand before or after the words.

use std::ffi::OsString;
use std::path::PathBuf;

use espseal_format::chip::{self, ChipId};

use super::EspefuseError;

/// A parsed command line.
#[derive(Debug)]
pub(super) struct CommandLine {
    pub(super) chip: ChipId,
    pub(super) file: Option<PathBuf>,
    pub(super) confirm: Confirm,
    pub(super) requests: Vec<Request>,
}

/// What was asked for.
#[derive(Debug)]
pub(super) enum Call {
    /// Help, for the program or a command.
    Help(Option<&'static str>),
    /// Work.
    Work(CommandLine),
}

/// Whether to ask before a burn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Confirm {
    Ask,
    Never,
}

/// One command with its options and words.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) command: &'static Command,
    options: Vec<(&'static str, OsString)>,
    pub(super) words: Vec<OsString>,
    /// Whether no command follows.
    pub(super) is_last: bool,
    /// Whether options stand before the words.
    leading: bool,
    /// Whether a flag before the words is followed by another option.
    tangled: bool,
}

impl Request {
    /// Whether a flag is given.
    pub(super) fn has(&self, option: &str) -> bool {
        self.options.iter().any(|(name, _)| *name == option)
    }

    /// The value of an option, the last one given.
    pub(super) fn value(&self, option: &str) -> Option<&OsString> {
        let found = self.options.iter().rev().find(|(name, _)| *name == option);
        found.map(|(_, value)| value)
    }

    /// The words as text.
    pub(super) fn texts(&self) -> Vec<String> {
        self.words
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect()
    }
}

/// What a command does to a chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Burns,
    Reads,
}

/// A command of espefuse.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) name: &'static str,
    pub(super) effect: Effect,
    /// What it does and takes, for help.
    pub(super) about: &'static str,
    options: &'static [Switch],
}

/// An option: its name, its short name, and whether a value follows.
#[derive(Debug)]
struct Switch {
    name: &'static str,
    short: &'static str,
    valued: bool,
}

const fn flag(name: &'static str) -> Switch {
    Switch {
        name,
        short: "",
        valued: false,
    }
}

const fn valued(name: &'static str, short: &'static str) -> Switch {
    Switch {
        name,
        short,
        valued: true,
    }
}

const FORCE: Switch = flag("--force-write-always");
const TOKEN: Switch = flag("--show-token");
const KEY_OPTIONS: &[Switch] = &[
    flag("--no-read-protect"),
    flag("--no-write-protect"),
    flag("--no-protect-key"),
    FORCE,
    flag("--show-sensitive-info"),
    TOKEN,
];

const fn command(
    name: &'static str,
    effect: Effect,
    about: &'static str,
    options: &'static [Switch],
) -> Command {
    Command {
        name,
        effect,
        about,
        options,
    }
}

/// The commands.
pub(super) static COMMANDS: [Command; 14] = [
    command(
        "summary",
        Effect::Reads,
        "[--format summary|json|value_only] [--active] [--file FILE] [EFUSE]...: show the fields",
        &[
            valued("--format", ""),
            flag("--active"),
            valued("--file", ""),
        ],
    ),
    command(
        "dump",
        Effect::Reads,
        "[--format default|split|joint] [--file-name FILE]: show the blocks",
        &[valued("--format", ""), valued("--file-name", "")],
    ),
    command("get-custom-mac", Effect::Reads, "show the custom MAC", &[]),
    command("adc-info", Effect::Reads, "show the ADC calibration", &[]),
    command(
        "check-error",
        Effect::Reads,
        "[--recovery]: look for coding errors",
        &[flag("--recovery")],
    ),
    command(
        "burn-efuse",
        Effect::Burns,
        "[--force] EFUSE VALUE...: burn fields",
        &[flag("--force"), TOKEN],
    ),
    command(
        "burn-bit",
        Effect::Burns,
        "[--force-write-always] BLOCK BIT...: burn bits",
        &[FORCE, TOKEN],
    ),
    command(
        "burn-block-data",
        Effect::Burns,
        "[--offset N] [--force-write-always] BLOCK FILE...: burn data",
        &[valued("--offset", "-o"), FORCE, TOKEN],
    ),
    command(
        "burn-key",
        Effect::Burns,
        "[--no-read-protect] [--no-write-protect] [--force-write-always] BLOCK FILE PURPOSE...: burn keys \
         (ESP32: [--no-protect-key] BLOCK FILE...)",
        KEY_OPTIONS,
    ),
    command(
        "burn-key-digest",
        Effect::Burns,
        "[options of burn-key] BLOCK PEM PURPOSE...: burn digests of secure boot keys (ESP32 and ESP32-C2: PEM)",
        KEY_OPTIONS,
    ),
    command(
        "read-protect-efuse",
        Effect::Burns,
        "EFUSE...: hide from software",
        &[TOKEN],
    ),
    command(
        "write-protect-efuse",
        Effect::Burns,
        "EFUSE...: lock against burning",
        &[TOKEN],
    ),
    command(
        "burn-custom-mac",
        Effect::Burns,
        "[--force-write-always] MAC: burn a custom MAC",
        &[FORCE, TOKEN],
    ),
    command(
        "set-flash-voltage",
        Effect::Burns,
        "1.8V|3.3V|OFF: settle the flash regulator (ESP32, S2, S3)",
        &[TOKEN],
    ),
];

/// Options of the program.
static GLOBALS: [Switch; 13] = [
    valued("--chip", "-c"),
    valued("--baud", "-b"),
    valued("--port", "-p"),
    valued("--before", ""),
    valued("--after", "-a"),
    flag("--virt"),
    valued("--token", ""),
    valued("--path-efuse-file", ""),
    flag("--do-not-confirm"),
    flag("--postpone"),
    flag("--no-postpone"),
    valued("--extend-efuse-table", ""),
    Switch {
        name: "--debug",
        short: "-d",
        valued: false,
    },
];

/// Reads a command line.
pub(super) fn parse(arguments: &[OsString]) -> Result<Call, EspefuseError> {
    let mut words = arguments.iter().cloned().peekable();
    let mut globals = Vec::new();
    while let Some(word) = words.next_if(is_option) {
        if is_help(&word) {
            return Ok(Call::Help(None));
        }
        globals.push(option(&GLOBALS, &word, &mut words)?);
    }
    let chip = chip(&globals)?;
    let mut requests: Vec<Request> = Vec::new();
    while let Some(word) = words.next() {
        if let Some(command) = named(chip, &word) {
            if let Some(before) = requests.last_mut() {
                before.is_last = false;
            }
            requests.push(Request {
                command,
                options: Vec::new(),
                words: Vec::new(),
                is_last: true,
                leading: false,
                tangled: false,
            });
            continue;
        }
        // The name of a command that other chips have is no word either.
        let elsewhere = named(ChipId::Esp32, &word).is_some();
        let Some(request) = requests.last_mut().filter(|_| !elsewhere) else {
            return Err(EspefuseError::UnknownCommand(text(&word)));
        };
        if is_help(&word) {
            return Ok(Call::Help(Some(request.command.name)));
        }
        if !is_option(&word) {
            request.words.push(word);
            continue;
        }
        let before_words = request.words.is_empty();
        let given = option(request.command.options, &word, &mut words)?;
        let is_flag = given.1.is_empty();
        request.options.push(given);
        request.leading |= before_words;
        request.tangled |= before_words && is_flag && words.peek().is_some_and(is_option);
    }
    for request in &requests {
        // Only what burns has words that must be there.
        let burns = request.command.effect == Effect::Burns && !request.words.is_empty();
        if burns && (request.tangled || (request.leading && !request.is_last)) {
            return Err(EspefuseError::Tangled(request.command.name));
        }
    }
    let value = |name| {
        let mut given = globals.iter().rev();
        given
            .find(|(option, _)| *option == name)
            .map(|(_, value)| value.clone())
    };
    check_connection(&globals)?;
    if requests.is_empty() {
        return Err(EspefuseError::NoCommand);
    }
    Ok(Call::Work(CommandLine {
        chip,
        file: value("--path-efuse-file").map(PathBuf::from),
        confirm: match value("--do-not-confirm") {
            Some(_) => Confirm::Never,
            None => Confirm::Ask,
        },
        requests,
    }))
}

/// Options of a serial port are checked as espefuse checks them, and do nothing.
fn check_connection(globals: &[(&'static str, OsString)]) -> Result<(), EspefuseError> {
    let choices: [(&str, &'static str, &[&'static str]); 2] = [
        (
            "--before",
            "reset",
            &["default-reset", "no-reset", "no-reset-no-sync", "usb-reset"],
        ),
        (
            "--after",
            "reset",
            &["hard-reset", "soft-reset", "no-reset", "watchdog-reset"],
        ),
    ];
    for (name, value) in globals {
        let given = text(value);
        for (option, what, expected) in choices {
            let spelt = given.replace('_', "-");
            if *name == option && !expected.contains(&spelt.as_str()) {
                return Err(EspefuseError::Choice {
                    what,
                    value: given,
                    expected: expected.to_vec(),
                });
            }
        }
        match *name {
            "--baud" if super::value::integer(&given).is_none() => {
                return Err(EspefuseError::NoNumber(given));
            }
            "--extend-efuse-table" => return Err(EspefuseError::CustomTable),
            "--token" => return Err(EspefuseError::Token),
            _ => {}
        }
    }
    let given = |name| globals.iter().any(|(option, _)| *option == name);
    match given("--virt") || given("--path-efuse-file") {
        true => Ok(()),
        false => Err(EspefuseError::NotVirtual),
    }
}

/// The chip asked for; espefuse takes an ESP32 when none is named.
fn chip(globals: &[(&'static str, OsString)]) -> Result<ChipId, EspefuseError> {
    let mut chips = globals.iter().rev().filter(|(name, _)| *name == "--chip");
    let Some((_, given)) = chips.next() else {
        return Ok(ChipId::Esp32);
    };
    let name = text(given).to_lowercase().replace(['-', '_'], "");
    match name.as_str() {
        "auto" => Ok(ChipId::Esp32),
        name => name
            .parse()
            .ok()
            .filter(|id| chip::chip(*id).is_some_and(|chip| !super::table::rows(chip).is_empty()))
            .ok_or_else(|| EspefuseError::UnknownChip(text(given))),
    }
}

/// The command of this name that the chip has.
fn named(chip: ChipId, word: &OsString) -> Option<&'static Command> {
    let name = text(word).replace('_', "-");
    let regulated = matches!(chip, ChipId::Esp32 | ChipId::Esp32S2 | ChipId::Esp32S3);
    COMMANDS
        .iter()
        .find(|command| command.name == name)
        .filter(|command| regulated || command.name != "set-flash-voltage")
}

/// Reads an option and its value.
fn option(
    known: &'static [Switch],
    word: &OsString,
    rest: &mut impl Iterator<Item = OsString>,
) -> Result<(&'static str, OsString), EspefuseError> {
    let given = text(word);
    let (name, inline) = match given.split_once('=') {
        Some((name, value)) if name.starts_with("--") => (name, Some(OsString::from(value))),
        _ => (given.as_str(), None),
    };
    let found = known
        .iter()
        .find(|known| known.name == name || (!known.short.is_empty() && known.short == name))
        .ok_or_else(|| EspefuseError::UnknownOption(given.clone()))?;
    let problem = |problem| EspefuseError::OptionValue {
        option: found.name.into(),
        problem,
    };
    match (found.valued, inline) {
        (false, None) => Ok((found.name, OsString::new())),
        (false, Some(_)) => Err(problem("takes no value")),
        (true, Some(value)) => Ok((found.name, value)),
        (true, None) => match rest.next() {
            Some(value) => Ok((found.name, value)),
            None => Err(problem("needs a value")),
        },
    }
}

fn is_option(word: &OsString) -> bool {
    let word = text(word);
    word.len() > 1 && word.starts_with('-')
}

fn is_help(word: &OsString) -> bool {
    word == "-h" || word == "--help"
}

fn text(word: &OsString) -> String {
    word.to_string_lossy().into_owned()
}
