//! Changes by their nearness, and readings since an incident fired.

use serde_json::{Value, json};

use super::*;
use crate::{CommitId, Envelope, Moment, Recorded, Seq, Views};

const INCIDENT: &str = "5f3a9c1e-0000-5000-8000-000000000001";

fn phase(views: &mut Views, seq: u64, from: &str, to: &str, reading: Option<&str>) {
    let readings: Vec<Value> = reading
        .map(|value| json!({ "what": "up(shop)", "value": value }))
        .into_iter()
        .collect();
    let envelope: Envelope = serde_json::from_value(json!({
        "stream": "alert/shop-down", "source": "alerting", "service": "shop", "kind": "alert_phase", "rule": "shop-down", "from": from, "to": to,
        "incident": INCIDENT, "readings": readings,
        "changes": [
            { "wall": "2026-11-21T03:01:00Z", "text": "shop 1 deployed", "service": "shop" },
            { "wall": "2026-11-21T03:02:00Z", "text": "shop 2 deployed", "service": "shop" },
            { "wall": "2026-11-21T03:03:00Z", "text": "the clock jumped" },
            { "wall": "2026-11-21T03:04:00Z", "text": "cart 7 deployed", "service": "cart" }
        ]
    }))
    .unwrap();
    views.apply(&Recorded {
        seq: Seq(seq),
        commit: CommitId(seq),
        cause: None,
        recorded_at: Moment::default(),
        envelope,
    });
}

fn read(views: &Views) -> Option<(u64, String)> {
    let (at, readings) = views.incidents.get(INCIDENT).unwrap().read_since()?;
    Some((at.seq.0, readings.first().unwrap().value.clone()))
}

#[test]
fn what_was_read_since_it_fired() {
    let mut views = Views::default();
    phase(&mut views, 1, "pending", "firing", Some("fail"));
    assert_eq!(read(&views), None);
    phase(&mut views, 2, "firing", "clearing", Some("pass"));
    assert_eq!(read(&views), Some((2, "pass".to_owned())));
    phase(&mut views, 3, "clearing", "firing", None);
    assert_eq!(
        read(&views),
        Some((2, "pass".to_owned())),
        "a decision that read nothing changes nothing"
    );
    phase(&mut views, 4, "firing", "clearing", Some("pass again"));
    phase(&mut views, 5, "clearing", "inactive", Some("still pass"));
    assert_eq!(read(&views), Some((5, "still pass".to_owned())));
    let incident = views.incidents.get(INCIDENT).unwrap();
    assert_eq!(incident.readings.first().unwrap().value, "fail");
}

#[test]
fn its_own_changes_are_the_nearest() {
    let mut views = Views::default();
    phase(&mut views, 1, "pending", "firing", None);
    let mut incident = views.incidents.get(INCIDENT).unwrap().clone();
    let told = |incident: &Incident| -> Vec<String> {
        let changes = incident.changes_by_nearness();
        changes
            .iter()
            .map(|change| change.text_for(incident.service.as_ref()))
            .collect()
    };
    assert_eq!(
        told(&incident),
        [
            "shop 1 deployed",
            "shop 2 deployed",
            "the clock jumped",
            "cart 7 deployed (another service)"
        ]
    );
    assert_eq!(incident.nearest_change().unwrap().text, "shop 2 deployed");
    // A rule about no service has no foreign ones.
    incident.service = None;
    assert_eq!(told(&incident).last().map(String::as_str), Some("cart 7 deployed"));
    assert_eq!(incident.nearest_change().unwrap().text, "cart 7 deployed");
    incident.changes.clear();
    assert_eq!(incident.nearest_change(), None);
}
