//! From settings to what decides: rules, actions and schedules. Pure, so that a replay builds the same.

use std::{collections::BTreeMap, sync::Arc};

use alerting::{Destinations, Rules, Surroundings, WatchedProbe};
use config::{Mistake, Name, Source};
use events::{Factory, House};

use crate::settings::Settings;

/// What rules refer to.
pub(crate) fn surroundings(settings: &Settings) -> Surroundings {
    let watched = |(name, probe): (&Name, &collectors::probe::ProbeSettings)| WatchedProbe {
        name: name.as_str().to_owned(),
        service: probe
            .service(name)
            .map_or_else(String::new, |service| service.as_str().to_owned()),
        near: probe.check.as_dyn().is_near(),
        notify: probe
            .notify
            .iter()
            .map(|name| config::Located::new(name.as_str().to_owned(), name.span()))
            .collect(),
    };
    Surroundings {
        probes: settings.probe.iter().map(watched).collect(),
        services: settings.service.keys().map(|name| name.as_str().to_owned()).collect(),
        backups: settings.backup.keys().map(|name| name.as_str().to_owned()).collect(),
        destinations: settings.notify.keys().map(|name| name.as_str().to_owned()).collect(),
        actions: settings.action.keys().map(|name| name.as_str().to_owned()).collect(),
        trust_loopback: settings.web.trust_loopback,
    }
}

/// The rules of a configuration.
///
/// # Errors
/// Every mistake in them.
pub(crate) fn rules(settings: &Settings, around: &Surroundings) -> Result<Rules, Vec<Mistake>> {
    Rules::compile(
        settings.alert.iter().map(|(name, alert)| (name.as_str(), alert)),
        around,
    )
}

/// A name of the configuration in the journal's terms.
pub(crate) fn journal_name(name: &Name) -> events::Name {
    events::name_of(name.as_str())
}

/// Builds the reactors of a configuration's text.
pub(crate) struct DaemonFactory;

impl Factory for DaemonFactory {
    fn build(&self, text: &str) -> House {
        let (settings, _) = config::load_partial::<Settings>(&Source::new("journal", text));
        settings.map_or_else(nothing, |settings| house(&settings))
    }
}

/// The factory, shared.
pub(crate) fn factory() -> Arc<dyn Factory> {
    Arc::new(DaemonFactory)
}

/// A text that this version cannot read decides nothing, and still tells what fails.
fn nothing() -> House {
    House {
        reactors: Vec::new(),
        paging: alerting::paging(&Arc::default()),
    }
}

fn house(settings: &Settings) -> House {
    let rules = Arc::new(rules(settings, &surroundings(settings)).unwrap_or_default());
    let destinations = Arc::new(destinations(settings));
    let actions: BTreeMap<_, _> = settings
        .action
        .iter()
        .map(|(name, action)| (journal_name(name), action.planned()))
        .collect();
    let planned = |(name, backup): (&Name, &backup::BackupSettings)| Some((journal_name(name), backup.planned()?));
    let mut reactors = alerting::reactors(&rules, &destinations);
    reactors.push(Box::new(recovery::GuardReactor::new(actions)));
    reactors.push(Box::new(backup::ScheduleReactor::new(
        settings.backup.iter().filter_map(planned).collect(),
    )));
    House {
        reactors,
        paging: alerting::paging(&destinations),
    }
}

/// Who can be told, and who is told what.
fn destinations(settings: &Settings) -> Destinations {
    Destinations {
        all: settings.notify.keys().map(journal_name).collect(),
        backups: settings
            .backup
            .iter()
            .map(|(name, backup)| (journal_name(name), backup.told()))
            .collect(),
        actions: BTreeMap::new(),
    }
}
