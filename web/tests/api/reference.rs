//! What is generated, and what others read by a program.

use std::{collections::BTreeMap, path::Path};

use crate::house::{Rig, request, said};

#[test]
fn the_reference_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide/api.md");
    let now = web::routes_markdown();
    if std::fs::read_to_string(&path).unwrap_or_default() != now {
        std::fs::write(&path, &now).unwrap();
        panic!("docs/guide/api.md was not current; it is now: look at it and commit it");
    }
}

/// Reads the Prometheus text format: families in order, each with help and type before its samples.
/// Source: <https://prometheus.io/docs/instrumenting/exposition_formats/>.
fn families(text: &str) -> BTreeMap<String, (String, usize)> {
    let name = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let mut families: BTreeMap<String, (String, usize)> = BTreeMap::new();
    let mut current = String::new();
    let mut helped = String::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (family, words) = help.split_once(' ').unwrap();
            assert!(name(family) && words.ends_with('.'), "{line}");
            family.clone_into(&mut helped);
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (family, kind) = kind.split_once(' ').unwrap();
            assert_eq!(family, helped, "{line}");
            assert!(matches!(kind, "gauge" | "counter"), "{line}");
            assert_eq!(kind == "counter", family.ends_with("_total"), "{line}");
            assert!(
                families.insert(family.to_owned(), (kind.to_owned(), 0)).is_none(),
                "{family} twice"
            );
            family.clone_into(&mut current);
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (family, labels) = series.split_once('{').unwrap_or((series, "}"));
            assert_eq!(family, current, "{line}");
            assert!(labels.ends_with('}') && value.parse::<f64>().is_ok(), "{line}");
            families.get_mut(family).unwrap().1 += 1;
        }
    }
    families
}

#[tokio::test]
async fn metrics_are_valid_and_documented() {
    let rig = Rig::new().await;
    let said = said(
        rig.tcp(),
        request(axum::http::Method::GET, "/metrics", axum::body::Body::empty()),
    )
    .await;
    assert_eq!(said.kind, "text/plain; version=0.0.4; charset=utf-8");
    let text = String::from_utf8(said.body).unwrap();
    assert!(text.ends_with('\n'));
    let families = families(&text);
    assert!(
        families.len() > 15 && families["watchkeep_ready"] == ("gauge".to_owned(), 1),
        "{families:?}"
    );
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide/metrics.md");
    let documented = std::fs::read_to_string(path).unwrap();
    for family in families.keys() {
        let end = family.trim_start_matches("watchkeep_telemetry_queued");
        assert!(
            documented.contains(family.as_str()) || (end != family && documented.contains(end)),
            "{family} is not in docs/guide/metrics.md"
        );
    }
}
