//! Rows of the daemon's own life and of what it sees.

use serde::{Deserialize, Serialize};

use super::{Row, Views};
use crate::{
    Clock, Configured, Deployment, Fact, Identity, Look, Moment, Network, ProbeChanged, Reason, Recorded, Seq,
    ServiceId, Stamp, Status, TelemetryHead, Timestamp,
};

/// The one row that every tick changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// Moment of the last tick, or of the start when none came yet: stamps are computed from it.
    pub moment: Moment,
    /// True from the first tick after a start on.
    pub watching: bool,
    /// Wall and boot clock as last compared, to notice jumps.
    pub wall: Timestamp,
    /// See `wall`.
    pub boot: crate::Boottime,
    /// Which journal, and in which epoch.
    pub identity: Identity,
    /// Version of the running, or last, binary.
    pub version: String,
    /// When this process, or the last one, started.
    pub started: Stamp,
    /// When the very first process started.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub first_started: Option<Stamp>,
    /// The last tick.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tick: Option<Seq>,
    /// How far telemetry was counted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub telemetry: Option<TelemetryHead>,
    /// The configuration in force.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub configured: Option<ConfiguredRow>,
    /// State of our own network.
    #[serde(default)]
    pub network: Network,
    /// Since when.
    #[serde(default)]
    pub network_since: Stamp,
    /// When it last went away.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub network_lost: Option<Stamp>,
    /// Last clock jump.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub jumped: Option<Stamp>,
    /// Reactors that failed since the start.
    #[serde(default)]
    pub reactors_failed: u32,
    /// Who stopped all acting.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub acting_stopped_by: Option<String>,
}

impl Row for Now {
    const SHAPE: u32 = 1;
}

impl Now {
    /// The clocks as they were last compared.
    #[must_use]
    pub fn compared(&self) -> Moment {
        Moment {
            wall: self.wall,
            boot: self.boot,
            ..self.moment.clone()
        }
    }

    /// The moment of a reading of the clocks. The journal's first moment is 0 on both cumulative clocks; nothing was
    /// watched before a process's own start (`starting`).
    #[must_use]
    pub fn stamp(&self, clock: &Clock, starting: bool) -> Moment {
        if self.first_started.is_none() {
            let Clock { wall, boot, boot_id } = clock.clone();
            return Moment {
                wall,
                boot,
                boot_id,
                ..Moment::default()
            };
        }
        Moment::stamp(&self.moment, self.watching && !starting, clock)
    }
}

/// Which configuration is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfiguredRow {
    /// When it came into force in this process.
    pub stamp: Stamp,
    /// When this text first came into force.
    pub changed: Stamp,
    /// Digest of its text.
    pub digest: String,
    /// The fact that holds the text.
    pub text: Seq,
    /// True when it is not the first one.
    pub replaced: bool,
}

/// What a probe last said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The service it speaks for.
    pub service: Option<ServiceId>,
    /// What holds.
    pub status: Status,
    /// Since when.
    pub since: Stamp,
    /// What was found last time that something changed.
    pub look: Look,
    /// When that was.
    pub looked: Stamp,
    /// End of the certificate it was last shown.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub certificate_expires: Option<Timestamp>,
}

impl Row for Probe {
    const SHAPE: u32 = 1;
}

/// What is live of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The last recorded deployment.
    pub current: Deployment,
    /// When it was recorded.
    pub recorded: Stamp,
    /// The one before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub before: Option<Deployment>,
}

impl Row for Release {
    const SHAPE: u32 = 1;
}

impl Views {
    pub(super) fn apply_watching(&mut self, fact: &Recorded) {
        let stamp = fact.stamp();
        match fact.fact() {
            Fact::Started(started) => {
                self.compare_clocks(fact);
                self.now.moment = fact.recorded_at.clone();
                self.now.watching = false;
                self.now.identity = started.identity.clone();
                self.now.version.clone_from(&started.version);
                self.now.started = stamp;
                self.now.first_started.get_or_insert(stamp);
                self.now.reactors_failed = 0;
            }
            Fact::Tick(tick) => {
                self.compare_clocks(fact);
                self.now.moment = fact.recorded_at.clone();
                self.now.watching = true;
                self.now.tick = Some(fact.seq);
                self.now.telemetry = tick.telemetry.or(self.now.telemetry);
                self.close_told();
            }
            Fact::ClockJumped(_) => {
                self.compare_clocks(fact);
                self.now.jumped = Some(stamp);
            }
            Fact::Configured(configured) => self.configure(fact, configured),
            Fact::NetworkChanged(network) => {
                self.now.network = network.to;
                self.now.network_since = stamp;
                if network.to == Network::Offline {
                    self.now.network_lost = Some(stamp);
                }
            }
            Fact::ReactorFailed(_) => self.now.reactors_failed = self.now.reactors_failed.saturating_add(1),
            Fact::ProbeChanged(changed) => self.change_probe(fact, changed),
            Fact::CertificateSeen(seen) => {
                self.probes
                    .edit(seen.probe.as_str(), |row| row.certificate_expires = Some(seen.expires));
            }
            Fact::DeploymentRecorded(deployment) => {
                let Some(service) = &fact.envelope.service else { return };
                let before = self.releases.get(service.as_str()).map(|row| row.current.clone());
                let row = Release {
                    current: deployment.clone(),
                    recorded: stamp,
                    before,
                };
                self.releases.put(service.as_str(), row);
            }
            _ => {}
        }
    }

    fn configure(&mut self, fact: &Recorded, configured: &Configured) {
        let stamp = fact.stamp();
        let before = self.now.configured.take();
        let changed = before
            .as_ref()
            .filter(|before| before.digest == configured.digest)
            .map_or(stamp, |before| before.changed);
        self.now.configured = Some(ConfiguredRow {
            stamp,
            changed,
            digest: configured.digest.clone(),
            text: configured.same_as.unwrap_or(fact.seq),
            replaced: before.is_some_and(|before| before.replaced || before.digest != configured.digest),
        });
    }

    fn change_probe(&mut self, fact: &Recorded, changed: &ProbeChanged) {
        let stamp = fact.stamp();
        let before = self.probes.get(changed.probe.as_str());
        let since = before
            .filter(|row| row.status == changed.look.status)
            .map_or(stamp, |row| row.since);
        let expires = changed
            .look
            .certificate_expires
            .or(before.and_then(|row| row.certificate_expires));
        let row = Probe {
            service: fact.envelope.service.clone(),
            status: changed.look.status,
            since,
            look: changed.look.clone(),
            looked: stamp,
            certificate_expires: expires,
        };
        self.probes.put(changed.probe.as_str(), row);
    }

    fn compare_clocks(&mut self, fact: &Recorded) {
        self.now.wall = fact.recorded_at.wall;
        self.now.boot = fact.recorded_at.boot;
    }
}

/// A probe that was never heard of.
#[must_use]
pub fn unseen() -> Look {
    Look::new(Status::Unknown, Reason::NotYet, "")
}
