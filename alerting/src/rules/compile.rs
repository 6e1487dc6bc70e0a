//! From settings to rules; every mistake at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use config::{Located, Mistake, suggest};
use events::{Name, RuleTerms, ServiceId, Severity, hex, name_of};
use jiff::SignedDuration;
use sha2::{Digest, Sha256};

use super::{Rule, Rules};
use crate::{
    language::{self, Expression, LanguageError, Names, Needs},
    phase::Hold,
    settings::{AlertSettings, CLEAR_FOR_DEFAULT, NoData},
};

/// A far probe has to fail so long before its implied rule fires: the path may be to blame.
const IMPLIED_FOR: SignedDuration = SignedDuration::from_mins(1);
/// The same for a near one: there is no path.
const IMPLIED_FOR_NEAR: SignedDuration = SignedDuration::from_secs(15);

/// What rules have to know of a probe, and the rule that its `notify` implies.
#[derive(Clone, Debug)]
pub struct WatchedProbe {
    /// Its name.
    pub name: String,
    /// The service it speaks for.
    pub service: String,
    /// True when it looks at this machine or a private network, so that no foreign path is to blame.
    pub near: bool,
    /// Whom to tell when it fails; nobody: no rule is implied.
    pub notify: Vec<Located<String>>,
}

/// Everything that rules refer to.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Every probe.
    pub probes: Vec<WatchedProbe>,
    /// Every service with a section or a tail of its own; those of probes need not be listed.
    pub services: BTreeSet<String>,
    /// Every backup.
    pub backups: BTreeSet<String>,
    /// Every `[notify.NAME]`.
    pub destinations: BTreeSet<String>,
    /// Every `[action.NAME]`.
    pub actions: BTreeSet<String>,
    /// Telemetry of this machine may set off an action by itself.
    pub trust_loopback: bool,
}

impl Surroundings {
    fn names(&self) -> Names<'_> {
        let of_probes = self.probes.iter().map(|probe| probe.service.as_str());
        Names {
            probes: self.probes.iter().map(|probe| probe.name.as_str()).collect(),
            services: self.services.iter().map(String::as_str).chain(of_probes).collect(),
            jobs: self.backups.iter().map(String::as_str).collect(),
        }
    }
}

impl Rules {
    /// Compiles the alerts of a configuration and the rules that probes imply.
    ///
    /// # Errors
    /// Every mistake, with its place and what to write instead.
    pub fn compile<'a>(
        alerts: impl IntoIterator<Item = (&'a str, &'a AlertSettings)>,
        around: &Surroundings,
    ) -> Result<Self, Vec<Mistake>> {
        let mut compiler = Compiler {
            around,
            names: around.names(),
            mistakes: Vec::new(),
        };
        let mut rules = Vec::new();
        for (name, settings) in alerts {
            rules.extend(compiler.alert(name, settings));
        }
        for probe in &around.probes {
            rules.extend(compiler.implied(probe));
        }
        if !compiler.mistakes.is_empty() {
            return Err(compiler.mistakes);
        }
        let mut probes_of: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for probe in &around.probes {
            probes_of
                .entry(probe.service.clone())
                .or_default()
                .push(probe.name.clone());
        }
        let compiled = Self {
            rules,
            probes: around
                .probes
                .iter()
                .map(|probe| (probe.name.clone(), probe.near))
                .collect(),
            probes_of,
            trust_loopback: around.trust_loopback,
            ..Self::default()
        };
        Ok(compiled.indexed())
    }
}

struct Compiler<'a> {
    around: &'a Surroundings,
    names: Names<'a>,
    mistakes: Vec<Mistake>,
}

impl Compiler<'_> {
    fn alert(&mut self, name: &str, settings: &AlertSettings) -> Option<Rule> {
        let when = self.expression(&settings.when);
        let clear = match &settings.clear {
            Some(text) => self.expression(text).map(Some),
            None => Some(None),
        };
        let notify = self.destinations(&settings.notify);
        if let Some(action) = &settings.action {
            self.check_action(action);
        }
        let (when, clear) = (when?, clear?);
        let mut needs = when.needs();
        needs.merge(clear.as_ref().map(Expression::needs).unwrap_or_default());
        let terms = RuleTerms {
            severity: settings.severity.into(),
            notify,
            remind: settings.remind.map(SignedDuration::from),
            action: settings.action.as_deref().map(|action| name_of(action)),
            summary: settings.summary.clone(),
            runbook: settings.runbook.clone(),
            when: (*settings.when).clone(),
            trusted: false,
        };
        let hold = Hold {
            fire: settings.hold.get(),
            clear: settings.clear_for.get(),
        };
        Some(Rule {
            name: name_of(name),
            service: self.service_of(&needs),
            digest: digest(&when, clear.as_ref(), hold, settings.no_data),
            when,
            clear,
            hold,
            no_data: settings.no_data,
            terms,
            needs,
        })
    }

    /// The rule that a probe's `notify` implies.
    fn implied(&mut self, probe: &WatchedProbe) -> Option<Rule> {
        let notify = self.destinations(&probe.notify);
        if notify.is_empty() {
            return None;
        }
        let plain = format!("not up({})", probe.name);
        let quoted = format!("not up(\"{}\")", probe.name);
        let when = language::parse(&plain, &self.names).or_else(|_| language::parse(&quoted, &self.names));
        let Ok(when) = when else {
            let message = format!("no rule can be made for the probe {:?}", probe.name);
            self.mistakes
                .push(Mistake::new(message).help("give the probe another name, or leave out its notify"));
            return None;
        };
        let hold = Hold {
            fire: if probe.near { IMPLIED_FOR_NEAR } else { IMPLIED_FOR },
            clear: CLEAR_FOR_DEFAULT.get(),
        };
        Some(Rule {
            name: implied_name(&probe.name),
            service: ServiceId::new(probe.service.clone()).ok(),
            digest: digest(&when, None, hold, NoData::Keep),
            needs: when.needs(),
            clear: None,
            hold,
            no_data: NoData::Keep,
            terms: RuleTerms {
                severity: Severity::Page,
                notify,
                when: when.to_string(),
                ..RuleTerms::default()
            },
            when,
        })
    }

    fn expression(&mut self, text: &Located<String>) -> Option<Expression> {
        match language::parse(text, &self.names) {
            Ok(expression) => Some(expression),
            Err(errors) => {
                self.mistakes
                    .extend(errors.into_iter().map(|error| located(text, error)));
                None
            }
        }
    }

    fn destinations(&mut self, wanted: &[Located<String>]) -> Vec<Name> {
        let mut names = Vec::new();
        for destination in wanted {
            let known = &self.around.destinations;
            if !known.contains(destination.as_str()) {
                self.mistakes.push(unknown("destination", "notify", destination, known));
            }
            let name = name_of(destination);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    fn check_action(&mut self, action: &Located<String>) {
        let known = &self.around.actions;
        if !known.contains(action.as_str()) {
            self.mistakes.push(unknown("action", "action", action, known));
        }
    }

    /// The service that a rule is about: the first that it names, else that of the first probe it names.
    fn service_of(&self, needs: &Needs) -> Option<ServiceId> {
        let counted = needs.windows.iter().map(|(service, _)| service);
        let slow = needs.over.iter().map(|(service, ..)| service);
        let named = counted
            .chain(slow)
            .chain(&needs.probed_services)
            .chain(&needs.heard_services)
            .chain(&needs.deployed_services);
        let probed = needs.probes.iter().filter_map(|name| {
            let probe = self.around.probes.iter().find(|probe| probe.name == *name)?;
            Some(&probe.service)
        });
        named
            .chain(probed)
            .next()
            .and_then(|service| ServiceId::new(service.clone()).ok())
    }
}

/// Name of the rule that a probe's `notify` implies. No alert can have it: a configured name has no slash.
#[must_use]
pub fn implied_name(probe: &str) -> Name {
    name_of(&format!("up/{probe}"))
}

fn unknown(what: &str, section: &str, name: &Located<String>, known: &BTreeSet<String>) -> Mistake {
    let mistake = Mistake::at(name.span(), format!("no {what} {:?}", name.as_str()));
    let near = suggest(name, known.iter().map(String::as_str));
    let listed: Vec<&str> = known.iter().take(10).map(String::as_str).collect();
    mistake.help(match near {
        Some(near) => format!("did you mean {near:?}?"),
        None if listed.is_empty() => format!("there is none yet: add a section [{section}.{}]", name.as_str()),
        None => format!("there are: {}", listed.join(", ")),
    })
}

/// A mistake within a text, at its place in the file.
fn located(text: &Located<String>, error: LanguageError) -> Mistake {
    let mistake = Mistake::at(place(text, &error.at), error.message);
    match error.help {
        Some(help) => mistake.help(help),
        None => mistake,
    }
}

/// Where a part of a text stands in the file: exactly, when it is written without escapes; else the whole text.
fn place(text: &Located<String>, at: &Range<usize>) -> Range<usize> {
    let span = text.span();
    let quotes = span.len().saturating_sub(text.len());
    if quotes != 2 && quotes != 6 {
        return span;
    }
    let start = span.start + quotes / 2;
    let within = start + at.start..start + at.end;
    if within.is_empty() {
        // The caret needs something to stand under: the quote behind the end.
        return within.start..(within.start + 1).min(span.end);
    }
    within
}

fn digest(when: &Expression, clear: Option<&Expression>, hold: Hold, no_data: NoData) -> String {
    let clear = clear.map(ToString::to_string).unwrap_or_default();
    let text = format!(
        "{when}\u{0}{clear}\u{0}{}\u{0}{}\u{0}{no_data:?}",
        hold.fire, hold.clear
    );
    let full = hex(&Sha256::digest(text.as_bytes()));
    full.chars().take(16).collect()
}
