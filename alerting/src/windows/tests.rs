use std::{collections::BTreeMap, sync::Arc};

use events::{Dictionary, Histogram, Series, ServiceId, histogram::varint};
use proptest::prelude::*;

use super::*;

const SECOND: i64 = 1_000_000_000;

/// One tick: elapsed seconds since the one before, watched seconds of them, and what was counted.
#[derive(Clone, Debug)]
struct Past {
    gap: i64,
    watched: i64,
    n: u64,
    bad: u64,
    speaks: bool,
}

fn past() -> impl Strategy<Value = Past> {
    let gap = prop_oneof![8 => Just((5, 5)), 1 => Just((5, 0)), 1 => (5_i64..900).prop_map(|gap| (gap, 0))];
    let counts = prop_oneof![2 => Just((0, 0)), 3 => (1_u64..50, 0_u64..5)];
    (gap, counts, any::<bool>()).prop_map(|((gap, watched), (n, bad), speaks)| Past {
        gap,
        watched,
        n,
        bad: bad.min(n),
        speaks,
    })
}

fn bins(past: &Past, service: &str) -> Bins {
    if past.n == 0 && !past.speaks {
        return Bins::default();
    }
    let mut dictionary = Dictionary::default();
    dictionary.push(Arc::new(Series {
        service: ServiceId::new(service).unwrap(),
        release: None,
        source: Source::Span,
    }));
    let mut latency = Histogram::default();
    (0..past.n).for_each(|_| latency.record(1000));
    let mut bytes = Vec::new();
    for number in [1, 0, past.n.max(1), past.n, past.bad, 0] {
        varint(&mut bytes, number);
    }
    latency.pack(&mut bytes);
    dictionary.unpack(&bytes).unwrap()
}

fn moments(pasts: &[Past]) -> Vec<Moment> {
    let mut moment = Moment::default();
    let stamp = |past: &Past| {
        moment.at = moment.at.plus(SignedDuration::from_secs(past.gap));
        moment.watched = moment.watched.plus(SignedDuration::from_secs(past.watched));
        moment.clone()
    };
    pasts.iter().map(stamp).collect()
}

fn needs(spans: &[i64]) -> Needs {
    let mut needs = Needs::default();
    for span in spans {
        let span = SignedDuration::from_secs(*span);
        needs.windows.insert(("shop".to_owned(), span));
        needs.max_window = needs.max_window.max(span);
    }
    needs.heard_services.insert("shop".to_owned());
    needs
}

fn fed(needs: &Needs, pasts: &[Past], moments: &[Moment]) -> Windows {
    let (mut windows, _) = Windows::new(needs);
    for (past, moment) in pasts.iter().zip(moments) {
        windows.absorb(moment, &bins(past, "shop"));
    }
    windows
}

/// From scratch: sums over the ticks that lie within the span.
fn summed(span: SignedDuration, pasts: &[Past], moments: &[Moment]) -> Option<Counted> {
    let now = moments.last()?;
    let start = now.at.plus(-span);
    let begun = moments
        .iter()
        .rev()
        .find(|moment| moment.at <= start)
        .or(moments.first())?;
    if nanos(now.watched.since(begun.watched)) * 2 < nanos(span) {
        return Some(Counted::Unwatched);
    }
    let within = |reach: SignedDuration| {
        let start = now.at.plus(-reach);
        pasts.iter().zip(moments).filter(move |(_, moment)| moment.at > start)
    };
    let n = within(span).map(|(past, _)| past.n).sum();
    let part = within(span).map(|(past, _)| past.bad).sum();
    let spoke = within(span.max(SPOKE_WITHIN)).any(|(past, _)| past.n > 0 || past.speaks);
    Some(if n == 0 && !spoke {
        Counted::Silent
    } else {
        Counted::Sum { part, n }
    })
}

proptest! {
    #[test]
    fn rolling_is_the_same_as_summing(pasts in prop::collection::vec(past(), 1..120), span in 10_i64..400) {
        let (needs, moments) = (needs(&[span, 60]), moments(&pasts));
        let (mut windows, numbers) = Windows::new(&needs);
        let length = SignedDuration::from_secs(span);
        let number = numbers[&window_key("shop", length, None)];
        let mut before = None;
        for index in 0..pasts.len() {
            windows.absorb(&moments[index], &bins(&pasts[index], "shop"));
            let counted = windows.counted("shop", length, None);
            prop_assert_eq!(counted, summed(length, &pasts[..=index], &moments[..=index]));
            // A change is never overlooked: rules are evaluated only when their window says so.
            prop_assert!(counted == before || windows.changed().contains(&number) || before.is_none());
            before = counted;
        }
    }

    #[test]
    fn a_rebuilt_window_is_the_same(pasts in prop::collection::vec(past(), 2..120), cut in 0_usize..120, more in 0_usize..40) {
        let (needs, moments) = (needs(&[30, 120]), moments(&pasts));
        let cut = cut % pasts.len();
        let live = fed(&needs, &pasts, &moments);
        // Fed from the last tick at or before the longest window before a crash, or from earlier.
        let from = moments[cut].at.plus(-live.longest());
        let begin = moments[..=cut].iter().rposition(|moment| moment.at <= from).unwrap_or(0).saturating_sub(more);
        let rebuilt = fed(&needs, &pasts[begin..], &moments[begin..]);
        for span in [30, 120] {
            let span = SignedDuration::from_secs(span);
            prop_assert_eq!(live.counted("shop", span, None), rebuilt.counted("shop", span, None));
        }
        prop_assert_eq!(live.silence("shop"), rebuilt.silence("shop"));
        if pasts.len() > cut + 1 {
            prop_assert_eq!(live.changed(), rebuilt.changed());
        }
    }
}

#[test]
fn releases_are_summed_and_other_sources_do_not_count() {
    let needs = needs(&[60]);
    let (mut windows, _) = Windows::new(&needs);
    let one = Past {
        gap: 5,
        watched: 5,
        n: 10,
        bad: 1,
        speaks: true,
    };
    let moment = |second: i64| Moment {
        at: Elapsed(second * SECOND),
        watched: Watched(second * SECOND),
        ..Moment::default()
    };
    for second in (0..=60).step_by(5) {
        let mut all = bins(&one, "shop");
        all.merge(&bins(&one, "cart"));
        windows.absorb(&moment(second), &all);
    }
    let span = SignedDuration::from_secs(60);
    assert_eq!(
        windows.counted("shop", span, None),
        Some(Counted::Sum { part: 12, n: 120 })
    );
    assert_eq!(windows.counted("cart", span, None), None, "nobody asked");
    let asked: BTreeMap<_, _> = windows.services.iter().collect();
    assert_eq!(asked.len(), 1, "what nobody asks for is not kept");
}
