//! `latency`: how fast and how well a service answers, by release.

use web::answer::{LatencyAnswer, LatencySeries};

use crate::command::{
    page::{Column, Look, Page},
    text::{clock_utc, lasting, number, plain, took},
};

/// The page.
pub(crate) fn page(answer: &LatencyAnswer, look: Look) -> String {
    let mut page = Page::new(look);
    let stretch = lasting(answer.until.since(answer.from));
    page.line(&format!(
        "{}, {stretch} up to {}",
        plain(answer.service.as_str()),
        clock_utc(answer.until, answer.until)
    ));
    let with_requests: Vec<&LatencySeries> = answer.series.iter().filter(|series| series.requests > 0).collect();
    if with_requests.is_empty() {
        page.line("");
        let text = match answer.ticks {
            0 => "nothing was watched in that time",
            _ => "no request was seen: neither a span of kind SERVER or CONSUMER, nor a probe",
        };
        page.wrapped(0, text);
        return page.finish();
    }
    page.gap();
    let head = ["release", "source", "requests", "errors", "p50", "p95", "p99", "max"]
        .map(str::to_owned)
        .to_vec();
    let rows = std::iter::once(head)
        .chain(with_requests.into_iter().map(row))
        .collect::<Vec<_>>();
    let columns = [
        Column::Left(20),
        Column::Left(8),
        Column::Right(12),
        Column::Right(9),
        Column::Right(8),
        Column::Right(8),
        Column::Right(8),
        Column::Right(8),
    ];
    page.table(0, &columns, &rows);
    late(&mut page, answer);
    page.finish()
}

fn late(page: &mut Page, answer: &LatencyAnswer) {
    let late: u64 = answer.series.iter().map(|series| series.late).sum();
    if late > 0 {
        page.gap();
        page.wrapped(
            0,
            &format!(
                "{} more came later than 60 s after they ended and are in no figure",
                number(late)
            ),
        );
    }
}

fn row(series: &LatencySeries) -> Vec<String> {
    let figure = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), took);
    vec![
        plain(&series.release),
        plain(&series.source),
        number(series.requests),
        share(series.bad, series.requests),
        figure(series.p50_us),
        figure(series.p95_us),
        figure(series.p99_us),
        figure(series.max_us),
    ]
}

/// A share in percent, to two digits below one.
fn share(part: u64, whole: u64) -> String {
    let hundredths = u128::from(part) * 10_000 / u128::from(whole.max(1));
    match (part, hundredths) {
        (0, _) => "0 %".to_owned(),
        (_, 0) => "< 0.01 %".to_owned(),
        (_, 10_000) => "100 %".to_owned(),
        (_, hundredths) => format!("{}.{:02} %", hundredths / 100, hundredths % 100),
    }
}
