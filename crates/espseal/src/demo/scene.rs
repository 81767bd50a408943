//! What one act of the demo was meant to show, and what it showed.

use std::time::Duration;

use serde::Serialize;

/// One act, judged.
#[derive(Debug, Serialize)]
pub(crate) struct Scene {
    /// What happens, in a few words.
    pub title: &'static str,
    /// The device it happens to.
    pub device: &'static str,
    /// What has to come out.
    pub expected: &'static str,
    /// What came out, in the words of whoever decided.
    pub observed: String,
    /// Who refused, where something was to be refused.
    pub refused_by: Option<RefusedBy>,
    /// Whether it came out as it had to.
    pub passed: bool,
}

/// The party that stopped an attack or a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RefusedBy {
    /// The update agent on the device.
    Agent,
    /// ESP-IDF's bootloader.
    Bootloader,
    /// Unmodified ESP-IDF.
    EspIdf,
    /// The publisher, before anything left the maker's machine.
    Publisher,
}

impl RefusedBy {
    /// The party as the table names it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Bootloader => "bootloader",
            Self::EspIdf => "ESP-IDF",
            Self::Publisher => "publish",
        }
    }
}

/// Everything the demo showed.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    /// The acts in the order they were played.
    pub scenes: Vec<Scene>,
    /// Bytes of the two sealed bodies and of what each recipient costs on top.
    pub sizes: Sizes,
    /// How long it took, in milliseconds.
    pub milliseconds: u128,
    /// Whether every scene came out as it had to.
    pub passed: bool,
}

/// What the release weighs.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Sizes {
    /// Bytes of the one ciphertext that all devices of a chip share.
    pub body: u64,
    /// Bytes of a body's key wrap for a whole group of agents.
    pub group_wrap: u64,
    /// Bytes of the epoch key's wrap for one agent.
    pub agent_wrap: u64,
    /// Bytes of the header for one ESP-IDF device.
    pub esp_idf_header: u64,
}

impl Scene {
    /// A scene that could not be played to its end.
    pub(crate) fn broken(title: &'static str, error: &anyhow::Error) -> Self {
        Self {
            title,
            device: "",
            expected: "played to the end",
            observed: format!("{error:#}"),
            refused_by: None,
            passed: false,
        }
    }
}

impl Summary {
    /// Sums up.
    pub(crate) fn new(scenes: Vec<Scene>, sizes: Sizes, took: Duration) -> Self {
        let passed = !scenes.is_empty() && scenes.iter().all(|scene| scene.passed);
        Self {
            scenes,
            sizes,
            milliseconds: took.as_millis(),
            passed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene(passed: bool) -> Scene {
        Scene {
            title: "release 2 is installed",
            device: "c3-agent",
            expected: "boots release 2",
            observed: String::new(),
            refused_by: None,
            passed,
        }
    }

    #[test]
    fn one_failed_scene_fails_the_demo() {
        let judge = |scenes| Summary::new(scenes, Sizes::default(), Duration::ZERO).passed;
        assert!(judge(vec![scene(true), scene(true)]));
        assert!(!judge(vec![scene(true), scene(false)]));
    }

    #[test]
    fn a_demo_that_showed_nothing_has_failed() {
        assert!(!Summary::new(Vec::new(), Sizes::default(), Duration::ZERO).passed);
    }
}
