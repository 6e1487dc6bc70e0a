//! The section `[alert.NAME]` of the configuration.

use config::{Located, Span};
use events::Severity;
use schemars::JsonSchema;
use serde::Deserialize;

/// A breach has to last so long before it is told, unless its rule says otherwise.
pub const FOR_DEFAULT: Span = Span::minutes(1);
/// The end of a breach has to last so long before it is told, unless its rule says otherwise.
pub const CLEAR_FOR_DEFAULT: Span = Span::minutes(1);

/// One alert: when to speak, to whom, and what to do.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertSettings {
    /// The breach, in the rule language: `error_rate(shop, 5m) > 1% and requests(shop, 5m) >= 100`.
    pub when: Located<String>,
    /// How long the breach has to last, in watched time. 1m when left out.
    #[serde(default = "for_default", rename = "for")]
    pub hold: Span,
    /// When the breach is over, in the rule language. The opposite of `when` when left out.
    #[serde(default)]
    pub clear: Option<Located<String>>,
    /// How long the end has to last, in watched time. 1m when left out.
    #[serde(default = "clear_for_default")]
    pub clear_for: Span,
    /// How loudly: `page` (somebody has to act now), `ticket` (in working hours) or `info`. `page` when left out.
    #[serde(default)]
    pub severity: SeveritySetting,
    /// Whom to tell: names of `[notify.NAME]` sections.
    #[serde(default)]
    pub notify: Vec<Located<String>>,
    /// Tell again after so much watched time, until somebody acknowledges. Never when left out.
    #[serde(default)]
    pub remind: Option<Span>,
    /// What to do about it: the name of an `[action.NAME]` section.
    #[serde(default)]
    pub action: Option<Located<String>>,
    /// What to make of missing evidence. `keep` when left out.
    #[serde(default)]
    pub no_data: NoData,
    /// What the rule is for, in a few words: it becomes the title of its messages.
    #[serde(default)]
    pub summary: Option<String>,
    /// What the person on call should do: a sentence or a link.
    #[serde(default)]
    pub runbook: Option<String>,
}

fn for_default() -> Span {
    FOR_DEFAULT
}

fn clear_for_default() -> Span {
    CLEAR_FOR_DEFAULT
}

/// How loudly an alert is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SeveritySetting {
    /// Somebody has to act now.
    #[default]
    Page,
    /// Somebody has to act in working hours.
    Ticket,
    /// Nobody has to act.
    Info,
}

impl From<SeveritySetting> for Severity {
    fn from(setting: SeveritySetting) -> Self {
        match setting {
            SeveritySetting::Page => Self::Page,
            SeveritySetting::Ticket => Self::Ticket,
            SeveritySetting::Info => Self::Info,
        }
    }
}

/// What a rule makes of missing evidence. The watcher's own blindness (cut off, just started) always keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NoData {
    /// Whatever held goes on; held time stands still.
    #[default]
    Keep,
    /// It counts as a breach.
    Fire,
    /// It counts as the end of the breach.
    Ok,
}
