//! A command as an act: absolute argv, no shell, a clean environment, its own deadline, its process group killed.

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use config::{Located, Span};
use outbound::{Context, Finding, FindingState, child::ChildTask};
use schemars::JsonSchema;
use serde::Deserialize;

use super::ActKind;

/// How long a command may take when nothing is said.
const TIMEOUT: Duration = Duration::from_secs(300);

/// `act.command`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandAct {
    /// Absolute path and arguments, as a list. No shell reads them.
    pub argv: Located<Vec<String>>,
    /// Its whole environment: nothing is inherited. No secrets: they belong in files that the command reads.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Where it runs; `/` when unsaid.
    #[serde(default)]
    pub directory: Option<String>,
    /// How long it may take; then its whole process group is killed. 5 minutes when unsaid.
    #[serde(default)]
    pub timeout: Option<Span>,
    /// Asked after a crash in mid-act: exit code 0 means that the act was done, 1 that it was not, anything else that
    /// nobody can say. Absolute path and arguments.
    #[serde(default)]
    pub observe: Option<Located<Vec<String>>>,
}

impl CommandAct {
    fn task_of(&self, argv: &[String], once: bool) -> ChildTask {
        ChildTask::Command {
            argv: argv.to_vec(),
            environment: self
                .environment
                .iter()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            directory: self.directory.clone(),
            once,
        }
    }
}

fn mistake(argv: &Located<Vec<String>>) -> Option<config::Mistake> {
    let program = argv.first().map(String::as_str).unwrap_or_default();
    let (message, help) = if program.is_empty() {
        (
            "a command needs a program".to_owned(),
            "write it as a list: [\"/usr/bin/systemctl\", \"restart\", \"shop\"]",
        )
    } else if !Path::new(program).is_absolute() {
        (
            format!("`{program}` is not an absolute path"),
            "no shell and no PATH look it up: write the whole path, such as /usr/bin/systemctl",
        )
    } else {
        return None;
    };
    Some(config::Mistake::at(argv.span(), message).help(help))
}

impl ActKind for CommandAct {
    fn task(&self) -> ChildTask {
        self.task_of(&self.argv, true)
    }

    fn observe(&self) -> Option<ChildTask> {
        self.observe.as_ref().map(|argv| self.task_of(argv, false))
    }

    fn deadline(&self) -> Duration {
        self.timeout.as_ref().map_or(TIMEOUT, |timeout| timeout.as_std())
    }

    fn describe(&self) -> String {
        self.argv.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
    }

    fn mistakes(&self) -> Vec<config::Mistake> {
        let lists = std::iter::once(&self.argv).chain(&self.observe);
        lists.filter_map(mistake).collect()
    }

    fn preflight(&self, _: &Context) -> Vec<Finding> {
        let programs = std::iter::once(&self.argv)
            .chain(&self.observe)
            .filter_map(|argv| argv.first());
        programs.map(|program| executable(program)).collect()
    }
}

/// A word as a person would type it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

fn executable(program: &str) -> Finding {
    let (state, detail, remedy) = match std::fs::metadata(program) {
        Err(error) => (
            FindingState::Problem,
            error.to_string(),
            "install the program or correct the path",
        ),
        Ok(meta) if !meta.is_file() || meta.permissions().mode() & 0o111 == 0 => (
            FindingState::Problem,
            "it is no executable file".to_owned(),
            "make it executable: chmod +x",
        ),
        Ok(meta) if meta.permissions().mode() & 0o022 != 0 => (
            FindingState::Problem,
            "others may change it".to_owned(),
            "take the right away: chmod go-w",
        ),
        Ok(_) => (FindingState::Ok, "can be run".to_owned(), ""),
    };
    Finding {
        what: format!("command {program}"),
        state,
        detail,
        remedy: remedy.to_owned(),
    }
}
