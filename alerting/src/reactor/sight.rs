//! What a rule sees: views and windows at the moment of one fact.

use std::{borrow::Cow, cell::Cell};

use events::{Moment, Network, Probe, Reading, Reason, Status, Views};
use jiff::SignedDuration;

use crate::{
    language::{Evidence, Needs, Unknown},
    rules::Rules,
    windows::{Counted, Silence, Windows},
};

/// Evidence at the moment of a fact.
pub(super) struct Sight<'a> {
    rules: &'a Rules,
    windows: &'a Windows,
    views: &'a Views,
    now: &'a Moment,
    own: Cell<bool>,
}

const UNWATCHED: &str = "less than half of the window was watched";

impl<'a> Sight<'a> {
    pub(super) fn new(rules: &'a Rules, windows: &'a Windows, views: &'a Views, now: &'a Moment) -> Self {
        Self {
            rules,
            windows,
            views,
            now,
            own: Cell::new(false),
        }
    }

    /// True when the watcher itself was the reason of an unknown since the last call: it was cut off, or not there.
    pub(super) fn take_own_blindness(&self) -> bool {
        self.own.replace(false)
    }

    fn own<T>(&self, reason: &'static str) -> Result<T, Unknown> {
        self.own.set(true);
        Err(unknown(reason))
    }

    /// What is wrong with the probes that a rule asks.
    pub(super) fn failing_probes(&self, needs: &Needs) -> impl Iterator<Item = Reading> {
        let probes = self.rules.probes_needed(needs).into_iter();
        let views = self.views;
        probes.filter_map(move |name| {
            let row = views.probes.get(&name)?;
            (row.status != Status::Pass).then(|| described(&name, row))
        })
    }

    fn probe(&self, name: &str) -> Result<bool, Unknown> {
        if self.views.now.network == Network::Offline && !self.rules.is_near(name) {
            return self.own("the watcher itself is offline");
        }
        let Some(row) = self.views.probes.get(name) else {
            return self.own("not looked at yet");
        };
        match (row.status, row.look.reason) {
            (Status::Pass, _) => Ok(true),
            (Status::Fail, _) => Ok(false),
            (Status::Unknown, Reason::WatcherOffline | Reason::NotYet) => self.own(row.look.reason.text()),
            (Status::Unknown, reason) => Err(unknown(reason.text())),
        }
    }

    fn counted(
        &self,
        service: &str,
        span: SignedDuration,
        limit: Option<SignedDuration>,
    ) -> Result<(u64, u64), Unknown> {
        match self.windows.counted(service, span, limit) {
            Some(Counted::Sum { part, n }) => Ok((part, n)),
            Some(Counted::Unwatched) => self.own(UNWATCHED),
            Some(Counted::Silent) => Err(unknown("no telemetry from this service")),
            None => Err(unknown("not counted")),
        }
    }

    /// How long no result of a probe came: the writer notices and says so in the view.
    fn probe_silent_for(&self, name: &str) -> Result<SignedDuration, Unknown> {
        let Some(row) = self.views.probes.get(name) else {
            return self.own("not looked at yet");
        };
        Ok(if row.look.reason == Reason::NoResult {
            self.now.at.since(row.since.at)
        } else {
            SignedDuration::ZERO
        })
    }
}

impl Evidence for Sight<'_> {
    fn up(&self, name: &str) -> Result<bool, Unknown> {
        let mut known = false;
        let mut why = None;
        for probe in self.rules.probes_behind(name) {
            match self.probe(probe) {
                Ok(false) => return Ok(false),
                Ok(true) => known = true,
                Err(unknown) => why = Some(unknown),
            }
        }
        match why {
            Some(why) => Err(why),
            None if known => Ok(true),
            None => Err(unknown("it has no probe")),
        }
    }

    fn requests(&self, service: &str, window: SignedDuration) -> Result<u64, Unknown> {
        self.counted(service, window, None).map(|(_, n)| n)
    }

    fn errors(&self, service: &str, window: SignedDuration) -> Result<(u64, u64), Unknown> {
        self.counted(service, window, None)
    }

    fn over(&self, service: &str, limit: SignedDuration, window: SignedDuration) -> Result<(u64, u64), Unknown> {
        self.counted(service, window, Some(limit))
    }

    fn proof_age(&self, job: &str) -> Result<SignedDuration, Unknown> {
        let row = self.views.backups.get(job);
        let row = row.ok_or_else(|| unknown("the backup was not scheduled yet"))?;
        Ok(self.now.at.since(row.proved.unwrap_or(row.known).at))
    }

    fn deployed_age(&self, service: &str) -> Result<SignedDuration, Unknown> {
        let row = self.views.releases.get(service);
        row.map(|row| self.now.at.since(row.recorded.at))
            .ok_or_else(|| unknown("no deployment was recorded"))
    }

    fn silent_for(&self, name: &str) -> Result<SignedDuration, Unknown> {
        if self.rules.is_probe(name) {
            return self.probe_silent_for(name);
        }
        match self.windows.silence(name) {
            Some(Silence::For(silence)) => Ok(silence),
            Some(Silence::Unwatched) => self.own(UNWATCHED),
            None => self.own("not watched yet"),
        }
    }

    fn expires_in(&self, probe: &str) -> Result<SignedDuration, Unknown> {
        let row = self.views.probes.get(probe);
        let expires = row.and_then(|row| row.certificate_expires);
        expires
            .map(|expires| expires.since(self.now.wall))
            .ok_or_else(|| unknown("no certificate was seen"))
    }
}

fn unknown(reason: &'static str) -> Unknown {
    Unknown(Cow::Borrowed(reason))
}

/// `connection refused (10.0.0.1:443)`: the reason, and what was found in brackets.
fn described(name: &str, row: &Probe) -> Reading {
    Reading {
        what: format!("probe {name}"),
        value: row.look.said(),
        limit: String::new(),
        holds: (row.status == Status::Fail).then_some(false),
    }
}
