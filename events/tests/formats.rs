//! Bytes that are stored or compared across versions: fixed inputs give fixed bytes. A change here makes existing
//! journals unreadable or their chains broken; so a new form needs a new kind or a new blob format, never another value.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{str::FromStr, sync::Arc};

use events::{
    BootId, Boottime, CommitId, Dictionary, Elapsed, Envelope, Fact, Histogram, Identity, JobId, Moment, Name,
    Recorded, Seq, Series, ServiceId, Stopped, Timestamp, Watched, aggregate::Source, encode, hex, unhex,
};
use uuid::Uuid;

fn name(text: &str) -> Name {
    Name::from_str(text).unwrap()
}

fn moment() -> Moment {
    Moment {
        wall: Timestamp(1_772_334_725_250_000_000),
        boot: Boottime(86_400_000_000_000),
        boot_id: BootId("0d7ab5b1-3c1b-4b5c-9a51-6d6a3a4c1f00".to_owned()),
        at: Elapsed(180_000_000_000),
        watched: Watched(170_000_000_000),
    }
}

fn fact(cause: Option<(Seq, Name)>) -> Recorded {
    let stopped = Fact::Stopped(Stopped {
        reason: "SIGTERM".to_owned(),
    });
    Recorded {
        seq: Seq(7),
        commit: CommitId(3),
        cause,
        recorded_at: moment(),
        envelope: Envelope::new(name("daemon"), name("daemon"), stopped),
    }
}

fn derived() -> Recorded {
    fact(Some((Seq(6), name("alerts"))))
}

const BODY: &str = r#"{"stream":"daemon","source":"daemon","kind":"stopped","reason":"SIGTERM"}"#;

#[test]
fn a_body_is_the_envelope_in_this_order() {
    assert_eq!(encode::body(&fact(None).envelope), BODY);
}

#[test]
fn digests_and_links_are_these() {
    let observed = encode::digest(&fact(None), BODY.as_bytes(), b"");
    let derived = encode::digest(&derived(), BODY.as_bytes(), b"blob");
    let link = encode::link(&[0; 32], CommitId(3), Seq(7), &[observed, derived]);
    let found = [observed, derived, link].map(|digest| hex(&digest));
    assert_eq!(
        found,
        [
            "cb6524271653b004a925156c2263725d63de04d5c9619640db30c73967777141",
            "0f5e2373132a1073456ba0033bfc6245b76d228d5a3b1ed2c7643f1135f8405a",
            "c1c2169d42e3d4281b85bedb3cea7392c51fa0ba16c2f80f2289e2ba8266051c"
        ]
    );
}

#[test]
fn a_digest_covers_every_part_of_a_fact() {
    let of = |change: fn(&mut Recorded)| {
        let mut changed = derived();
        change(&mut changed);
        encode::digest(&changed, BODY.as_bytes(), b"blob")
    };
    let unchanged = of(|_| {});
    let changes: [fn(&mut Recorded); 9] = [
        |fact| fact.seq = Seq(8),
        |fact| fact.commit = CommitId(4),
        |fact| fact.cause = Some((Seq(5), name("alerts"))),
        |fact| fact.cause = Some((Seq(6), name("guard"))),
        |fact| fact.recorded_at.wall.0 += 1,
        |fact| fact.recorded_at.boot.0 += 1,
        |fact| fact.recorded_at.boot_id.0.push('x'),
        |fact| fact.recorded_at.at.0 += 1,
        |fact| fact.recorded_at.watched.0 += 1,
    ];
    for (index, change) in changes.into_iter().enumerate() {
        assert_ne!(of(change), unchanged, "change {index} is not covered");
    }
    assert_ne!(encode::digest(&derived(), b"{}", b"blob"), unchanged);
    assert_ne!(encode::digest(&derived(), BODY.as_bytes(), b"blo"), unchanged);
    // A byte that moves from one part to the next changes the digest, too.
    let (shorter, moved) = BODY.as_bytes().split_at(BODY.len() - 1);
    let blob = [moved, b"blob"].concat();
    assert_ne!(encode::digest(&derived(), shorter, &blob), unchanged);
}

#[test]
fn a_link_covers_the_one_before_it_and_every_digest_in_its_place() {
    let link = |before, commit, first, digests: &[encode::Digest]| {
        encode::link(&[before; 32], CommitId(commit), Seq(first), digests)
    };
    let unchanged = link(0, 3, 7, &[[1; 32], [2; 32]]);
    for changed in [
        link(1, 3, 7, &[[1; 32], [2; 32]]),
        link(0, 4, 7, &[[1; 32], [2; 32]]),
        link(0, 3, 8, &[[1; 32], [2; 32]]),
        link(0, 3, 7, &[[2; 32], [1; 32]]),
        link(0, 3, 7, &[[1; 32]]),
    ] {
        assert_ne!(changed, unchanged);
    }
}

fn histogram(latencies: &[u64]) -> Histogram {
    let mut histogram = Histogram::default();
    for latency in latencies {
        histogram.record(*latency);
    }
    histogram
}

#[test]
fn a_packed_histogram_is_these_bytes() {
    let mut bytes = Vec::new();
    histogram(&[0, 90, 90, 255, 256, 12_345, 3_600_000_000]).pack(&mut bytes);
    assert_eq!(hex(&bytes), "0600b50102ca0202800bac24");
    let again = Histogram::unpack(&mut bytes.as_slice()).unwrap();
    assert_eq!((again.count(), again.quantile(50, 100)), (7, Some(255)));
}

fn dictionary() -> Dictionary {
    let mut dictionary = Dictionary::default();
    for (release, source) in [(None, Source::Probe), (Some("1.4.2"), Source::Span)] {
        dictionary.push(Arc::new(Series {
            service: ServiceId::new("shop").unwrap(),
            release: release.map(|release| release.parse().unwrap()),
            source,
        }));
    }
    dictionary
}

/// A probe with one good result of 58 ms; a service with 1,000 records, of which 300 were requests, 7 of them bad, and 2 late.
const BINS: &str = concat!(
    "02", // two series
    "00", "01", "01", "00", "00", "01", "c413", // entry 0: records, requests, bad, late; one bucket
    "01", "e807", "ac02", "07", "02", "02", "b501", "02", "8001", // entry 1: two buckets, 2 and 1 requests
);

#[test]
fn packed_bins_are_these_bytes() {
    let bins = dictionary().unpack(&unhex(BINS).unwrap()).unwrap();
    let counts: Vec<_> = bins
        .iter()
        .map(|(series, bin)| {
            let latency = (bin.latency.count(), bin.latency.max());
            (series.source, bin.records, bin.n, bin.bad, bin.late, latency)
        })
        .collect();
    assert_eq!(
        counts,
        [
            (Source::Probe, 1, 1, 0, 0, (1, Some(58_111))),
            (Source::Span, 1000, 300, 7, 2, (3, Some(154)))
        ]
    );
    let (packed, named) = dictionary().pack(&bins);
    assert_eq!(hex(&packed), BINS);
    assert!(named.is_empty());
}

#[test]
fn packed_bins_cut_short_are_refused() {
    let bytes = unhex(BINS).unwrap();
    for length in 0..bytes.len() {
        assert!(
            dictionary().unpack(&bytes[..length]).is_none(),
            "{length} bytes were read"
        );
    }
    assert!(
        Dictionary::default().unpack(&bytes).is_none(),
        "an unknown series was read"
    );
}

#[test]
fn ids_follow_from_what_they_stand_for() {
    let identity = Identity {
        store: Uuid::from_u128(0x1111_1111_2222_4333_8444_5555_5555_5555),
        epoch: 2,
    };
    let id = JobId::derive(&identity, &["incident", "fired", "me", "0"]);
    assert_eq!(id.to_string(), "90be2396-58df-5e82-a544-944e6e595890");
    // Parts carry their length, and a restored copy has ids of its own.
    assert_ne!(id, JobId::derive(&identity, &["incidentfired", "", "me", "0"]));
    let restored = Identity { epoch: 3, ..identity };
    assert_ne!(id, JobId::derive(&restored, &["incident", "fired", "me", "0"]));
}
