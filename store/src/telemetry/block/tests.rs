use events::{Attributes, LogRecord, ServiceId, SpanId, SpanRecord, TraceId};
use proptest::prelude::*;

use super::*;
use crate::telemetry::stored;

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[a-z ]{0,12}",
        any::<String>(),
        Just("nul \u{0} and \u{202e}right to left\u{1f600}".to_owned()),
    ]
}

fn attributes() -> impl Strategy<Value = Attributes> {
    prop::collection::btree_map(prop_oneof![Just("host.name".to_owned()), text()], text(), 0..5)
}

fn service() -> impl Strategy<Value = ServiceId> {
    prop_oneof![Just("shop"), Just("shop@staging"), Just("корзина")].prop_map(|name| ServiceId::new(name).unwrap())
}

fn release() -> impl Strategy<Value = Option<ReleaseId>> {
    prop_oneof![Just(None), Just(Some("1.4.2")), Just(Some("a b"))]
        .prop_map(|name| name.map(|name| ReleaseId::new(name).unwrap()))
}

fn span_id() -> impl Strategy<Value = SpanId> {
    (1..u64::MAX).prop_map(|number| SpanId::from_bytes(&number.to_be_bytes()).unwrap())
}

fn trace_id() -> impl Strategy<Value = TraceId> {
    (1..u128::MAX).prop_map(|number| TraceId::from_bytes(&number.to_be_bytes()).unwrap())
}

fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![any::<i64>(), Just(0), Just(i64::MAX), Just(i64::MIN), 0..1_000_i64].prop_map(Timestamp)
}

prop_compose! {
    fn log()(
        time in time(), service in service(), release in release(), severity in 0..25_u8, body in text(),
        trace in prop::option::of(trace_id()), span in prop::option::of(span_id()), attributes in attributes(),
    ) -> Record {
        Record::Log(LogRecord { time, service, release, severity, body, trace, span, attributes })
    }
}

prop_compose! {
    fn span()(
        times in (time(), time()), service in service(), release in release(), trace in trace_id(), span in span_id(),
        parent in prop::option::of(span_id()), texts in (text(), text()), kind in 0..6_u8, error in any::<bool>(),
        attributes in attributes(), events in prop::collection::vec((time(), text(), attributes()), 0..3),
    ) -> Record {
        let (start, end) = times;
        let (name, status_message) = texts;
        let kind = KINDS[usize::from(kind)];
        Record::Span(SpanRecord {
            start, end, service, release, trace, span, parent, name, kind, error, status_message, attributes, events,
        })
    }
}

fn pack(table: Table, records: &[Record], deployed: Option<&ReleaseId>) -> Packed {
    let mut builder = Builder::new(table);
    for record in records {
        let release = record.release().or(deployed);
        builder.push(record, Stamp { release, late: false });
    }
    builder.finish().unwrap()
}

fn check(table: Table, records: &[Record], deployed: Option<&ReleaseId>) {
    let packed = pack(table, records, deployed);
    let unpacked = unpack(&packed.data, packed.unpacked).unwrap();
    let read = stored::records(&unpacked).unwrap();
    let expected: Vec<_> = records
        .iter()
        .map(|record| (record.clone(), record.release().or(deployed).cloned()))
        .collect();
    assert_eq!(read, expected);
    assert!(
        records
            .iter()
            .all(|record| packed.time_min <= record.time() && record.time() <= packed.time_max)
    );
    for record in records {
        let service = mark(record.service().as_str().as_bytes());
        assert!(packed.services.chunks(4).any(|mark| mark == service));
        let trace = record.trace().map(|trace| mark(trace.as_bytes()));
        assert!(trace.is_none_or(|trace| packed.traces.chunks(4).any(|mark| mark == trace)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn logs_read_back(records in prop::collection::vec(log(), 1..40), deployed in release()) {
        check(Table::Logs, &records, deployed.as_ref());
    }

    #[test]
    fn spans_read_back(records in prop::collection::vec(span(), 1..40), deployed in release()) {
        check(Table::Spans, &records, deployed.as_ref());
    }

    #[test]
    fn garbage_never_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..200), table in 1..4_u8) {
        let _ = stored::records(&bytes);
        bytes.splice(0..0, [FORM, table]);
        let _ = stored::records(&bytes);
    }

    #[test]
    fn damage_never_panics(
        records in prop::collection::vec(log(), 1..10), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let packed = pack(Table::Logs, &records, None);
        let mut unpacked = unpack(&packed.data, packed.unpacked).unwrap();
        let at = at.index(unpacked.len());
        unpacked[at] = byte;
        let _ = stored::records(&unpacked);
        unpacked.truncate(at);
        let _ = stored::records(&unpacked);
    }
}
