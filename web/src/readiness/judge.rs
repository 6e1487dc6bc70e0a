//! What is looked at, and what it means: pure. *Ready* is what the watcher itself does: it lives, looks, decides and
//! records. What others do, such as a receiver that takes no message, makes it *degraded* only: a heartbeat that stopped
//! for a dead mail server would say that nobody watches.

use jiff::SignedDuration;
use store::Room;

/// The last tick may be so old: three of them.
const TICK_AGE_MAX: SignedDuration = SignedDuration::from_secs(15);
/// What telemetry has taken in may wait so long to be committed.
const TELEMETRY_STALL_MAX: SignedDuration = SignedDuration::from_secs(15);
/// So many transactions of telemetry in a row may fail.
const TELEMETRY_FAILURES_MAX: u64 = 3;
/// A message that fails is said to be stuck when it is so old.
const MESSAGE_STUCK_AFTER: SignedDuration = SignedDuration::from_mins(2);
/// A message that is due is taken at once: after so long nobody takes it.
const MESSAGE_OVERDUE_MAX: SignedDuration = SignedDuration::from_mins(1);
/// An attempt to deliver has a deadline of its own, of a minute at most: one that runs for so long hangs.
const MESSAGE_RUNS_MAX: SignedDuration = SignedDuration::from_mins(5);

/// A part that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Ticks,
    Reactors,
    Journal,
    Disk,
    Telemetry,
    Probes,
    Messages,
    Heartbeats,
}

impl Part {
    pub(crate) const ALL: [Self; 8] = [
        Self::Ticks,
        Self::Reactors,
        Self::Journal,
        Self::Disk,
        Self::Telemetry,
        Self::Probes,
        Self::Messages,
        Self::Heartbeats,
    ];

    /// Its name in metrics.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Ticks => "ticks",
            Self::Reactors => "reactors",
            Self::Journal => "journal",
            Self::Disk => "disk",
            Self::Telemetry => "telemetry",
            Self::Probes => "probes",
            Self::Messages => "messages",
            Self::Heartbeats => "heartbeats",
        }
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Concern {
    pub(crate) part: Part,
    /// True when it is the watch itself that does not go on.
    pub(crate) stops: bool,
    pub(crate) text: String,
}

/// Messages that wait for one destination, by their oldest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) destination: String,
    pub(crate) messages: usize,
    pub(crate) age: SignedDuration,
    pub(crate) attempts: u32,
    pub(crate) failure: Option<String>,
    pub(crate) overdue: SignedDuration,
    pub(crate) running_for: Option<SignedDuration>,
}

/// What was found.
#[derive(Clone, Debug)]
pub(crate) struct Vitals {
    /// Age of the last tick; absent when there was none since the start.
    pub(crate) tick_age: Option<SignedDuration>,
    /// Watched time since the start.
    pub(crate) up_for: SignedDuration,
    pub(crate) reactors_failed: u32,
    pub(crate) journal_settled: bool,
    /// What there is room for and how many MiB are free, or why nobody knows.
    pub(crate) room: Result<(Room, u64), String>,
    pub(crate) telemetry_stalled: SignedDuration,
    pub(crate) telemetry_failures: u64,
    pub(crate) probes: usize,
    /// Those of them that gave no result for three intervals.
    pub(crate) probes_silent: Vec<String>,
    pub(crate) waiting: Vec<Waiting>,
    /// Outward heartbeats that fail, and why.
    pub(crate) heartbeats_failing: Vec<(String, String)>,
}

/// Everything that is not as it should be.
pub(crate) fn judge(vitals: &Vitals) -> Vec<Concern> {
    let mut found = Concerns::default();
    ticks(vitals, &mut found);
    room(vitals, &mut found);
    telemetry(vitals, &mut found);
    probes(vitals, &mut found);
    for waiting in &vitals.waiting {
        messages(waiting, vitals.up_for, &mut found);
    }
    for (heartbeat, why) in &vitals.heartbeats_failing {
        let text = format!("the outward heartbeat {heartbeat} does not arrive: {why}");
        found.degrades(Part::Heartbeats, text);
    }
    found.0
}

#[derive(Default)]
struct Concerns(Vec<Concern>);

impl Concerns {
    fn add(&mut self, part: Part, stops: bool, text: impl Into<String>) {
        let text = text.into();
        self.0.push(Concern { part, stops, text });
    }

    fn stops(&mut self, part: Part, text: impl Into<String>) {
        self.add(part, true, text);
    }

    fn degrades(&mut self, part: Part, text: impl Into<String>) {
        self.add(part, false, text);
    }
}

fn ticks(vitals: &Vitals, found: &mut Concerns) {
    match vitals.tick_age {
        None => found.stops(Part::Ticks, "no tick was recorded since the start"),
        Some(age) if age > TICK_AGE_MAX => found.stops(
            Part::Ticks,
            format!("the last tick is {} s old: nothing is evaluated", age.as_secs()),
        ),
        Some(_) => {}
    }
    if vitals.reactors_failed > 0 {
        let failed = vitals.reactors_failed;
        found.stops(
            Part::Reactors,
            format!("{failed} reactor failures since the start: `watchkeep timeline` names them"),
        );
    }
    if !vitals.journal_settled {
        found.stops(Part::Journal, "a commit failed and the journal is being opened again");
    }
}

fn room(vitals: &Vitals, found: &mut Concerns) {
    match &vitals.room {
        Ok((Room::Enough, _)) => {}
        Ok((Room::NoTelemetry, free)) => found.degrades(
            Part::Disk,
            format!("the disk is nearly full ({free} MiB free): telemetry is refused, facts are not yet"),
        ),
        Ok((Room::NoFacts, free)) => found.stops(
            Part::Disk,
            format!("the disk is nearly full ({free} MiB free): facts and telemetry are refused, pages still go out"),
        ),
        Err(why) => found.stops(Part::Disk, format!("the free space is not known: {why}")),
    }
}

fn telemetry(vitals: &Vitals, found: &mut Concerns) {
    let stalled = vitals.telemetry_stalled;
    if stalled > TELEMETRY_STALL_MAX {
        let text = format!("telemetry has not been written for {} s", stalled.as_secs());
        found.stops(Part::Telemetry, text);
    } else if vitals.telemetry_failures >= TELEMETRY_FAILURES_MAX {
        let text = format!(
            "telemetry cannot be written: {} transactions failed one after the other",
            vitals.telemetry_failures
        );
        found.stops(Part::Telemetry, text);
    }
}

/// One silent probe of many may be its own trouble; half of them are the watcher's.
fn probes(vitals: &Vitals, found: &mut Concerns) {
    let (all, silent) = (vitals.probes, vitals.probes_silent.len());
    if silent == 0 {
        return;
    }
    let names: Vec<&str> = vitals.probes_silent.iter().take(5).map(String::as_str).collect();
    let more = if silent > names.len() { ", …" } else { "" };
    let text = format!(
        "{silent} of {all} probes gave no result for three intervals: {}{more}",
        names.join(", ")
    );
    found.add(Part::Probes, silent * 2 >= all, text);
}

fn messages(waiting: &Waiting, up_for: SignedDuration, found: &mut Concerns) {
    let Waiting {
        destination,
        messages,
        age,
        attempts,
        ..
    } = waiting;
    let overdue = waiting.overdue.min(up_for);
    if let Some(running) = waiting.running_for.filter(|running| *running > MESSAGE_RUNS_MAX) {
        let text = format!("an attempt to tell {destination} hangs for {} s", running.as_secs());
        found.stops(Part::Messages, text);
    } else if overdue > MESSAGE_OVERDUE_MAX {
        let text = format!(
            "a message for {destination} is due for {} s and nobody takes it",
            overdue.as_secs()
        );
        found.stops(Part::Messages, text);
    } else if let Some(why) = waiting.failure.as_ref().filter(|_| *age >= MESSAGE_STUCK_AFTER) {
        let many = if *messages == 1 {
            "1 message waits".to_owned()
        } else {
            format!("{messages} messages wait")
        };
        let text = format!(
            "{destination} cannot be told: {many}, the oldest for {}, {attempts} attempts: {why}",
            in_words(*age)
        );
        found.degrades(Part::Messages, text);
    }
}

/// `2h 5m`, `7m`.
fn in_words(age: SignedDuration) -> String {
    match (age.as_hours(), age.as_mins() % 60) {
        (0, minutes) => format!("{minutes}m"),
        (hours, minutes) => format!("{hours}h {minutes}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A watcher of which all is well.
    fn well() -> Vitals {
        Vitals {
            tick_age: Some(secs(5)),
            up_for: secs(86_400),
            reactors_failed: 0,
            journal_settled: true,
            room: Ok((Room::Enough, 10_000)),
            telemetry_stalled: SignedDuration::ZERO,
            telemetry_failures: 0,
            probes: 4,
            probes_silent: Vec::new(),
            waiting: Vec::new(),
            heartbeats_failing: Vec::new(),
        }
    }

    const fn secs(seconds: i64) -> SignedDuration {
        SignedDuration::from_secs(seconds)
    }

    fn waiting(age: i64, failure: Option<&str>) -> Waiting {
        Waiting {
            destination: "me".to_owned(),
            messages: 3,
            age: secs(age),
            attempts: 7,
            failure: failure.map(str::to_owned),
            overdue: SignedDuration::ZERO,
            running_for: None,
        }
    }

    /// The parts that are not well, and whether they stop the watch.
    fn found(vitals: &Vitals) -> Vec<(Part, bool)> {
        judge(vitals)
            .iter()
            .map(|concern| (concern.part, concern.stops))
            .collect()
    }

    #[test]
    fn nothing_speaks_against_a_watcher_that_is_well() {
        assert_eq!(found(&well()), []);
    }

    #[test]
    fn what_the_watcher_itself_does_not_do_stops_it() {
        let mut vitals = well();
        vitals.tick_age = None;
        vitals.reactors_failed = 1;
        vitals.journal_settled = false;
        vitals.room = Ok((Room::NoFacts, 10));
        vitals.telemetry_stalled = secs(16);
        vitals.probes_silent = vec!["a".to_owned(), "b".to_owned()];
        let parts = [
            Part::Ticks,
            Part::Reactors,
            Part::Journal,
            Part::Disk,
            Part::Telemetry,
            Part::Probes,
        ];
        assert_eq!(found(&vitals), parts.map(|part| (part, true)));
        vitals = well();
        vitals.tick_age = Some(secs(16));
        vitals.room = Err("no".to_owned());
        vitals.telemetry_failures = 3;
        let parts = [Part::Ticks, Part::Disk, Part::Telemetry];
        assert_eq!(found(&vitals), parts.map(|part| (part, true)));
    }

    #[test]
    fn a_dead_receiver_degrades_and_does_not_stop() {
        let mut vitals = well();
        vitals.waiting = vec![waiting(119, Some("refused"))];
        assert_eq!(found(&vitals), [], "it may be back in a minute");
        vitals.waiting = vec![waiting(7 * 3600 + 300, Some("connection refused"))];
        let concerns = judge(&vitals);
        let text = "me cannot be told: 3 messages wait, the oldest for 7h 5m, 7 attempts: connection refused";
        let expected = Concern {
            part: Part::Messages,
            stops: false,
            text: text.to_owned(),
        };
        assert_eq!(concerns, [expected]);
    }

    #[test]
    fn a_sender_that_hangs_or_takes_nothing_stops() {
        let mut vitals = well();
        let mut hangs = waiting(400, None);
        hangs.running_for = Some(secs(301));
        vitals.waiting = vec![hangs];
        assert_eq!(found(&vitals), [(Part::Messages, true)]);
        let mut left = waiting(400, None);
        left.overdue = secs(61);
        vitals.waiting = vec![left];
        assert_eq!(found(&vitals), [(Part::Messages, true)]);
        // It was due while nobody was there: the process began just now.
        vitals.up_for = secs(5);
        assert_eq!(found(&vitals), []);
    }

    #[test]
    fn one_silent_probe_of_many_degrades_and_half_of_them_stop() {
        let mut vitals = well();
        vitals.probes_silent = vec!["shop".to_owned()];
        assert_eq!(found(&vitals), [(Part::Probes, false)]);
        assert!(
            judge(&vitals)[0]
                .text
                .contains("1 of 4 probes gave no result for three intervals: shop")
        );
        vitals.probes = 1;
        assert_eq!(found(&vitals), [(Part::Probes, true)]);
    }

    #[test]
    fn a_filling_disk_degrades_before_it_stops() {
        let mut vitals = well();
        vitals.room = Ok((Room::NoTelemetry, 150));
        assert_eq!(found(&vitals), [(Part::Disk, false)]);
    }

    #[test]
    fn a_heartbeat_that_does_not_arrive_degrades() {
        let mut vitals = well();
        vitals.heartbeats_failing = vec![("outward".to_owned(), "answered 503".to_owned())];
        assert_eq!(found(&vitals), [(Part::Heartbeats, false)]);
    }
}
