//! Which services were ever heard of: a name that was mistyped must not pass for one.

use std::collections::BTreeSet;

use events::{Filter, ServiceId};
use store::{FactQuery, telemetry::Window};

use crate::Desk;

impl Desk {
    /// Names that the configuration or a deployment gives.
    pub(crate) async fn services(&self) -> BTreeSet<String> {
        let views = self.views().await;
        let live = views.releases.iter().map(|(service, _)| service.to_owned());
        let described = &self.described;
        let probed = described.probes.iter().map(|probe| probe.service.as_str().to_owned());
        live.chain(probed).chain(described.services.iter().cloned()).collect()
    }

    /// Whether anything ever spoke of it: the configuration, the record, a log or a span that is still kept. In doubt it
    /// was.
    pub(crate) async fn was_seen(&self, service: &ServiceId) -> bool {
        if self.services().await.contains(service.as_str()) {
            return true;
        }
        let query = FactQuery {
            service: Some(service.clone()),
            limit: 1,
            ..FactQuery::default()
        };
        let recorded = self.reader().facts(&query).await;
        if recorded.is_ok_and(|page| page.items.is_empty()) {
            self.was_heard(service).await
        } else {
            true
        }
    }

    async fn was_heard(&self, service: &ServiceId) -> bool {
        let filter = Filter {
            service: Some(service.clone()),
            ..Filter::default()
        };
        let logs = self.telemetry_reader().logs(&filter, 1, None).await;
        if !logs.is_ok_and(|found| found.rows.is_empty() && found.complete) {
            return true;
        }
        let window = Window {
            from: None,
            until: None,
            limit: 1,
            before: None,
        };
        let spans = self.telemetry_reader().spans(Some(service), window).await;
        !spans.is_ok_and(|found| found.rows.is_empty() && found.complete)
    }
}
