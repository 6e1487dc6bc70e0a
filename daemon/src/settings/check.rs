//! What refers to what: every name that must exist, with a suggestion for those that do not.

use std::{collections::BTreeSet, net::SocketAddr};

use config::{Located, Mistake, Name, suggest};

use super::{LISTEN, Settings};
use crate::plan::{rules, surroundings};

/// Every mistake that shows only when sections are seen together.
pub(crate) fn check(settings: &Settings) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for probe in settings.probe.values() {
        mistakes.extend(probe.mistakes());
    }
    if let Err(wrong) = rules(settings, &surroundings(settings)) {
        mistakes.extend(wrong);
    }
    let up: BTreeSet<&str> = names_of_up(settings);
    for action in settings.action.values() {
        mistakes.extend(action.mistakes());
        for name in action.verify.iter().flat_map(|verify| &verify.up) {
            refer(name, "probe or service with a probe", &up, "[probe.…]", &mut mistakes);
        }
    }
    let repositories: BTreeSet<&str> = settings.repository.keys().map(Name::as_str).collect();
    for backup in settings.backup.values() {
        mistakes.extend(backup.mistakes());
        refer(&backup.to, "repository", &repositories, "[repository.…]", &mut mistakes);
    }
    mistakes.extend(settings.web.listen.as_ref().and_then(listen_mistake));
    mistakes.extend(settings.environment.as_ref().and_then(environment_mistake));
    mistakes
}

/// What `verify.up` may name.
fn names_of_up(settings: &Settings) -> BTreeSet<&str> {
    let services = settings
        .probe
        .values()
        .filter_map(|probe| probe.service.as_ref())
        .map(|service| service.as_str());
    settings.probe.keys().map(Name::as_str).chain(services).collect()
}

fn refer(name: &Located<Name>, what: &str, known: &BTreeSet<&str>, section: &str, into: &mut Vec<Mistake>) {
    if known.contains(name.as_str()) {
        return;
    }
    let help = match suggest(name.as_str(), known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => format!("there is none: add a {section} section"),
        None => format!("there is: {}", known.iter().copied().collect::<Vec<_>>().join(", ")),
    };
    into.push(Mistake::at(name.span(), format!("no {what} `{}`", name.as_str())).help(help));
}

/// Off loopback nothing is served yet: tokens come first.
fn listen_mistake(listen: &Located<String>) -> Option<Mistake> {
    let wanted = format!("write an address on loopback, such as listen = \"{LISTEN}\"");
    match listen.parse::<SocketAddr>() {
        Err(_) => Some(
            Mistake::at(
                listen.span(),
                format!("`{}` is no address with a port", listen.as_str()),
            )
            .help(wanted),
        ),
        Ok(address) if !address.ip().is_loopback() => {
            let message = format!("`{address}` is not on loopback: it would be open to the network without a token");
            Some(Mistake::at(listen.span(), message).help(wanted))
        }
        Ok(_) => None,
    }
}

fn environment_mistake(environment: &Located<String>) -> Option<Mistake> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let valid = (1..=64).contains(&environment.len()) && environment.chars().all(plain);
    let help = "1 to 64 letters, digits, '-', '_' or '.', such as \"production\"";
    (!valid).then(|| Mistake::at(environment.span(), "this is no name of an environment").help(help))
}
