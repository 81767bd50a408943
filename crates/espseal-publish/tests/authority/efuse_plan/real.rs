//! Every plan, run by the real espefuse on a virtual chip, ends in the file that the twin predicts.
//!
//! Plans that begin alike are one tree of commands; `driver.py` runs each of its nodes once.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use espseal_publish::efuse_plan::commands::Word;
use espseal_publish::efuse_plan::plan::{KeyName, KeyPart, Plan};
use espseal_twin::efuse::virt;
use serde_json::{Map, Value, json};

use super::wishes::{Planned, Silicon, digest, key_bytes, material, silicons};

/// Commands that follow on each other, and the file that the twin has after each.
#[derive(Default)]
struct Tree {
    nodes: Vec<Node>,
    roots: Vec<usize>,
}

struct Node {
    words: Vec<String>,
    predicted: Vec<u8>,
    children: Vec<usize>,
}

impl Tree {
    /// Adds a plan; returns how many steps it has.
    fn add(&mut self, planned: &Planned, files: &mut Map<String, Value>) -> usize {
        let plan = &planned.plan;
        let material = material(plan);
        let mut efuses = planned.present.efuses().clone();
        let mut above: Option<usize> = None;
        for step in &plan.steps {
            let words = plan.command(step).into_iter().map(|word| match word {
                Word::Text(text) => text,
                Word::File(key, part) => file(plan, key, part, files),
            });
            let words: Vec<_> = words.collect();
            plan.apply_next(&mut efuses, &material).unwrap();
            let siblings = match above {
                None => &self.roots,
                Some(above) => &self.nodes[above].children,
            };
            let mut known = siblings.iter().copied();
            let node = known.find(|node| self.nodes[*node].words == words);
            let predicted = virt::encode(&efuses);
            let node = node.unwrap_or_else(|| {
                let node = self.nodes.len();
                self.nodes.push(Node {
                    words,
                    predicted: predicted.clone(),
                    children: Vec::new(),
                });
                match above {
                    None => self.roots.push(node),
                    Some(above) => self.nodes[above].children.push(node),
                }
                node
            });
            assert!(
                self.nodes[node].predicted == predicted,
                "alike but not the same"
            );
            above = Some(node);
        }
        plan.steps.len()
    }

    fn to_json(&self, nodes: &[usize]) -> Value {
        let nodes = nodes.iter().map(|id| {
            let node = &self.nodes[*id];
            json!({ "id": id, "words": node.words, "children": self.to_json(&node.children) })
        });
        nodes.collect()
    }
}

/// Name of a file that holds part of a key; its contents go to `files`.
fn file(plan: &Plan, key: KeyName, part: KeyPart, files: &mut Map<String, Value>) -> String {
    let secrets = plan.secrets();
    let length = secrets
        .iter()
        .find(|row| row.0 == key)
        .map_or(32, |row| row.1);
    let bytes = match key {
        KeyName::Digest(slot) => digest(slot).0.to_vec(),
        _ => key_bytes(key, length),
    };
    let part_of = match part {
        KeyPart::Whole => &bytes[..],
        KeyPart::First => &bytes[..32],
        KeyPart::Second => &bytes[32..],
    };
    let name = format!("{}-{length}-{part:?}", key.id());
    files.insert(name.clone(), hex(part_of).into());
    name
}

/// A Python process that holds espefuse.
struct Driver {
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Driver {
    fn start() -> Self {
        let script = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/authority/efuse_plan/driver.py"
        );
        let mut process = oracles::python()
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let requests = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        Self {
            process,
            requests,
            answers,
        }
    }

    /// The file after each node.
    fn run(
        &mut self,
        silicon: &Silicon,
        tree: &Tree,
        files: &Map<String, Value>,
    ) -> HashMap<String, Option<String>> {
        let request = json!({
            "chip": silicon.chip.id.target().unwrap(),
            "start": hex(&virt::encode(silicon.present().efuses())),
            "files": files,
            "tree": tree.to_json(&tree.roots),
        });
        writeln!(self.requests, "{request}").unwrap();
        self.requests.flush().unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// So many plans of each chip, spread over all of them.
fn compare(most: usize) {
    let mut driver = Driver::start();
    let (mut plans, mut steps, mut commands) = (0, 0, 0);
    for silicon in silicons() {
        let mut tree = Tree::default();
        let mut files = Map::new();
        let before = plans;
        let all = silicon.plans().0;
        let share = (all.len() / most).max(1);
        for planned in all.into_iter().skip(share / 2).step_by(share) {
            steps += tree.add(&planned, &mut files);
            plans += 1;
        }
        let answers = driver.run(&silicon, &tree, &files);
        for (id, node) in tree.nodes.iter().enumerate() {
            let about = format!("{}: {:?}", silicon.chip.name(), node.words);
            let after = answers.get(&id.to_string()).cloned().flatten();
            assert_eq!(after, Some(hex(&node.predicted)), "{about}");
        }
        commands += tree.nodes.len();
        println!(
            "{} v{} {:?}: {} plans, {} commands",
            silicon.chip.name(),
            silicon.revision,
            silicon.coding,
            plans - before,
            tree.nodes.len()
        );
    }
    println!(
        "{plans} plans with {steps} steps: each file of espefuse as the twin predicts ({commands} different commands)"
    );
}

#[test]
fn espefuse_ends_every_plan_in_the_file_that_the_twin_predicts() {
    compare(9);
}

/// `cargo xtask efuse-plans --full`.
#[test]
#[ignore = "takes minutes"]
fn espefuse_ends_all_plans_in_the_file_that_the_twin_predicts() {
    compare(usize::MAX);
}
