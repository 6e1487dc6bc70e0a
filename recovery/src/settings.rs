//! `[action.X]` as it is written.

use config::{Located, Name, Span};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::act::command::CommandAct;

config::kinds! {
    /// What an action does.
    pub enum Act: dyn crate::act::ActKind {
        /// Runs a command: absolute argv, no shell, a clean environment, its own deadline.
        Command = "command": CommandAct,
    }
}

/// How far an action may go by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Only says what it would do. A person changes it once it said the right thing.
    #[default]
    DryRun,
    /// Acts.
    Automatic,
}

/// One action.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActionSettings {
    /// What it does.
    pub act: Act,
    /// When it may.
    #[serde(default)]
    pub guard: GuardSettings,
    /// What must hold afterwards. Mandatory for `automatic`: what was not verified did not happen.
    #[serde(default)]
    pub verify: Option<VerifySettings>,
    /// How far it may go by itself; `dry-run` unless a person says otherwise.
    #[serde(default = "dry_run")]
    #[schemars(with = "Option<Mode>")]
    pub mode: Located<Mode>,
}

/// When an action may run.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GuardSettings {
    /// Watched time that must lie between two acts; 1 h when unsaid.
    #[serde(default)]
    pub cooldown: Option<Span>,
    /// Only so soon after a deployment of the service, and only when the breach began after it.
    #[serde(default)]
    pub within: Option<Span>,
}

/// What must hold after an act.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifySettings {
    /// These probes, or all probes of these services, must be up.
    pub up: Vec<Located<Name>>,
    /// For so much watched time.
    #[serde(rename = "for")]
    pub hold: Span,
    /// Within so much watched time, else the action is held; three times `for` and a minute when unsaid.
    #[serde(default)]
    pub within: Option<Span>,
}

fn dry_run() -> Located<Mode> {
    Located::new(Mode::DryRun, 0..0)
}

impl ActionSettings {
    /// What is wrong beyond the single values.
    #[must_use]
    pub fn mistakes(&self) -> Vec<config::Mistake> {
        let mut mistakes = self.act.as_dyn().mistakes();
        if *self.mode == Mode::Automatic && self.verify.is_none() {
            let message = "an automatic action without `verify`";
            let help = "say what must hold afterwards, such as verify = { up = [\"shop\"], for = \"2m\" }: what was not verified did not happen";
            mistakes.push(config::Mistake::at(self.mode.span(), message).help(help));
        }
        mistakes
    }

    /// The action in the terms of the log.
    #[must_use]
    pub fn planned(&self) -> crate::Planned {
        let verify = self.verify.as_ref().map(|verify| {
            let hold = verify.hold.get();
            let within = verify
                .within
                .map_or(hold * 3 + jiff::SignedDuration::from_mins(1), Span::get);
            events::Verify {
                up: verify.up.iter().map(|name| events::name_of(name.as_str())).collect(),
                hold,
                within,
            }
        });
        crate::Planned {
            mode: match *self.mode {
                Mode::DryRun => events::ActionMode::DryRun,
                Mode::Automatic => events::ActionMode::Automatic,
            },
            guard: crate::Guard {
                cooldown: self
                    .guard
                    .cooldown
                    .map_or(jiff::SignedDuration::from_hours(1), Span::get),
                within: self.guard.within.map(Span::get),
            },
            verify,
            command: self.act.as_dyn().describe(),
        }
    }
}
