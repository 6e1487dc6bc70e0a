//! Why an expression says what it says: the value of every condition in it.

use jiff::SignedDuration;

use super::{
    evidence::{Evidence, Unknown},
    expression::{Condition, Duration, Expression, Fact, Fraction, Number, some},
    literal::{Literal, Share},
    truth::Truth,
};

/// One condition of an expression at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// What is looked at: `error_rate(shop, 5m)`.
    pub text: String,
    /// What was read: `2.3 % (23 of 1,000)`, `fail`, `1d 7h`; `unknown` when nothing was.
    pub reading: String,
    /// What it is compared with: `> 1%`; empty for a condition that is not compared.
    pub limit: String,
    /// Does the condition hold?
    pub truth: Truth,
    /// Why it is unknown, when it is.
    pub reason_if_unknown: Option<String>,
}

impl Expression {
    /// Reads every condition, from left to right, whether it decides or not.
    #[must_use]
    pub fn explain(&self, evidence: &dyn Evidence) -> Vec<Leaf> {
        let mut leaves = Vec::new();
        self.0
            .each_leaf(&mut |condition| leaves.push(leaf(condition, evidence)));
        leaves
    }
}

fn leaf(condition: &Condition, evidence: &dyn Evidence) -> Leaf {
    let text = condition.measured();
    let limit = condition
        .limit()
        .map_or_else(String::new, |(comparison, limit)| format!("{comparison} {limit}"));
    let read = condition
        .judge(evidence)
        .and_then(|holds| reading(condition, evidence).map(|reading| (holds, reading)));
    match read {
        Ok((holds, reading)) => Leaf {
            text,
            reading,
            limit,
            truth: holds.into(),
            reason_if_unknown: None,
        },
        Err(Unknown(reason)) => Leaf {
            text,
            reading: "unknown".to_owned(),
            limit,
            truth: Truth::Unknown,
            reason_if_unknown: Some(reason.into_owned()),
        },
    }
}

fn reading(condition: &Condition, evidence: &dyn Evidence) -> Result<String, Unknown> {
    Ok(match condition {
        Condition::Fact(Fact::Up(target)) => if evidence.up(target.name())? { "pass" } else { "fail" }.to_owned(),
        Condition::Fact(Fact::Missing(target, _)) => {
            format!("last heard {} ago", rough(evidence.silent_for(target.name())?))
        }
        Condition::Fraction(fraction, ..) => {
            let (part, whole) = fraction.read(evidence)?;
            match fraction {
                Fraction::Errors { .. } | Fraction::Over { .. } => of(part, whole),
            }
        }
        Condition::Number(number @ Number::Requests { .. }, ..) => grouped(number.read(evidence)?),
        Condition::Duration(
            Duration::Percentile {
                percentile,
                service,
                window,
            },
            _,
            limit,
        ) => {
            let (over, all) = evidence
                .over(service, *limit, *window)
                .and_then(|(over, all)| some(over, all))?;
            let rest = percentile.rest().percent();
            format!("{} over {}, {rest} % allowed", of(over, all), Literal::Duration(*limit))
        }
        Condition::Duration(Duration::Age(age), ..) => rough(age.read(evidence)?),
        Condition::Duration(Duration::Expires(probe), ..) => {
            let left = evidence.expires_in(probe)?;
            if left.is_negative() {
                format!("{} ago", rough(left))
            } else {
                rough(left)
            }
        }
    })
}

/// `2.3 % (23 of 1,000)`: rounded to three digits, with the exact numbers beside it.
fn of(part: u64, whole: u64) -> String {
    format!(
        "{} % ({} of {})",
        Share::percent_of(part, whole),
        grouped(part),
        grouped(whole)
    )
}

/// `12,345`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The two largest units of a duration, for people: `1d 7h`, `4m 10s`, `250ms`. The sign is left out.
fn rough(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().unsigned_abs();
    let units = [(86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s")];
    let two = units
        .iter()
        .find(|(long, ..)| seconds >= *long)
        .map(|(long, unit, short, rest)| match seconds % long / short {
            0 => format!("{}{unit}", seconds / long),
            some => format!("{}{unit} {some}{rest}", seconds / long),
        });
    two.unwrap_or_else(|| match (seconds, duration.subsec_millis().unsigned_abs()) {
        (0, millis) if millis > 0 => format!("{millis}ms"),
        _ => format!("{seconds}s"),
    })
}
