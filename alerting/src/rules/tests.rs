use std::collections::BTreeMap;

use config::{Located, Source};
use jiff::SignedDuration;
use serde::Deserialize;

use super::*;
use crate::settings::AlertSettings;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    alert: BTreeMap<String, AlertSettings>,
}

fn around() -> Surroundings {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Surroundings {
        probes: vec![
            probe("shop", "shop", true),
            probe("shop-api", "shop", false),
            probe("cart", "cart", false),
        ],
        services: set(&["till"]),
        backups: set(&["nightly"]),
        destinations: set(&["me", "oncall"]),
        actions: set(&["rollback"]),
        trust_loopback: false,
    }
}

fn probe(name: &str, service: &str, near: bool) -> WatchedProbe {
    WatchedProbe {
        name: name.to_owned(),
        service: service.to_owned(),
        near,
        notify: vec![Located::new("me".to_owned(), 0..0)],
    }
}

fn compile(text: &str) -> Result<Rules, String> {
    let source = Source::new("watchkeep.toml", text);
    let settings: Settings = config::load(&source).map_err(|mistakes| mistakes.to_string())?;
    let alerts = settings.alert.iter().map(|(name, alert)| (name.as_str(), alert));
    Rules::compile(alerts, &around()).map_err(|mistakes| config::Mistakes::new(&source, mistakes).to_string())
}

#[test]
fn a_probe_that_tells_somebody_implies_a_rule() {
    let rules = compile("[alert]").unwrap();
    let rule = rules.get("up/shop-api").unwrap();
    assert_eq!(rule.terms.when, "not up(shop-api)");
    assert_eq!(rule.hold.fire, SignedDuration::from_mins(1));
    assert_eq!(rule.service.as_ref().map(ServiceId::as_str), Some("shop"));
    let near = rules.get("up/shop").unwrap();
    assert_eq!(near.hold.fire, SignedDuration::from_secs(15), "no path to blame");
    assert_eq!(near.hold.clear, SignedDuration::from_mins(1));
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let rules = compile("alert.x.when = 'not up(cart)'").unwrap();
    let rule = rules.get("x").unwrap();
    let minute = SignedDuration::from_mins(1);
    assert_eq!((rule.hold.fire, rule.hold.clear), (minute, minute));
    assert_eq!(rule.no_data, NoData::Keep);
    assert_eq!(rule.clear, None);
    assert_eq!(rule.terms.severity, events::Severity::Page);
}

#[test]
fn every_mistake_is_told_at_its_place() {
    let text = "[alert.a]\n\
                when = \"error_rate(tll, 5m) > 1%\"\n\
                notify = [\"me\", \"oncal\"]\n\
                action = \"rolback\"\n\
                [alert.b]\n\
                when = 'not up(cart) and requests(till, 5m) > 1%'\n\
                clear = \"up(cart) ad up(shop)\"\n";
    let told = compile(text).unwrap_err();
    for expected in [
        "watchkeep.toml:2:20: no service `tll` (did you mean `till`?)",
        "watchkeep.toml:3:17: no destination \"oncal\" (did you mean \"oncall\"?)",
        "watchkeep.toml:4:10: no action \"rolback\" (did you mean \"rollback\"?)",
    ] {
        assert!(told.contains(expected), "{expected}\n---\n{told}");
    }
    assert!(told.contains("watchkeep.toml:6:"), "{told}");
    assert!(told.contains("watchkeep.toml:7:"), "{told}");
}

#[test]
fn unknown_keys_are_refused() {
    let told = compile("[alert.a]\nwhen = 'not up(cart)'\nclear-for = \"5m\"\n").unwrap_err();
    assert!(told.contains("clear_for"), "{told}");
}

#[test]
fn only_what_decides_is_in_the_digest() {
    let digest = |text: &str| compile(text).unwrap().get("x").unwrap().digest.clone();
    let plain = digest("alert.x = { when = 'not up(cart)', notify = [\"me\"] }");
    assert_eq!(
        plain,
        digest("alert.x = { when = 'not  up( cart )', summary = \"cart\" }")
    );
    assert_ne!(plain, digest("alert.x = { when = 'not up(cart)', for = \"2m\" }"));
    assert_ne!(plain, digest("alert.x = { when = 'not up(cart)', no_data = \"fire\" }"));
}

#[test]
fn telemetry_alone_is_not_trusted() {
    let rests = |when: &str| {
        let rules = compile(&format!("alert.x.when = '{when}'")).unwrap();
        rules.get("x").unwrap().rests_on_telemetry()
    };
    assert!(rests("error_rate(till, 5m) > 1%"));
    assert!(rests("missing(till, 5m)"));
    assert!(!rests("not up(cart)"));
    assert!(!rests("age(proved(nightly)) > 26h"));
}

#[test]
fn a_rule_is_found_by_what_it_rests_on() {
    let rules = compile("alert.x.when = 'not up(shop) or age(deployed(till)) < 1m'").unwrap();
    let names = |probe: &str| {
        rules
            .on_probe(probe)
            .map(|rule| rule.name.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(names("shop"), ["up/shop", "x"]);
    assert_eq!(
        names("shop-api"),
        ["up/shop-api"],
        "`shop` is the probe, not the service"
    );
    assert_eq!(names("none"), Vec::<String>::new());
}
