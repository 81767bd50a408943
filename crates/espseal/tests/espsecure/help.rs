//! Every command and flag that espsecure's own `--help` names, in every spelling, is known to espseal.

use std::process::Command;

use oracles::Session;

use crate::bench::{Bench, espseal};

/// What a program prints for `--help`, in lines that are wide enough.
fn help(command: &mut Command, words: &[&str]) -> String {
    oracles::run(command.args(words).arg("--help").env("COLUMNS", "400"))
}

fn their_help(words: &[&str]) -> String {
    help(&mut oracles::tool("espsecure"), words)
}

fn our_help(words: &[&str]) -> String {
    let mut program = Command::new(env!("CARGO_BIN_EXE_espseal"));
    help(program.arg("espsecure"), words)
}

/// Names at the start of a box's lines. A name that is too long for its column ends in an ellipsis.
fn their_commands() -> Vec<String> {
    let text = their_help(&[]);
    let lines = text.lines().skip_while(|line| !line.contains("─ Commands"));
    let names = lines.filter_map(|line| line.strip_prefix("│ ")?.split_whitespace().next());
    // What a description is continued with stands further to the right.
    let is_name = |name: &&str| text.contains(&format!("│ {name} "));
    names.filter(is_name).map(Into::into).collect()
}

/// Flags of a command: the long name, and the short one if there is one.
fn their_flags(command: &str) -> Vec<(String, Option<String>)> {
    let text = their_help(&[command]);
    let lines = text.lines().filter_map(|line| {
        let line = line.strip_prefix("│ ")?;
        let line = line
            .strip_prefix("*  ")
            .or(line.strip_prefix("   "))
            .unwrap_or(line);
        line.starts_with("--").then(|| line.split_whitespace())
    });
    lines
        .map(|mut words| {
            let long = words.next().unwrap().to_owned();
            let short = words
                .next()
                .filter(|word| word.len() == 2 && word.starts_with('-'));
            (long, short.map(Into::into))
        })
        .collect()
}

#[test]
fn every_command_and_flag_of_espsecures_help_is_known_in_every_spelling() {
    let bench = Bench::new();
    let mut espsecure = Session::open("espsecure");
    let ours: Vec<String> = our_help(&[])
        .lines()
        .skip_while(|line| !line.starts_with("Commands"))
        .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next())
        .map(Into::into)
        .collect();
    let commands = their_commands();
    assert_eq!(commands.len(), 14, "{commands:?}");
    let (mut flags, mut spellings) = (0, 0);
    for name in &commands {
        let stem = name.trim_end_matches('…');
        let found: Vec<_> = ours.iter().filter(|ours| ours.starts_with(stem)).collect();
        let [command] = found[..] else {
            panic!("{name}: {found:?}");
        };
        let help = our_help(&[command]);
        for (long, short) in their_flags(command) {
            let definition = match &short {
                Some(short) => format!("{short}, {long}"),
                None => long.clone(),
            };
            let is_there = help.lines().any(|line| {
                let rest = line.trim_start().strip_prefix(&definition);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\n', '.']))
            });
            assert!(is_there, "{command}: {definition}\n{help}");
            flags += 1;
            let old = format!("--{}", long.trim_start_matches('-').replace('-', "_"));
            if old == long {
                continue;
            }
            // Neither is a whole call; the question is what is said of the flag.
            let theirs = espsecure.call(&bench.path("."), &[command, &old]).text();
            let words = [command.clone(), old.clone()];
            let ours = espseal(&bench.path("."), &words, &[]).text();
            assert_eq!(
                theirs.contains("No such option"),
                ours.contains("unexpected argument"),
                "{command} {old}\nespsecure: {theirs}\nespseal: {ours}"
            );
            spellings += 1;
        }
        let old = command.replace('-', "_");
        let theirs = espsecure.call(&bench.path("."), &[&old, "--help"]);
        let ours = espseal(&bench.path("."), &[old.clone(), "--help".into()], &[]);
        assert_eq!(theirs.accepted(), ours.accepted(), "{old}");
    }
    println!(
        "{} commands, {flags} flags, {spellings} spellings with underscores",
        commands.len()
    );
    assert!(flags > 60 && spellings > 12, "{flags} {spellings}");
}
