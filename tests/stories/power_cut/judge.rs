//! What a cut left, opened by the real store: every violation in words.

use std::collections::BTreeMap;
use std::path::Path;

use events::{Fact, Filter, Seq};
use store::{Options, chain_of};

use super::record::{Counting, Record};

/// Far behind every life.
const LATER: u64 = 1_000_000;

/// Opens the folder as a start after the cut does, and holds it against what was acknowledged.
pub(super) async fn judge(folder: &Path, acknowledged: &[String]) -> Vec<String> {
    match Record::open(folder, Options::default(), Counting::from(LATER)).await {
        Ok(record) => held(&record, acknowledged).await,
        Err(error) => vec![format!("the store does not open: {}", chain_of(&error))],
    }
}

async fn held(record: &Record, acknowledged: &[String]) -> Vec<String> {
    let mut wrong = Vec::new();
    let journal = &record.store.journal;
    match journal.verify_chain().await {
        Ok(report) => wrong.extend(
            report
                .damage
                .map(|damage| format!("the chain does not hold: {damage:?}")),
        ),
        Err(error) => wrong.push(format!("the chain cannot be read: {}", chain_of(&error))),
    }
    let (facts, carried) = match facts(record).await {
        Ok(read) => read,
        Err(error) => return [wrong, vec![error]].concat(),
    };
    let logs = match logs(record).await {
        Ok(read) => read,
        Err(error) => return [wrong, vec![error]].concat(),
    };
    let there: usize = logs.values().sum();
    let counted = carried
        + record
            .store
            .telemetry
            .uncarried()
            .iter()
            .map(|(_, bin)| bin.records)
            .sum::<u64>();
    if counted != there as u64 {
        wrong.push(format!("{there} records are there, {counted} are counted"));
    }
    for said in acknowledged {
        let mut words = said.split(' ');
        match (words.next().unwrap(), words.next().unwrap(), words.next()) {
            ("fact", number, None) => once(&mut wrong, said, facts.get(number)),
            ("logs", number, Some(lines)) => {
                for line in 0..lines.parse().unwrap() {
                    once(&mut wrong, said, logs.get(&format!("{number} {line}")));
                }
            }
            _ => panic!("{said:?} was not acknowledged by the driver"),
        }
    }
    wrong
}

fn once(wrong: &mut Vec<String>, said: &str, times: Option<&usize>) {
    if times != Some(&1) {
        wrong.push(format!(
            "{said:?} was acknowledged and is there {} times",
            times.unwrap_or(&0)
        ));
    }
}

/// How often each key is there, and how many records the ticks carried.
async fn facts(record: &Record) -> Result<(BTreeMap<String, usize>, u64), String> {
    let (mut times, mut carried, mut next) = (BTreeMap::new(), 0, 1);
    loop {
        let read = record.store.journal.all_facts(Seq(next), 1000).await;
        let read = read.map_err(|error| format!("the facts cannot be read: {}", chain_of(&error)))?;
        if read.is_empty() {
            return Ok((times, carried));
        }
        for fact in read {
            if fact.seq != Seq(next) {
                return Err(format!("fact {next} is missing"));
            }
            next += 1;
            if let Some(key) = &fact.envelope.key {
                *times.entry(key.as_str().to_owned()).or_insert(0) += 1;
            }
            if let Fact::Tick(tick) = fact.fact() {
                carried += tick.bins.iter().map(|(_, bin)| bin.records).sum::<u64>();
            }
        }
    }
}

/// How often each line is there.
async fn logs(record: &Record) -> Result<BTreeMap<String, usize>, String> {
    let (mut times, mut before) = (BTreeMap::new(), None);
    loop {
        let found = record
            .store
            .telemetry
            .reader()
            .logs(&Filter::default(), 1000, before)
            .await;
        let found = found.map_err(|error| format!("the logs cannot be read: {}", chain_of(&error)))?;
        if !found.complete || !found.gaps.is_empty() {
            return Err(format!("the logs have gaps: {:?}", found.gaps));
        }
        for row in found.rows {
            *times.entry(row.record.body).or_insert(0) += 1;
        }
        before = found.next;
        if before.is_none() {
            return Ok(times);
        }
    }
}
