//! Who sent a record: service, environment, release, and what else the resource says.

use events::{Attributes, ReleaseId, ServiceId};
use opentelemetry_proto::tonic::common::v1::KeyValue;

use super::{
    RESOURCE_MAX,
    attributes::{shorten, take},
};

/// When nothing says whose a record is (the SDKs' own words).
const UNKNOWN: &str = "unknown_service";
const NAME_MAX: usize = 128;
const ENVIRONMENT_MAX: usize = 64;
const RELEASE_MAX: usize = 256;
/// The instrumentation that made a record, under the name that the specification gives it outside of OTLP.
const SCOPE: &str = "otel.scope.name";
const SCOPE_MAX: usize = 256;

/// What all records of a group share.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    pub(super) service: ServiceId,
    pub(super) release: Option<ReleaseId>,
    /// Without what the service and the release say already.
    pub(super) attributes: Attributes,
}

impl Resource {
    /// `None` never happens: the service's name is made to fit.
    pub(super) fn new(own_environment: &str, given: Vec<KeyValue>) -> Option<Self> {
        let mut attributes = Attributes::new();
        take(&mut attributes, given);
        let mut pull = |name: &str| attributes.remove(name).filter(|text| !text.trim().is_empty());
        let name = pull("service.name");
        let version = pull("service.version");
        let (new, old) = (pull("deployment.environment.name"), pull("deployment.environment"));
        let name = plain(name.as_deref().unwrap_or(UNKNOWN), NAME_MAX);
        let service = match new.or(old) {
            Some(environment) if environment != own_environment => {
                ServiceId::new(format!("{name}@{}", plain(&environment, ENVIRONMENT_MAX)))
            }
            _ => ServiceId::new(name),
        };
        let release = version.and_then(|version| ReleaseId::new(plain(&version, RELEASE_MAX)).ok());
        let mut left = RESOURCE_MAX;
        attributes.retain(|name, value| {
            let size = name.len() + value.len();
            let fits = size <= left;
            if fits {
                left -= size;
            }
            fits
        });
        Some(Self {
            service: service.ok()?,
            release,
            attributes,
        })
    }

    /// What a record of one scope starts with.
    pub(super) fn attributes_within(&self, scope: &str) -> Attributes {
        let mut attributes = self.attributes.clone();
        if !scope.is_empty() {
            let mut scope = scope.to_owned();
            shorten(&mut scope, SCOPE_MAX);
            attributes.insert(SCOPE.to_owned(), scope);
        }
        attributes
    }
}

/// Bytes of attributes.
pub(super) fn size(attributes: &Attributes) -> usize {
    attributes.iter().map(|(name, value)| name.len() + value.len()).sum()
}

/// A name without control characters and without `@`, which stands between service and environment; cut.
fn plain(text: &str, max: usize) -> String {
    let mut plain: String = text
        .trim()
        .chars()
        .map(|c| if c.is_control() || c == '@' { '_' } else { c })
        .collect();
    shorten(&mut plain, max);
    plain
}
